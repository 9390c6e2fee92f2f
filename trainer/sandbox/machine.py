"""What this machine has to hold a worker with, found by trying, and what would mend what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.sandbox import landlock, places, seccomp
from trainer.sandbox.bubblewrap import OPTIONS

PROBE_TIMEOUT_S = 20.0
UNPRIVILEGED_UID = 0x7000_0000
"""First user id that no system hands out; the harness's process id is added, so that runs differ too."""

NOBODY = 65534
_OUTPUT_LIMIT_CHARS = 200
_INSTALLERS = (
    ("apt-get", "apt-get install -y bubblewrap"),
    ("dnf", "dnf install -y bubblewrap"),
    ("pacman", "pacman -S --noconfirm bubblewrap"),
    ("zypper", "zypper install -y bubblewrap"),
    ("apk", "apk add bubblewrap"),
)
_SWITCHES = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
)
"""Under /proc/sys: what keeps users from namespaces of their own, the value that does, and its remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The means of a machine.

    ``bubblewrap`` is the program where it works, with the ``options`` that it knows; else ``problem`` tells
    what is wrong and ``fix`` the command that mends it. ``private_file`` is one of the installation that
    other users may not read, which a worker of another user needs.
    """

    is_linux: bool
    is_root: bool
    bubblewrap: str
    options: frozenset[str]
    problem: str
    fix: str
    landlock_abi: int
    has_seccomp: bool
    has_namespace_limits: bool
    private_file: str = ""


def survey() -> Machine:
    """Look at this machine; takes some milliseconds."""
    is_linux = sys.platform == "linux"
    is_root = is_linux and os.geteuid() == 0
    program, options, problem, fix = (
        _try_bubblewrap(is_root=is_root) if is_linux else ("", frozenset(), "", "")
    )
    private = places.unreadable_by_others(places.probes_of_readability()) if is_root and program else None
    return Machine(
        is_linux=is_linux,
        is_root=is_root,
        bubblewrap=program,
        options=options,
        problem=problem,
        fix=fix,
        landlock_abi=landlock.abi_version() if is_linux else 0,
        has_seccomp=is_linux and seccomp.is_supported(),
        has_namespace_limits=is_linux and _kernel_version() >= (5, 14),
        private_file=private or "",
    )


def unprivileged_uid() -> int:
    """A user id that nobody has; nobody's own where this machine maps only few ids."""
    wanted = UNPRIVILEGED_UID + os.getpid()
    for line in Path("/proc/self/uid_map").read_text("ascii").splitlines():
        inside, _outside, count = map(int, line.split())
        if inside <= wanted < inside + count:
            return wanted
    return NOBODY


def tasks_of_user(uid: int) -> int:
    """Threads that run as a user at this moment, which the kernel's limit counts too."""
    total = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and folder.stat().st_uid == uid:
                total += len(os.listdir(folder / "task"))  # noqa: PTH208 - a count of names is all
        except OSError:
            continue
    return total


def memory_mb() -> int:
    """Physical memory."""
    return (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20


def _try_bubblewrap(*, is_root: bool) -> tuple[str, frozenset[str], str, str]:
    program = shutil.which("bwrap", path=os.environ.get("PATH", "") + ":/usr/bin:/bin")
    if program is None:
        return "", frozenset(), "bubblewrap is not installed", _installer()
    known = {option for option in OPTIONS if option in _output([program, "--help"]).stdout}
    # An option may be known and yet refused: --size to a setuid program, --disable-userns in a container.
    tried = subprocess.CompletedProcess[str]([], 1, "", "")
    for left_out in (set(), {"--disable-userns"}, {"--size"}, set(OPTIONS)):
        options = frozenset(known - left_out)
        tried = _output(_probe(program, options, is_root=is_root))
        if tried.returncode == 0:
            return program, options, "", ""
    said = (tried.stderr.strip().splitlines() or [f"it ended with code {tried.returncode}"])[-1]
    fix = _switch(Path("/proc/sys")) or (
        "run outside of a container, or start that with --cap-add SYS_ADMIN --security-opt seccomp=unconfined"
    )
    return "", frozenset(), f"bubblewrap does not work here ({said[:_OUTPUT_LIMIT_CHARS]})", fix


def _probe(program: str, options: frozenset[str], *, is_root: bool) -> list[str]:
    """A command that ends well if bubblewrap can do here what a worker needs of it."""
    spaces = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    spaces += [] if is_root else ["--unshare-user"]
    spaces += ["--disable-userns"] if "--disable-userns" in options and not is_root else []
    spaces += ["--size", "4096", "--tmpfs", "/tmp"] if "--size" in options else []  # noqa: S108
    true = shutil.which("true", path="/usr/bin:/bin") or sys.executable
    return [program, "--ro-bind", "/", "/", "--proc", "/proc", *spaces, true]


def _output(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {"LANG": "C"}
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False, env=environment
        )
    except (OSError, subprocess.SubprocessError) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _installer() -> str:
    for name, command in _INSTALLERS:
        if shutil.which(name):
            return _as_root(command)
    return "install the package bubblewrap"


def _switch(settings: Path) -> str:
    for name, bad, remedy in _SWITCHES:
        try:
            value = (settings / name).read_text("ascii").strip()
        except OSError:
            continue
        if value == bad:
            return _as_root(f"sysctl -w {remedy}")
    return ""


def _as_root(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo {command}"


def _kernel_version() -> tuple[int, int]:
    numbers = os.uname().release.split("-")[0].split(".")
    return int(numbers[0]), int(numbers[1])
