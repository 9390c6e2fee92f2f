"""Which verification pair a node may run next: as many as the rule still needs, by whom it needs them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from autoresearch.evidence import next_look
from autoresearch.model import ExperimentId, Level, NodeId, OwnerId

from coordinator.domain.class_state import ClassState, Pair, Slot, Standing
from coordinator.domain.draft import OWNERS_TO_CONFIRM
from coordinator.domain.series import kept_votes, replications_of, required_test, votes_of
from coordinator.domain.trust import TRUTH_PAIRS, is_trusted, may_audit

UPGRADE_PAIRS_PER_OWNER = 4
"""Once the votes have passed, a further owner gets this many pairs to agree."""

CONFIRM_LOOKS = 3
"""A code that has passed may take this many times the pairs of the last look, by trusted owners, to be
confirmed."""

OWNERS_PER_LOOK = 3
"""With so many voting owners at hand no one of them brings more than a third of a look, rounded up."""


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
    active, other owners do, and nodes of those whose code it is only where nobody else is active.
    """
    standing = state.working
    if standing is None or standing.level in (Level.BASELINE, Level.CONFIRMED):
        return None
    own = standing.candidate.owners
    others = [one for one in workers if one.owner_id not in own]
    voting_owners = {one.owner_id for one in others if one.has_vote}
    if node.owner_id not in own and node.has_vote:
        return _vote(state, standing, node, frozenset(voting_owners | {node.owner_id}), live)
    is_own_but_need_not_be = node.owner_id in own and others
    if voting_owners or standing.has_passed or is_own_but_need_not_be or standing.control_id is None:
        return None
    return _replication(state, standing, standing.control_id, live)


def _replication(
    state: ClassState, standing: Standing, control_id: ExperimentId, live: Sequence[LiveSlot]
) -> Slot | None:
    done = replications_of(standing)
    running = _running(standing.experiment_id, control_id, live)
    test = required_test(standing.candidate, state.standings.get(control_id))
    target = next_look(len(done), test)
    if target is None or len(done) + len(running) >= target:
        return None
    all_pairs = [pair for pair in standing.pairs if pair.slot.control_id == control_id]
    return _free(standing.experiment_id, control_id, all_pairs, running, is_vote=False)


def _vote(
    state: ClassState,
    standing: Standing,
    node: Worker,
    voters: frozenset[OwnerId],
    live: Sequence[LiveSlot],
) -> Slot | None:
    anchor_id = state.anchor_id
    if anchor_id is None or anchor_id == standing.experiment_id or node.owner_id in standing.left_out:
        return None
    done = kept_votes(standing, anchor_id)
    running = [one for one in _running(standing.experiment_id, anchor_id, live) if one.slot.is_vote]
    test = required_test(standing.candidate, state.standings.get(anchor_id))
    if standing.has_passed_votes:
        trusted = {owner for owner in voters if is_trusted(state, owner, voters)}
        # Where anybody is trusted, only the trusted are asked: their pairs have to pass alone.
        spent = sum(pair.owner_id in trusted for pair in done) + len(running)
        asked = trusted if spent < CONFIRM_LOOKS * test.looks[-1].pairs else set[OwnerId]()
        is_wanted = _upgrades(standing, node, asked if trusted else voters, done, running)
    else:
        target = next_look(len(done), test)
        owners = len(voters - set(standing.left_out))
        is_wanted = target is not None and _fills_look(node, owners, done, running, target)
    if not is_wanted:
        return None
    return _free(standing.experiment_id, anchor_id, votes_of(standing, anchor_id), running, is_vote=True)


def _upgrades(
    standing: Standing,
    node: Worker,
    asked: Collection[OwnerId],
    done: Sequence[Pair],
    running: Sequence[LiveSlot],
) -> bool:
    """True if a further pair of a code whose votes have passed may bring what a confirmation still lacks.

    That is a second owner, or one whose trust is earned: once there are two, only owners in ``asked`` are.
    """
    is_enough = len(standing.confirmed_by) >= OWNERS_TO_CONFIRM
    own_done = sum(pair.owner_id == node.owner_id for pair in done)
    is_running = any(one.owner_id == node.owner_id for one in running)
    if is_running or own_done >= UPGRADE_PAIRS_PER_OWNER + is_enough:
        return False
    if not is_enough:
        return node.owner_id not in standing.confirmed_by
    return node.owner_id in asked


def _fills_look(
    node: Worker, owners: int, done: Sequence[Pair], running: Sequence[LiveSlot], target: int
) -> bool:
    """True if the next look still lacks a pair, and not of others than this owner."""
    own_done = sum(pair.owner_id == node.owner_id for pair in done)
    own_running = sum(one.owner_id == node.owner_id for one in running)
    return len(done) + len(running) < target and own_done + own_running < _share_of_look(target, owners)


def _share_of_look(target: int, owners: int) -> int:
    """How many pairs of a look one owner may bring: never all with another at hand, a third with two."""
    if owners <= 1:
        return target
    return target - 1 if owners < OWNERS_PER_LOOK else math.ceil(target / OWNERS_PER_LOOK)


def audit_slot(state: ClassState, node: Worker, live: Sequence[LiveSlot]) -> Slot | None:
    """A pair of a code that is decided, to see whether ``node`` reports what others did; None if none is due.

    Each owner is asked about a code once, the latest codes first.
    """
    audits = [one for one in live if one.slot.is_audit]
    if not node.has_vote or not may_audit(state, len(audits)):
        return None
    for decided in reversed(state.decided):
        others = [owner for owner, _ in decided.gains if owner != node.owner_id]
        mine = [one for one in audits if one.slot.candidate_id == decided.candidate_id]
        is_asked = node.owner_id in decided.audited or any(one.owner_id == node.owner_id for one in mine)
        if len(others) < TRUTH_PAIRS or is_asked:
            continue
        return Slot(
            candidate_id=decided.candidate_id,
            control_id=decided.control_id,
            is_vote=True,
            number=1 + max([len(decided.audited), *(one.slot.number for one in mine)]),
            is_audit=True,
        )
    return None


def _running(
    candidate_id: ExperimentId, control_id: ExperimentId, live: Sequence[LiveSlot]
) -> list[LiveSlot]:
    return [
        one
        for one in live
        if (one.slot.candidate_id, one.slot.control_id) == (candidate_id, control_id)
        and not one.slot.is_audit
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
