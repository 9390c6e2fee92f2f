"""A worker and everything it started, seen from outside: CPU time, memory, and an end that none escapes.

Linux only: it reads ``/proc`` and the kernel's per-process CPU clocks, which the worker cannot slow down.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PROCESS_LIMIT = 512
SCAN_PERIOD_S = 0.1
KILL_ROUNDS = 20
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_CPUCLOCK_SCHED = 2
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)

IS_SUPPORTED = sys.platform == "linux"


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none slips away from the count."""
    if IS_SUPPORTED:
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


class ProcessTree:
    """The worker ``pid`` with its descendants; a method's answer is as of its call."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak_memory_mb = 0.0
        self._elders = set(_children(os.getpid())) - {pid}
        self._family: set[int] = {pid}
        self._vanished_s = 0.0
        self._waited_s = 0.0
        self._last_cpu_s: dict[int, float] = {}
        self._scanned_at = 0.0

    def cpu_s(self) -> float:
        """CPU seconds of all of them since they began, ended ones included; never goes back."""
        if time.monotonic() - self._scanned_at > SCAN_PERIOD_S:
            self.scan()
        for pid in list(self._last_cpu_s.keys() | {self.pid}):
            spent = _clock_s(pid)
            if spent is not None:
                self._last_cpu_s[pid] = spent
        return sum(self._last_cpu_s.values()) + max(self._vanished_s, self._waited_s)

    def memory_mb(self) -> float:
        """Resident memory of all of them; shared pages are counted once for each."""
        now = sum(_resident_mb(pid) for pid in self._family)
        self.peak_memory_mb = max(self.peak_memory_mb, now)
        return now

    def scan(self) -> int:
        """Find the family anew and return its size."""
        self._scanned_at = time.monotonic()
        found = {self.pid}
        waiting = [self.pid, *(set(_children(os.getpid())) - self._elders - {self.pid})]
        found.update(waiting)
        while waiting and len(found) <= PROCESS_LIMIT:
            for child in _children(waiting.pop()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        self._family = found
        # Those that ended are known twice: by our last reading, and by what their parents waited for.
        self._waited_s = max(self._waited_s, sum(_waited_s(pid) for pid in found))
        for pid in set(self._last_cpu_s) - found:
            self._vanished_s += self._last_cpu_s.pop(pid)
        for pid in found:
            self._last_cpu_s.setdefault(pid, 0.0)
        return len(found)

    def kill(self) -> None:
        """End all of them, however they are grouped, and reap those that became our children."""
        for _ in range(KILL_ROUNDS):
            size = self.scan()
            _signal_group(self.pid)
            for pid in self._family - {self.pid}:
                _signal(pid)
            self._reap()
            if size <= 1:
                return
            time.sleep(0.01)

    def _reap(self) -> None:
        for pid in self._family - {self.pid}:
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


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
