"""How much disk a worker's scratch directory takes, told without trusting what lies in it."""

from __future__ import annotations

import os
from pathlib import Path

FILES_LIMIT = 20_000
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system


def folder_exceeds(folder: Path, limit_bytes: int) -> bool:
    """Whether the files take more room on the disk than this, or are too many to count.

    Links are not followed; what goes away or cannot be read meanwhile counts nothing.
    """
    used, seen = 0, 0
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                seen += 1
                try:
                    used += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                except OSError:
                    continue
                if used > limit_bytes or seen > FILES_LIMIT:
                    return True
    return False
