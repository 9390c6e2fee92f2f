"""What a worker needs of an accelerator: its device files, what its driver reads, and its libraries.

Every device of a kind is passed on; which of them a worker uses is told by the variables that its driver
reads (``CUDA_VISIBLE_DEVICES`` and the like).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.sandbox.places import without_nested

PASSED_ON = (
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "LD_LIBRARY_PATH",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCM_PATH",
    "ROCR_VISIBLE_DEVICES",
)
"""What a worker on an accelerator inherits of our environment: which devices, and where their drivers are."""

_DEVICES: Mapping[str, tuple[str, ...]] = {
    "cuda": (
        "dev/nvidiactl",
        "dev/nvidia-modeset",
        "dev/nvidia-uvm",
        "dev/nvidia-uvm-tools",
        "dev/nvidia[0-9]*",
        "dev/nvidia-caps",
        "dev/nvidia-caps-imex-channels",
        "dev/dxg",
    ),
    "rocm": ("dev/kfd", "dev/dri"),
}
_FACTS: Mapping[str, tuple[str, ...]] = {
    "cuda": (
        "sys/bus/pci",
        "sys/devices",
        "sys/module/nvidia",
        "sys/module/nvidia_uvm",
        "usr/lib/wsl",
        "etc/nvidia",
    ),
    "rocm": (
        "sys/bus/pci",
        "sys/class/drm",
        "sys/class/kfd",
        "sys/dev/char",
        "sys/devices",
        "sys/module/amdgpu",
        "opt/rocm*",
    ),
}
_FOLDERS_IN_ENVIRONMENT = ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH", "ROCM_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerators:
    """Existing paths of this machine; ``groups`` own the device files."""

    devices: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()


def find_accelerators(
    kinds: Sequence[str], environ: Mapping[str, str], root: Path = Path("/")
) -> Accelerators:
    """What is there for the device kinds of a challenge; nothing for a CPU.

    Args:
        kinds: of ``trainer.devices.DEVICE_KINDS``.
        environ: where CUDA or ROCm lie may be told here.
        root: of the file system, for tests.
    """
    devices = [path for kind in kinds for path in _existing(_DEVICES.get(kind, ()), root)]
    facts = [path for kind in kinds for path in _existing(_FACTS.get(kind, ()), root)]
    if {"cuda", "rocm"} & set(kinds):
        named = (part for name in _FOLDERS_IN_ENVIRONMENT for part in environ.get(name, "").split(os.pathsep))
        facts += [path for path in named if path.startswith("/") and path != "/" and Path(path).is_dir()]
    return Accelerators(
        devices=tuple(dict.fromkeys(devices)),
        facts=tuple(without_nested(facts)),
        groups=tuple(sorted({group for path in devices for group in _groups(Path(path))} - {0})),
    )


def _existing(patterns: Sequence[str], root: Path) -> list[str]:
    return [str(path) for pattern in patterns for path in sorted(root.glob(pattern))]


def _groups(path: Path) -> set[int]:
    nodes = [path, *path.iterdir()] if path.is_dir() else [path]
    return {node.stat().st_gid for node in nodes}
