"""Which layers hold a worker on this machine, decided before anything is started; refuses where too few can.

Sufficient is bubblewrap with seccomp, or Landlock that knows TCP with seccomp. Root needs Landlock that
confines signals for the latter, since nothing else keeps it from other processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.sandbox.landlock import ABI_WITH_SIGNALS, ABI_WITH_TCP
from trainer.sandbox.layers import BUBBLEWRAP, Layer, in_order
from trainer.sandbox.machine import Machine, survey

Policy = Literal["auto", "none"]
POLICIES: tuple[Policy, ...] = ("auto", "none")
OPT_OUT = (
    "or run it with --sandbox none: then a stranger's train.py can read your files, use your network and "
    "stop your programs"
)
BASE = frozenset(
    {
        Layer.EMPTY_ENVIRONMENT,
        Layer.OWN_SESSION,
        Layer.RESOURCE_LIMITS,
        Layer.MEMORY_WATCHDOG,
        Layer.PINNED_CORE,
        Layer.SCRATCH_DIRECTORY,
    }
)
"""What every worker gets, ``--sandbox none`` or not. Cores are pinned where there are several."""


class SandboxUnavailable(Exception):
    """This machine cannot hold a stranger's code; ``fix`` is what mends it, mostly one command."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}. Mend it with: {fix} {OPT_OUT}")
        self.problem = problem
        self.fix = fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The layers that a worker is to get, all of which this machine has; ``notes`` are for people."""

    policy: Policy
    layers: frozenset[Layer]
    machine: Machine
    notes: tuple[str, ...] = ()

    @property
    def uses_bubblewrap(self) -> bool:
        """Whether bubblewrap starts the worker."""
        return bool(self.layers & BUBBLEWRAP)

    @property
    def sentence(self) -> str:
        """The layers in words."""
        names = ", ".join(in_order(self.layers))
        return f"no sandbox, by your wish: {names}" if self.policy == "none" else f"sandbox: {names}"


def plan_sandbox(policy: Policy, *, machine: Machine | None = None) -> Plan:
    """Choose the layers.

    Args:
        policy: ``auto`` takes all that this machine has and refuses if that is too little; ``none`` is the
            volunteer's word that the code may do what they may do.
        machine: what it has; looked up where it is None.

    Raises:
        SandboxUnavailable: ``auto``, and this machine has too little.
    """
    found = machine or survey()
    base = BASE if found.is_linux else BASE - {Layer.RESOURCE_LIMITS, Layer.MEMORY_WATCHDOG}
    if policy == "none":
        return Plan(policy=policy, layers=base, machine=found)
    _refuse_too_little(found)
    layers = base | {Layer.SECCOMP} | (_of_bubblewrap(found) if found.bubblewrap else set())
    if found.landlock_abi:
        layers |= {Layer.LANDLOCK}
    if Layer.CAPPED_SCRATCH in layers:
        layers -= {Layer.SCRATCH_DIRECTORY}
    notes = () if found.bubblewrap else (f"{found.problem}; the sandbox is stronger with it: {found.fix}",)
    return Plan(policy=policy, layers=frozenset(layers), machine=found, notes=notes)


def _of_bubblewrap(machine: Machine) -> frozenset[Layer]:
    layers = BUBBLEWRAP - {Layer.USER_NAMESPACE} | {Layer.OTHER_USER} if machine.is_root else BUBBLEWRAP
    return layers | {Layer.CAPPED_SCRATCH} if "--size" in machine.options else layers


def _refuse_too_little(machine: Machine) -> None:
    if not machine.is_linux:
        raise SandboxUnavailable(
            "this system has no sandbox for strangers' code", "Linux, in a virtual machine for example,"
        )
    if not machine.has_seccomp:
        raise SandboxUnavailable(
            "this kernel or processor has no seccomp filters, without which there is no sandbox",
            "a usual Linux kernel on x86_64 or aarch64",
        )
    if machine.bubblewrap and machine.private_file:
        raise SandboxUnavailable(
            "run by root, the trainer gives strangers' code to another user, who cannot read "
            f"{machine.private_file}",
            f"chmod -R o+rX {machine.private_file}",
        )
    needed = ABI_WITH_SIGNALS if machine.is_root else ABI_WITH_TCP
    if not machine.bubblewrap and machine.landlock_abi < needed:
        has = f"Landlock {machine.landlock_abi}" if machine.landlock_abi else "no Landlock"
        raise SandboxUnavailable(
            f"{machine.problem}, and this kernel has {has} ({needed} would do alone), so there is no sandbox "
            "for strangers' code",
            machine.fix,
        )
