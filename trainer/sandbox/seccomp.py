"""The seccomp filter of a worker: which system calls it may not make, assembled to BPF.

Everything is allowed but what is named here, since torch and its compilers call much that is harmless. A
refused call fails with an error, it does not kill, so that a library can go on without it. Calls that are
younger than our table are answered as an old kernel would (ENOSYS); calls of another architecture kill.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from dataclasses import dataclass
from typing import Literal

from trainer.sandbox.syscalls import AUDIT_ARCH, FIRST_UNKNOWN, X32_BIT, Arch, number_of

_SOCKETS = ("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4")
_OTHER_PROCESSES = (
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_open",
    "pidfd_getfd", "pidfd_send_signal", "kcmp", "move_pages", "migrate_pages",
)  # fmt: skip
_NAMESPACES = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr",
    "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "statmount", "listmount",
)  # fmt: skip
_MACHINE = (
    "swapon", "swapoff", "quotactl", "quotactl_fd", "acct", "reboot", "kexec_load", "kexec_file_load",
    "init_module", "finit_module", "delete_module", "create_module", "settimeofday", "clock_settime",
    "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "syslog", "iopl", "ioperm", "modify_ldt",
    "vhangup", "sysfs", "_sysctl", "nfsservctl", "lookup_dcookie", "uselib", "fanotify_init",
)  # fmt: skip
_KERNEL_SURFACE = (
    "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "open_by_handle_at",
    "name_to_handle_at", "personality", "mknod", "mknodat", "memfd_secret",
)  # fmt: skip
_UNCOUNTED_MEMORY = (
    "shmget", "shmat", "shmctl", "semget", "semctl", "semop", "semtimedop", "msgget", "msgsnd", "msgrcv",
    "msgctl", "mq_open", "mq_unlink",
)  # fmt: skip
_PRETEND_MISSING = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""Libraries fall back to older calls: clone3's flags lie in memory, where a filter cannot read them."""

_CHANGES_OF_OTHERS_FILES = (
    "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "utime", "utimes",
    "utimensat", "futimesat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr",
    "lremovexattr", "fremovexattr", "removexattrat", "inotify_init", "inotify_init1",
)  # fmt: skip
"""What Landlock does not watch over: only refused where the user's files can be named at all."""

_PRIORITY_OF_OTHERS = ("setpriority", "ioprio_set", "sched_setscheduler", "sched_setattr", "sched_setparam")
_SIGNALS = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")

_TIMERS = ("timer_create", "timerfd_create", "setitimer", "alarm")
"""Thousands of them that run out while the worker is stopped are charged to whoever measures its core."""

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: put words into the terminal's mouth

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCH, _AT_ARGUMENTS = 0, 4, 16
_MODE_FILTER = 1
_FLAG_TSYNC = 1
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What varies between workers.

    ``has_own_files`` and ``has_own_pids`` say that a mount and a pid namespace hide those of others; without
    them calls that reach these are refused too, signals to any process but ``own_pid`` among them unless
    Landlock confines signals (``signals_confined``).
    """

    arch: Arch
    is_pinned: bool
    on_cpu: bool
    has_own_files: bool
    has_own_pids: bool
    signals_confined: bool
    own_pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A call that is refused: always, or where an argument fits.

    ``where`` compares the low half of argument ``argument`` with ``value``; every argument judged by it is
    32 bits wide. ``unless_null`` is a pointer: the call is refused only if it leads somewhere.
    """

    call: str
    error: int = errno.EPERM
    where: Literal["always", "equal", "not equal", "any bit"] = "always"
    argument: int = 0
    value: int = 0
    unless_null: int | None = None


_CHILDREN_NOBODY_WAITS_FOR = Refusal(
    call="rt_sigaction", where="equal", value=int(signal.SIGCHLD), unless_null=1
)
"""The kernel forgets the CPU time of a child that ends while its parent ignores SIGCHLD: none may."""


