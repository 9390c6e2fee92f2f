"""A worker that runs inside its layers, as the harness holds it."""

from __future__ import annotations

import os
import socket
import subprocess
from dataclasses import dataclass

from trainer.sandbox.layers import Layer

_EXIT_BY_SIGNAL = 128
_SIGNALS = 64


@dataclass(slots=True, kw_only=True)
class Launched:
    """A running worker.

    ``pid`` heads its family: bubblewrap or itself, so a ``ProcessTree`` of it counts everything.
    ``worker_pid`` is the worker's own, as this process sees it. ``scratch`` is where the worker finds its
    scratch folder.
    """

    process: subprocess.Popen[bytes]
    worker_pid: int
    channel: socket.socket
    output_fd: int
    scratch: str
    layers: tuple[Layer, ...]
    started_s: float
    """Seconds from the call until every layer was in force."""

    scratch_fd: int | None = None
    """The scratch folder, where it lies in memory."""

    @property
    def pid(self) -> int:
        """The first process of the family."""
        return self.process.pid

    def wait(self, timeout_s: float) -> int:
        """The worker's exit code, negative for the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        code = self.process.wait(timeout_s)
        if self.worker_pid != self.pid and _EXIT_BY_SIGNAL < code <= _EXIT_BY_SIGNAL + _SIGNALS:
            return _EXIT_BY_SIGNAL - code
        return code

    def scratch_mb(self) -> float:
        """Memory that the files of a capped scratch folder take; 0 where they lie on the disk."""
        if self.scratch_fd is None:
            return 0.0
        used = os.fstatvfs(self.scratch_fd)
        return (used.f_blocks - used.f_bfree) * used.f_frsize / (1 << 20)

    def close(self) -> None:
        """Give back what is ours; ends nothing."""
        self.channel.close()
        os.close(self.output_fd)
        if self.scratch_fd is not None:
            os.close(self.scratch_fd)
            self.scratch_fd = None
