"""What a worker computes on: detection, compute dtype, memory, and the peak that MFU is measured against."""

# ruff: noqa: PLC0415 - importing torch takes seconds, and the harness of a CPU challenge never needs it
from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DEVICE_KINDS = ("cuda", "rocm", "mps", "cpu")
_BF16_CAPABILITY = (8, 0)
_FP16_CAPABILITY = (7, 0)

_PEAK_TFLOPS = (
    (r"\bGB?200\b|\bB200\b", 2250.0),
    (r"\bB100\b", 1750.0),
    (r"\bH200\b", 989.5),
    (r"\bH100\b.*\bPCIe\b", 756.5),
    (r"\bH100\b.*\bNVL\b", 835.5),
    (r"\bH100\b|\bGH200\b", 989.5),
    (r"\bA100\b", 312.0),
    (r"\bA10G?\b", 125.0),
    (r"\bA40\b", 149.7),
    (r"\bL40S\b", 362.0),
    (r"\bL40\b", 181.0),
    (r"\bL4\b", 121.0),
    (r"\bRTX 6000 Ada\b", 364.2),
    (r"\bRTX 5090\b", 209.5),
    (r"\bRTX 4090\b", 165.2),
    (r"\bRTX 3090\b", 71.0),
    (r"\bMI300X\b", 1307.4),
    (r"\bMI250X\b", 383.0),
)
"""Device name -> dense bf16 TFLOP/s of the maker's data sheet, summed in fp32; the first match counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """What a run was made on; ``memory_mb`` is the accelerator's, or the machine's for a CPU."""

    kind: str
    name: str
    memory_mb: int
    torch: str


class NoDeviceError(Exception):
    """The machine has no device that the challenge allows; the message says what was looked for."""


def choose_device(wanted: str, allowed: tuple[str, ...]) -> str:
    """The kind to train on; imports torch unless only a CPU comes into question.

    Args:
        wanted: ``auto`` or one of ``DEVICE_KINDS``.
        allowed: the kinds that the challenge allows, best first.

    Raises:
        NoDeviceError: nothing that is wanted and allowed is there.
    """
    candidates = allowed if wanted == "auto" else tuple(kind for kind in allowed if kind == wanted)
    if not candidates:
        raise NoDeviceError(f"device {wanted!r} is not one this challenge allows: {', '.join(allowed)}")
    for kind in candidates:
        if kind == "cpu" or _is_present(kind):
            return kind
    raise NoDeviceError(f"this machine has none of: {', '.join(candidates)}; run it on one that has")


def torch_device(kind: str) -> torch.device:
    """The torch device of a kind; ROCm goes by the name of CUDA there."""
    import torch

    return torch.device("cuda" if kind in {"cuda", "rocm"} else kind)


def compute_dtype(kind: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float16 where that is quick, else float32."""
    import torch

    if kind == "rocm":
        return torch.bfloat16
    if kind == "cuda":
        capability = torch.cuda.get_device_capability()
        if capability >= _BF16_CAPABILITY:
            return torch.bfloat16
        return torch.float16 if capability >= _FP16_CAPABILITY else torch.float32
    return torch.float32


def describe_device(kind: str) -> DeviceReport:
    """Name and memory of the device that ``torch_device`` gives."""
    import torch

    version = str(torch.__version__).partition("+")[0]
    if kind in {"cuda", "rocm"}:
        properties = torch.cuda.get_device_properties(0)
        memory_mb = int(properties.total_memory) >> 20
        return DeviceReport(kind=kind, name=properties.name, memory_mb=memory_mb, torch=version)
    name = f"Apple {platform.machine()}" if kind == "mps" else cpu_name()
    return DeviceReport(kind=kind, name=name, memory_mb=machine_memory_mb(), torch=version)


def peak_accelerator_mb(kind: str) -> float:
    """The most accelerator memory that torch has held in this process; 0 for a CPU."""
    import torch

    if kind in {"cuda", "rocm"}:
        return float(torch.cuda.max_memory_allocated()) / (1 << 20)
    if kind == "mps":
        return float(torch.mps.driver_allocated_memory()) / (1 << 20)
    return 0.0


def peak_flops(device_name: str) -> float | None:
    """Peak dense bf16 FLOP/s of a known card, else None: an unknown card has no MFU."""
    for pattern, tflops in _PEAK_TFLOPS:
        if re.search(pattern, device_name):
            return tflops * 1e12
    return None


def cpu_name() -> str:
    """The processor's model as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def machine_memory_mb() -> int:
    """Physical memory of the machine."""
    return (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20


def _is_present(kind: str) -> bool:
    import torch

    if kind == "mps":
        return torch.backends.mps.is_available()
    is_rocm = torch.version.hip is not None
    return torch.cuda.is_available() and is_rocm == (kind == "rocm")
