"""The classes' states as this process last saw them, and who is active in them.

A cached state may be stale: every write names the version that it was decided from, and the store refuses
a stale one and returns the present state. The lock only spares one process from deciding twice.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from autoresearch.model import HardwareClass, Node, OwnerId

from coordinator.domain.class_state import ClassState, load_state
from coordinator.domain.verification import Worker
from coordinator.storage.base import IdentityStore, PublishStore, StoredClass

VOTER_WINDOW = timedelta(hours=24)
ACTIVE_WINDOW = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassView:
    """A class's state with the version that it was read at."""

    version: int
    state: ClassState


class Classes:
    """Reads through; ``put`` keeps what a write has returned or made."""

    def __init__(self, store: PublishStore, seen: Callable[[ClassState], None]) -> None:
        """``seen`` is told of every state that is new here."""
        self._store = store
        self._seen = seen
        self._views: dict[HardwareClass, ClassView] = {}
        self._locks: dict[HardwareClass, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, hardware_class: HardwareClass) -> ClassView:
        """The state as last seen."""
        view = self._views.get(hardware_class)
        return view or self.put(await self._store.get_class(hardware_class))

    async def refresh(self, hardware_class: HardwareClass) -> ClassView:
        """The state as the store has it."""
        return self.put(await self._store.get_class(hardware_class))

    def put(self, stored: StoredClass) -> ClassView:
        """Keeps a state unless a later one is known."""
        known = self._views.get(stored.hardware_class)
        if known is not None and known.version >= stored.version:
            return known
        view = ClassView(version=stored.version, state=load_state(stored.state, stored.hardware_class))
        if stored.version == 0:
            # Anybody can name a class: what never ran is neither kept nor listed.
            return view
        self._views[stored.hardware_class] = view
        self._seen(view.state)
        return view

    def forget(self) -> None:
        """Drops everything: the store began a new epoch, in which versions may be lower."""
        self._views.clear()

    def lock(self, hardware_class: HardwareClass) -> asyncio.Lock:
        """Held while an update of the class is decided and written."""
        return self._locks[hardware_class]

    def known(self) -> tuple[ClassView, ...]:
        """Every class seen so far."""
        return tuple(self._views.values())


class Activity:
    """Which nodes and owners are active in a class; at most ``refresh_s`` old."""

    def __init__(self, identity: IdentityStore, clock: Callable[[], datetime], *, refresh_s: float) -> None:
        self._identity = identity
        self._clock = clock
        self._nodes: tuple[Node, ...] = ()
        self._voters: dict[HardwareClass, frozenset[OwnerId]] = {}
        self._voting: frozenset[OwnerId] | None = None
        self._refresh_s = refresh_s
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def nodes(self) -> tuple[Node, ...]:
        """Every enrolled node."""
        async with self._reading:
            if time.monotonic() - self._read_at >= self._refresh_s:
                self._nodes = await self._identity.list_nodes()
                self._voters.clear()
                self._voting = None
                self._read_at = time.monotonic()
        return self._nodes

    async def workers(self, hardware_class: HardwareClass, caller: Node) -> tuple[Worker, ...]:
        """Nodes active in the class within ``ACTIVE_WINDOW``, the caller among them."""
        oldest = self._clock() - ACTIVE_WINDOW
        active = {caller.node_id: caller}
        for node in await self.nodes():
            if node.hardware_class == hardware_class and node.is_active(oldest):
                active.setdefault(node.node_id, node)
        return tuple(
            Worker(node_id=node.node_id, owner_id=node.owner_id, has_vote=node.has_vote)
            for node in active.values()
        )

    async def by_class(self) -> Counter[HardwareClass]:
        """How many nodes are active within ``ACTIVE_WINDOW`` in each class."""
        oldest = self._clock() - ACTIVE_WINDOW
        return Counter(node.hardware_class for node in await self.nodes() if node.is_active(oldest))

    async def voting(self) -> frozenset[OwnerId]:
        """Every owner with a vote that is not banned, active or not, of whatever class."""
        nodes = await self.nodes()
        if self._voting is None:
            self._voting = frozenset(one.owner_id for one in nodes if one.has_vote and not one.is_banned)
        return self._voting

    async def voters(self, hardware_class: HardwareClass) -> frozenset[OwnerId]:
        """Owners with a vote and a node active in the class within ``VOTER_WINDOW``."""
        nodes = await self.nodes()
        known = self._voters.get(hardware_class)
        if known is not None:
            return known
        oldest = self._clock() - VOTER_WINDOW
        voters = frozenset(
            node.owner_id
            for node in nodes
            if node.has_vote
            and node.hardware_class == hardware_class
            and node.last_seen_at >= oldest
            and not node.is_banned
        )
        self._voters[hardware_class] = voters
        return voters
