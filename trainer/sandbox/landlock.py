"""Landlock through its three system calls: a process and its children give up files, TCP and signals.

Access is granted by the folder or file that a path leads to when the rule is made. What Landlock does not
watch over (metadata, UDP, unix sockets before ABI 6) is left to the other layers.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.sandbox.seccomp import native_arch
from trainer.sandbox.syscalls import number_of

ABI_WITH_TCP = 4
ABI_WITH_SIGNALS = 6

_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FOLDER, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_FOLDER, _MAKE_FILE, _MAKE_FIFO, _MAKE_LINK = 1 << 7, 1 << 8, 1 << 10, 1 << 12
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_OF_A_FILE = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL

_MAY_READ = _EXECUTE | _READ | _LIST
_MAY_WRITE = (
    _WRITE
    | _READ
    | _LIST
    | _REMOVE_FOLDER
    | _REMOVE_FILE
    | _MAKE_FOLDER
    | _MAKE_FILE
    | _MAKE_FIFO
    | _MAKE_LINK
    | _REFER
    | _TRUNCATE
)  # fmt: skip - no devices, no sockets, and nothing written can be executed as a program
_MAY_USE = _READ | _WRITE | _IOCTL | _LIST

_FILES_KNOWN = {1: 13, 2: 14, 3: 15, 4: 15}  # rights per ABI; 16 from 5 on
_FILES_KNOWN_LATER = 16
_TCP = 0b11
_SCOPES = 0b11  # abstract unix sockets, signals
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What stays open: everything beneath a path, or one file. Paths that do not exist are left out."""

    read: Sequence[str]
    write: Sequence[str]
    use: Sequence[str]


def abi_version() -> int:
    """What this kernel offers; 0 for nothing."""
    arch = native_arch()
    if arch is None:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    found: int = libc.syscall(number_of("landlock_create_ruleset", arch), None, 0, _VERSION_FLAG)
    return max(0, found)


def restrict(grants: Grants, *, abi: int, confine_signals: bool = True) -> None:
    """Give up all that is not granted, for this thread and everything that it starts.

    Raises:
        OSError: the kernel does not take it.
    """
    arch = native_arch()
    assert arch is not None  # noqa: S101 - abi_version told so
    libc = ctypes.CDLL(None, use_errno=True)
    handled = (1 << _FILES_KNOWN.get(abi, _FILES_KNOWN_LATER)) - 1
    attributes = struct.pack("=Q", handled)
    if abi >= ABI_WITH_TCP:
        attributes += struct.pack("=Q", _TCP)
    if abi >= ABI_WITH_SIGNALS:
        attributes += struct.pack("=Q", _SCOPES if confine_signals else 1)
    ruleset = _checked(
        libc.syscall(number_of("landlock_create_ruleset", arch), attributes, len(attributes), 0)
    )
    try:
        add = number_of("landlock_add_rule", arch)
        for paths, rights in ((grants.read, _MAY_READ), (grants.write, _MAY_WRITE), (grants.use, _MAY_USE)):
            for path in paths:
                _grant(libc, add, ruleset, path, rights & handled)
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(number_of("landlock_restrict_self", arch), ruleset, 0))
    finally:
        os.close(ruleset)


def _grant(libc: ctypes.CDLL, add: int | None, ruleset: int, path: str, rights: int) -> None:
    if not Path(path).exists():
        return
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            rights &= _OF_A_FILE
        _checked(libc.syscall(add, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0))
    finally:
        os.close(beneath)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"the kernel refuses the Landlock rules ({os.strerror(code)})")
    return result
