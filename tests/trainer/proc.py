"""Waiting for what another process does."""

from __future__ import annotations

import time
from pathlib import Path

WAIT_S = 90
"""A worker imports torch first, which takes a busy machine half a minute."""


def wait_for(probe):
    """What a probe finds as soon as it finds something."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    found, waiting = {pid}, [pid]
    while waiting:
        try:
            children = Path(f"/proc/{waiting[-1]}/task/{waiting.pop()}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        waiting += map(int, children)
        found |= set(map(int, children))
    return found


def named(name: str) -> list[int]:
    """Processes that call themselves so."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
