"""How far this process has followed a challenge's stream, so that a judgement can say what it knew."""

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

    def move(self, position: Position) -> None:
        """The indexes have come this far, or start again."""
        self._position = position
        self._moved.set()
        self._moved = asyncio.Event()

    async def reach(self, position: Position, *, limit_s: float) -> bool:
        """Waits until the indexes have come as far as ``position``; False if they have not in time."""
        try:
            async with asyncio.timeout(limit_s):
                while not self._has_reached(position):
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def _has_reached(self, position: Position) -> bool:
        return stream_order(self._position.stream_id) >= stream_order(position.stream_id)
