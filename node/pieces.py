"""How many pieces of work a node may still begin, counted by one process or by all workers of a node."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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


class SharedPieces:
    """Those of several workers, counted in one file under a lock that dies with its process.

    What a killed worker had in hand is put back when its successor opens the count under the same name.
    """

    def __init__(self, path: Path, limit: int, *, worker: str) -> None:
        self._path = path
        self._limit = limit
        self._worker = worker
        with self._counts() as counts:
            counts.pop(worker, None)

    @staticmethod
    def begin(path: Path) -> None:
        """Nothing is done yet; for the supervisor, before there are workers."""
        path.write_text("{}", encoding="utf-8")

    def take(self) -> bool:
        with self._counts() as counts:
            if sum(counts.values()) >= self._limit:
                return False
            self._add(counts, self._worker, 1)
            return True

    def done(self) -> None:
        with self._counts() as counts:
            self._add(counts, self._worker, -1)
            self._add(counts, "", 1)

    def put_back(self) -> None:
        with self._counts() as counts:
            self._add(counts, self._worker, -1)

    @staticmethod
    def _add(counts: dict[str, int], whose: str, number: int) -> None:
        counts[whose] = counts.get(whose, 0) + number

    @contextmanager
    def _counts(self) -> Iterator[dict[str, int]]:
        """What each worker has in hand, and under the empty name what is done; written back at the end."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # What a longer count left behind this one, if the writer was killed before it cut the file, is
            # passed over.
            counts: dict[str, int] = json.JSONDecoder().raw_decode(file.read() or "{}")[0]
            yield counts
            text = json.dumps(counts)
            file.seek(0)
            file.write(text)
            file.truncate()
