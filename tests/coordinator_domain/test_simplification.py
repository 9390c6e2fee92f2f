"""A shorter code need not be better: it must not be worse by half a spread."""

from __future__ import annotations

import math
import random

from autoresearch.evidence import (
    BETTER,
    NOT_WORSE,
    Verdict,
    margin,
    next_look,
    passes_screen,
    standard_error,
    verify,
)
from autoresearch.model import Level
from class_builders import RULES, candidate, explore, open_class, pair

from coordinator.domain.class_state import ClassState
from coordinator.domain.series import required_test
from coordinator.domain.verification import Worker, wanted_slot

SPREAD = RULES.prior_sd
LONG, SHORT = 400, 380


def share_passed(gain_in_spreads: float, runs: int, seed: int) -> float:
    rng = random.Random(seed)
    passed = 0
    for _ in range(runs):
        gains = [rng.gauss(gain_in_spreads, math.sqrt(2)) for _ in range(NOT_WORSE.looks[-1].pairs)]
        passed += verify(gains, 1.0, test=NOT_WORSE) is Verdict.PROMOTE
    return passed / runs


def pairs_of(state: ClassState, name: str, gain: float, count: int) -> ClassState:
    for _ in range(count):
        state = pair(state, name, 1.0 - gain, 1.0).state
    return state


def test_a_code_that_is_worse_by_the_margin_passes_in_at_most_one_of_twenty() -> None:
    assert share_passed(-0.5, 3_000, 1) < 0.05
    assert share_passed(-1.0, 3_000, 2) < 0.005


def test_an_equal_code_passes_often_and_a_better_one_nearly_always() -> None:
    assert share_passed(0.0, 2_000, 3) > 0.35
    assert share_passed(1.0, 1_000, 4) > 0.95


def test_the_same_gains_do_not_pass_as_an_improvement() -> None:
    gains = [0.005] * 24

    assert verify(gains, SPREAD, test=NOT_WORSE) is Verdict.PROMOTE
    assert verify(gains, SPREAD, test=BETTER) is Verdict.DROP
    assert next_look(8, NOT_WORSE) == 16
    assert next_look(8) is None


def test_only_a_shorter_code_passes_the_screen_without_a_gain() -> None:
    assert passes_screen(-0.004, SPREAD, test=NOT_WORSE)
    assert not passes_screen(-0.006, SPREAD, test=NOT_WORSE)
    assert not passes_screen(0.004, SPREAD)


def test_a_shorter_code_that_is_as_good_becomes_what_nodes_build_on() -> None:
    state = explore(open_class(size=LONG), candidate("short", 1.001, size=SHORT)).state

    provisional = state.working_id
    state = pairs_of(state, "short", 0.004, 8)

    assert provisional == "short"
    assert state.working is not None
    assert state.working.level is Level.SELF_REPLICATED


def test_a_code_of_the_same_length_with_the_same_scores_does_not() -> None:
    state = explore(open_class(size=LONG), candidate("same", 0.99, size=LONG - 1)).state

    state = pairs_of(state, "same", 0.004, 8)

    assert state.working_id == "baseline"


def test_a_code_of_unknown_length_is_no_simplification() -> None:
    state = open_class(size=0)

    decision = explore(state, candidate("short", 1.001, size=10))

    assert decision.state is state


def test_more_pairs_are_asked_for_than_an_improvement_needs() -> None:
    state = explore(open_class(size=LONG), candidate("short", 1.001, size=SHORT)).state
    state = pairs_of(state, "short", 0.0, 8)
    node = Worker(node_id="n", owner_id="other", has_vote=False)

    slot = wanted_slot(state, node, [node], ())

    assert state.working_id == "short"
    assert slot is not None


def test_larger_gains_are_verified_before_simplifications() -> None:
    state = explore(open_class(), candidate("first", 0.9, size=LONG)).state
    state = explore(state, candidate("short", 0.899, size=SHORT)).state
    state = explore(state, candidate("better", 0.8, size=LONG + 50)).state

    assert [one.experiment_id for one in state.waiting] == ["better", "short"]


def test_nothing_passes_that_did_not_gain_on_average() -> None:
    for look in NOT_WORSE.looks:
        bound = look.promote_above * standard_error(SPREAD, look.pairs) - margin(NOT_WORSE, SPREAD)

        assert bound > 0


def test_a_code_is_measured_by_what_it_is_compared_with() -> None:
    short = explore(open_class(size=LONG), candidate("short", 0.99, size=SHORT)).state.working

    assert required_test(candidate("x", 1.0, size=SHORT - 1), short) is BETTER
    assert required_test(candidate("x", 1.0, size=SHORT - 20), short) is NOT_WORSE
