"""Reads strangers' code for the judge: in worker processes, with a time limit, remembered by hash.

The code is only parsed, never run. A source that keeps a worker busy past the limit costs that worker,
which is replaced, and is refused; the event loop and the other callers never notice.
"""

from __future__ import annotations

import asyncio
import faulthandler
import multiprocessing
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from autoresearch.edits import (
    CanonicalChanges,
    EditError,
    EditSignature,
    changes_of_edit,
    edit_signature,
    file_signature,
    program_size,
)
from autoresearch.edits.merge import merge_all
from autoresearch.errors import InvalidArgument, LimitExceeded
from autoresearch.model import SourceHash

from coordinator.dedup.processes import begin_worker

MergeParts = tuple[tuple[str, str], ...]
"""Edits to merge: base and edited text of each."""

Inputs = TypeVarTuple("Inputs")
Output = TypeVar("Output")

READINGS_CACHED = 4_096
QUEUE_LIMIT = 256
"""Sources that may wait for a worker at once; past that, callers come back later."""
RETRY_AFTER_S = 2.0
ATTEMPTS_LIMIT = 2
"""A worker that dies takes its neighbours' work with it: those are read once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceText:
    """A train.py with the hash that it is remembered by."""

    source_hash: SourceHash
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeReading:
    """What a source is, how long it is, and what it does to its parent (None without one)."""

    file_signature: str
    size: int = 0
    parent_signature: str = ""
    edit: EditSignature | None = None

    @property
    def canonical(self) -> CanonicalChanges | None:
        """The edit in the terms of stated changes."""
        return changes_of_edit(self.edit) if self.edit else None


class CodeReader:
    """A pool of worker processes; ``warm_up`` starts the first one, ``close`` ends them all."""

    def __init__(self, *, workers: int = 1, limit_s: float = 5.0) -> None:
        self._workers = workers
        self._limit_s = limit_s
        self._pool: ProcessPoolExecutor | None = None
        self._waiting = 0
        self._readings: OrderedDict[tuple[SourceHash, SourceHash | None], CodeReading] = OrderedDict()

    async def read(self, source: SourceText, parent: SourceText | None = None) -> CodeReading:
        """The reading of a source against its parent.

        Raises:
            InvalidArgument: it is not Python, too deep, or takes too long to read.
            LimitExceeded: too many sources wait.
        """
        key = (source.source_hash, parent.source_hash if parent else None)
        known = self._readings.get(key)
        if known is not None:
            self._readings.move_to_end(key)
            return known
        reading = await self._in_turn(_read_code, source.text, parent.text if parent else None)
        self._readings[key] = reading
        alone = CodeReading(file_signature=reading.file_signature, size=reading.size)
        self._readings.setdefault((source.source_hash, None), alone)
        while len(self._readings) > READINGS_CACHED:
            self._readings.popitem(last=False)
        return reading

    async def merge(self, parts: MergeParts, into: str) -> tuple[str, tuple[int, ...]]:
        """A program with edits (base, edited text) merged into it, and the places of those that were.

        Raises:
            InvalidArgument: a text cannot be read, or merging takes too long.
            LimitExceeded: too many sources wait.
        """
        return await self._in_turn(_merge_code, parts, into)

    async def warm_up(self) -> None:
        """Starts a worker, so that the first caller does not wait for it."""
        await self._in_worker(_read_code, "", None)

    async def close(self) -> None:
        """Ends the workers."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    async def _in_turn(self, work: Callable[[*Inputs, float], Output], *inputs: *Inputs) -> Output:
        if self._waiting >= QUEUE_LIMIT:
            raise LimitExceeded(
                f"{self._waiting} sources wait to be judged; try again later", retry_after_s=RETRY_AFTER_S
            )
        self._waiting += 1
        try:
            return await self._in_worker(work, *inputs)
        finally:
            self._waiting -= 1

    async def _in_worker(self, work: Callable[[*Inputs, float], Output], *inputs: *Inputs) -> Output:
        loop = asyncio.get_running_loop()
        for _ in range(ATTEMPTS_LIMIT):
            pool = self._pool = self._pool or self._new_pool()
            try:
                return await loop.run_in_executor(pool, work, *inputs, self._limit_s)
            except EditError as error:
                raise InvalidArgument(str(error)) from error
            except BrokenProcessPool:
                if self._pool is pool:
                    self._pool = None
                    pool.shutdown(wait=False, cancel_futures=True)
        raise InvalidArgument(
            f"train.py could not be read within {self._limit_s:g} s; make its syntax simpler"
        )

    def _new_pool(self) -> ProcessPoolExecutor:
        # Spawned, never forked: the parent runs gRPC threads.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, mp_context=context, initializer=begin_worker)


@contextmanager
def _watched(limit_s: float) -> Iterator[None]:
    with open(os.devnull, "w") as silence:  # noqa: PTH123  (a worker's plain file descriptor)
        # A watchdog in C: it ends this process even where the parser holds the interpreter's lock.
        faulthandler.dump_traceback_later(limit_s, exit=True, file=silence)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _merge_code(parts: MergeParts, into: str, limit_s: float) -> tuple[str, tuple[int, ...]]:
    with _watched(limit_s):
        return merge_all(parts, into)


def _read_code(source: str, parent: str | None, limit_s: float) -> CodeReading:
    with _watched(limit_s):
        if parent is None:
            return CodeReading(file_signature=file_signature(source), size=program_size(source))
        return CodeReading(
            file_signature=file_signature(source),
            size=program_size(source),
            parent_signature=file_signature(parent),
            edit=edit_signature(parent, source),
        )
