"""What readers are told of a decision: gain, standard error, how many pairs, and by which rule."""

from __future__ import annotations

import pytest
from autoresearch.evidence import BETTER, NOT_WORSE
from autoresearch.model import ExperimentId, ExperimentState
from class_builders import candidate, explore, open_class, pair

from coordinator.domain.reasons import in_figures, why_dropped

X = ExperimentId("x")
SPREAD = 0.01


def reason_after(gains: tuple[float, ...], *, owner: str = "other", voters: tuple[str, ...] = ()) -> str:
    """The reason of the last pair that changed one."""
    state = explore(open_class(), candidate("x", 0.98)).state
    told = ""
    for gain in gains:
        decision = pair(state, "x", 1.0 - gain, 1.0, owner=owner, voters=voters)
        state = decision.state
        told = decision.marks[X][1] if X in decision.marks else told
    return told


def test_figures_are_the_mean_gain_and_its_standard_error() -> None:
    told = in_figures([0.01, 0.02, 0.03], SPREAD)

    assert told == "gain 0.02 on average, standard error 0.008165"


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((-0.004,) * 3, "-0.49 standard errors at 3 pairs are below 0"),
        ((0.002,) * 5, "0.32 standard errors at 5 pairs are below 0.8"),
        ((0.008,) * 8, "1.60 standard errors at 8 pairs are not above 2.35"),
        ((0.03,) * 3, "the mean of all its runs is not better than that of the code before it"),
    ],
)
def test_the_rule_is_named_with_what_it_compared(gains: tuple[float, ...], expected: str) -> None:
    assert why_dropped(gains, SPREAD, BETTER, is_disputed=False) == expected


def test_shorter_code_is_told_its_margin() -> None:
    told = why_dropped((-0.02,) * 4, SPREAD, NOT_WORSE, is_disputed=False)

    assert told == "with a margin of 0.005 for shorter code, -2.12 standard errors at 4 pairs are below 0"


def test_owners_who_disagree_are_named_as_the_reason() -> None:
    assert "disagree" in why_dropped((0.1,) * 8, SPREAD, BETTER, is_disputed=True)


def test_a_dropped_code_is_told_its_figures_and_the_rule() -> None:
    told = reason_after((-0.004,) * 3)

    assert told.startswith("dropped after 3 pairs that gain -0.004 on average, standard error 0.00")
    assert told.endswith("standard errors at 3 pairs are below 0")


def test_a_small_gain_is_told_its_figures_too() -> None:
    told = reason_after((0.003,) * 5, owner="ada", voters=("ada",))

    assert told.startswith("dropped after 5 pairs of other owners that gain 0.003 on average, standard error")
    assert told.endswith("at 5 pairs are below 0.8; the gain is kept for a bundle")


def test_one_owner_agrees_and_does_not_confirm() -> None:
    state = explore(open_class(), candidate("x", 0.95), ("ada",)).state
    for _ in range(3):
        decision = pair(state, "x", 0.95, 1.0, owner="ada", voters=("ada",))
        state = decision.state

    level, told = decision.marks[X]
    assert level is ExperimentState.CANDIDATE
    assert told.startswith("one-owner: 3 pairs")
    assert told.endswith("; agreed by ada")
