"""Queues experiments that deserve another try on the present best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog
from autoresearch.errors import SwarmError
from autoresearch.model import Experiment, HypothesisId, Idea, Intent, NodeId, new_id

from coordinator.domain.class_state import Candidate
from coordinator.services.context import ChallengeContext

_log = structlog.get_logger("coordinator.rebasing")


async def queue_candidates(
    context: ChallengeContext, candidates: Iterable[Candidate], *, node_id: NodeId | None = None
) -> None:
    """Queues candidates that lost their place, in the share of ``node_id`` or of their own nodes."""
    for candidate in candidates:
        entry = context.catalog.entry(candidate.experiment_id)
        if entry is not None:
            await queue_rebase(context, entry.experiment, node_id=node_id or candidate.node_id)


async def queue_rebase(context: ChallengeContext, experiment: Experiment, *, node_id: NodeId) -> None:
    """Queues an experiment's hypothesis. What called for it is decided already: a failure is only logged."""
    idea = Idea(
        hypothesis_id=HypothesisId(new_id()),
        hypothesis=replace(experiment.hypothesis, intent=Intent.REBASE),
        node_id=node_id,
        proposed_at=context.clock(),
        origin_experiment_id=experiment.experiment_id,
    )
    try:
        await context.store.enqueue(idea, None, max_per_node=context.settings.ideas_per_node)
    except SwarmError as error:
        _log.warning("rebase not queued", experiment=experiment.experiment_id, why=error.message)
