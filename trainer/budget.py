"""The harness's clock: what a run has spent, and the page on which the worker may read it.

The page is a convenience for schedules; the harness never reads it back. On Linux it is sealed, so that the
worker cannot even write to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import mmap
import os
import tempfile
import time
from collections.abc import Callable
from enum import IntEnum

from autoresearch.challenge import Budget, ChallengeError

from trainer import processes
from trainer.pace import REFERENCE_STEP, Meter, Pace
from trainer.processes import ProcessTree

PACE_PERIOD_CPU_S = 0.5
"""The pace is measured again after so many of the worker's CPU seconds."""

STANDSTILL_S = 0.002
"""A worker that runs longer than this while it should stand still has woken itself, to slow the meter."""

SET_UP_FREE_S = 1.0
SET_UP_FREE_SHARE = 0.05
"""What a budget of CPU seconds leaves uncounted of the set-up: so many, or a share of it if that is more.

The rest counts: text like the training text can be written by a train.py that carries its generator, and
then it could train before ``start``.
"""

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

    ``wall_s`` is elapsed time whatever the unit, for the cap that ends a worker which sleeps. ``meter`` is
    wanted for a budget that has a pace.
    """

    def __init__(
        self,
        budget: Budget,
        tree: ProcessTree,
        *,
        meter: Meter | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if budget.kind == "cpu" and not processes.IS_SUPPORTED:
            raise ChallengeError("a budget of CPU seconds needs Linux; take a challenge with a wall budget")
        if budget.pace and (budget.pace != REFERENCE_STEP or meter is None):
            raise ChallengeError(f"this trainer knows no pace {budget.pace!r}; update it")
        self.budget = budget
        self._tree = tree
        self._meter = meter if budget.pace else None
        self._now = now
        self._wall_from = 0.0
        self._cpu_from = 0.0
        self._ready_cpu_s = math.inf
        self._pace = Pace(1.0)
        self._paced_cpu_s = 0.0
        self._paced_s = 0.0

    def ready(self) -> None:
        """The candidate is about to run: its set-up begins."""
        if self.budget.kind == "cpu":
            self._ready_cpu_s = self._tree.cpu_s()

    def start(self) -> None:
        """Count from now on, and what set-up took too much."""
        if self._meter:
            self._pace = self._measured(self._meter)
        self._wall_from = self._now()
        if self.budget.kind == "cpu":
            free_s = max(SET_UP_FREE_S, SET_UP_FREE_SHARE * self.budget.amount)
            self._cpu_from = min(self._tree.cpu_s(), self._ready_cpu_s + free_s)

    def follow_pace(self) -> None:
        """Measure the pace anew when it is due; the worker stands still meanwhile."""
        if self._meter is None or self.cpu_s - self._paced_cpu_s < PACE_PERIOD_CPU_S:
            return
        pace = self._measured(self._meter)
        spent_s = self.cpu_s - self._paced_cpu_s
        self._paced_s += spent_s * self._pace.value
        self._paced_cpu_s += spent_s
        self._pace = pace

    @property
    def wall_s(self) -> float:
        """Seconds since ``start``."""
        return self._now() - self._wall_from

    @property
    def cpu_s(self) -> float:
        """The worker's CPU seconds since ``start``, as the kernel counts them; 0 under other budgets."""
        return self._tree.cpu_s() - self._cpu_from if self.budget.kind == "cpu" else 0.0

    @property
    def used_s(self) -> float:
        """What counts since ``start``: CPU seconds, at their pace if there is one, or elapsed seconds."""
        if self.budget.kind != "cpu":
            return self.wall_s
        return self._paced(self.cpu_s)

    @property
    def pace(self) -> float:
        """Mean pace since ``start``: what a CPU second was worth; 1 without a pace."""
        cpu_s = self.cpu_s  # read once: the worker runs on meanwhile
        return self._paced(cpu_s) / cpu_s if self._meter and cpu_s else 1.0

    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1; 0 where the worker counts steps itself."""
        limit_s = self.budget.seconds
        return 0.0 if limit_s is None else min(1.0, max(0.0, self.used_s / limit_s))

    def _paced(self, cpu_s: float) -> float:
        """What so many of the worker's CPU seconds since ``start`` count."""
        return self._paced_s + (cpu_s - self._paced_cpu_s) * self._pace.value

    def _measured(self, meter: Meter) -> Pace:
        """The pace now; of no use to a worker that has a timer send it SIGCONT, and spoils the caches."""
        with self._tree.paused():
            before_s = self._tree.settled_cpu_s()
            pace = meter.measure()
            ran_s = self._tree.settled_cpu_s() - before_s
        return pace if ran_s <= STANDSTILL_S else Pace(max(1.0, self._pace.value, pace.value))


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
    """The descriptor of an unnamed file of zeros in memory (or in the temporary directory, off Linux).

    On Linux its size is sealed: whoever else has it could cut it off otherwise, and a process that has mapped
    it dies of the next access (SIGBUS).
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size_bytes)
    _seal_size(fd)
    return fd


def _seal_size(fd: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
