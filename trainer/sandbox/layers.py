"""The names of everything that holds a worker. A report lists those that were in force for its run.

Each can be missing alone: machines lack some, and the tests leave them out of a plan in turn, to show that an
attack succeeds without the defence that stops it. No option of the trainer does.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Layer(StrEnum):
    """One defence; ``docs/sandbox.md`` says what each of them is good for."""

    FILE_VIEW = "file-view"
    PID_NAMESPACE = "pid-namespace"
    NETWORK_NAMESPACE = "network-namespace"
    IPC_NAMESPACE = "ipc-namespace"
    USER_NAMESPACE = "user-namespace"
    OTHER_USER = "other-user"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    EMPTY_ENVIRONMENT = "empty-environment"
    OWN_SESSION = "own-session"
    CAPPED_SCRATCH = "capped-scratch"
    SCRATCH_DIRECTORY = "scratch-directory"
    RESOURCE_LIMITS = "resource-limits"
    MEMORY_WATCHDOG = "memory-watchdog"
    PINNED_CORE = "pinned-core"


BUBBLEWRAP = frozenset(
    {Layer.FILE_VIEW, Layer.PID_NAMESPACE, Layer.NETWORK_NAMESPACE, Layer.IPC_NAMESPACE, Layer.USER_NAMESPACE}
)
"""What bubblewrap gives; run by root, it gives no user namespace and the worker gets a user of its own."""


def in_order(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """The layers in the order of their declaration, each once."""
    chosen = set(layers)
    return tuple(layer for layer in Layer if layer in chosen)
