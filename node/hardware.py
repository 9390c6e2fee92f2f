"""What this machine is, found out without importing torch: the class that scores are compared within.

A class names the accelerator's model, form factor or partition, its memory, a lowered power limit, and
torch's minor release, since the budget is time and each of these changes how much fits into it:
``nvidia-h100-sxm-80gb/torch-2.13``, ``cpu-intel-xeon-platinum-8481c/torch-2.13``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoresearch.model import Hardware, HardwareClass

PROBE_TIMEOUT_S = 10.0
MODEL_LIMIT_CHARS = 60
POWER_BUCKET_W = 50
POWER_LOWERED_BELOW = 0.97
"""A limit within 3 % of the default is a rounding of the driver, not a choice."""

_SIZES_GB = (
    *(2, 3, 4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 36, 40, 48, 64, 80, 94, 96, 128, 141, 144, 180, 192),
    *(256, 288, 512),
)
DEVICE_KINDS = ("cuda", "rocm", "mps", "cpu")
VISIBLE = {"cuda": "CUDA_VISIBLE_DEVICES", "rocm": "HIP_VISIBLE_DEVICES"}
"""The variable by which a runtime is told which cards there are for it."""

_NOISE = re.compile(
    r"\((?:r|tm|c)\)|\b(?:cpu|processor|geforce|graphics|corporation|inc|core)\b|@.*$|\bw?ith radeon.*$",
    re.IGNORECASE,
)
_MEMORY_IN_NAME = re.compile(r"\b\d+\s?GB\b", re.IGNORECASE)
_SXM_BY_MEMORY = re.compile(r"\bHBM\d\w?\b", re.IGNORECASE)
_SXM_ONLY = frozenset({"h200", "b200", "b100", "h20"})
"""Cards that are sold as SXM modules unless their name says otherwise."""


class HardwareError(Exception):
    """There is nothing here that the challenge can be run on; the message says what was looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One kind of device as found: its name as reported, memory, and what makes it another class."""

    kind: str
    name: str
    memory_mb: float
    model: str
    count: int = 1


def detect_hardware(
    allowed: Sequence[str], wanted: str = "auto", environ: Mapping[str, str] | None = None
) -> Hardware:
    """The device of this machine that a challenge will be run on.

    Args:
        allowed: The kinds that the challenge allows, best first.
        wanted: ``auto`` or one kind.
        environ: Says which accelerators the process that trains will see; this process's if None.

    Raises:
        HardwareError: Nothing that is wanted and allowed is here.
    """
    kinds = [kind for kind in allowed if wanted in {"auto", kind}]
    if not kinds:
        raise HardwareError(f"device {wanted!r} is not one this challenge allows: {', '.join(allowed)}")
    torch_version = installed_torch()
    for kind in kinds:
        device = _PROBES[kind](os.environ if environ is None else environ) if kind in _PROBES else None
        if device is not None:
            minor = ".".join(torch_version.split(".")[:2]) if torch_version else "none"
            return Hardware(
                hardware_class=HardwareClass(f"{device.model}/torch-{minor}"),
                device_kind=device.kind,
                device_name=device.name,
                memory_mb=device.memory_mb,
                torch_version=torch_version,
                device_count=device.count,
            )
    raise HardwareError(f"this machine has none of: {', '.join(kinds)}; join from one that has")


def installed_torch() -> str:
    """The version of torch that is installed, without its build suffix; empty if none is."""
    try:
        return importlib.metadata.version("torch").partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def cpu_model(name: str) -> str:
    """``Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz`` -> ``cpu-intel-xeon-platinum-8481c``."""
    return f"cpu-{_slug(_NOISE.sub(' ', name)) or 'unknown'}"


def nvidia_model(
    name: str, *, memory_mb: float, partition: str = "", limit_w: float = 0.0, default_w: float = 0.0
) -> str:
    """``NVIDIA H100 80GB HBM3`` -> ``nvidia-h100-sxm-80gb``; partitions and lowered power limits are told.

    Args:
        name: As the driver reports it.
        memory_mb: Of the card or the partition.
        partition: A MIG profile such as ``1g.10gb``; empty for a whole card.
        limit_w: The power limit in force, 0 if unknown.
        default_w: The card's default limit, 0 if unknown.
    """
    words = _slug(_NOISE.sub(" ", _MEMORY_IN_NAME.sub(" ", name)))
    is_sxm = _SXM_BY_MEMORY.search(name) is not None or words.removeprefix("nvidia-") in _SXM_ONLY
    words = re.sub(r"-hbm\d\w?\b", "", words)
    words = re.sub(r"-sxm\d\b", "-sxm", words)
    if is_sxm and not re.search(r"-(sxm|pcie|nvl)\b", words):
        words += "-sxm"
    model = words if words.startswith("nvidia") else f"nvidia-{words}"
    if partition:
        model += f"-mig-{_slug(partition)}"
    else:
        model += f"-{nominal_gb(memory_mb)}gb"
    if limit_w and default_w and limit_w < default_w * POWER_LOWERED_BELOW:
        model += f"-{round(limit_w / POWER_BUCKET_W) * POWER_BUCKET_W}w"
    return model


def nominal_gb(memory_mb: float) -> int:
    """The size on the box: drivers report a little less than the whole, or count in other units."""
    gib = memory_mb / 1024.0
    for size in _SIZES_GB:
        if size >= gib / 1.01:
            return size if gib >= size * 0.92 else max(1, round(gib))
    return round(gib)


def list_cards(kind: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What the runtime calls each accelerator of a kind here, in order; partitions count one by one.

    NVIDIA's are named by UUID, since CUDA's numbers and the driver's need not be the same.
    """
    named = _visible(environ.get(VISIBLE.get(kind, ""), None))
    if named is not None:
        return tuple(named)
    match kind:
        case "cuda":
            return _cuda_cards()
        case "rocm":
            return tuple(str(number) for number in range(len(_rocm_cards())))
        case _:
            return ()


