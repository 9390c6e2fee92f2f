"""A refuted best goes with all that was built on it; what survives is built on again."""

from __future__ import annotations

from dataclasses import replace

from autoresearch.model import ExperimentId, ExperimentState, Level, OwnerId
from class_builders import candidate, explore, open_class, pair

from coordinator.domain.class_state import ClassState, Trust
from coordinator.domain.refutation import REVIEW_RUNS
from coordinator.domain.trust import with_trust

VOTERS = ("ann", "bob", "cid")


def stacked() -> ClassState:
    """On the baseline x, which anybody's pairs passed, and on x the provisional y."""
    state = explore(open_class(), candidate("x", 0.95)).state
    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0).state
    state = explore(state, candidate("y", 0.90, parent="x")).state
    assert state.fallback_ids == ("baseline", "x")
    return state


def refute_x(state: ClassState):
    """Votes against x that were asked for before y came."""
    for index in range(3):
        decision = pair(state, "x", 1.02, 1.0, owner=VOTERS[index], voters=VOTERS, number=10 + index)
        state = decision.state
        if "x" not in state.standings:
            return decision
    raise AssertionError("x still stands")


def test_what_was_built_on_a_refuted_code_goes_back_and_waits_for_the_best_that_survives() -> None:
    decision = refute_x(stacked())

    state = decision.state
    assert decision.marks[ExperimentId("x")][0] is ExperimentState.REFUTED
    assert state.working is not None
    assert state.working.experiment_id == "y"
    assert state.working.control_id == "baseline"
    assert state.working.level is Level.PROVISIONAL
    assert "x" not in state.standings


def test_the_history_has_a_line_for_the_fall_and_one_for_the_return() -> None:
    decision = refute_x(stacked())

    fall, comeback = decision.changes[-2:]
    assert fall.best.experiment_id == "baseline"
    assert "refuted" in fall.reason
    assert comeback.best.experiment_id == "y"


def test_a_descendant_that_does_not_beat_the_survivor_is_queued_to_be_tried_on_it() -> None:
    state = stacked()
    y = state.standings[ExperimentId("y")]
    worse = replace(y, own_runs=(1.0, 1.0))
    state = replace(state, standings={**state.standings, y.experiment_id: worse})

    decision = refute_x(state)

    assert decision.state.working_id == "baseline"
    assert [one.experiment_id for one in decision.requeued] == ["y"]


def test_a_demoted_code_waits_by_its_screening_run_and_not_by_its_sealed_pairs() -> None:
    state = stacked()
    y = state.standings[ExperimentId("y")]
    seen = replace(y, own_runs=(0.92345,))
    state = replace(state, standings={**state.standings, y.experiment_id: seen})

    decision = refute_x(state)

    assert decision.state.standings[y.experiment_id].candidate == y.candidate
    reasons = [reason for _, reason in decision.marks.values()]
    assert not any("0.923" in reason or "0.0765" in reason for reason in reasons)


def test_what_does_not_descend_from_it_stays() -> None:
    state = stacked()
    y = state.standings[ExperimentId("y")]
    free = replace(y, control_id="baseline", candidate=replace(y.candidate, parent_id="baseline"))
    state = replace(state, standings={**state.standings, y.experiment_id: free})

    decision = refute_x(state)

    assert decision.state.working_id == "y"
    assert decision.state.fallback_ids == ("baseline",)
    assert decision.changes == ()


def test_late_halves_of_a_demoted_code_are_not_mixed_with_its_new_verification() -> None:
    decision = refute_x(stacked())

    assert decision.state.halves == ()
    assert decision.state.standings[ExperimentId("y")].pairs == ()


def confirmed(name: str, state: ClassState, gain: float) -> ClassState:
    assert state.confirmed is not None or state.baseline is not None
    best = (state.confirmed or state.baseline).mean
    for owner in VOTERS:
        state = with_trust(state, Trust(owner_id=OwnerId(owner), agreed=50, candour=5.0))
    state = explore(state, candidate(name, best - gain), VOTERS).state
    for owner in ("ann", "bob", "cid"):
        state = pair(state, name, best - gain, best, owner=owner, voters=VOTERS).state
    assert state.confirmed_id == name
    return state


def test_a_confirmed_best_that_never_was_better_falls_by_its_runs_as_a_control() -> None:
    state = confirmed("true", open_class(), 0.05)
    state = confirmed("lie", state, 0.05)
    decision, tried = None, 0
    while state.confirmed_id == "lie" and tried < 3 * REVIEW_RUNS:
        name = f"c{tried}"
        state = explore(state, candidate(name, 0.80 - 0.001 * tried, owner=f"p{tried}"), VOTERS).state
        for owner in ("ann", "bob", "cid"):
            if name in state.standings and state.confirmed_id == "lie":
                # What nodes really see: the lie scores 0.99, and so does nearly everything.
                control = 0.92 + 0.01 * min(tried, 7)
                decision = pair(state, name, control + 0.01, control, owner=owner, voters=VOTERS)
                state = decision.state
        tried += 1

    assert decision is not None
    assert state.confirmed_id == "true"
    assert decision.marks[ExperimentId("lie")][0] is ExperimentState.REFUTED
    assert decision.marks[ExperimentId("true")][0] is ExperimentState.BEST


def test_a_confirmed_best_that_holds_stays() -> None:
    state = confirmed("true", open_class(), 0.05)

    for index in range(2 * REVIEW_RUNS):
        name = f"c{index}"
        state = explore(state, candidate(name, 0.85), VOTERS).state
        for owner in ("ann", "bob", "cid"):
            if name in state.standings:
                noise = 0.01 if index % 2 else -0.01
                state = pair(state, name, 0.97 + noise, 0.95 + noise, owner=owner, voters=VOTERS).state

    assert state.confirmed_id == "true"
