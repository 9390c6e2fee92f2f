"""The filter, run by a small interpreter of its own: every call of both architectures gets its answer."""

from __future__ import annotations

import errno
import struct

import pytest

from trainer.sandbox.seccomp import Rules, assemble, refusals
from trainer.sandbox.syscalls import AUDIT_ARCH, FIRST_UNKNOWN, X32_BIT, Arch, number_of

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
ARCHES: tuple[Arch, ...] = ("x86_64", "aarch64")
OWN_PID = 4711


def rules(arch: Arch = "x86_64", **changes) -> Rules:
    plain = {
        "arch": arch,
        "is_pinned": True,
        "on_cpu": True,
        "has_own_files": True,
        "has_own_pids": True,
        "signals_confined": True,
        "own_pid": OWN_PID,
    }
    return Rules(**{**plain, **changes})


def answer(program: bytes, number: int, *arguments: int, audit_arch: int) -> int:
    """What the filter says to one call."""
    words = [*arguments, *([0] * (6 - len(arguments)))]
    call = struct.pack("=iIQ6Q", number, audit_arch, 0, *words)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, held = 0, 0
    for _ in range(len(code)):
        kind, yes, no, value = code[at]
        at += 1
        match kind:
            case 0x20:
                held = struct.unpack_from("=I", call, value)[0]
            case 0x15:
                at += yes if held == value else no
            case 0x35:
                at += yes if held >= value else no
            case 0x45:
                at += yes if held & value else no
            case 0x06:
                return value
    raise AssertionError("the filter gave no answer")


def ask(held: Rules, name: str, *arguments: int) -> int:
    number = number_of(name, held.arch)
    assert number is not None
    return answer(assemble(held), number, *arguments, audit_arch=AUDIT_ARCH[held.arch])


@pytest.mark.parametrize("arch", ARCHES)
def test_every_refused_call_fails_with_its_error(arch: Arch) -> None:
    held = rules(arch, has_own_files=False, has_own_pids=False)
    program = assemble(held)

    for refusal in refusals(held):
        number = number_of(refusal.call, arch)
        if number is None or refusal.where != "always":
            continue
        assert answer(program, number, audit_arch=AUDIT_ARCH[arch]) == ERRNO | refusal.error, refusal.call


@pytest.mark.parametrize("arch", ARCHES)
def test_calls_that_are_not_named_are_allowed(arch: Arch) -> None:
    held = rules(arch)
    refused = {number_of(refusal.call, arch) for refusal in refusals(held)}

    others = set(range(FIRST_UNKNOWN)) - refused

    program = assemble(held)
    assert {answer(program, number, audit_arch=AUDIT_ARCH[arch]) for number in others} == {ALLOW}


@pytest.mark.parametrize("arch", ARCHES)
def test_a_call_of_another_architecture_kills(arch: Arch) -> None:
    program = assemble(rules(arch))

    assert answer(program, 0, audit_arch=0x40000003) == KILL


def test_calls_of_the_x32_interface_and_of_younger_kernels_are_missing() -> None:
    program, arch = assemble(rules()), AUDIT_ARCH["x86_64"]

    for number in (X32_BIT, X32_BIT | 41, FIRST_UNKNOWN, 1000):
        assert answer(program, number, audit_arch=arch) == ERRNO | errno.ENOSYS


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_threads_and_children_may_be_made_but_no_namespaces(arch: Arch, flag: int) -> None:
    a_thread, a_fork = 0x3D0F00, 0x1200011

    held = rules(arch)

    assert (ask(held, "clone", a_thread), ask(held, "clone", a_fork)) == (ALLOW, ALLOW)
    assert ask(held, "clone", a_fork | flag) == ERRNO | errno.EPERM


def test_no_words_are_put_into_a_terminals_mouth() -> None:
    held = rules()

    assert ask(held, "ioctl", 0, 0x5412) == ERRNO | errno.EPERM
    assert ask(held, "ioctl", 0, 0xFFFFFFFF00005412) == ERRNO | errno.EPERM
    assert ask(held, "ioctl", 0, 0x5413) == ALLOW


def test_limits_of_other_processes_are_out_of_reach() -> None:
    held = rules()

    assert ask(held, "prlimit64", 0) == ALLOW
    assert ask(held, "prlimit64", 1) == ERRNO | errno.EPERM


@pytest.mark.parametrize("arch", ARCHES)
def test_children_cannot_be_ignored_but_one_may_ask_what_becomes_of_them(arch: Arch) -> None:
    held, sigchld, sigusr1 = rules(arch), 17, 10

    assert ask(held, "rt_sigaction", sigchld, 0) == ALLOW
    assert ask(held, "rt_sigaction", sigchld, 0x7000_0000_1000) == ERRNO | errno.EPERM
    assert ask(held, "rt_sigaction", sigchld, 0x7000_0000_0000) == ERRNO | errno.EPERM
    assert ask(held, "rt_sigaction", 1 << 32 | sigchld, 0x1000) == ERRNO | errno.EPERM
    assert ask(held, "rt_sigaction", sigusr1, 0x1000) == ALLOW


def test_a_worker_on_a_cpu_has_no_timers() -> None:
    for name in ("timer_create", "timerfd_create", "setitimer", "alarm"):
        assert ask(rules(), name, 0) == ERRNO | errno.EPERM
        assert ask(rules(on_cpu=False), name, 0) == ALLOW


def test_signals_are_free_within_a_pid_namespace() -> None:
    assert ask(rules(signals_confined=False), "kill", 1, 9) == ALLOW


@pytest.mark.parametrize("name", ["kill", "tgkill", "rt_sigqueueinfo"])
def test_without_a_pid_namespace_and_a_landlock_for_signals_only_oneself_can_be_signalled(name: str) -> None:
    held = rules(has_own_pids=False, signals_confined=False)

    assert ask(held, name, OWN_PID, 9) == ALLOW
    assert ask(held, name, OWN_PID - 1, 9) == ERRNO | errno.EPERM
    assert ask(held, name, 0xFFFFFFFFFFFFFFFF, 9) == ERRNO | errno.EPERM


def test_others_files_keep_their_modes_where_they_can_be_named() -> None:
    assert ask(rules(has_own_files=False), "fchmodat", 0) == ERRNO | errno.EPERM
    assert ask(rules(), "fchmodat", 0) == ALLOW


def test_memory_files_are_left_to_drivers_of_accelerators() -> None:
    assert ask(rules(on_cpu=False), "memfd_create", 0) == ALLOW
    assert ask(rules(), "memfd_create", 0) == ERRNO | errno.EPERM


def test_the_filter_fits_the_kernels_limit() -> None:
    held = rules(has_own_files=False, has_own_pids=False, signals_confined=False)

    assert len(assemble(held)) // 8 < 4096
