"""Looks at clock and machine every few seconds, and pauses the node as its owner wishes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from node.gpu_hours import GpuHours
from node.loop import Trainer
from node.machine import Machine
from node.manners import Manners, causes
from node.pausing import Cause, Pauses
from node.training.report import TrainingReport
from node.training.runner import TrainingJob

LOOK_EVERY_S = 15.0

_OURS = frozenset(Cause) - {Cause.OWNER}
_log = structlog.get_logger(__name__)


class Steward:
    """Holds and lifts every cause but the owner's own; for one event loop."""

    def __init__(
        self,
        *,
        manners: Manners,
        machine: Machine,
        hours: GpuHours,
        pauses: Pauses,
        local_now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._manners = manners
        self._machine = machine
        self._hours = hours
        self._pauses = pauses
        self._local_now = local_now
        self._sleep = sleep
        self._held: frozenset[Cause] = frozenset()
        self._can_look = True

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await self._sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Once, now. A machine that cannot be looked at pauses nothing, which is said once."""
        try:
            vitals = await asyncio.to_thread(self._machine.look)
            spent_s = await asyncio.to_thread(self._hours.spent_s)
        except Exception as error:  # noqa: BLE001 - drivers raise what they like; the work goes on without
            if self._can_look:
                _log.warning("the machine cannot be looked at: it pauses nothing now", reason=str(error))
            self._can_look = False
            return
        self._can_look = True
        found = causes(self._manners, at=self._local_now(), spent_s=spent_s, vitals=vitals, held=self._held)
        for cause, reason in found.items():
            self._pauses.hold(cause, reason)
        for cause in _OURS - set(found):
            self._pauses.lift(cause)
        self._held = frozenset(found)


class MeteredTrainer:
    """A trainer whose time counts towards the day's hours, however a run ends."""

    def __init__(
        self, trainer: Trainer, hours: GpuHours, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._trainer = trainer
        self._hours = hours
        self._monotonic = monotonic

    async def run(self, job: TrainingJob) -> TrainingReport:
        began_at = self._monotonic()
        try:
            return await self._trainer.run(job)
        finally:
            await asyncio.shield(asyncio.to_thread(self._hours.add, self._monotonic() - began_at))
