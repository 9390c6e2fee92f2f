"""The arguments with which bubblewrap builds a worker's own file system and namespaces.

They travel through a descriptor (``--args``), since a command line is open to every process of the machine.
bubblewrap itself is started with an empty environment: it lives on as process 1 of the sandbox, where the
worker can read its environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.sandbox.layers import Layer
from trainer.sandbox.places import PLAIN_DEVICES

SCRATCH = "/scratch"
"""The one writable folder; ``/tmp`` and ``/dev/shm`` lead to it, so that its cap counts for all three."""

HOSTNAME = "sandbox"
OPTIONS = ("--size", "--disable-userns")
"""What older versions of bubblewrap lack; without ``--size`` scratch stays a folder of the host."""

_SHARED_MEMORY = "/dev/shm"  # noqa: S108
_TEMPORARY = "/tmp"  # noqa: S108


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the worker finds.

    ``scratch_bytes`` caps a scratch folder in memory; None binds ``scratch_from`` instead. ``writable`` are
    further folders of the host (compile caches), ``devices`` device files, ``packages`` read-only folders of
    ours that are seen even where the rest of the host is.
    """

    readable: Sequence[str]
    devices: Sequence[str] = ()
    writable: Sequence[str] = ()
    scratch_bytes: int | None
    scratch_from: str


def arguments(
    view: View,
    environment: Mapping[str, str],
    layers: frozenset[Layer],
    *,
    features: frozenset[str],
    seccomp_fd: int | None,
) -> list[str]:
    """All arguments but the command.

    Args:
        view: the file system.
        environment: of the worker, added to what bubblewrap is started with.
        layers: which of bubblewrap's layers are wanted.
        features: options that this bubblewrap knows, of ``OPTIONS``.
        seccomp_fd: where it reads the filter for the worker and for process 1.
    """
    built = ["--die-with-parent", "--new-session", *_namespaces(layers, features), *_capabilities(layers)]
    built += _files(view) if Layer.FILE_VIEW in layers else _whole_host(view, layers)
    for name, value in environment.items():
        built += ["--setenv", name, value]
    built += ["--chdir", "/"]  # a kept scratch folder is another user's already
    if seccomp_fd is not None:
        built += ["--seccomp", str(seccomp_fd)]
    return built


def scratch_inside(view: View, layers: frozenset[Layer]) -> str:
    """Where the worker finds its scratch folder."""
    return SCRATCH if Layer.FILE_VIEW in layers else view.scratch_from


def _namespaces(layers: frozenset[Layer], features: frozenset[str]) -> list[str]:
    built: list[str] = []
    if Layer.USER_NAMESPACE in layers:
        built.append("--unshare-user")
        if "--disable-userns" in features:
            built.append("--disable-userns")
    if Layer.PID_NAMESPACE in layers:
        built.append("--unshare-pid")
    if Layer.NETWORK_NAMESPACE in layers:
        built.append("--unshare-net")
    if Layer.IPC_NAMESPACE in layers:
        built += ["--unshare-ipc", "--unshare-uts", "--hostname", HOSTNAME, "--unshare-cgroup-try"]
    return built


def _capabilities(layers: frozenset[Layer]) -> list[str]:
    """Run by root, bubblewrap would pass all capabilities on; two are needed to become another user."""
    built = ["--cap-drop", "ALL"]
    if Layer.OTHER_USER in layers:
        built += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return built


def _files(view: View) -> list[str]:
    built = _folders_above([*view.readable, *view.writable, *view.devices])
    for path in view.readable:
        if Path(path).is_symlink():
            built += ["--symlink", str(Path(path).readlink()), path]
        else:
            built += ["--ro-bind", path, path]
    built += ["--proc", "/proc", *_plain_devices()]
    for path in view.devices:
        built += ["--dev-bind", path, path]
    for path in view.writable:
        built += ["--bind", path, path]
    if view.scratch_bytes is None:
        built += ["--bind", view.scratch_from, SCRATCH]
    else:
        built += ["--perms", "0777", "--size", str(view.scratch_bytes), "--tmpfs", SCRATCH]
    is_free = not any(Path(path).is_relative_to(_TEMPORARY) for path in (*view.readable, *view.writable))
    if is_free:
        built += ["--symlink", SCRATCH, _TEMPORARY]
    return [*built, "--remount-ro", "/"]


def _plain_devices() -> list[str]:
    """A ``/dev`` without terminals; bubblewrap's own would be another folder to write to."""
    built = ["--dir", "/dev"]
    for path in PLAIN_DEVICES:
        built += ["--dev-bind", path, path]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        built += ["--symlink", f"/proc/self/fd/{number}", f"/dev/{name}"]
    return [*built, "--symlink", "/proc/self/fd", "/dev/fd", "--symlink", SCRATCH, _SHARED_MEMORY]


def _whole_host(view: View, layers: frozenset[Layer]) -> list[str]:
    """The host's own files, for tests of the other layers."""
    built = ["--dev-bind", "/", "/"]
    built += ["--proc", "/proc"] if Layer.PID_NAMESPACE in layers else []
    if view.scratch_bytes is not None:
        built += ["--perms", "0777", "--size", str(view.scratch_bytes), "--tmpfs", view.scratch_from]
    return built


def _folders_above(paths: Sequence[str]) -> list[str]:
    """Makes the folders on the way, since bubblewrap would give them the modes that they have outside."""
    above = {str(parent) for path in paths for parent in Path(path).parents} - {"/"}
    built: list[str] = []
    for folder in sorted(above, key=lambda folder: (len(Path(folder).parts), folder)):
        built += ["--dir", folder]
    return built