def _visible(text: str | None) -> list[str] | None:
    """The entries of a list of visible devices; None where all are visible. -1 ends the list."""
    if text is None:
        return None
    entries = [part.strip() for part in text.split(",") if part.strip()]
    return entries[: entries.index("-1")] if "-1" in entries else entries


def _cuda_cards() -> tuple[str, ...]:
    with nvml() as pynvml:
        if pynvml is None:
            return ()
        cards: list[str] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            parts = _partitions(pynvml, handle)
            cards += [_text(pynvml.nvmlDeviceGetUUID(part)) for part in parts or [handle]]
        return tuple(cards)


@contextmanager
def nvml() -> Iterator[Any]:
    """The driver's library, ready for use; None where there is no driver, as with any failure of it."""
    try:
        import pynvml  # noqa: PLC0415 - loads the driver's library

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - any failure of the driver means: no CUDA here
        yield None
        return
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _partitions(pynvml: Any, handle: object) -> list[Any]:
    """The MIG partitions of a card; empty for a whole one."""
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
        if not current:
            return []
        count = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except Exception:  # noqa: BLE001 - see _power
        return []
    parts = []
    for index in range(count):
        with contextlib.suppress(Exception):  # places without a partition raise
            parts.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
    return parts


def _cuda(environ: Mapping[str, str]) -> Device | None:
    with nvml() as pynvml:
        if pynvml is None:
            return None
        try:
            return _cuda_device(pynvml, environ)
        except pynvml.NVMLError:
            return None


def _cuda_device(pynvml: Any, environ: Mapping[str, str]) -> Device | None:
    visible = environ.get(VISIBLE["cuda"])
    entries, count = _visible(visible), pynvml.nvmlDeviceGetCount()
    seen = count if entries is None else min(len(entries), count)
    if seen == 0:
        return None
    handle, part = first_visible(pynvml, visible)
    name = _text(pynvml.nvmlDeviceGetName(handle))
    memory_mb = pynvml.nvmlDeviceGetMemoryInfo(handle).total / 2**20
    limit_w, default_w = _power(pynvml, handle)
    partition, memory_mb = _partition(pynvml, part, memory_mb)
    model = nvidia_model(name, memory_mb=memory_mb, partition=partition, limit_w=limit_w, default_w=default_w)
    return Device(kind="cuda", name=name, memory_mb=float(int(memory_mb)), model=model, count=seen)


def first_visible(pynvml: Any, visible: str | None) -> tuple[Any, Any]:
    """The first card that CUDA will see, and the partition of it if it is one, else None.

    Args:
        pynvml: The driver's library, as ``nvml`` gives it.
        visible: What CUDA_VISIBLE_DEVICES says, by number or UUID; None where it says nothing.
    """
    entry = next(iter(_visible(visible) or ()), "0")
    if entry.startswith("MIG-"):
        part = pynvml.nvmlDeviceGetHandleByUUID(entry)
        return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part), part
    if entry.startswith("GPU-"):
        handle = pynvml.nvmlDeviceGetHandleByUUID(entry)
    else:
        number = int(entry) if entry.isdigit() and int(entry) < pynvml.nvmlDeviceGetCount() else 0
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    return handle, next(iter(_partitions(pynvml, handle)), None)


