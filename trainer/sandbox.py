"""The seam through which a worker is launched, and the names of the layers that hold it.

What holds now: an environment built from nothing, a session of its own, resource limits, a scratch directory
as home and working directory, one core for CPU challenges, and an end that takes all descendants with it.

What this does not cover: the worker runs as the same user, with the network that this user has. It can

- signal the user's other processes and its harness, which then leaves no report (a program that called the
  harness sees a crash); its children may live on if it kills the harness while they have left its session;
- read and write the files of this user, its home directory, the prepared tokens and other runs' scratch
  directories among them. It could train before its budget begins, or change what later runs read;
- import this package and generate validation text wherever it knows or guesses the seed;
- open network connections;
- write outside its scratch directory: the harness watches only that one.

Of the harness's memory, descriptors and environment it sees nothing (``processes.forbid_inspection``), unless
both run as root. The time before ``ctx.start()`` is capped by the wall clock alone, on one core on a CPU
challenge where one is free. Run only code that you trust with all this, or on a machine that has nothing to
lose.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoresearch.challenge import Limits

from trainer import processes

OPEN_FILES_LIMIT = 4096
LOCKS_ROOT = Path("/tmp")  # noqa: S108 - one place for all trainers of a machine, whatever their TMPDIR
_PASSED_ON = (
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
)
"""What a worker on an accelerator inherits of our environment: which devices, and where their drivers are."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# glibc returns large blocks to the kernel at once and pays page faults to get them back: a quarter of the CPU
# time of a small model. Every run gets the same setting, so scores stay comparable.
_KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TOP_PAD_": str(1 << 26),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A running worker: its process, the socket that leads to it, its output, and the active layers."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    output_fd: int
    layers: tuple[str, ...]


def launch(
    *, scratch: Path, limits: Limits, on_cpu: bool, page_fd: int, compile_cache: Path | None, core: int | None
) -> Launched:
    """Start ``python -m trainer.worker`` in the sandbox.

    Args:
        scratch: its home and working directory; exists and is empty.
        limits: the challenge's caps; memory is capped by the kernel too on a CPU challenge.
        on_cpu: a CPU challenge, with one thread.
        page_fd: the budget page, inherited.
        compile_cache: where compiled kernels persist, or None for the scratch directory.
        core: the core that it is pinned to, or None.

    Raises:
        OSError: the process cannot be started.
    """
    ours, theirs = socket.socketpair()
    read_fd, write_fd = os.pipe()
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-m", "trainer.worker", str(theirs.fileno()), str(page_fd)],
                cwd=scratch,
                env=_environment(scratch, on_cpu=on_cpu, compile_cache=compile_cache),
                stdin=subprocess.DEVNULL,
                stdout=write_fd,
                stderr=write_fd,
                pass_fds=(theirs.fileno(), page_fd),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
    layers = ["empty-environment", "own-session", "scratch-directory"]
    layers += _limit(process.pid, limits, on_cpu=on_cpu)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
        layers.append("pinned-core")
    return Launched(process=process, channel=ours, output_fd=read_fd, layers=tuple(layers))


@contextlib.contextmanager
def claimed_core(locks: Path | None = None) -> Iterator[int | None]:
    """A core that no other trainer of this user on this machine has claimed, for the length of the block.

    None where there is only one, where all are taken, or where the platform cannot pin: then the scheduler
    decides, which is better than two workers on one core.
    """
    if not hasattr(os, "sched_getaffinity"):
        yield None
        return
    cores = sorted(os.sched_getaffinity(0))
    folder = locks or LOCKS_ROOT / f"autoresearch-cores-{os.getuid()}"
    with contextlib.ExitStack() as stack:
        yield _first_free(cores, folder, stack) if len(cores) > 1 else None


def _first_free(cores: list[int], folder: Path, stack: contextlib.ExitStack) -> int | None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for core in cores:
            lock = stack.enter_context((folder / f"core-{core}.lock").open("wb"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return core
    except OSError:
        return None
    return None


def _environment(scratch: Path, *, on_cpu: bool, compile_cache: Path | None) -> Mapping[str, str]:
    cache = compile_cache or scratch / "compiled"
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(_package_roots()),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
    }
    if on_cpu:
        return environment | _ONE_THREAD | _KEEP_FREED_MEMORY | {"CUDA_VISIBLE_DEVICES": ""}
    return environment | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _package_roots() -> list[str]:
    """Where our own packages lie, so that a worker finds them without an inherited environment."""
    roots: list[str] = []
    for name in ("trainer", "autoresearch"):
        spec = importlib.util.find_spec(name)
        for place in spec.submodule_search_locations or () if spec else ():
            root = str(Path(place).resolve().parent)
            if root not in roots:
                roots.append(root)
    return roots


def _limit(pid: int, limits: Limits, *, on_cpu: bool) -> list[str]:
    if not processes.IS_SUPPORTED:
        return []
    caps = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.scratch_mb << 20,
        resource.RLIMIT_NOFILE: OPEN_FILES_LIMIT,
    }
    if on_cpu:  # accelerators map far more than they use, so there the harness alone watches memory
        caps[resource.RLIMIT_DATA] = limits.memory_mb << 20
    with contextlib.suppress(ProcessLookupError):
        for kind, value in caps.items():
            _soft, hard = resource.prlimit(pid, kind)
            cap = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, kind, (cap, cap))
    return ["resource-limits"]
