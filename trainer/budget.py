"""The harness's clock: what a run has spent, and the page on which the worker may read it.

The page is a convenience for schedules; the harness never reads it back. On Linux it is sealed, so that the
worker cannot even write to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from enum import IntEnum

from autoresearch.challenge import Budget, ChallengeError

from trainer import processes
from trainer.processes import ProcessTree

PAGE_BYTES = 4096
_PHASE_AT = 8  # after the progress, one native double
_F_SEAL_FUTURE_WRITE = 0x10  # Linux 5.1; absent from the fcntl module before Python 3.13


class Phase(IntEnum):
    """What ``running()`` goes by."""

    SETTING_UP = 0
    RUNNING = 1
    OVER = 2


class BudgetClock:
    """Measures one run from ``start`` on, in the unit of its budget (seconds; steps are capped in wall time).

    ``wall_s`` is elapsed time whatever the unit, for the cap that ends a worker which sleeps.
    """

    def __init__(self, budget: Budget, tree: ProcessTree, now: Callable[[], float] = time.monotonic) -> None:
        if budget.kind == "cpu" and not processes.IS_SUPPORTED:
            raise ChallengeError("a budget of CPU seconds needs Linux; take a challenge with a wall budget")
        self.budget = budget
        self._tree = tree
        self._now = now
        self._wall_from = 0.0
        self._cpu_from = 0.0

    def start(self) -> None:
        """Count from now on."""
        self._wall_from = self._now()
        self._cpu_from = self._tree.cpu_s() if self.budget.kind == "cpu" else 0.0

    @property
    def wall_s(self) -> float:
        """Seconds since ``start``."""
        return self._now() - self._wall_from

    @property
    def used_s(self) -> float:
        """CPU seconds or elapsed seconds since ``start``."""
        return self._tree.cpu_s() - self._cpu_from if self.budget.kind == "cpu" else self.wall_s

    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1; 0 where the worker counts steps itself."""
        limit_s = self.budget.seconds
        return 0.0 if limit_s is None else min(1.0, max(0.0, self.used_s / limit_s))


class BudgetPage:
    """The harness's side of the page; ``fd`` is what the worker maps, read-only.

    The worker reads while the harness writes, so each value is one aligned store. ``struct.pack_into`` would
    not do: it clears its bytes first, and a worker that looks in between sees a phase that never was:

        harness                    worker
        clears the page
                                   running()? the phase is 0, so: no -> stops training early
        writes progress and phase
    """

    def __init__(self) -> None:
        self.fd = shared_file("autoresearch-budget", PAGE_BYTES)
        self._map = mmap.mmap(self.fd, PAGE_BYTES)
        self._progress = memoryview(self._map).cast("d")
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _F_SEAL_FUTURE_WRITE)
        self.write(0.0, Phase.SETTING_UP)

    def write(self, progress: float, phase: Phase) -> None:
        """Show the worker how far it is."""
        self._progress[0] = progress
        self._map[_PHASE_AT] = phase

    def close(self) -> None:
        """Give the page back."""
        self._progress.release()
        self._map.close()
        os.close(self.fd)


class BudgetView:
    """The worker's side of the page."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE_BYTES, prot=mmap.PROT_READ)
        self._progress = memoryview(self._map).cast("d")

    def read(self) -> tuple[float, Phase]:
        """Progress and phase as of the harness's last tick."""
        return self._progress[0], Phase(self._map[_PHASE_AT])


def shared_file(name: str, size_bytes: int) -> int:
    """The descriptor of an unnamed file of zeros in memory (or in the temporary directory, off Linux)."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size_bytes)
    return fd
