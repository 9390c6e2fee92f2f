"""Which parts of this machine a worker may see, all of them read-only: its interpreter, libraries, our code.

Nothing of the user's, of other runs, of the prepared tokens (they arrive as open files) or of ``/etc`` beyond
the loader's cache is among them.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

PACKAGES = ("trainer", "autoresearch")
_SYSTEM = ("/usr", "/nix/store", "/gnu/store")
_SHORTCUTS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_LOADER = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
CPU_FACTS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
"""Libraries ask here what the processor can do; without an answer they may compute along another path."""

PROC_FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems")
PLAIN_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def readable_places() -> list[str]:
    """Existing files and folders that hold the interpreter, the libraries and our packages; none twice."""
    wanted = [*_SYSTEM, *_SHORTCUTS, *_LOADER, *CPU_FACTS]
    wanted += [
        sys.base_prefix,
        sys.base_exec_prefix,
        sys.prefix,
        sys.exec_prefix,
        *_interpreter(),
        *packages(),
    ]
    return without_nested(path for path in wanted if Path(path).exists())


def packages() -> list[str]:
    """Folders of our own packages."""
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        folders = (spec.submodule_search_locations or ()) if spec else ()
        found += [str(Path(place).resolve()) for place in folders]
    return found


def package_roots() -> list[str]:
    """Where ``import`` finds our packages."""
    return list(dict.fromkeys(str(Path(place).parent) for place in packages()))


def unreadable_by_others(paths: Iterable[str]) -> str | None:
    """The first path that only its owner may read, so that a worker of another user could not start.

    The folders above do not matter: the worker sees them made anew.
    """
    for path in paths:
        try:
            mode = Path(path).stat().st_mode
        except OSError:
            continue
        wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if mode & wanted != wanted:
            return path
    return None


def probes_of_readability() -> list[str]:
    """Files and folders that stand for their installation when its readability is judged."""
    found = [sys.executable, sys.prefix, sys.base_prefix, *packages()]
    for name in ("torch", "numpy"):
        spec = importlib.util.find_spec(name)
        found += [spec.origin] if spec and spec.origin else []
    return found


def _interpreter() -> list[str]:
    """The interpreter's file with every link on the way to it, where that lies outside its prefixes."""
    found, path = [], Path(sys.executable)
    for _ in range(16):
        found.append(str(path.parent))
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return [os.path.normpath(folder) for folder in found]


def without_nested(paths: Iterable[str]) -> list[str]:
    """The paths without those that lie beneath another one; links are kept as they are."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: (len(Path(path).parts), path)):
        beneath = any(Path(path).is_relative_to(other) and not Path(other).is_symlink() for other in kept)
        if not beneath:
            kept.append(path)
    return kept