def refusals(rules: Rules) -> list[Refusal]:
    """Every refused call, in the order in which they are looked up."""
    names = [*_SOCKETS, *_OTHER_PROCESSES, *_NAMESPACES, *_MACHINE, *_KERNEL_SURFACE, *_UNCOUNTED_MEMORY]
    found = [Refusal(call="clone", where="any bit", value=_NEW_NAMESPACES)]
    found += [Refusal(call="ioctl", where="equal", argument=1, value=value) for value in _TERMINAL_INPUT]
    found += [Refusal(call="prlimit64", where="not equal", value=0), _CHILDREN_NOBODY_WAITS_FOR]
    if rules.is_pinned:
        names.append("sched_setaffinity")
    if rules.on_cpu:  # drivers of accelerators share memory so
        names += ["memfd_create", *_TIMERS]
    if not rules.has_own_files:
        names += _CHANGES_OF_OTHERS_FILES
    if not rules.has_own_pids:
        names += _PRIORITY_OF_OTHERS
        if not rules.signals_confined:
            names.append("tkill")
            found += [Refusal(call=call, where="not equal", value=rules.own_pid) for call in _SIGNALS]
    found += [Refusal(call=name) for name in names]
    return found + [Refusal(call=name, error=errno.ENOSYS) for name in _PRETEND_MISSING]


def assemble(rules: Rules) -> bytes:
    """The filter as ``struct sock_filter[]``, as bubblewrap's ``--seccomp`` and ``install`` take it."""
    code = [
        _op(_LD, _AT_ARCH),
        _op(_JEQ, AUDIT_ARCH[rules.arch], yes=1),
        _op(_RET, _KILL),
        _op(_LD, _AT_NUMBER),
        *_answer_if(_JGE, X32_BIT, errno.ENOSYS),
        *_answer_if(_JGE, FIRST_UNKNOWN, errno.ENOSYS),
    ]
    for refusal in refusals(rules):
        number = number_of(refusal.call, rules.arch)
        if number is not None:
            code += _refuse(refusal, number)
    return b"".join([*code, _op(_RET, _ALLOW)])


def install(program: bytes) -> None:
    """Put this process and all its threads under the filter, for good.

    Raises:
        OSError: the kernel does not take it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel knows no PR_SET_NO_NEW_PRIVS")
    text = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(text))
    arch = native_arch()
    number = number_of("seccomp", arch) if arch else None
    if number is None or libc.syscall(number, _MODE_FILTER, _FLAG_TSYNC, head):
        code = ctypes.get_errno() or errno.ENOSYS
        raise OSError(code, f"the kernel refuses the seccomp filter ({os.strerror(code)})")


def is_supported() -> bool:
    """Whether this kernel filters system calls, and we know the numbers of its calls."""
    arch = native_arch()
    if arch is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    number = number_of("seccomp", arch)
    libc.syscall(number, _MODE_FILTER, 0, None)  # a null filter: EFAULT where filters exist, else EINVAL
    return ctypes.get_errno() == errno.EFAULT


def native_arch() -> Arch | None:
    """This process's architecture, if the table has it."""
    machine = os.uname().machine
    if struct.calcsize("P") != 8 or machine not in AUDIT_ARCH:  # noqa: PLR2004 - 64 bits
        return None
    return "x86_64" if machine == "x86_64" else "aarch64"


def _refuse(refusal: Refusal, number: int) -> list[bytes]:
    answer = _op(_RET, _ERRNO | refusal.error)
    if refusal.where == "always":
        return [_op(_JEQ, number, no=1), answer]
    load = _op(_LD, _AT_ARGUMENTS + 8 * refusal.argument)
    if refusal.unless_null is not None:
        return _refuse_unless_null(refusal, number, answer)
    match refusal.where:
        case "equal":
            test = _op(_JEQ, refusal.value, no=1)
        case "not equal":
            test = _op(_JEQ, refusal.value, yes=1)
        case "any bit":
            test = _op(_JSET, refusal.value, no=1)
    return [_op(_JEQ, number, no=4), load, test, answer, _op(_LD, _AT_NUMBER)]


def _refuse_unless_null(refusal: Refusal, number: int, answer: bytes) -> list[bytes]:
    assert refusal.where == "equal"  # noqa: S101 - no other is needed
    assert refusal.unless_null is not None  # noqa: S101 - the caller looked
    pointer = _AT_ARGUMENTS + 8 * refusal.unless_null
    return [
        _op(_JEQ, number, no=8),
        _op(_LD, _AT_ARGUMENTS + 8 * refusal.argument),
        _op(_JEQ, refusal.value, no=5),
        _op(_LD, pointer),
        _op(_JEQ, 0, no=2),
        _op(_LD, pointer + 4),
        _op(_JEQ, 0, yes=1),
        answer,
        _op(_LD, _AT_NUMBER),
    ]


def _answer_if(jump: int, value: int, error: int) -> list[bytes]:
    return [_op(jump, value, no=1), _op(_RET, _ERRNO | error)]


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
