"""How many pieces of work a node may still begin."""

from __future__ import annotations

from typing import Protocol


class Pieces(Protocol):
    """Each piece is taken before it is prepared, and then either done or put back."""

    def take(self) -> bool:
        """One more; False where no more may be begun."""

    def done(self) -> None:
        """A piece that was taken is finished."""

    def put_back(self) -> None:
        """A piece that was taken will not be done."""


class CountedPieces:
    """Those of one process; ``limit`` None for no end."""

    def __init__(self, limit: int | None = None) -> None:
        self._left = limit

    def take(self) -> bool:
        if self._left is None:
            return True
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def done(self) -> None:
        pass

    def put_back(self) -> None:
        if self._left is not None:
            self._left += 1
