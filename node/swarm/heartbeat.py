"""Keeps leases alive and hears what the swarm says in return: lost leases and new bests."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

import structlog
from autoresearch.errors import SwarmError
from autoresearch.limits import CLAIMS_PER_CALL_LIMIT
from autoresearch.model import Beat, ClaimId, ExperimentId, Lease, ProgramHash

JITTER = 0.2
"""Nodes that started together do not stay together: each wait is up to this share longer or shorter."""
LOST_REMEMBERED = 256

_log = structlog.get_logger(__name__)


class Heartbeat:
    """Renews the leases that are held, until it is cancelled; for one event loop."""

    def __init__(
        self,
        beat: Callable[[Sequence[ClaimId], str], Awaitable[Beat]],
        *,
        interval_s: float,
        on_lost: Callable[[ClaimId], None] = lambda _: None,
        activity: Callable[[], str] = lambda: "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
    ) -> None:
        """Beats through ``beat``, a ``Swarm.heartbeat``.

        Args:
            beat: Renews leases.
            interval_s: Seconds between beats, before jitter.
            on_lost: Told each lease that is somebody else's now, once.
            activity: What the node is doing, for readers.
            sleep: Waits.
            jitter: Spreads nodes over time.
        """
        self._beat = beat
        self._interval_s = interval_s
        self._has_new_interval = asyncio.Event()
        self._on_lost = on_lost
        self._activity = activity
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._held: OrderedDict[ClaimId, Lease] = OrderedDict()
        self._lost: OrderedDict[ClaimId, None] = OrderedDict()
        self._best: ExperimentId | None = None
        self._program: ProgramHash | None = None

    def hold(self, lease: Lease) -> None:
        """Renew this one from now on."""
        self._held[lease.claim_id] = lease
        self._lost.pop(lease.claim_id, None)

    def drop(self, claim_id: ClaimId) -> None:
        """Renew it no longer."""
        self._held.pop(claim_id, None)

    def is_lost(self, claim_id: ClaimId) -> bool:
        """True once the coordinator said that the claim is somebody else's."""
        return claim_id in self._lost

    def set_interval(self, interval_s: float) -> None:
        """What a new session asks for; the wait under way begins anew with it."""
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            self._has_new_interval.set()

    async def run(
        self,
        on_best: Callable[[ExperimentId], None] = lambda _: None,
        on_program: Callable[[ProgramHash], None] = lambda _: None,
    ) -> None:
        """Beats until cancelled; a beat that fails is told once, and the next one is due as ever.

        Args:
            on_best: Told the class's working best when it is another than at the last beat.
            on_program: Told the program.md that is in force, likewise.
        """
        told = ""
        while True:
            await self._wait()
            try:
                beat = await self.beat_once()
            except SwarmError as error:
                if error.message != told:
                    _log.warning(
                        "heartbeat failed", code=error.code, reason=error.message, leases=len(self._held)
                    )
                told = error.message
            else:
                if told:
                    _log.info("heartbeat works again", leases=len(self._held))
                told = ""
                if beat.best_experiment_id not in (None, self._best):
                    self._best = beat.best_experiment_id
                    on_best(beat.best_experiment_id)
                if beat.program_hash not in (None, self._program):
                    self._program = beat.program_hash
                    on_program(beat.program_hash)

    async def beat_once(self) -> Beat:
        """One beat now. Raises SwarmError."""
        asked = tuple(self._held)[:CLAIMS_PER_CALL_LIMIT]
        beat = await self._beat(asked, self._activity())
        for lease in beat.renewed:
            if lease.claim_id in self._held:  # it may have been dropped while the beat was under way
                self._held[lease.claim_id] = lease
                self._held.move_to_end(lease.claim_id)
        for claim_id in beat.lost:
            self._lose(claim_id)
        return beat

    async def _wait(self) -> None:
        """Until the next beat is due by the interval that counts at the end."""
        while True:
            self._has_new_interval.clear()
            wait_s = self._interval_s * self._jitter.uniform(1 - JITTER, 1 + JITTER)
            sleeping = asyncio.ensure_future(self._sleep(wait_s))
            hearing = asyncio.ensure_future(self._has_new_interval.wait())
            try:
                await asyncio.wait({sleeping, hearing}, return_when=asyncio.FIRST_COMPLETED)
                if sleeping.done():
                    sleeping.result()
                    return
            finally:
                sleeping.cancel()
                hearing.cancel()

    def _lose(self, claim_id: ClaimId) -> None:
        if self._held.pop(claim_id, None) is None:
            return
        _log.warning("a lease is lost; its result will count as late evidence", claim_id=claim_id)
        self._lost[claim_id] = None
        while len(self._lost) > LOST_REMEMBERED:
            self._lost.popitem(last=False)
        self._on_lost(claim_id)
