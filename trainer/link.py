"""The harness's end of a worker: frames with deadlines, output that cannot flood, and caps that are kept.

Every wait is bounded, and while it lasts the harness reads the worker's output, watches its memory and its
number of processes, and calls ``tick``. Whatever the worker does ends in a frame or in ``RunEnded``.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoresearch.challenge import Limits

from trainer.deadline import Deadline
from trainer.processes import PROCESS_LIMIT, ProcessTree
from trainer.report import Outcome
from trainer.sandbox import Launched
from trainer.scratch import FILES_LIMIT, folder_exceeds
from trainer.wire import Frame, FrameReader, Kind, WireError, parse_json, text_field

TICK_S = 0.01
WATCH_PERIOD_S = 0.05
READ_BYTES = 1 << 16
MEASURE_PERIOD_S = 0.5
DRAIN_LIMIT_READS = 64
EXIT_WAIT_S = 5.0
TOLD_KINDS = (
    "syntax",
    "no_train",
    "no_start",
    "no_model",
    "no_device",
    "bad_logits",
    "oom",
    "scratch",
    "exception",
)
"""Kinds of crash that a worker may tell; the others are seen from outside."""


class RunEnded(Exception):
    """The run is over before its score: the outcome, the reason, and for a crash its kind."""

    def __init__(self, outcome: Outcome, reason: str, crash_kind: str | None = None) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.crash_kind = crash_kind


def crashed(kind: str, reason: str) -> RunEnded:
    """A crash of a kind."""
    return RunEnded("crashed", reason, kind)


class WorkerLink:
    """One launched worker, from the harness's side; not thread-safe."""

    def __init__(self, launched: Launched, limits: Limits, scratch: Path) -> None:
        self.tree = ProcessTree(launched.pid)
        self._launched = launched
        self._channel = launched.channel
        self._output_fd = launched.output_fd
        self._limits = limits
        self._reader = FrameReader()
        self._tail = bytearray()
        self._watched_at = 0.0
        self._measured_at = 0.0
        self._scratch = scratch
        self._selector = selectors.DefaultSelector()
        self._channel.setblocking(False)
        os.set_blocking(self._output_fd, False)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._selector.register(self._output_fd, selectors.EVENT_READ)

    @property
    def log_tail(self) -> str:
        """The end of what the worker printed, at most ``log_bytes`` of UTF-8, control characters removed."""
        text = bytes(self._tail[-self._limits.log_bytes :]).decode("utf-8", errors="ignore")
        return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())

    def send(self, frame: bytes, fds: tuple[int, ...] = (), *, deadline: Deadline) -> None:
        """Send a whole frame.

        Raises:
            RunEnded: the worker ended, or does not read until the deadline.
        """
        view = memoryview(frame)
        try:
            while view:
                try:
                    sent = (
                        socket.send_fds(self._channel, [view], list(fds)) if fds else self._channel.send(view)
                    )
                    view, fds = view[sent:], ()
                except BlockingIOError:
                    if deadline.is_over():
                        raise crashed("killed", "the worker stopped reading from the harness") from None
                    time.sleep(TICK_S)
        except OSError:
            raise self._gone() from None

    def receive(
        self,
        *,
        wanted: tuple[Kind, ...],
        deadline: Deadline,
        late: Callable[[Deadline], RunEnded],
        tick: Callable[[], None] | None = None,
    ) -> Frame:
        """Wait for one of the wanted frames.

        Raises:
            RunEnded: what ``late`` makes of the deadline that is over; or the worker failed, ended, broke the
                protocol or a cap; or ``tick`` ended the run.
        """
        while True:
            frame = self._next(wanted)
            if tick is not None:
                tick()
            self._watch()
            if frame is not None:
                return frame
            if deadline.is_over():
                raise late(deadline)
            self._pump(TICK_S)

    def close(self) -> None:
        """Kill what is left, keep the end of its output, and free everything."""
        self.tree.memory_mb()
        self.tree.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._launched.wait(EXIT_WAIT_S)
        self._drain_output()
        self._selector.close()
        self._launched.close()

    def _next(self, wanted: tuple[Kind, ...]) -> Frame | None:
        try:
            frame = self._reader.next_frame()
            if frame is None:
                return None
            if frame.kind == Kind.FAILED:
                fields = parse_json(frame)
                kind, reason = text_field(fields, "kind"), text_field(fields, "reason", "no reason given")
                raise crashed(kind if kind in TOLD_KINDS else "exception", reason)
        except WireError as error:
            raise RunEnded("rejected", f"the worker broke the protocol: it sent {error}") from error
        if frame.kind not in wanted:
            raise RunEnded(
                "rejected", f"the worker broke the protocol: it sent {frame.kind.name} out of turn"
            )
        return frame

    def _pump(self, wait_s: float) -> None:
        """Take in whatever has arrived."""
        for key, _events in self._selector.select(wait_s):
            if key.fileobj is self._channel:
                self._pump_channel()
            else:
                self._drain_output()

    def _pump_channel(self) -> None:
        try:
            arrived = self._channel.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            raise self._gone() from None
        if not arrived:
            raise self._gone()
        self._reader.feed(arrived)

    def _drain_output(self) -> None:
        for _ in range(DRAIN_LIMIT_READS):
            try:
                arrived = os.read(self._output_fd, READ_BYTES)
            except BlockingIOError:
                return
            if not arrived:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(self._output_fd)
                return
            self._tail += arrived
            del self._tail[: -2 * self._limits.log_bytes]

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self._watched_at < WATCH_PERIOD_S:
            return
        self._watched_at = now
        if self.tree.scan() > PROCESS_LIMIT:
            raise crashed("killed", f"the worker started more than {PROCESS_LIMIT} processes")
        self._watch_scratch(now)
        used_mb = self.tree.memory_mb() + self._launched.scratch_mb()
        if used_mb > self._limits.memory_mb:
            raise crashed(
                "oom", f"the worker used {used_mb:.0f} MB of memory; {self._limits.memory_mb} MB are allowed"
            )

    def _watch_scratch(self, now: float) -> None:
        if now - self._measured_at < MEASURE_PERIOD_S:
            return
        self._measured_at = now
        limit = self._limits.scratch_mb << 20
        if folder_exceeds(self._scratch, limit):
            raise crashed(
                "scratch",
                f"the worker's files took more than {self._limits.scratch_mb} MB of disk, or were more than "
                f"{FILES_LIMIT}",
            )

    def _gone(self) -> RunEnded:
        """Why there will be no more frames."""
        try:
            code = self._launched.wait(EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            return RunEnded("rejected", "the worker broke the protocol: it closed its channel and went on")
        where = ", in the middle of a frame" if self._reader.in_frame else ""
        if code < 0:
            return crashed("killed", f"the worker was killed by signal {-code}{where}")
        return crashed("exit", f"the worker ended by itself with exit code {code}{where}")


def json_of(frame: Frame) -> dict[str, Any]:
    """The JSON object of an untrusted frame.

    Raises:
        RunEnded: it is not one.
    """
    try:
        return parse_json(frame)
    except WireError as error:
        raise RunEnded("rejected", f"the worker broke the protocol: it sent {error}") from error
