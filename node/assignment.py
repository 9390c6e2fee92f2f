"""A piece of work that is ready to train, and what the loop needs to know about the node itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from autoresearch.challenge import Challenge
from autoresearch.model import (
    ClaimId,
    Experiment,
    ExperimentId,
    Hardware,
    Hypothesis,
    Lease,
    NodeId,
    OwnerId,
    Purpose,
    Usage,
)

from node.agent.base import AgentContext
from node.library import source_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """Who this node is and what it works on; fixed for a session."""

    node_id: NodeId
    owner_id: OwnerId
    hardware: Hardware
    challenge: Challenge


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training to be made."""

    experiment: Experiment
    source: bytes
    seed: int
    val_seed: int
    purpose: Purpose
    verification_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One experiment, one baseline run, or the two runs of a verification pair, under one lease.

    ``context`` is what the agent knew when it had the idea; None for work that was not its own. ``usage`` is
    what it spent on the one run that there is then; None where it did nothing.
    """

    runs: tuple[Run, ...]
    lease: Lease
    title: str
    prepared_at: datetime
    context: AgentContext | None = None
    usage: Usage | None = None


class Leases(Protocol):
    """Whoever renews leases by heartbeat."""

    def hold(self, lease: Lease) -> None:
        """Renew this one from now on."""

    def drop(self, claim_id: ClaimId) -> None:
        """Renew it no longer."""

    def is_lost(self, claim_id: ClaimId) -> bool:
        """True once the coordinator said that the claim is somebody else's."""


def experiment_of(
    facts: NodeFacts,
    experiment_id: ExperimentId,
    hypothesis: Hypothesis,
    source: bytes,
    *,
    parents: tuple[ExperimentId, ...] = (),
    now: datetime,
) -> Experiment:
    """An experiment of this node."""
    return Experiment(
        experiment_id=experiment_id,
        challenge_id=facts.challenge.challenge_id,
        hypothesis=hypothesis,
        source_hash=source_hash(source),
        parents=parents,
        node_id=facts.node_id,
        owner_id=facts.owner_id,
        hardware_class=facts.hardware.hardware_class,
        created_at=now,
    )
