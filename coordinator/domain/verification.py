"""Which verification pair a node may run next: as many as the rule still needs, by whom it needs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoresearch.evidence import next_look
from autoresearch.model import ExperimentId, Level, NodeId, OwnerId

from coordinator.domain.class_state import ClassState, Pair, Slot, Standing
from coordinator.domain.draft import replications_of, votes_of

UPGRADE_PAIRS_PER_OWNER = 3
"""Once the votes have passed, a further owner gets this many pairs to agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A node that is active in the class now."""

    node_id: NodeId
    owner_id: OwnerId
    has_vote: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSlot:
    """A slot that a node holds a lease on."""

    slot: Slot
    node_id: NodeId
    owner_id: OwnerId


def wanted_slot(
    state: ClassState, node: Worker, workers: Iterable[Worker], live: Sequence[LiveSlot]
) -> Slot | None:
    """The pair that ``node`` should run for the class's working best, or None.

    Other owners with a vote come first and fill the series that can confirm; while none of them is
    active, other owners do, and the proposer's own nodes only where nobody else is active.
    """
    standing = state.working
    if standing is None or standing.level in (Level.BASELINE, Level.CONFIRMED):
        return None
    others = [one for one in workers if one.owner_id != standing.candidate.owner_id]
    voting_owners = {one.owner_id for one in others if one.has_vote}
    if node.owner_id != standing.candidate.owner_id and node.has_vote:
        return _vote(state, standing, node, len(voting_owners | {node.owner_id}), live)
    is_own_but_need_not_be = node.owner_id == standing.candidate.owner_id and others
    if voting_owners or standing.has_passed or is_own_but_need_not_be or standing.control_id is None:
        return None
    return _replication(standing, standing.control_id, live)


def _replication(standing: Standing, control_id: ExperimentId, live: Sequence[LiveSlot]) -> Slot | None:
    done = replications_of(standing)
    running = _running(standing.experiment_id, control_id, live)
    target = next_look(len(done))
    if target is None or len(done) + len(running) >= target:
        return None
    return _free(standing.experiment_id, control_id, done, running, is_vote=False)


def _vote(
    state: ClassState, standing: Standing, node: Worker, voting_owners: int, live: Sequence[LiveSlot]
) -> Slot | None:
    anchor_id = state.anchor_id
    if anchor_id is None or anchor_id == standing.experiment_id:
        return None
    done = votes_of(standing, anchor_id)
    running = [one for one in _running(standing.experiment_id, anchor_id, live) if one.slot.is_vote]
    own_done = sum(pair.owner_id == node.owner_id for pair in done)
    own_running = sum(one.owner_id == node.owner_id for one in running)
    if standing.has_passed_votes:
        if node.owner_id in standing.confirmed_by or own_running or own_done >= UPGRADE_PAIRS_PER_OWNER:
            return None
    else:
        target = next_look(len(done))
        if target is None or len(done) + len(running) >= target:
            return None
        # One pair of each look is left to a second owner, if there is one: one owner cannot confirm alone.
        if voting_owners > 1 and own_done + own_running >= target - 1:
            return None
    return _free(standing.experiment_id, anchor_id, done, running, is_vote=True)


def _running(
    candidate_id: ExperimentId, control_id: ExperimentId, live: Sequence[LiveSlot]
) -> list[LiveSlot]:
    return [
        one for one in live if one.slot.candidate_id == candidate_id and one.slot.control_id == control_id
    ]


def _free(
    candidate_id: ExperimentId,
    control_id: ExperimentId,
    done: Sequence[Pair],
    running: Sequence[LiveSlot],
    *,
    is_vote: bool,
) -> Slot:
    taken = {pair.slot.number for pair in done if pair.slot.is_vote is is_vote}
    taken |= {one.slot.number for one in running if one.slot.is_vote is is_vote}
    number = next(number for number in range(len(taken) + 1) if number not in taken)
    return Slot(candidate_id=candidate_id, control_id=control_id, is_vote=is_vote, number=number)
