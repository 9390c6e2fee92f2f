"""The live leases of a challenge as this process knows them.

Claims that were made or looked up here are remembered, so that ``Start`` and ``Publish`` need not ask the
store about them; the store checks the fencing token whatever is remembered. The picture of what is under
way in a class may be a moment old: two replicas then ask for one slot, and the store grants one.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from autoresearch.model import ClaimId, Experiment, ExperimentId, HardwareClass, Lease, Purpose

from coordinator.domain.scheduling import UnderWay
from coordinator.domain.verification import LiveSlot
from coordinator.services.notes import TaskNote, load_note
from coordinator.storage.base import ClaimRecord, ClaimRequest, ClaimStore, EditKey, ReadStore

HELD_CACHED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A claim with what was learned of it since. ``blocked`` are the keys that its outcome may block."""

    request: ClaimRequest
    note: TaskNote
    experiment_id: ExperimentId | None = None
    experiment: Experiment | None = None
    blocked: tuple[EditKey, ...] = ()
    published: frozenset[Purpose] = frozenset()


class Leases:
    """Remembers claims, and what is under way per class."""

    def __init__(self, store: ClaimStore, reads: ReadStore, *, refresh_s: float) -> None:
        self._refresh_s = refresh_s
        self._store = store
        self._reads = reads
        self._held: OrderedDict[ClaimId, Held] = OrderedDict()
        self._live: dict[ClaimId, tuple[ClaimRequest, TaskNote]] = {}
        self._live_read_at = -math.inf

    def add(self, request: ClaimRequest, note: TaskNote, lease: Lease) -> Held:
        """A claim that was granted here."""
        self._live[lease.claim_id] = (request, note)
        return self.put(Held(request=request, note=note))

    def put(self, held: Held) -> Held:
        """Keeps what is known of a claim."""
        self._held[held.request.claim_id] = held
        self._held.move_to_end(held.request.claim_id)
        while len(self._held) > HELD_CACHED:
            self._held.popitem(last=False)
        return held

    def known(self, claim_id: ClaimId) -> Held | None:
        """What is remembered of a claim."""
        return self._held.get(claim_id)

    async def find(self, claim_id: ClaimId) -> Held | None:
        """A claim, from memory or from the store; None if it is gone from both."""
        known = self._held.get(claim_id)
        if known is not None:
            return known
        record = await self._store.get_claim(claim_id)
        return self.put(held_of(record)) if record else None

    def forget(self, claim_id: ClaimId) -> None:
        """Asks the store the next time."""
        self._held.pop(claim_id, None)

    def forget_all(self) -> None:
        """Asks the store about every claim the next time: it may have lost some."""
        self._held.clear()
        self._live.clear()
        self._live_read_at = -math.inf

    def end(self, claim_id: ClaimId) -> None:
        """A claim that is over. It stays remembered for a late result."""
        self._live.pop(claim_id, None)

    def mark_published(self, held: Held, purpose: Purpose) -> None:
        """One run of a pair is in."""
        self.put(replace(held, published=held.published | {purpose}))

    async def under_way(self, hardware_class: HardwareClass, *, refresh: bool = False) -> UnderWay:
        """What runs in a class now, at most ``refresh_s`` old."""
        if refresh or time.monotonic() - self._live_read_at >= self._refresh_s:
            records = await self._reads.get_live_claims()
            self._live = {
                record.request.claim_id: (record.request, load_note(record.request.note))
                for record in records
                if record.request.note
            }
            self._live_read_at = time.monotonic()
        mine = [pair for pair in self._live.values() if pair[0].hardware_class == hardware_class]
        return UnderWay(
            baselines=frozenset(note.baseline for _, note in mine if note.baseline is not None),
            pairs=tuple(
                LiveSlot(slot=note.slot, node_id=request.node_id, owner_id=request.owner_id)
                for request, note in mine
                if note.slot is not None
            ),
            ideas=frozenset(note.idea for _, note in mine if note.idea is not None),
        )


def held_of(record: ClaimRecord) -> Held:
    """A claim as the store has it."""
    note = load_note(record.request.note) if record.request.note else TaskNote()
    return Held(request=record.request, note=note, experiment_id=record.experiment_id)
