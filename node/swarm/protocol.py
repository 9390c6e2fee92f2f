"""What a node needs of a swarm; answered by a coordinator over gRPC or, alone, by local SQLite.

Both implementations pass one contract suite. Every method may raise ``autoresearch.errors.SwarmError``;
``Unavailable`` means that nothing was decided, and after a ``StateFileError`` (this machine's disk) the same
call may be made again. A verdict is data, never an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from autoresearch.model import (
    Beat,
    ClaimId,
    ClaimVerdict,
    Experiment,
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
    Result,
    Session,
    SourceHash,
    StartVerdict,
    Task,
    WorkingBest,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A result with all that a coordinator needs if it has never heard of the experiment.

    ``lease`` is None for a run without one.
    """

    result: Result
    experiment: Experiment
    source: bytes
    lease: Lease | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BestSource:
    """A working best with its code."""

    best: WorkingBest
    source: bytes


class Swarm(Protocol):
    """One challenge of one swarm, as one node sees it."""

    async def connect(self, hardware: Hardware, challenge: str = "") -> Session:
        """Opens a session on a challenge (name or id; empty for the first). Comes first; may be repeated."""

    async def next_task(self, *, can_propose: bool, can_train: bool) -> Task:
        """What to do next."""

    async def claim(
        self,
        claim_id: ClaimId,
        hypothesis: Hypothesis,
        parent_id: ExperimentId,
        *,
        queued_claim_id: ClaimId | None = None,
    ) -> ClaimVerdict:
        """May this be tried? Idempotent by claim id."""

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        """May this code be run? Raises LeaseLost."""

    async def release(self, lease: Lease, reason: str) -> None:
        """Gives a claim back; no error if it is gone."""

    async def publish(self, publication: Publication) -> Published:
        """Brings a result; idempotent by its id. When this returns, it is on disk."""

    async def heartbeat(self, claim_ids: Sequence[ClaimId], activity: str) -> Beat:
        """Renews leases."""

    async def best(self) -> BestSource | None:
        """What this class builds on; None before the first baseline."""

    async def source(self, experiment_id: ExperimentId) -> bytes:
        """The code of an experiment. Raises NotFound."""

    async def source_by_hash(self, source_hash: SourceHash) -> bytes:
        """The code with this hash, such as that of a waiting idea. Raises NotFound."""

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        """What was tried, for agents and readers."""

    async def experiment(self, experiment_id: ExperimentId) -> ExperimentSummary:
        """One experiment. Raises NotFound."""

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
        """Puts an idea into the queue; idempotent by its id. ``parent`` is what ``source`` is an edit of."""

    async def share(self, insight: Insight) -> None:
        """Brings a lesson with its evidence; idempotent by its id. When this returns, it is on disk."""

    async def insights(self, query: InsightQuery) -> tuple[Insight, ...]:
        """What was learned: the newest first or, with a text, the nearest. Written by strangers."""

    async def program(self) -> Program:
        """What the swarm's agents are told to look for at present."""

    async def close(self) -> None:
        """Ends connections."""
