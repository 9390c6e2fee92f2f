"""How long the accelerators of a node have trained today, over restarts and all its workers."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TextIO

import structlog

_log = structlog.get_logger(__name__)


class GpuHours:
    """One small file under a lock; another day, by the machine's clock, begins at nothing."""

    def __init__(self, path: Path, *, today: Callable[[], date]) -> None:
        self._path = path
        self._today = today

    def add(self, seconds: float) -> None:
        """Counts a training of one accelerator. A full disk costs the count, never the work."""
        try:
            with self._locked() as file:
                spent = self._read(file) + seconds
                file.seek(0)
                file.write(json.dumps({"day": self._today().isoformat(), "seconds": spent}))
                file.truncate()
        except OSError as error:
            _log.warning("GPU hours not counted", path=str(self._path), reason=error.strerror)

    def spent_s(self) -> float:
        """Seconds of today, of all accelerators together."""
        with self._locked() as file:
            return self._read(file)

    def _read(self, file: TextIO) -> float:
        try:
            known = json.loads(file.read())
            return float(known["seconds"]) if known["day"] == self._today().isoformat() else 0.0
        except (ValueError, KeyError, TypeError):
            return 0.0  # never counted before, or cut off by a full disk

    @contextmanager
    def _locked(self) -> Iterator[TextIO]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
