"""Waiting for what another process does."""

from __future__ import annotations

import time
from pathlib import Path


def wait_for(probe):
    """What a probe finds as soon as it finds something."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
