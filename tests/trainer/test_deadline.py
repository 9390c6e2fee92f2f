"""Limits of elapsed time with real processes on a core that others keep busy."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from proc import wait_for
from tiny_challenge import GOOD

from trainer.deadline import Deadline, starved_s
from trainer.processes import ProcessTree, Usage

CORE = max(os.sched_getaffinity(0))
PLENTY = 1000
"""So much patience that a test would time out before it ends."""

WORKER = f"""
import os, sys, time
os.sched_setaffinity(0, {{{CORE}}})
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass
print("ready", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def process_of(source: str) -> Iterator[subprocess.Popen[str]]:
    """A process in a session of its own: kernels share cores among sessions, too."""
    command, pipe = [sys.executable, "-c", source], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            ProcessTree(process.pid).kill()


@contextlib.contextmanager
def worker(body: str) -> Iterator[subprocess.Popen[str]]:
    """A process on the core that is about to do something."""
    with process_of(WORKER + body) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process


@contextlib.contextmanager
def crowd(size: int) -> Iterator[None]:
    """Programs that keep the core busy."""
    with contextlib.ExitStack() as stack:
        for _ in range(size):
            loop = stack.enter_context(process_of(WORKER.replace("sys.stdin.readline()", "burn(1e9)")))
            wait_for(lambda pid=loop.pid: ProcessTree(pid).usage().cpu_s > 0.1)
        yield


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_busy_worker_on_a_crowded_core_is_not_late() -> None:
    limit_s, looks = 1.5, []

    with crowd(3), worker("burn(1.0)") as process:
        deadline, began_s = Deadline(ProcessTree(process.pid), limit_s, patience=PLENTY), time.monotonic()
        begin(process)
        while process.poll() is None:
            is_over = deadline.is_over()
            if process.poll() is None:
                looks.append(is_over)
            time.sleep(0.01)
        lasted_s = time.monotonic() - began_s

    assert lasted_s > limit_s
    assert looks
    assert not any(looks)
    assert "other programs kept its core" in str(deadline)


def test_a_worker_that_sleeps_on_a_crowded_core_is_late() -> None:
    with crowd(3), worker("time.sleep(1000)") as process:
        deadline = Deadline(ProcessTree(process.pid), 0.5, patience=PLENTY)
        begin(process)

        assert wait_for(deadline.is_over)


def test_children_that_keep_one_another_waiting_get_no_more_time() -> None:
    limit_s, children = 0.5, 40

    with worker(
        f"for _ in range({children}):\n    if os.fork() == 0: burn(1000)\ntime.sleep(1000)"
    ) as process:
        tree = ProcessTree(process.pid)
        deadline = Deadline(tree, limit_s, patience=PLENTY)
        begin(process)
        wait_for(deadline.is_over)
        ran_s = tree.usage().cpu_s

    assert ran_s < limit_s * children / 4


def test_patience_ends() -> None:
    with crowd(3), worker("burn(1000)") as process:
        deadline = Deadline(ProcessTree(process.pid), 0.2, patience=2)
        begin(process)

        assert wait_for(deadline.is_over)
    assert deadline.is_over()


def test_without_patience_every_second_counts_and_nobody_is_looked_at() -> None:
    now_s = 100.0
    deadline = Deadline(NobodyLooks(), 5.0, now=lambda: now_s)

    assert not deadline.is_over()
    now_s = 105.5
    assert deadline.is_over()
    assert str(deadline) == "5 s"


@pytest.mark.parametrize(
    ("after", "expected_s"),
    [
        (Usage(cpu_s=11.0, threads={}), 0.0),
        (Usage(cpu_s=11.0, threads={1: (6.0, 10.0)}), 3.0),  # ran 1, waited 3
        (Usage(cpu_s=12.0, threads={1: (6.0, 10.0), 2: (1.0, 3.0)}), 2.0),  # the other ran 1 meanwhile
        (Usage(cpu_s=14.0, threads={1: (6.0, 10.0), 2: (3.0, 1.0)}), 0.0),  # waited for its own kin alone
        (Usage(cpu_s=11.0, threads={7: (1.0, 4.0)}), 4.0),  # began meanwhile
    ],
)
def test_a_thread_starves_while_none_of_its_family_runs(after: Usage, expected_s: float) -> None:
    before = Usage(cpu_s=10.0, threads={1: (5.0, 7.0)})

    assert starved_s(before, after) == pytest.approx(expected_s)


class NobodyLooks:
    def usage(self) -> Usage:
        raise AssertionError("looked")


def test_an_honest_run_on_a_crowded_core_outlasts_its_limit_and_is_scored(
    trainer, steps_challenge: Path
) -> None:
    limit_s, allowed = 6, os.sched_getaffinity(0)
    burn = f"""
    import time
    until = time.process_time() + {limit_s / 2}
    while time.process_time() < until: pass
"""
    source = GOOD.replace("def train(ctx):\n", f"def train(ctx):{burn}")

    with crowd(2):
        os.sched_setaffinity(0, {CORE})
        try:
            report = trainer.run(steps_challenge, source)
        finally:
            os.sched_setaffinity(0, allowed)

    assert report["outcome"] == "completed", report["reason"]
    assert report["timings"]["setup_s"] > limit_s
