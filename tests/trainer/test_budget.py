from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from autoresearch.challenge import Budget
from proc import wait_for

from trainer.budget import PAGE_BYTES, STANDSTILL_S, BudgetClock, BudgetPage, BudgetView, Phase
from trainer.pace import REFERENCE_STEP, Pace
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
        try:
            yield process
        finally:
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


def test_two_trainers_share_a_core_only_where_all_are_claimed(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        claimed = [stack.enter_context(claimed_core(tmp_path)) for _ in cores]
        one_more = stack.enter_context(claimed_core(tmp_path))

    assert set(claimed) == (cores if len(cores) > 1 else {None})
    assert one_more in claimed


def test_a_core_is_free_again_when_its_trainer_ends(tmp_path: Path) -> None:
    with claimed_core(tmp_path) as first:
        pass

    with claimed_core(tmp_path) as again:
        assert again == first


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder of another user's")
def test_a_folder_of_locks_that_somebody_else_made_is_not_used(tmp_path: Path) -> None:
    target, locks = tmp_path / "precious", tmp_path / "locks"
    target.write_text("kept")
    locks.mkdir()
    for core in os.sched_getaffinity(0):
        (locks / f"core-{core}.lock").symlink_to(target)
    with claimed_core(locks):
        assert target.read_text() == "kept"
    os.chown(locks, 65_534, 65_534)

    with claimed_core(locks) as core:
        assert core in {None, *os.sched_getaffinity(0)}

    assert target.read_text() == "kept"


def test_cpu_seconds_of_a_long_set_up_count_but_for_the_first() -> None:
    with child(SPIN + "print(flush=True)\nsys.stdin.read()\n", "2.5") as process:
        tree = ProcessTree(process.pid)
        clock = BudgetClock(Budget(kind="cpu", amount=10), tree)
        clock.ready()
        process.stdout.readline()

        clock.start()

        assert 1.0 <= clock.used_s <= tree.cpu_s() - 1.0


WAKEFUL = """
import ctypes, signal
libc = ctypes.CDLL(None)
event = (ctypes.c_int * 16)(0, 0, signal.SIGCONT, 0)
timer, every = ctypes.c_void_p(), (ctypes.c_long * 4)(0, 5_000_000, 0, 5_000_000)
signal.signal(signal.SIGCONT, lambda *_: None)
if {wakes}:
    assert libc.timer_create(1, event, ctypes.byref(timer)) == 0
    assert libc.timer_settime(timer, 0, every, None) == 0
print(flush=True)
while True:
    pass
"""


class SlowMeter:
    """Takes its time, as long as a wakeful worker needs for its turn, and finds a slow core."""

    def __init__(self, tree: ProcessTree, *, wakes: bool) -> None:
        self._tree = tree
        self._wakes = wakes

    def measure(self) -> Pace:
        before_s = self._tree.settled_cpu_s()
        time.sleep(0.1)
        if self._wakes:
            assert wait_for(lambda: self._has_run_since(before_s))
        return Pace(0.25)

    def _has_run_since(self, before_s: float) -> bool:
        # Its timer is never armed again where the stop met a signal of it on its way, so somebody helps.
        os.kill(self._tree.pid, signal.SIGCONT)
        return self._tree.settled_cpu_s() - before_s > STANDSTILL_S


@pytest.mark.parametrize(("wakes", "pace"), [(False, 0.25), (True, 1.0)])
def test_a_worker_that_wakes_itself_does_not_slow_its_clock(*, wakes: bool, pace: float) -> None:
    with child(WAKEFUL.format(wakes=wakes)) as process:
        process.stdout.readline()
        budget = Budget(kind="cpu", amount=10, pace=REFERENCE_STEP)
        tree = ProcessTree(process.pid)
        clock = BudgetClock(budget, tree, meter=SlowMeter(tree, wakes=wakes))

        clock.start()

        assert wait_for(lambda: clock.cpu_s > 0.1)
        assert clock.pace == pytest.approx(pace, rel=1e-6)
