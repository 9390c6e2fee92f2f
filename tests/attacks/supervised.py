"""Runs a command, then tells what it left running, as JSON on a descriptor; ends that too.

    python supervised.py FD COMMAND...

This process adopts every orphan of the command, whatever session it is in, so none can hide.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 1.0


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    fd, command = int(sys.argv[1]), sys.argv[2:]
    code = subprocess.run(command, check=False).returncode
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    survivors = _children_after(_GRACE_S)
    os.write(fd, json.dumps({"code": code, "peak_mb": peak_mb, "survivors": survivors}).encode())
    while pids := _children():
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)
        _reap()


def _children_after(grace_s: float) -> list[str]:
    """Command lines of what still runs when what was killed has had time to go."""
    until = time.monotonic() + grace_s
    while time.monotonic() < until and _children():
        _reap()
        time.sleep(0.02)
    return [Path(f"/proc/{pid}/cmdline").read_text()[:300].replace("\0", " ") for pid in _children()]


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
