"""One node at a time per state dir: two with one key would take each other's leases and results."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node import places
from node.exit_codes import ExitCode
from node.failures import Failed


@contextmanager
def held_state_dir(node_dir: Path) -> Iterator[None]:
    """Makes the folder if need be and holds it until the end; the kernel lets go if the process dies.

    Raises:
        Failed: It cannot be written, or another node works in it.
    """
    try:
        node_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(places.lock_path(node_dir), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failed(
            f"cannot use the state dir {node_dir} ({error.strerror}); give another --state-dir"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed(
                f"another node works in {node_dir}; give this one a --name or a --state-dir of its own",
                ExitCode.USAGE,
            ) from error
        yield
    finally:
        os.close(descriptor)
