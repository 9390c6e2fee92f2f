"""What a worker does to itself before it has seen a line of the candidate, and cannot undo afterwards.

The launcher sends a ``Confinement`` through a socket of its own and waits for the answer, so that a layer is
reported only where it is in force.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from trainer.sandbox import landlock, seccomp

MESSAGE_LIMIT_BYTES = 1 << 18
ENTRY = "trainer.sandbox.entry"
_FIRST_TO_GO = "1000"
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_CAPABILITIES = 64
_CAPSET_VERSION_3 = 0x20080522


class ConfinementError(Exception):
    """A layer could not be put in force; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """Everything that a worker is to give up.

    ``folder`` becomes the working directory. ``user`` and ``groups`` are taken where ``user`` is set;
    ``drops_capabilities`` is for root that stays root. ``landlock_abi`` 0 leaves Landlock out, and an empty
    ``filter_base64`` seccomp (bubblewrap has loaded it then, if ``is_filtered``).
    """

    folder: str
    limits: Mapping[str, int]
    user: int | None
    groups: Sequence[int]
    drops_capabilities: bool
    landlock_abi: int
    confines_signals: bool
    readable: Sequence[str]
    writable: Sequence[str]
    devices: Sequence[str]
    filter_base64: str
    is_filtered: bool

    def to_json(self) -> bytes:
        """As it travels."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read ``to_json``'s text, which the launcher wrote."""
        return cls(**json.loads(text))


def serve(control: socket.socket) -> None:
    """Take the order, carry it out, and tell the launcher how that went.

    Raises:
        SystemExit: a layer could not be put in force; the launcher knows why.
    """
    with control:
        order = Confinement.from_json(_read_all(control))
        try:
            apply(order)
        except (OSError, ValueError, ConfinementError) as error:
            control.sendall(json.dumps({"error": str(error)}).encode())
            raise SystemExit(1) from error
        control.sendall(b"{}")


def apply(order: Confinement) -> None:
    """Give everything up, in an order in which each step is still allowed.

    Raises:
        OSError, ValueError, ConfinementError: a layer could not be put in force.
    """
    if order.limits:
        _limit(order.limits)
    if order.user is not None:
        _become(order.user, order.groups)
    elif order.drops_capabilities:
        _drop_capabilities()
    os.chdir(order.folder)
    if order.landlock_abi:
        landlock.restrict(
            landlock.Grants(read=order.readable, write=order.writable, use=order.devices),
            abi=order.landlock_abi,
            confine_signals=order.confines_signals,
        )
    if order.filter_base64:
        seccomp.install(base64.b64decode(order.filter_base64))
    if order.is_filtered:
        _check_filter()


def _limit(limits: Mapping[str, int]) -> None:
    with suppress(OSError):  # without it the kernel may choose another victim where memory runs out
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, "ascii")
    for name, value in limits.items():
        kind = getattr(resource, name)
        _soft, hard = resource.getrlimit(kind)
        cap = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (cap, cap))


def _become(user: int, groups: Sequence[int]) -> None:
    """Another user, for good; the kernel takes all capabilities with the user id 0."""
    os.setgroups(list(groups))
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # else /proc/self is root's
    if os.getresuid() != (user, user, user) or os.getresgid() != (user, user, user):
        raise ConfinementError(f"the worker could not become user {user}")


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    head = (ctypes.c_uint32 * 2)(_CAPSET_VERSION_3, 0)
    if libc.capset(head, (ctypes.c_uint32 * 6)()):
        raise ConfinementError("the worker could not give up root's capabilities")


def _check_filter() -> None:
    """Whether a seccomp filter is in force, by a call that it refuses and the kernel alone would not."""
    try:
        socket.socketpair()[0].close()
    except OSError:
        return
    raise ConfinementError("no seccomp filter is in force")


def _read_all(control: socket.socket) -> bytes:
    """The order: everything until the launcher closes its half."""
    text = b""
    while piece := control.recv(1 << 16):
        text += piece
        if len(text) > MESSAGE_LIMIT_BYTES:
            raise SystemExit(1)
    return text
