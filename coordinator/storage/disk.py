"""A watermark of free disk: below it writes are refused before the store's server dies of a full disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from autoresearch.errors import ReadOnly

FREE_DISK_MIN_BYTES = 512 * 1024**2
"""Room for the append-only file to be rewritten beside itself in a swarm of some 100,000 experiments."""

CHECK_INTERVAL_S = 1.0
RETRY_AFTER_S = 60.0
_MEBIBYTE = 1024**2


class DiskWatermark:
    """Says whether there is room to write.

    A server that fsyncs each write ends itself when the disk is full, so the coordinator stops sooner.

    Args:
        folder: where the server keeps its files.
        min_free_bytes: below this nothing is written.
        measure: free bytes on the disk of a folder.
        clock: seconds that only grow; the disk is asked at most once per ``CHECK_INTERVAL_S``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        min_free_bytes: int = FREE_DISK_MIN_BYTES,
        measure: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._measure = measure
        self._clock = clock
        self._checked_at = -CHECK_INTERVAL_S
        self._free_bytes = 0

    def check(self) -> None:
        """Returns if there is room.

        Raises:
            ReadOnly: there is not, which says how much to free, or the disk cannot be asked.
        """
        now = self._clock()
        if now - self._checked_at >= CHECK_INTERVAL_S:
            try:
                self._free_bytes = self._measure(self._folder)
            except OSError as error:
                raise ReadOnly(
                    f"the disk of {self._folder} cannot be asked for its free space: {error}",
                    retry_after_s=RETRY_AFTER_S,
                ) from error
            self._checked_at = now
        if self._free_bytes < self._min_free_bytes:
            raise ReadOnly(
                f"the disk of {self._folder} has {self._free_bytes // _MEBIBYTE} MiB free and the store "
                f"needs {self._min_free_bytes // _MEBIBYTE} MiB to go on writing: free some, and it goes on",
                retry_after_s=RETRY_AFTER_S,
            )
