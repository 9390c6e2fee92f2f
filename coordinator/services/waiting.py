"""What waits in the queue for one class.

The queue is shared by all classes. Ideas on a class that nobody trains any more never leave it, so whoever
looks for what fits looks further than what does not: otherwise a page of them would hide everybody's work.
"""

from __future__ import annotations

from collections.abc import Callable

from autoresearch.model import Idea

from coordinator.storage.base import QueueStore

PAGE_IDEAS = 100
SCANNED_LIMIT = 4_000
"""Ideas at the front of a queue that are looked at: the whole of it, but where it is flooded."""


async def waiting_ideas(store: QueueStore, fits: Callable[[Idea], bool], *, limit: int) -> tuple[Idea, ...]:
    """The first ideas that fit, in the queue's order."""
    found: list[Idea] = []
    for start in range(0, SCANNED_LIMIT, PAGE_IDEAS):
        page = await store.list_ideas(start=start, limit=PAGE_IDEAS)
        found += filter(fits, page)
        if len(found) >= limit or len(page) < PAGE_IDEAS:
            break
    return tuple(found[:limit])
