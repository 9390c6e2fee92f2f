"""Small values that the tests of promotion are told in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from autoresearch.model import ExperimentId, HardwareClass, NodeId, OwnerId, Purpose, SourceHash

from coordinator.domain.class_state import Candidate, ClassState, Half, Rules, Slot
from coordinator.domain.draft import Context, Decision
from coordinator.domain.promotion import record_baseline, record_exploration, record_verification

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(direction="lower", prior_sd=0.01, baseline_runs=3)
CLASS = HardwareClass("cpu-test/torch-2.13")


def context(voters: Iterable[str] = (), *, rules: Rules = RULES, after: timedelta = timedelta()) -> Context:
    return Context(rules=rules, now=NOW + after, voters=frozenset(OwnerId(one) for one in voters))


def candidate(
    name: str,
    score: float,
    *,
    owner: str = "proposer",
    parent: str | None = "baseline",
    size: int = 0,
    proposer: str | None = None,
) -> Candidate:
    return Candidate(
        experiment_id=ExperimentId(name),
        source_hash=SourceHash(f"sha256:{name}"),
        parent_id=ExperimentId(parent) if parent else None,
        node_id=NodeId(f"node-of-{owner}"),
        owner_id=OwnerId(owner),
        title=name,
        screen_score=score,
        size=size,
        proposer_owner_id=OwnerId(proposer) if proposer else None,
    )


def open_class(
    scores: Iterable[float] = (1.0, 1.005, 0.995), *, rules: Rules = RULES, size: int = 0
) -> ClassState:
    state = ClassState(hardware_class=CLASS)
    for number, score in enumerate(scores):
        run = candidate("baseline", score, owner="challenge", parent=None, size=size)
        decision = record_baseline(state, context(rules=rules), run=run, node_id=NodeId("n"), number=number)
        state = decision.state
    return state


def explore(state: ClassState, one: Candidate, voters: Iterable[str] = ()) -> Decision:
    return record_exploration(state, context(voters), one)


def pair(
    state: ClassState,
    name: str,
    candidate_score: float | None,
    control_score: float | None,
    *,
    owner: str = "other",
    voters: Iterable[str] = (),
    control: str | None = None,
    is_vote: bool | None = None,
    number: int | None = None,
    rules: Rules = RULES,
    holdout_gap: float | None = None,
    hidden: tuple[float | None, float | None] = (None, None),
) -> Decision:
    """Both halves of a pair, with their hidden gaps; a vote if the owner is among the voters."""
    standing = state.standings[ExperimentId(name)]
    is_vote = owner in set(voters) if is_vote is None else is_vote
    control_id = ExperimentId(control) if control else (state.anchor_id if is_vote else standing.control_id)
    assert control_id is not None
    slot = Slot(
        candidate_id=ExperimentId(name),
        control_id=control_id,
        is_vote=is_vote,
        number=len(standing.pairs) if number is None else number,
    )
    verification_id = f"{name}-{len(standing.pairs)}-{len(standing.failures)}-{owner}"
    marks, changes, requeued = {}, (), ()
    for purpose, score, hidden_gap in (
        (Purpose.VERIFY_CANDIDATE, candidate_score, hidden[0]),
        (Purpose.VERIFY_CONTROL, control_score, hidden[1]),
    ):
        half = Half(
            verification_id=verification_id,
            slot=slot,
            purpose=purpose,
            owner_id=OwnerId(owner),
            node_id=NodeId(f"node-of-{owner}"),
            score=score,
            is_deterministic=score is None,
            holdout_gap=holdout_gap if purpose is Purpose.VERIFY_CANDIDATE else None,
            hidden_gap=hidden_gap,
        )
        decision = record_verification(state, context(voters, rules=rules), half)
        state = decision.state
        marks |= decision.marks
        changes += decision.changes
        requeued += decision.requeued
    return Decision(state=state, marks=marks, changes=changes, requeued=requeued)
