"""A worker and everything it started, seen from outside: CPU time, memory, and an end that none escapes.

Linux only: it reads ``/proc`` and the kernel's per-process CPU clocks, which the worker cannot slow down.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROCESS_LIMIT = 512
SCAN_PERIOD_S = 0.1
KILL_ROUNDS = 20
PAUSE_ROUNDS = 8
STANDSTILL_WAIT_S = 0.05
STANDSTILL_POLL_S = 0.0005
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_CPUCLOCK_SCHED = 2
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)

IS_SUPPORTED = sys.platform == "linux"


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none slips away from the count.

    Call it from the main thread. What is started from now on waits for its children, even where this process
    was started by one that ignores them: only then does the kernel tell what they spent.
    """
    if IS_SUPPORTED:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent_pid: int | None = None) -> bool:
    """Have the kernel kill this process when its parent ends without a chance to do it (kill -9).

    False when the parent was gone before the kernel was told: then nobody will send the signal. Only a
    ``parent_pid`` that the parent itself gave sees every such case.
    """
    parent = os.getppid() if parent_pid is None else parent_pid
    if IS_SUPPORTED:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    return os.getppid() == parent


def forbid_inspection() -> None:
    """Close this process's memory, descriptors and environment to others of its user, children among them.

    Root sees them all the same; a program that is executed from here starts open again.
    """
    if IS_SUPPORTED:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Seconds that a family ran in all, and that each living thread ran and waited for a core, by its id.

    ``threads`` is empty where the kernel does not tell.
    """

    cpu_s: float
    threads: Mapping[int, tuple[float, float]]


@dataclass(slots=True)
class _Spent:
    """CPU seconds of one process: its own, and what it was told of the children it waited for."""

    own_s: float = 0.0
    waited_s: float = 0.0


class ProcessTree:
    """The worker ``pid`` with its descendants; a method's answer is as of its call."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak_memory_mb = 0.0
        self._elders = set(_children(os.getpid())) - {pid}
        self._spent: dict[int, _Spent] = {pid: _Spent()}
        self._vanished_s = 0.0
        self._scanned_at = 0.0

    def cpu_s(self) -> float:
        """CPU seconds of all of them since they began, ended ones included; never goes back.

        Children that began and ended within ``SCAN_PERIOD_S`` may be missing until a later call.
        """
        if time.monotonic() - self._scanned_at > SCAN_PERIOD_S:
            self.scan()
        else:
            self._read_clocks()
        return self._total_s()

    def settled_cpu_s(self) -> float:
        """As ``cpu_s``, with every child that was waited for up to now."""
        self.scan()
        return self._total_s()

    def usage(self) -> Usage:
        """What they ran and waited, as the kernel counts it."""
        cpu_s = self.settled_cpu_s()
        threads = {thread: times for pid in self._spent for thread, times in _threads(pid)}
        return Usage(cpu_s=cpu_s, threads=threads)

    def memory_mb(self) -> float:
        """Resident memory of all of them; shared pages are counted once for each."""
        now = sum(_resident_mb(pid) for pid in self._spent)
        self.peak_memory_mb = max(self.peak_memory_mb, now)
        return now

    def scan(self) -> int:
        """Find the family anew and return its size."""
        self._scanned_at = time.monotonic()
        waiting = [self.pid, *(set(_children(os.getpid())) - self._elders - {self.pid})]
        found = set(waiting)
        while waiting and len(found) <= PROCESS_LIMIT:
            for child in _children(waiting.pop()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        gone = [self._spent.pop(pid) for pid in set(self._spent) - found]
        told_s = 0.0
        for pid in found:
            is_new = pid not in self._spent
            spent = self._spent.setdefault(pid, _Spent())
            waited_s = max(spent.waited_s, _waited_s(pid))
            told_s += 0.0 if is_new else waited_s - spent.waited_s
            spent.waited_s = waited_s
        # Who ended was either waited for, and is in what the parent was told, or its last reading must do.
        self._vanished_s += max(0.0, sum(one.own_s + one.waited_s for one in gone) - told_s)
        self._read_clocks()
        return len(found)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have all of them stand still for the length of the block.

        None can refuse, but one may have had a timer set that wakes it again: its CPU time tells.
        """
        stopped: set[int] = set()
        try:
            for _ in range(PAUSE_ROUNDS):
                self.scan()
                running = self._spent.keys() - stopped
                if not running:
                    break
                for pid in running:
                    _signal(pid, signal.SIGSTOP)
                stopped |= running
            deadline = time.monotonic() + STANDSTILL_WAIT_S
            while any(_is_running(pid) for pid in stopped) and time.monotonic() < deadline:
                time.sleep(STANDSTILL_POLL_S)
            yield
        finally:
            for pid in stopped:
                _signal(pid, signal.SIGCONT)

    def kill(self) -> None:
        """End all of them, however they are grouped, and reap those that became our children."""
        for _ in range(KILL_ROUNDS):
            size = self.scan()
            _signal_group(self.pid)
            for pid in self._spent.keys() - {self.pid}:
                _signal(pid, signal.SIGKILL)
            self._reap()
            if size <= 1:
                return
            time.sleep(0.01)

    def _read_clocks(self) -> None:
        for pid, spent in self._spent.items():
            own_s = _clock_s(pid)
            if own_s is not None:
                spent.own_s = own_s

    def _total_s(self) -> float:
        return self._vanished_s + sum(spent.own_s + spent.waited_s for spent in self._spent.values())

    def _reap(self) -> None:
        for pid in self._spent.keys() - {self.pid}:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text("ascii").split())
    except OSError:
        return found
    return found


def _threads(pid: int) -> Iterator[tuple[int, tuple[float, float]]]:
    """Each thread's id with the seconds that it ran and waited on a run queue."""
    with contextlib.suppress(OSError, ValueError):  # it ended, or this kernel keeps no such count
        for task in Path(f"/proc/{pid}/task").iterdir():
            ran_ns, waited_ns, _slices = map(int, (task / "schedstat").read_text("ascii").split())
            yield int(task.name), (ran_ns / 1e9, waited_ns / 1e9)


def _clock_s(pid: int) -> float | None:
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return None


def _waited_s(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS  # cutime, cstime of proc(5)


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "TtZX"  # stopped or ended, of proc(5)


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * _PAGE_MB
    except (OSError, IndexError, ValueError):
        return 0.0


def _signal_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
