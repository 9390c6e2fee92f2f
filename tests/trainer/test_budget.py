from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from autoresearch.challenge import Budget

from trainer.budget import PAGE_BYTES, BudgetClock, BudgetPage, BudgetView, Phase
from trainer.processes import ProcessTree
from trainer.sandbox import claimed_core

SPIN = "import time, sys\nwhile time.process_time() < float(sys.argv[1]): pass\n"


class Watch:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@contextlib.contextmanager
def child(program: str, *arguments: str):
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        yield process
        process.kill()


def test_a_wall_budget_follows_the_clock_and_ends_at_one() -> None:
    watch = Watch()
    clock = BudgetClock(Budget(kind="wall", amount=10), ProcessTree(os.getpid()), now=watch)
    clock.start()

    seen = []
    for watch.now_s in (100.0, 105.0, 110.0, 200.0):
        seen.append(clock.progress())

    assert seen == [0.0, 0.5, 1.0, 1.0]
    assert clock.used_s == 100.0


def test_a_budget_of_steps_leaves_progress_to_the_worker() -> None:
    clock = BudgetClock(Budget(kind="steps", amount=10), ProcessTree(os.getpid()), now=Watch())
    clock.start()

    assert clock.progress() == 0.0


def test_cpu_seconds_count_work_and_not_sleep() -> None:
    with child("import sys, time\nprint(flush=True)\ntime.sleep(1000)\n") as sleeper:
        sleeper.stdout.readline()
        tree = ProcessTree(sleeper.pid)

        before = tree.cpu_s()
        time.sleep(0.3)

        assert tree.cpu_s() - before < 0.05


def test_cpu_seconds_count_children_that_have_ended() -> None:
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {SPIN!r}, '0.5'])\nprint(flush=True)\ntime.sleep(1000)\n"
    )
    with child(program) as parent:
        tree = ProcessTree(parent.pid)
        parent.stdout.readline()

        tree.scan()

        assert tree.cpu_s() >= 0.5


def test_cpu_seconds_count_children_that_live() -> None:
    program = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SPIN!r}, '1000'])\n"
        "print(flush=True)\nchild.wait()\n"
    )
    with child(program) as parent:
        parent.stdout.readline()
        tree = ProcessTree(parent.pid)
        deadline = time.monotonic() + 30
        while tree.cpu_s() < 0.3 and time.monotonic() < deadline:
            time.sleep(0.02)

        assert tree.cpu_s() >= 0.3
        tree.kill()


def test_the_worker_reads_what_the_harness_writes_and_cannot_write_itself() -> None:
    page = BudgetPage()
    view = BudgetView(page.fd)

    page.write(0.25, Phase.RUNNING)

    assert view.read() == (0.25, Phase.RUNNING)
    with pytest.raises(PermissionError):
        mmap.mmap(page.fd, PAGE_BYTES, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    page.close()


def test_the_worker_never_sees_a_page_that_is_half_written() -> None:
    program = (
        "import sys\nfrom trainer.budget import BudgetView, Phase\n"
        "view = BudgetView(int(sys.argv[1]))\nprint(flush=True)\n"
        "seen = {view.read() for _ in range(1_000_000)}\n"
        "print(sorted(seen))\n"
    )
    page = BudgetPage()
    page.write(0.5, Phase.RUNNING)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(page.fd)], pass_fds=(page.fd,), stdout=subprocess.PIPE, text=True
    ) as reader:
        reader.stdout.readline()

        while reader.poll() is None:
            for _ in range(10_000):
                page.write(0.5, Phase.RUNNING)

        assert reader.stdout.read() == "[(0.5, <Phase.RUNNING: 1>)]\n"
    page.close()


def test_two_trainers_never_share_a_core(tmp_path: Path) -> None:
    with claimed_core(tmp_path) as first, claimed_core(tmp_path) as second:
        assert first is None or first != second


def test_a_core_is_free_again_when_its_trainer_ends(tmp_path: Path) -> None:
    with claimed_core(tmp_path) as first:
        pass

    with claimed_core(tmp_path) as again:
        assert again == first