def _power(pynvml: object, handle: object) -> tuple[float, float]:
    """Limit and default limit in watts; zeros where the card does not tell."""
    try:
        limit = pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000.0  # type: ignore[attr-defined]
        default = pynvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000.0  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - the library raises one class per driver error
        return 0.0, 0.0
    return float(limit), float(default)


def _partition(pynvml: Any, part: object | None, memory_mb: float) -> tuple[str, float]:
    """The MIG profile in use, with its memory; empty for a whole card."""
    if part is None:
        return "", memory_mb
    try:
        name = _text(pynvml.nvmlDeviceGetName(part))
        part_mb = pynvml.nvmlDeviceGetMemoryInfo(part).total / 2**20
    except Exception:  # noqa: BLE001 - see _power
        return "", memory_mb
    profile = re.search(r"\d+g\.\d+gb", name)
    return profile.group() if profile else f"{nominal_gb(part_mb)}gb", part_mb


def _rocm_cards() -> list[tuple[str, float]]:
    """Name and memory of each card, from the kernel driver's topology: it needs no ROCm library."""
    cards = []
    for node in sorted(
        Path("/sys/class/kfd/kfd/topology/nodes").glob("*"), key=lambda path: path.name.zfill(8)
    ):
        try:
            properties = dict(
                line.split(maxsplit=1)
                for line in (node / "properties").read_text().splitlines()
                if " " in line
            )
            if int(properties.get("simd_count", "0")) == 0:
                continue  # a CPU node
            name = (node / "name").read_text().strip() or "AMD GPU"
            banks = sorted((node / "mem_banks").glob("*/properties"))
            sizes = [re.search(r"size_in_bytes (\d+)", bank.read_text()) for bank in banks]
            cards.append((name, max((int(size.group(1)) for size in sizes if size), default=0) / 2**20))
        except (OSError, ValueError):
            continue
    return cards


def _rocm(environ: Mapping[str, str]) -> Device | None:
    cards = _rocm_cards()
    visible = _visible(environ.get(VISIBLE["rocm"]))
    if visible is not None:
        cards = [cards[int(entry)] for entry in visible if entry.isdigit() and int(entry) < len(cards)]
    if not cards:
        return None
    name, memory_mb = cards[0]
    marketing = _output("rocm-smi", "--showproductname", "--csv")
    match = re.search(r"(?:Instinct\s+)?(MI\d+\w*|RX \d+\w*(?: XTX?)?|PRO W\d+\w*)", marketing)
    label = match.group(1) if match else name
    model = f"amd-{_slug(label)}-{nominal_gb(memory_mb)}gb"
    return Device(kind="rocm", name=label, memory_mb=float(int(memory_mb)), model=model)


def _mps(environ: Mapping[str, str]) -> Device | None:
    del environ  # there is one at most
    if sys.platform != "darwin" or platform.machine() != "arm64":
        return None
    name = _output("sysctl", "-n", "machdep.cpu.brand_string") or "Apple silicon"
    cores = re.search(r"Total Number of Cores: (\d+)", _output("system_profiler", "SPDisplaysDataType"))
    memory_mb = machine_memory_mb()
    suffix = f"-{cores.group(1)}core" if cores else ""
    model = f"{_slug(name)}{suffix}-{nominal_gb(memory_mb)}gb"
    return Device(kind="mps", name=name, memory_mb=memory_mb, model=model)


def _cpu(environ: Mapping[str, str]) -> Device | None:
    del environ  # the processor is seen by all
    name = cpu_name()
    return Device(kind="cpu", name=name, memory_mb=machine_memory_mb(), model=cpu_model(name))


_PROBES = {"cuda": _cuda, "rocm": _rocm, "mps": _mps, "cpu": _cpu}


def cpu_name() -> str:
    """The processor's model as the system names it."""
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    for key in ("model name", "Model", "Hardware", "cpu model"):
        for line in lines:
            if line.startswith(key):
                return line.partition(":")[2].strip()[: MODEL_LIMIT_CHARS * 2]
    return platform.machine()


def machine_memory_mb() -> float:
    """Physical memory of the machine."""
    return float((os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> 20)


def _output(*argv: str) -> str:
    """What a system tool prints, empty if it is not there or fails."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _slug(text: str) -> str:
    words = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
    return re.sub(r"-{2,}", "-", words)[:MODEL_LIMIT_CHARS].rstrip("-.")
