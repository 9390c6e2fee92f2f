"""The pairs of a candidate as the two series that are judged, and the test that each has to pass."""

from __future__ import annotations

from autoresearch.edits import is_shorter
from autoresearch.evidence import BETTER, NOT_WORSE, SequentialTest
from autoresearch.model import ExperimentId

from coordinator.domain.class_state import Candidate, Pair, Standing


def required_test(candidate: Candidate, control: Standing | None) -> SequentialTest:
    """What a candidate has to show against a control: to be better or, where it is shorter, not worse."""
    if control is not None and is_shorter(candidate.size, control.candidate.size):
        return NOT_WORSE
    return BETTER


def votes_of(standing: Standing, anchor_id: ExperimentId | None) -> tuple[Pair, ...]:
    """Pairs of other voting owners against the class's anchor, in order of arrival."""
    return tuple(pair for pair in standing.pairs if pair.slot.is_vote and pair.slot.control_id == anchor_id)


def kept_votes(standing: Standing, anchor_id: ExperimentId | None) -> tuple[Pair, ...]:
    """The votes without those of owners who contradict the others."""
    return tuple(pair for pair in votes_of(standing, anchor_id) if pair.owner_id not in standing.left_out)


def replications_of(standing: Standing) -> tuple[Pair, ...]:
    """Pairs of anybody against the best that this code has to beat, in order of arrival.

    Without those of owners whose votes contradict the others.
    """
    return tuple(
        pair
        for pair in standing.pairs
        if pair.slot.control_id == standing.control_id and pair.owner_id not in standing.left_out
    )
