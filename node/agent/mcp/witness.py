"""The node's swarm, with a desk that hears what the node claims, starts, gives back and publishes.

An agent is told little of what becomes of its ideas; a researcher outside the node wants to know all of it.
Nothing is asked, changed or held up here.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.errors import SwarmError
from autoresearch.model import (
    Beat,
    ClaimId,
    ClaimVerdict,
    ExperimentId,
    ExperimentPage,
    ExperimentQuery,
    ExperimentSummary,
    Hardware,
    Hypothesis,
    HypothesisId,
    Insight,
    InsightQuery,
    Lease,
    Program,
    Published,
    Session,
    SourceHash,
    StartVerdict,
    Task,
)

from node.agent.mcp.desk import Desk
from node.swarm.protocol import BestSource, Publication, Swarm


class WitnessedSwarm:
    """``Swarm`` that passes everything on, and tells the desk of it."""

    def __init__(self, swarm: Swarm, desk: Desk) -> None:
        self._swarm = swarm
        self._desk = desk

    async def claim(
        self,
        claim_id: ClaimId,
        hypothesis: Hypothesis,
        parent_id: ExperimentId,
        *,
        queued_claim_id: ClaimId | None = None,
    ) -> ClaimVerdict:
        try:
            verdict = await self._swarm.claim(
                claim_id, hypothesis, parent_id, queued_claim_id=queued_claim_id
            )
        except BaseException as error:
            self._desk.failed(f"it could not be claimed: {_why(error)}")
            raise
        self._desk.claim_answered(verdict)
        return verdict

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        try:
            verdict = await self._swarm.start(lease, experiment_id, source)
        except BaseException as error:
            self._desk.failed(f"it could not be started: {_why(error)}")
            raise
        self._desk.start_answered(experiment_id, verdict)
        return verdict

    async def release(self, lease: Lease, reason: str) -> None:
        self._desk.released(lease.claim_id, reason)
        await self._swarm.release(lease, reason)

    async def publish(self, publication: Publication) -> Published:
        experiment, result = publication.experiment, publication.result
        try:
            published = await self._swarm.publish(publication)
        except SwarmError as error:
            self._desk.published(experiment, result, None, f"not published yet: {error.message}")
            raise
        self._desk.published(experiment, result, published.state)
        return published

    # What is only passed on

    async def connect(self, hardware: Hardware, challenge: str = "") -> Session:
        return await self._swarm.connect(hardware, challenge)

    async def next_task(self, *, can_propose: bool, can_train: bool) -> Task:
        return await self._swarm.next_task(can_propose=can_propose, can_train=can_train)

    async def heartbeat(self, claim_ids: Sequence[ClaimId], activity: str) -> Beat:
        return await self._swarm.heartbeat(claim_ids, activity)

    async def best(self) -> BestSource | None:
        return await self._swarm.best()

    async def source(self, experiment_id: ExperimentId) -> bytes:
        return await self._swarm.source(experiment_id)

    async def source_by_hash(self, source_hash: SourceHash) -> bytes:
        return await self._swarm.source_by_hash(source_hash)

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        return await self._swarm.experiments(query)

    async def experiment(self, experiment_id: ExperimentId) -> ExperimentSummary:
        return await self._swarm.experiment(experiment_id)

    async def propose(
        self,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None,
        origin: ExperimentId | None,
        *,
        priority: int = 0,
        parent: ExperimentId | None = None,
    ) -> None:
        await self._swarm.propose(hypothesis_id, hypothesis, source, origin, priority=priority, parent=parent)

    async def share(self, insight: Insight) -> None:
        await self._swarm.share(insight)

    async def insights(self, query: InsightQuery) -> tuple[Insight, ...]:
        return await self._swarm.insights(query)

    async def program(self) -> Program:
        return await self._swarm.program()

    async def close(self) -> None:
        await self._swarm.close()


def _why(error: BaseException) -> str:
    if isinstance(error, SwarmError):
        return error.message
    return "the node turned to something else"
