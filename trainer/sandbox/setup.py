"""One worker's layers in the words of those who make them: bubblewrap, the worker itself, its environment."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoresearch.challenge import Limits

from trainer.sandbox import bubblewrap, landlock, places, seccomp
from trainer.sandbox.accelerators import PASSED_ON, find_accelerators
from trainer.sandbox.bubblewrap import View
from trainer.sandbox.confine import Confinement
from trainer.sandbox.layers import Layer
from trainer.sandbox.machine import memory_mb, tasks_of_user, unprivileged_uid
from trainer.sandbox.policy import Plan
from trainer.sandbox.seccomp import Rules

OPEN_FILES_LIMIT = 4096
TASKS_LIMIT_CPU, TASKS_LIMIT_ACCELERATOR = 256, 4096
"""Processes and threads of a worker; compilers for accelerators start dozens of processes."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# glibc returns large blocks to the kernel at once and pays page faults to get them back: a quarter of the CPU
# time of a small model. Every run gets the same setting, so scores stay comparable.
_KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be started.

    ``scratch`` exists and is empty; ``keeps_scratch`` leaves what the worker writes there. ``device_kinds``,
    ``limits`` and ``patience`` are the challenge's. ``page_fd`` is the budget page. ``compile_cache`` is a
    folder in which compiled kernels persist; ``core`` is the one that the worker is pinned to.
    """

    scratch: Path
    limits: Limits
    device_kinds: tuple[str, ...]
    page_fd: int
    compile_cache: Path | None = None
    core: int | None = None
    keeps_scratch: bool = False
    patience: int = 1

    @property
    def on_cpu(self) -> bool:
        """A CPU challenge, with one thread."""
        return self.device_kinds == ("cpu",)


class Setup:
    """One worker's layers, put into the words of those who make them."""

    def __init__(self, plan: Plan, order: Order, layers: frozenset[Layer]) -> None:
        self.plan = plan
        self.order = order
        self.layers = layers
        self.accelerators = find_accelerators(order.device_kinds, os.environ)
        self.user = unprivileged_uid() if Layer.OTHER_USER in layers else None
        cache = [str(order.compile_cache)] if order.compile_cache else []
        self.view = View(
            readable=places.without_nested([*places.readable_places(), *self.accelerators.facts]),
            devices=self.accelerators.devices,
            writable=cache,
            scratch_bytes=self._scratch_bytes(),
            scratch_from=str(order.scratch),
        )
        is_wrapped = plan.uses_bubblewrap
        self.scratch = bubblewrap.scratch_inside(self.view, layers) if is_wrapped else str(order.scratch)

    @property
    def program(self) -> str:
        """bubblewrap, or nothing where the worker is started as it is."""
        return self.plan.machine.bubblewrap if self.plan.uses_bubblewrap else ""

    @property
    def wrapper_filter(self) -> bytes:
        """The seccomp filter that bubblewrap loads; empty for none."""
        return seccomp.assemble(self._rules(0)) if Layer.SECCOMP in self.layers else b""

    def wrapper_arguments(self, filter_fd: int | None) -> list[str]:
        """What bubblewrap is told, but for the command."""
        return bubblewrap.arguments(
            self.view,
            self.environment(),
            self.layers,
            features=self.plan.machine.options,
            seccomp_fd=filter_fd,
        )

    def environment(self) -> dict[str, str]:
        """The worker's, whole."""
        cache = self.order.compile_cache or Path(self.scratch) / "compiled"
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": self.scratch,
            "TMPDIR": self.scratch,
            "LANG": "C.UTF-8",
            "USER": "worker",
            "PYTHONPATH": os.pathsep.join(places.package_roots()),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
            "TRITON_CACHE_DIR": str(cache / "triton"),
            "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",  # 0.3 GB of scratch that no later run reads
        }
        if self.order.on_cpu:
            environment |= _ONE_THREAD | _KEEP_FREED_MEMORY | {"CUDA_VISIBLE_DEVICES": ""}
        else:
            environment |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return environment if Layer.EMPTY_ENVIRONMENT in self.layers else {**os.environ, **environment}

    def hand_over_folders(self) -> None:
        """Make another user the owner of the folders that it writes to."""
        if self.user is None:
            return
        for folder in (self.order.scratch, self.order.compile_cache):
            if folder is not None:
                _hand_over(folder, self.user)

    def confinement(self, pid: int) -> Confinement:
        """What the worker, process ``pid`` where nothing wraps it, does to itself."""
        layers, machine = self.layers, self.plan.machine
        is_filtered = Layer.SECCOMP in layers
        installs = is_filtered and not self.plan.uses_bubblewrap
        sees_host = Layer.FILE_VIEW not in layers
        own = ("/proc/self", *places.PROC_FACTS)
        abi = machine.landlock_abi if Layer.LANDLOCK in layers else 0
        return Confinement(
            folder=self.scratch,
            limits=self._limits() if Layer.RESOURCE_LIMITS in layers else {},
            user=self.user,
            groups=self.accelerators.groups,
            drops_capabilities=machine.is_root and self.plan.policy == "auto" and self.user is None,
            landlock_abi=abi,
            confines_signals=True,
            readable=[*self.view.readable, *own] if sees_host else ["/"],
            writable=[self.scratch, *self.view.writable],
            devices=[*places.PLAIN_DEVICES, *self.view.devices],
            filter_base64=base64.b64encode(seccomp.assemble(self._rules(pid))).decode() if installs else "",
            is_filtered=is_filtered,
        )

    def _rules(self, pid: int) -> Rules:
        arch = seccomp.native_arch()
        assert arch is not None  # noqa: S101 - the survey told so
        landlock_abi = self.plan.machine.landlock_abi if Layer.LANDLOCK in self.layers else 0
        is_alone = self.plan.uses_bubblewrap or landlock_abi >= landlock.ABI_WITH_SIGNALS
        return Rules(
            arch=arch,
            is_pinned=Layer.PINNED_CORE in self.layers,
            on_cpu=self.order.on_cpu,
            has_own_files=Layer.FILE_VIEW in self.layers,
            has_own_pids=Layer.PID_NAMESPACE in self.layers,
            signals_confined=is_alone,
            own_pid=pid,
        )

    def _limits(self) -> Mapping[str, int]:
        limits = self.order.limits
        caps = {
            "RLIMIT_CORE": 0,
            "RLIMIT_FSIZE": limits.scratch_mb << 20,
            "RLIMIT_NOFILE": OPEN_FILES_LIMIT,
        }
        if self.plan.policy == "auto":
            caps |= {"RLIMIT_MSGQUEUE": 0, "RLIMIT_NPROC": self._tasks_limit()}
        if self.order.on_cpu:  # accelerators map far more than they use, so there the harness alone watches
            caps["RLIMIT_DATA"] = limits.memory_mb << 20
        return caps

    def _tasks_limit(self) -> int:
        """Where the kernel counts the worker with its user, there is room for what they may start."""
        is_counted_apart = Layer.USER_NAMESPACE in self.layers and self.plan.machine.has_namespace_limits
        if self.user is None and not is_counted_apart:
            return TASKS_LIMIT_ACCELERATOR + tasks_of_user(os.getuid())
        return TASKS_LIMIT_CPU if self.order.on_cpu else TASKS_LIMIT_ACCELERATOR

    def _scratch_bytes(self) -> int | None:
        if Layer.CAPPED_SCRATCH not in self.layers:
            return None
        return min(self.order.limits.scratch_mb, memory_mb() // 2) << 20


def _hand_over(folder: Path, user: int) -> None:
    """Make a user the owner of a folder and all in it, whatever links lie there."""
    os.chown(folder, user, user, follow_symlinks=False)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place) / name, user, user, follow_symlinks=False)
