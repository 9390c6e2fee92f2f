"""What a machine is like now: heat, who else works it, battery. Looked up anew at each call.

What cannot be told here (no sensor, no driver, another system) is left out, and pauses nothing. Processes
are told from the node's own by their parents, so those of another container are not seen.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from node.hardware import first_visible, nvml
from node.manners import Vitals
from node.training.relatives import descendants

OTHERS_SHARE = 0.5
"""Of all cores (or of a GPU's time, below) that others must use before they count."""

OTHERS_GPU_PERCENT = 10
OTHERS_GPU_MB = 256
PROCESS_NAME_CHARS = 40

_CPU_ZONE = re.compile(r"x86_pkg_temp|cpu|core|k10temp|soc", re.IGNORECASE)


class Machine(Protocol):
    """Whatever tells how the machine is. May raise anything that a driver raises."""

    def look(self) -> Vitals:
        """How it is now."""


class StillMachine:
    """A machine that stays as a test has set it."""

    def __init__(self, vitals: Vitals | None = None) -> None:
        self.vitals = vitals or Vitals()

    def look(self) -> Vitals:
        return self.vitals


class HostMachine:
    """A machine whose processor trains, by the files of its kernel."""

    def __init__(
        self,
        *,
        root_pid: int,
        root: Path = Path("/"),
        cores: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``root_pid`` is the first of the node's own processes."""
        self._root_pid = root_pid
        self._root = root
        self._cores = cores or os.cpu_count() or 1
        self._monotonic = monotonic
        self._tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
        self._before: tuple[float, float, float] | None = None

    def look(self) -> Vitals:
        zones = self._root.glob("sys/class/thermal/thermal_zone*")
        heats = [_number(zone / "temp") for zone in zones if _CPU_ZONE.search(_text(zone / "type"))]
        known = [heat / 1000.0 for heat in heats if heat is not None]
        return Vitals(
            temperature_c=max(known, default=None),
            others=self._others(),
            is_on_battery=is_on_battery(self._root),
        )

    def _others(self) -> str:
        """Who else kept the cores busy since the last look; the first one has nothing to compare with."""
        busy_s, own_s = self._busy_s(), self._own_s()
        if busy_s is None:
            return ""
        now = (self._monotonic(), busy_s, own_s)
        before, self._before = self._before, now
        if before is None or now[0] <= before[0]:
            return ""
        others = max(0.0, (now[1] - before[1]) - (now[2] - before[2])) / (now[0] - before[0])
        if others < OTHERS_SHARE * self._cores:
            return ""
        return f"{others:.1f} of {self._cores} cores are busy with something else"

    def _busy_s(self) -> float | None:
        """Seconds in which cores worked, since the start of the machine."""
        words = _text(self._root / "proc/stat").partition("\n")[0].split()
        if len(words) < 8 or words[0] != "cpu":  # noqa: PLR2004 - user nice system idle iowait irq softirq
            return None
        user, nice, system, _, _, irq, softirq = (int(word) for word in words[1:8])
        return (user + nice + system + irq + softirq) * self._tick_s

    def _own_s(self) -> float:
        """The same for the node's own processes, those included that it has waited for."""
        pids = {self._root_pid, *(relative.pid for relative in descendants(self._root_pid))}
        ticks = 0
        for pid in pids:
            fields = _text(self._root / f"proc/{pid}/stat").rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # utime stime cutime cstime
        return ticks * self._tick_s


class NvidiaMachine:
    """A machine on whose NVIDIA card the node trains, by the driver's library, loaded when it is asked."""

    def __init__(
        self,
        *,
        visible: str | None,
        root: Path = Path("/"),
        driver: Callable[[], AbstractContextManager[Any]] = nvml,
    ) -> None:
        """``visible`` is what CUDA_VISIBLE_DEVICES says, None where it says nothing."""
        self._visible = visible
        self._root = root
        self._driver = driver
        self._seen_us = 0

    def look(self) -> Vitals:
        with self._driver() as pynvml:
            if pynvml is None:
                return Vitals(is_on_battery=is_on_battery(self._root))
            card, part = first_visible(pynvml, self._visible)
            heat = pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU)
            return Vitals(
                temperature_c=float(heat),
                others=self._others(pynvml, card, part),
                is_on_battery=is_on_battery(self._root),
            )

    def _others(self, pynvml: Any, card: object, part: object | None) -> str:
        own = {os.getpid(), *(relative.pid for relative in descendants(os.getpid()))}
        busy = self._busy(pynvml, card) if part is None else None
        if busy is None:
            busy = _holders(pynvml, part or card)
        names = sorted({_process_name(self._root, pid) for pid in busy - own})
        return ", ".join(name for name in names if name)

    def _busy(self, pynvml: Any, card: object) -> set[int] | None:
        """Who used the card's time since the last look; None where the driver does not tell."""
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(card, self._seen_us)
        except pynvml.NVMLError as error:
            nothing_new = getattr(pynvml, "NVMLError_NotFound", ())
            return set() if isinstance(error, nothing_new) else None
        self._seen_us = max((sample.timeStamp for sample in samples), default=self._seen_us)
        return {sample.pid for sample in samples if sample.smUtil >= OTHERS_GPU_PERCENT}


def _holders(pynvml: Any, device: object) -> set[int]:
    """Who holds a good part of its memory for computing."""
    processes = pynvml.nvmlDeviceGetComputeRunningProcesses(device)
    return {one.pid for one in processes if (one.usedGpuMemory or 0) >> 20 >= OTHERS_GPU_MB}


def _process_name(root: Path, pid: int) -> str:
    """Empty for one that is gone, or that lives where this machine's files do not show it."""
    return _text(root / f"proc/{pid}/comm").strip()[:PROCESS_NAME_CHARS]


def is_on_battery(root: Path = Path("/")) -> bool:
    """True for a laptop that is not plugged in; a mouse's battery or a lone UPS is none of ours."""
    has_battery, is_plugged, can_be_plugged = False, False, False
    for supply in root.glob("sys/class/power_supply/*"):
        if _text(supply / "scope").strip() == "Device":
            continue
        match _text(supply / "type").strip():
            case "Battery":
                has_battery |= _text(supply / "status").strip() == "Discharging"
            case "Mains" | "USB":
                can_be_plugged = True
                is_plugged |= _number(supply / "online") == 1
    return has_battery and can_be_plugged and not is_plugged


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None
