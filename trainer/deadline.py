"""Limits of elapsed time that a busy machine does not shorten.

A worker that other programs keep from its core is late through no fault of its own. So time does not count in
which a thread of it was ready to run and a stranger ran instead. The kernel tells of each thread how long it
ran and how long it waited for a core, and both are read from outside (Linux; elsewhere every second counts).

A cheat gains nothing by it. What a thread waited while others of the worker ran is the worker's own doing,
and all that those ran is taken off; so threads and children that keep one another waiting on their one core
get no more time. What is left is time in which the worker did not run: it computes no more than within the
limit on an idle machine, where CPU seconds bound it besides (the budget, ``eval_cpu_s``). A worker that
sleeps waits for no core, and is ended on time. ``Challenge.patience`` bounds it all, so that no run holds a
machine for ever.

Not seen are a virtual machine that its host lets not run, waits for a disk, and a wait that is not over yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from trainer.processes import Usage

TELLS_FROM_S = 1.0
"""Less than so much that did not count is not worth a word."""

NOTHING = Usage(cpu_s=0.0, threads={})


class Family(Protocol):
    """A worker with what it started."""

    def usage(self) -> Usage:
        """What it ran and waited until now."""


class Deadline:
    """The end of one limit; not thread-safe.

    Args:
        family: the worker whose waiting does not count.
        limit_s: elapsed seconds that are allowed.
        patience: how many times the limit it may last at most; with 1 every second counts.
        of_launch: when the family was started, for the limit that begins with it; otherwise the limit begins
            now.
        now: a monotonic clock.
    """

    def __init__(
        self,
        family: Family,
        limit_s: float,
        *,
        patience: int = 1,
        of_launch: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._family = family
        self._limit_s = limit_s
        self._most_s = limit_s * patience
        self._now = now
        self._began_s = now() if of_launch is None else of_launch
        self._before = NOTHING if of_launch is not None or patience == 1 else family.usage()
        self._due_s = limit_s
        """Elapsed seconds before which it cannot be over: until then there is no need to look."""

    def is_over(self) -> bool:
        """True when the limit is used up, and from then on."""
        elapsed_s = self._now() - self._began_s
        if self._due_s < min(elapsed_s, self._most_s):
            waited_s = starved_s(self._before, self._family.usage())
            self._due_s = max(self._due_s, min(self._most_s, self._limit_s + waited_s))
        return elapsed_s > self._due_s

    def __str__(self) -> str:
        """The time that it allowed, for a sentence about what took longer."""
        waited_s = self._due_s - self._limit_s
        if waited_s < TELLS_FROM_S:
            return f"{self._limit_s:g} s"
        return f"{self._due_s:.0f} s, of which other programs kept its core for {waited_s:.0f} s"


def starved_s(before: Usage, after: Usage) -> float:
    """Seconds between two looks in which a thread waited for a core that none of its family had.

    It is the most that can be said of any one thread: what it waited, less what all others of the family ran.
    """
    ran_s = after.cpu_s - before.cpu_s
    most_s = 0.0
    for thread, (own_s, waited_s) in after.threads.items():
        own_before_s, waited_before_s = before.threads.get(thread, (0.0, 0.0))
        others_s = max(0.0, ran_s - (own_s - own_before_s))
        most_s = max(most_s, waited_s - waited_before_s - others_s)
    return most_s
