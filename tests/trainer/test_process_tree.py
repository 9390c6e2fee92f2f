"""CPU time of real process trees, however their members end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.processes import ProcessTree

BURN = """
import os, signal, sys, time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass
def in_child(seconds):
    child = os.fork()
    if child == 0:
        burn(seconds)
        os._exit(0)
    return child
def tell(word):
    print(word, flush=True)
    sys.stdin.readline()
"""
CHILD_S = 0.4
TICK_S = 0.02


@contextmanager
def worker(body: str) -> Iterator[tuple[ProcessTree, subprocess.Popen[str]]]:
    """A process that stops at each ``tell`` until it is sent a line."""
    command = [sys.executable, "-c", BURN + body]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield ProcessTree(process.pid), process
        finally:
            process.kill()


def next_word(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_child_that_came_and_went_between_two_looks_is_counted_at_once() -> None:
    body = f"tell('ready'); os.waitpid(in_child({CHILD_S}), 0); tell('done')"
    with worker(body) as (tree, process):
        next_word(process)
        before_s = tree.settled_cpu_s()
        go_on(process)
        next_word(process)

        assert tree.settled_cpu_s() - before_s >= CHILD_S - TICK_S


def test_a_child_that_was_looked_at_and_then_waited_for_counts_once() -> None:
    body = (
        f"child = in_child({CHILD_S}); os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT); tell('spent'); "
        "os.waitpid(child, 0); tell('waited')"
    )
    with worker(body) as (tree, process):
        next_word(process)
        seen_s = tree.settled_cpu_s()
        go_on(process)
        next_word(process)

        after_s = tree.settled_cpu_s()

    assert seen_s >= CHILD_S - TICK_S
    assert seen_s - TICK_S <= after_s < seen_s + CHILD_S / 2


UNWAITED = f"""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = os.fork()
if child == 0:
    burn({CHILD_S})
    tell('spent')
    os._exit(0)
while True:
    try: os.kill(child, 0)
    except ProcessLookupError: break
    time.sleep(0.01)
print('gone', flush=True)
sys.stdin.readline()
"""


def test_a_child_that_nobody_waits_for_counts_with_its_last_reading() -> None:
    with worker(UNWAITED) as (tree, process):
        next_word(process)
        seen_s = tree.settled_cpu_s()
        go_on(process)
        next_word(process)

        after_s = tree.settled_cpu_s()

    assert seen_s >= CHILD_S - TICK_S
    assert after_s >= seen_s - TICK_S


def test_a_child_that_is_waited_for_counts_beside_one_that_was_not() -> None:
    waited = (
        f"signal.signal(signal.SIGCHLD, signal.SIG_DFL); os.waitpid(in_child({CHILD_S}), 0); tell('both')"
    )
    with worker(f"{UNWAITED}\n{waited}") as (tree, process):
        next_word(process)
        tree.settled_cpu_s()
        go_on(process)
        next_word(process)
        tree.settled_cpu_s()
        go_on(process)
        next_word(process)

        assert tree.settled_cpu_s() >= 2 * (CHILD_S - TICK_S)
