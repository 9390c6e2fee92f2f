"""How far this process has followed a challenge's stream, so that a decision can say what it knew."""

from __future__ import annotations

import asyncio

from autoresearch.model import Position

from coordinator.storage.base import stream_order

NOTHING = Position(epoch=0, stream_id="0-0")


class Progress:
    """Where the indexes stand. ``NOTHING`` before they are built, and while they are built anew."""

    def __init__(self) -> None:
        self._position = NOTHING
        self._moved = asyncio.Event()

    @property
    def position(self) -> Position:
        """All events up to this one are in the indexes."""
        return self._position

    @property
    def is_known(self) -> bool:
        """False before the indexes are built, and while they are built anew."""
        return self._position != NOTHING

    def move(self, position: Position) -> None:
        """The indexes have come this far, or start again."""
        self._position = position
        self._moved.set()
        self._moved = asyncio.Event()

    async def reach(self, position: Position, *, limit_s: float, beyond: Position | None = None) -> bool:
        """Waits until the indexes have come as far as ``position``; False if they have not in time.

        They have not while they stand at ``beyond``, which the store has turned back: after a restore that
        may be a later place of a history that is lost.
        """
        try:
            async with asyncio.timeout(limit_s):
                while self._position == beyond or not self._has_reached(position):
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _has_reached(self, position: Position) -> bool:
        """Those of a later epoch were read from what there was when it began."""
        return _order(self._position) >= _order(position)


def _order(position: Position) -> tuple[int, tuple[int, int]]:
    return position.epoch, stream_order(position.stream_id)
