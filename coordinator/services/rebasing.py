"""Queues experiments that deserve another try on the present best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog
from autoresearch.errors import InvalidArgument, NotFound, SwarmError
from autoresearch.evidence import passes_screen
from autoresearch.model import (
    Experiment,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    Idea,
    IdeaKind,
    Intent,
    NodeId,
)

from coordinator.domain.class_state import Candidate
from coordinator.domain.combining import combination
from coordinator.domain.draft import Decision
from coordinator.services.catalog import REPLICATES, Entry
from coordinator.services.context import ChallengeContext
from coordinator.services.credit import proposer_of
from coordinator.services.own_ideas import Merged, OwnIdeas, Patch, Settled, Touching

RETRIES_LIMIT = 16
"""Edits of one refuted code that are queued again, those with the largest gains over it."""

RETRIED = "was built on {parent}, which was refuted, and beats it; queued to be tried on the present best"

_log = structlog.get_logger("coordinator.rebasing")


def with_retries(context: ChallengeContext, decision: Decision) -> Decision:
    """The decision with what else a refutation in it calls for.

    Whoever built on a code that was not what it seemed was screened against the best before it, and fell
    through for no fault of the edit. What beats the code that it was built on deserves to be tried on the
    present best.
    """
    refuted = [key for key, (state, _) in decision.marks.items() if state is ExperimentState.REFUTED]
    found = [one for parent_id in refuted for one in _wronged(context, parent_id, decision)]
    if not found:
        return decision
    marks = {
        one.experiment_id: (ExperimentState.COMPLETED, RETRIED.format(parent=one.parent_id)) for one in found
    }
    return replace(decision, marks={**decision.marks, **marks}, requeued=(*decision.requeued, *found))


def _wronged(context: ChallengeContext, parent_id: ExperimentId, decision: Decision) -> list[Candidate]:
    """Completed edits of a refuted code that gain enough on its mean, the largest gains first."""
    truth = context.catalog.judged_score_of(parent_id)
    if truth is None:
        return []
    spread, gains = decision.state.spread(context.rules), {}
    for entry in context.catalog.children(parent_id):
        experiment_id = entry.experiment.experiment_id
        score = context.catalog.judged_score_of(experiment_id)
        if score is None or experiment_id in decision.marks or not _is_plain(entry):
            continue
        gain = context.rules.gain(score.mean, truth.mean)
        if passes_screen(gain, spread):
            gains[_candidate(entry.experiment, score.mean)] = gain
    return sorted(gains, key=lambda one: gains[one], reverse=True)[:RETRIES_LIMIT]


def _is_plain(entry: Entry) -> bool:
    is_replication = any(flag.startswith(REPLICATES) for flag in entry.experiment.flags)
    return entry.state is ExperimentState.COMPLETED and not is_replication


def _candidate(experiment: Experiment, score: float) -> Candidate:
    return Candidate(
        experiment_id=experiment.experiment_id,
        source_hash=experiment.source_hash,
        parent_id=experiment.parent,
        node_id=experiment.node_id,
        owner_id=experiment.owner_id,
        title=experiment.hypothesis.title,
        screen_score=score,
        proposer_owner_id=experiment.proposer_owner_id,
    )


async def queue_candidates(
    context: ChallengeContext, candidates: Iterable[Candidate], *, node_id: NodeId | None = None
) -> None:
    """Queues candidates that lost their place, in the share of ``node_id`` or of their own nodes."""
    for candidate in candidates:
        entry = context.catalog.entry(candidate.experiment_id)
        if entry is not None:
            await queue_rebase(context, entry.experiment, node_id=node_id or candidate.node_id)


async def queue_rebase(context: ChallengeContext, experiment: Experiment, *, node_id: NodeId) -> None:
    """Queues an experiment's edit for the present best: with code where the two do not touch.

    What called for it is decided already: a failure is only logged.
    """
    try:
        await _queue_rebase(context, experiment, node_id)
    except SwarmError as error:
        _log.warning("rebase not queued", experiment=experiment.experiment_id, why=error.message)


async def _queue_rebase(context: ChallengeContext, experiment: Experiment, node_id: NodeId) -> None:
    own, material_id = OwnIdeas(context), experiment.experiment_id
    state = (await context.classes.get(experiment.hardware_class)).state
    if state.working_id is None or experiment.parent is None:
        return
    made = combination(state.working_id, (material_id,), context.catalog.step)
    patch = Patch(before_id=experiment.parent, after_id=material_id)
    merged = await _merged(own, patch, state.working_id, experiment.hardware_class)
    if isinstance(merged, Settled):
        _log.info("rebase not needed", experiment=material_id, why=merged.reason)
        return
    code = merged if isinstance(merged, Merged) else None
    idea = Idea(
        hypothesis_id=made.hypothesis_id,
        hypothesis=replace(experiment.hypothesis, intent=Intent.REBASE),
        node_id=node_id,
        proposed_at=context.clock(),
        origin_experiment_id=material_id,
        source_hash=code.code.source_hash if code else None,
        parents=made.parents if code else (),
        kind=IdeaKind.REBASE,
        material_ids=(material_id,),
        owner_id=proposer_of(experiment).owner_id,
    )
    share = context.settings.ideas_per_node
    if not await own.enqueue(idea, code.source if code else None, share=share):
        _log.info("rebase not queued", experiment=material_id, why=f"{share} ideas of its node wait")


async def _merged(
    own: OwnIdeas, patch: Patch, base_id: ExperimentId, hardware_class: HardwareClass
) -> Merged | Touching | Settled:
    """What cannot be read here an agent may be able to carry out by its words."""
    try:
        return await own.merge(base_id, [patch], hardware_class)
    except (NotFound, InvalidArgument):
        return Touching()
