from __future__ import annotations

import math
from datetime import timedelta

import pytest
from autoresearch.model import ExperimentId, ExperimentState, Level, NodeId, OwnerId
from class_builders import CLASS, NOW, RULES, candidate, context, explore, open_class, pair

from coordinator.domain.class_state import ClassState, Rules, dump_state, load_state
from coordinator.domain.draft import SETTLE_PATIENCE, WAITING_LIMIT, Context
from coordinator.domain.promotion import record_baseline, record_exploration, review

VOTERS = ("ann", "bob", "cid")


def test_nodes_build_on_the_baseline_after_its_first_run() -> None:
    run = candidate("baseline", 1.0, parent=None)

    decision = record_baseline(
        ClassState(hardware_class=CLASS), context(), run=run, node_id=NodeId("n"), number=2
    )

    assert decision.state.working_id == "baseline"
    assert decision.changes[0].best.level is Level.BASELINE
    assert not decision.state.is_open(RULES)


def test_candidates_of_a_class_that_is_not_open_are_screened_when_it_opens() -> None:
    state = open_class((1.0, 1.005))
    waiting = explore(explore(state, candidate("good", 0.9)).state, candidate("poor", 0.999)).state

    run = candidate("baseline", 0.995, parent=None)
    opened = record_baseline(waiting, context(), run=run, node_id=NodeId("n"), number=2)

    assert waiting.working_id == "baseline"
    assert opened.state.working_id == "good"
    assert opened.state.waiting == ()
    assert opened.marks[ExperimentId("poor")][0] is ExperimentState.COMPLETED


def test_a_run_within_half_a_spread_of_the_best_changes_nothing() -> None:
    state = open_class()

    decision = explore(state, candidate("same", 0.999))

    assert decision.state is state
    assert decision.marks == {}


def test_nodes_build_on_a_screened_run_at_once_and_the_best_before_it_is_kept() -> None:
    decision = explore(open_class(), candidate("x", 0.95))

    assert decision.state.working_id == "x"
    assert decision.state.fallback_ids == ("baseline",)
    assert decision.state.confirmed is None
    assert decision.changes[-1].best.level is Level.PROVISIONAL
    assert decision.marks[ExperimentId("x")][0] is ExperimentState.CANDIDATE


def test_a_second_screened_run_waits_while_the_first_is_verified() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state

    decision = explore(state, candidate("y", 0.90))

    assert decision.state.working_id == "x"
    assert [one.experiment_id for one in decision.state.waiting] == ["y"]
    assert decision.changes == ()


def test_the_largest_gain_waits_in_front_and_the_list_is_bounded() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state

    for index in range(WAITING_LIMIT + 1):
        decision = explore(state, candidate(f"c{index}", 0.90 - 0.001 * index))
        state = decision.state

    assert len(state.waiting) == WAITING_LIMIT
    assert state.waiting[0].experiment_id == f"c{WAITING_LIMIT}"
    assert decision.marks[ExperimentId("c0")][0] is ExperimentState.COMPLETED


def test_pairs_of_owners_without_a_vote_reach_self_replicated_and_no_more() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state

    for _ in range(3):
        decision = pair(state, "x", 0.95, 1.0)
        state = decision.state

    assert state.working is not None
    assert state.working.level is Level.SELF_REPLICATED
    assert state.confirmed is None
    assert decision.changes[-1].best.level is Level.SELF_REPLICATED


def test_one_voting_owner_makes_one_owner_and_a_second_confirms() -> None:
    state = explore(open_class(), candidate("x", 0.95), VOTERS).state

    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0, owner="ann", voters=VOTERS).state
    one = state
    two = pair(state, "x", 0.95, 1.0, owner="bob", voters=VOTERS)

    assert one.working is not None
    assert one.working.level is Level.ONE_OWNER
    assert two.state.confirmed_id == "x"
    assert two.state.confirmed is not None
    assert two.state.confirmed.confirmed_by == ("ann", "bob")
    assert two.marks[ExperimentId("x")][0] is ExperimentState.BEST


def test_an_owner_who_saw_no_gain_confirms_nothing() -> None:
    state = explore(open_class(), candidate("x", 0.95), VOTERS).state

    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0, owner="ann", voters=VOTERS).state
    state = pair(state, "x", 1.01, 1.0, owner="bob", voters=VOTERS).state

    assert state.working is not None
    assert state.working.level is Level.ONE_OWNER


def test_votes_refute_what_its_own_pairs_had_passed() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state
    for _ in range(3):
        state = pair(state, "x", 0.9, 1.0, owner="proposer").state
    assert state.working is not None
    assert state.working.level is Level.SELF_REPLICATED

    for _ in range(3):
        decision = pair(state, "x", 1.02, 1.0, owner="ann", voters=VOTERS)
        state = decision.state

    assert state.working_id == "baseline"
    assert decision.marks[ExperimentId("x")][0] is ExperimentState.REFUTED
    assert "refuted" in decision.changes[-1].reason


