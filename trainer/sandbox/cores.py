"""One core for each worker of this machine, so that two of them share one only where there are too few."""

from __future__ import annotations

import contextlib
import fcntl
import os
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
        for core in cores:
            lock = stack.enter_context((folder / f"core-{core}.lock").open("wb"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return core
    return cores[os.getpid() % len(cores)]
