"""The process's memory as a server of stores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from autoresearch.model import utc_now

from coordinator.storage.base import Direction, StoreHealth
from coordinator.storage.memory.identity import MemoryIdentity
from coordinator.storage.memory.store import MemoryStore
from coordinator.storage.memory.tables import ChallengeTables


class MemoryStoreServer:
    """Holds the stores of all challenges in memory.

    Args:
        clock: the time by which leases and tokens expire.
        epoch: the high bits of fencing tokens.
    """

    def __init__(self, *, clock: Callable[[], datetime] = utc_now, epoch: int = 1) -> None:
        self._clock = clock
        self._epoch = epoch
        self._stores: dict[str, MemoryStore] = {}
        self._identity = MemoryIdentity(clock)

    def challenge_store(self, challenge_id: str, *, direction: Direction = "lower") -> MemoryStore:
        """The store of one challenge; the same one each time."""
        if challenge_id not in self._stores:
            tables = ChallengeTables(direction=direction, clock=self._clock, epoch=self._epoch)
            self._stores[challenge_id] = MemoryStore(tables)
        return self._stores[challenge_id]

    def identity_store(self) -> MemoryIdentity:
        """The store of nodes and tokens."""
        return self._identity

    async def health(self) -> StoreHealth:
        """Always writable; memory use is the process's own."""
        return StoreHealth(
            description="memory (nothing outlives this process)",
            is_writable=True,
            reason="",
            used_memory_bytes=0,
            checked_at=self._clock(),
        )

    async def close(self) -> None:
        """Nothing to end."""