def test_a_refuted_best_gives_way_to_the_one_before_it() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state

    for _ in range(3):
        decision = pair(state, "x", 1.01, 1.0)
        state = decision.state

    assert state.working_id == "baseline"
    assert ExperimentId("x") not in state.standings
    assert decision.changes[-1].previous == "x"


def test_what_was_built_on_a_refuted_best_is_screened_anew() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state
    state = explore(state, candidate("child", 0.94, parent="x")).state

    for _ in range(3):
        decision = pair(state, "x", 1.01, 1.0)
        state = decision.state

    assert state.working_id == "child"
    assert state.working is not None
    assert state.working.control_id == "baseline"


def test_a_child_that_does_not_beat_the_restored_best_is_queued_again() -> None:
    state = explore(open_class((1.0, 1.04, 0.96)), candidate("x", 0.95)).state
    state = explore(state, candidate("child", 0.945, parent="x")).state
    assert [one.experiment_id for one in state.waiting] == ["child"]

    for _ in range(3):
        decision = pair(state, "x", 1.01, 0.90)
        state = decision.state

    assert state.working_id == "baseline"
    assert [one.experiment_id for one in decision.requeued] == ["child"]
    assert "refuted" in decision.marks[ExperimentId("child")][1]


def test_the_score_is_the_mean_of_verification_runs_never_the_lucky_one() -> None:
    state = explore(open_class(), candidate("x", 0.80)).state

    state = pair(state, "x", 0.97, 1.0).state
    state = pair(state, "x", 0.95, 1.0).state

    assert state.working is not None
    assert math.isclose(state.working.mean, 0.96)


def test_two_failures_where_the_control_ran_refute() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state

    state = pair(state, "x", None, 1.0).state
    survived = state.working_id
    decision = pair(state, "x", None, 1.0)

    assert survived == "x"
    assert decision.state.working_id == "baseline"
    assert decision.marks[ExperimentId("x")][0] is ExperimentState.REFUTED


def test_a_control_that_failed_voids_the_pair() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state

    for _ in range(4):
        state = pair(state, "x", 0.95, None).state
    for _ in range(4):
        state = pair(state, "x", None, None).state

    assert state.working_id == "x"
    assert state.working is not None
    assert state.working.pairs == ()
    assert state.working.failures == ()
    assert state.halves == ()


def test_the_next_candidate_comes_when_the_best_is_settled() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state
    state = explore(state, candidate("y", 0.90)).state

    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0).state

    assert state.working_id == "y"
    assert state.fallback_ids == ("baseline", "x")


def test_absent_voters_hold_up_the_waiting_candidates_only_so_long() -> None:
    state = explore(open_class(), candidate("x", 0.95), VOTERS).state
    state = explore(state, candidate("y", 0.90), VOTERS).state
    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0, owner="novote", voters=VOTERS).state

    soon = review(state, context(VOTERS, after=SETTLE_PATIENCE))
    later = review(state, context(VOTERS, after=SETTLE_PATIENCE + timedelta(seconds=1)))

    assert soon.state.working_id == "x"
    assert later.state.working_id == "y"


def test_votes_compare_with_the_confirmed_best_not_with_what_nobody_confirmed() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state
    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0).state
    state = explore(state, candidate("y", 0.90)).state

    for owner in ("ann", "bob", "ann", "ann"):
        decision = pair(state, "y", 0.95, 1.0, owner=owner, voters=VOTERS)
        state = decision.state

    assert state.confirmed_id == "y"
    assert state.fallback_ids == ()
    assert decision.marks[ExperimentId("x")][0] is ExperimentState.SUPERSEDED


def test_a_gain_in_pairs_without_a_better_mean_is_not_promoted() -> None:
    state = open_class([0.97] * 40)
    state = explore(state, candidate("x", 0.95)).state

    for _ in range(4):
        state = pair(state, "x", 0.98, 1.0).state

    assert state.working is not None
    assert state.working.level is Level.PROVISIONAL


def test_where_higher_is_better_the_signs_turn() -> None:
    rules = Rules(direction="higher", prior_sd=0.01, baseline_runs=3)
    state = open_class(rules=rules)

    worse = record_exploration(state, context(rules=rules), candidate("low", 0.9))
    better = record_exploration(state, context(rules=rules), candidate("high", 1.1))

    assert worse.state is state
    assert better.state.working_id == "high"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, True, "1.0"])
