"""When a node leaves its machine to its owner: decided from time, the day's hours and the machine's state.

Nothing here looks or waits: ``node.machine`` looks, ``node.steward`` pauses.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time

from node.pausing import Cause

COOLER_BY_C = 5.0
"""Work goes on when it is this much below the limit, so that heat does not switch it on and off."""

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """A machine at one moment. ``others`` says who else works it, empty for nobody that counts."""

    temperature_c: float | None = None
    others: str = ""
    is_on_battery: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """A part of each day by the machine's clock on the wall; it may go over midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """From ``22:00-07:00``. Raises ValueError, whose message says what is wrong."""
        found = _HOURS.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no time of day; give hours such as 22:00-07:00")
        from_hour, from_minute, to_hour, to_minute = (int(part) for part in found.groups())
        start, end = time(from_hour, from_minute), time(to_hour, to_minute)
        if start == end:
            raise ValueError(f"{text!r} begins where it ends; use `pause` for always")
        return cls(start=start, end=end)

    def covers(self, at: time) -> bool:
        """True from the first minute to before the last."""
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """What the owner has set; None and False for what does not matter."""

    quiet: QuietHours | None = None
    gpu_hours_day: float | None = None
    temperature_max_c: float | None = None
    yields_to_others: bool = False
    rests_on_battery: bool = True


def causes(
    manners: Manners, *, at: datetime, spent_s: float, vitals: Vitals, held: Collection[Cause]
) -> Mapping[Cause, str]:
    """Why the node should pause now, in words.

    Args:
        manners: What the owner has set.
        at: Local time.
        spent_s: Seconds that accelerators of this node have trained today.
        vitals: The machine's state.
        held: The causes of the pause that holds already.
    """
    found: dict[Cause, str] = {}
    if manners.quiet is not None and manners.quiet.covers(at.time()):
        found[Cause.QUIET_HOURS] = f"quiet hours until {manners.quiet.end:%H:%M}"
    limit_h = manners.gpu_hours_day
    if limit_h is not None and spent_s >= limit_h * 3600.0:
        found[Cause.GPU_HOURS] = f"{spent_s / 3600.0:.1f} of {limit_h:g} GPU hours are used; on at midnight"
    limit_c = manners.temperature_max_c
    if limit_c is not None and vitals.temperature_c is not None:
        below_c = limit_c - COOLER_BY_C if Cause.HEAT in held else limit_c
        if vitals.temperature_c > below_c:
            found[Cause.HEAT] = f"{vitals.temperature_c:.0f} degrees C, over {below_c:g}"
    if manners.yields_to_others and vitals.others:
        found[Cause.OTHERS] = f"others use the machine: {vitals.others}"
    if manners.rests_on_battery and vitals.is_on_battery:
        found[Cause.BATTERY] = "on battery"
    return found
