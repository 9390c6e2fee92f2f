"""One core for each worker of this machine, so that two of them share one only where there are too few."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

LOCKS_ROOT = Path("/tmp")  # noqa: S108 - one place for all trainers of a machine, whatever their TMPDIR


@contextlib.contextmanager
def claimed_core(locks: Path | None = None) -> Iterator[int | None]:
    """A core that no other trainer of this user on this machine has claimed, for the length of the block.

    Any one of them where all are claimed: a worker never has more cores than its challenge gives it. None
    where there is only one, or where the platform cannot pin.
    """
    if not hasattr(os, "sched_getaffinity"):
        yield None
        return
    cores = sorted(os.sched_getaffinity(0))
    folder = locks or LOCKS_ROOT / f"autoresearch-cores-{os.getuid()}"
    with contextlib.ExitStack() as stack:
        yield _first_free(cores, folder, stack) if len(cores) > 1 else None


def _first_free(cores: list[int], folder: Path, stack: contextlib.ExitStack) -> int:
    with contextlib.suppress(OSError):  # no place for locks: as if all were claimed
        folder.mkdir(mode=0o700, exist_ok=True)
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        stack.callback(os.close, place)
        if _is_ours_alone(place):
            for core in cores:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
                lock = os.open(f"core-{core}.lock", flags, 0o600, dir_fd=place)
                stack.callback(os.close, lock)
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return core
    return cores[os.getpid() % len(cores)]


def _is_ours_alone(folder: int) -> bool:
    """Whether nobody else could have put links into a folder whose name anybody may take first."""
    status = os.fstat(folder)
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