def test_what_is_no_score_never_reaches_the_state(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        candidate("x", score)


def test_a_repeated_half_changes_nothing() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state
    once = pair(state, "x", 0.95, 1.0).state

    again = pair(state, "x", 0.95, 1.0).state
    twice = load_state(dump_state(once), CLASS)

    assert again == once == twice


def test_the_state_survives_its_text() -> None:
    state = explore(open_class(), candidate("x", 0.95), VOTERS).state
    state = explore(state, candidate("y", 0.90), VOTERS).state
    state = pair(state, "x", 0.95, 1.0, owner="ann", voters=VOTERS).state
    state = pair(state, "x", None, 1.0, owner="bob", voters=VOTERS).state

    assert load_state(dump_state(state), CLASS) == state


def test_a_state_of_another_schema_is_refused() -> None:
    text = dump_state(open_class()).replace('"schema":4', '"schema":99')

    with pytest.raises(ValueError, match="schema 99"):
        load_state(text, CLASS)


def test_baseline_failures_are_counted_by_node() -> None:
    state = ClassState(hardware_class=CLASS)

    decision = record_baseline(state, Context(rules=RULES, now=NOW), run=None, node_id=NodeId("n1"), number=0)

    assert decision.state.baseline_failures == ("n1",)
    assert decision.changes == ()


def test_the_proposer_does_not_count_among_the_voters_needed() -> None:
    state = explore(open_class(), candidate("x", 0.95, owner="ann"), ("ann",)).state
    state = explore(state, candidate("y", 0.90), ("ann",)).state

    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0, owner="ann", is_vote=False, voters=("ann",)).state

    assert state.working_id == "y"
    assert OwnerId("ann") not in state.standings[ExperimentId("x")].confirmed_by


def test_the_owner_of_the_idea_does_not_count_among_the_voters_needed() -> None:
    one = candidate("x", 0.95, owner="runner", proposer="ann")
    state = explore(open_class(), one, ("ann",)).state
    state = explore(state, candidate("y", 0.90), ("ann",)).state

    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0, owner="runner", voters=("ann",)).state

    assert state.working_id == "y"


def test_a_candidate_keeps_whose_idea_it_was() -> None:
    state = explore(open_class(), candidate("x", 0.95, proposer="ann")).state

    read = load_state(dump_state(state), CLASS)

    assert read == state
    assert read.standings[ExperimentId("x")].candidate.owners == {"proposer", "ann"}


def test_a_baseline_slot_counts_once() -> None:
    state = open_class()

    again = record_baseline(
        state, context(), run=candidate("baseline", 0.1, parent=None), node_id=NodeId("n"), number=2
    )

    assert again.state is state


def test_a_run_waits_behind_a_provisional_best_that_it_does_not_beat() -> None:
    state = explore(open_class(), candidate("lie", 0.5, owner="liar")).state

    state = explore(state, candidate("honest", 0.9)).state
    for _ in range(3):
        decision = pair(state, "lie", 1.2, 1.0)
        state = decision.state

    assert state.working_id == "honest"


def test_a_run_that_does_not_beat_the_verified_best_does_not_wait() -> None:
    state = explore(open_class(), candidate("x", 0.9)).state

    decision = explore(state, candidate("poor", 0.999))

    assert decision.state is state


def test_what_waited_behind_a_best_that_held_is_queued_to_be_tried_on_it() -> None:
    state = explore(open_class(), candidate("x", 0.8)).state
    state = explore(state, candidate("old", 0.9)).state
    state = explore(state, candidate("child", 0.85, parent="x")).state

    requeued = []
    for _ in range(3):
        decision = pair(state, "x", 0.8, 1.0)
        requeued += [one.experiment_id for one in decision.requeued]
        state = decision.state

    assert state.working_id == "x"
    assert state.waiting == ()
    assert requeued == ["old"]


def test_one_owner_cannot_fill_the_waiting_list() -> None:
    state = explore(open_class(), candidate("x", 0.95)).state
    for index in range(WAITING_LIMIT + 2):
        state = explore(state, candidate(f"c{index}", 0.5 + 0.001 * index, owner="liar")).state

    decision = explore(state, candidate("honest", 0.9))

    waiting = [one.experiment_id for one in decision.state.waiting]
    assert "honest" in waiting
    assert len(waiting) == WAITING_LIMIT
    assert decision.marks[ExperimentId(f"c{WAITING_LIMIT - 1}")][0] is ExperimentState.COMPLETED


def test_a_slot_that_is_filled_counts_no_second_pair() -> None:
    state = explore(open_class(), candidate("x", 0.9)).state
    state = pair(state, "x", 0.9, 1.0, number=0).state

    again = pair(state, "x", 1.5, 1.0, number=0, owner="second")

    assert again.state.standings[ExperimentId("x")] == state.standings[ExperimentId("x")]
