"""``python -m trainer.sandbox.entry SOCKET_FD PAGE_FD CONTROL_FD``: confine this process, then be a worker.

The confinement comes before numpy and torch, since they start threads, and Landlock holds the thread that
asks and those it starts.
"""

# ruff: noqa: PLC0415 - the worker is imported after the confinement
from __future__ import annotations

import socket
import sys

from trainer.sandbox import confine


def main() -> None:
    """Confine, then serve the harness as ``trainer.worker``."""
    import autoresearch  # noqa: F401 - the folder it lies in cannot be listed later

    confine.serve(socket.socket(fileno=int(sys.argv.pop())))
    from trainer import worker

    worker.main()


if __name__ == "__main__":
    main()
