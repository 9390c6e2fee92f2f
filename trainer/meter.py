"""Progress of long work: bars on a terminal, silence elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Meter(Protocol):
    """Told how far named pieces of work are; may be called from several threads."""

    def begin(self, name: str, *, total: int, done: int) -> None:
        """A piece of ``total`` units starts, or starts again, at ``done``."""

    def advance(self, name: str, amount: int) -> None:
        """``amount`` more units are done."""

    def end(self, name: str) -> None:
        """Nothing more will be said of this piece."""


class SilentMeter:
    """Shows nothing."""

    def begin(self, name: str, *, total: int, done: int) -> None:
        """Nothing to show."""

    def advance(self, name: str, amount: int) -> None:
        """Nothing to show."""

    def end(self, name: str) -> None:
        """Nothing to show."""


class BarMeter:
    """One bar per piece, drawn by rich."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, *, total: int, done: int) -> None:
        """Draws the bar, or sets it back."""
        with self._lock:
            task = self._tasks.get(name)
            if task is None:
                self._tasks[name] = self._bars.add_task(name, total=total, completed=done)
            else:
                self._bars.update(task, total=total, completed=done)

    def advance(self, name: str, amount: int) -> None:
        """Moves the bar."""
        with self._lock:
            self._bars.advance(self._tasks[name], amount)

    def end(self, name: str) -> None:
        """Takes the bar away."""
        with self._lock:
            task = self._tasks.pop(name, None)
            if task is not None:
                self._bars.remove_task(task)


@contextlib.contextmanager
def terminal_meter() -> Iterator[Meter]:
    """Bars on stderr where that is a terminal, and a silent meter elsewhere."""
    if not sys.stderr.isatty():
        yield SilentMeter()
        return
    from rich.console import Console  # noqa: PLC0415 - half a second that most commands never need
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield BarMeter(bars)
