"""Time spent while scoring that cannot have gone into answers: training after the budget.

A model that goes on learning inside its first answer would have a larger budget than others: that shows as
calls that cost more than the others. One that learns a little in every call, and repeats its first answers
where they are asked for again so that they do not change, costs the same in all of them: all calls together
have a cap of their own (``eval_cpu_s`` of the manifest), near what an honest model needs. Honest first calls
cost a little more too: memory is touched for the first time, kernels are chosen, and on an accelerator they
may be compiled.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from trainer import processes
from trainer.processes import ProcessTree

CALL_FACTOR = 1.5
"""A call may cost this many times the median call before it counts."""

LAZY_SHARE = 0.025
LAZY_SHARE_OF_WALL = 0.1
"""Shares of the training time that dear calls may take together, of CPU time and of elapsed time.

The second is larger: an accelerator's kernels may have to be compiled for the shape of the batches."""

LAZY_FLOOR_S = 0.5


def lazy_allowance_s(trained_s: float, *, is_cpu_time: bool) -> float:
    """Seconds that dear calls may take together after so many seconds of training."""
    return max(LAZY_FLOOR_S, trained_s * (LAZY_SHARE if is_cpu_time else LAZY_SHARE_OF_WALL))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerClock:
    """What a worker spends: CPU seconds on a CPU; elapsed ones on an accelerator, whose work takes few."""

    tree: ProcessTree
    is_cpu_time: bool

    @classmethod
    def of(cls, tree: ProcessTree, device_kind: str) -> WorkerClock:
        """The clock for a worker on this kind of device."""
        return cls(tree=tree, is_cpu_time=processes.IS_SUPPORTED and device_kind == "cpu")

    def now(self) -> float:
        """Seconds, from some point in the past."""
        return self.tree.settled_cpu_s() if self.is_cpu_time else time.monotonic()


class ScoringTime:
    """What each call cost on a clock that the worker cannot set; counts from when it is made."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last_s = now()
        self._calls_s: list[float] = []

    def call_ended(self) -> None:
        """All that was spent since the call before went into this one."""
        now_s = self._now()
        self._calls_s.append(now_s - self._last_s)
        self._last_s = now_s

    @property
    def total_s(self) -> float:
        """Seconds of all calls together."""
        return sum(self._calls_s)

    def excess_s(self) -> float:
        """Seconds by which dear calls lie over ``CALL_FACTOR`` times the median, all together."""
        if not self._calls_s:
            return 0.0
        usual_s = CALL_FACTOR * statistics.median(self._calls_s)
        return sum(max(0.0, spent - usual_s) for spent in self._calls_s)
