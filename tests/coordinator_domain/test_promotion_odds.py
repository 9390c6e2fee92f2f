"""How often the whole path, from the screen to the rule, is right."""

from __future__ import annotations

import random

from autoresearch.evidence import LOOKS
from autoresearch.model import ExperimentId
from class_builders import RULES, candidate, explore, open_class, pair

from coordinator.domain.class_state import ClassState

SPREAD = RULES.prior_sd
BASELINE_RUNS = 10
"""A class that is some days old; with the three runs of its opening the odds are 0.8 % and 85 %."""


def is_promoted(rng: random.Random, gain_in_spreads: float) -> bool:
    """Whether an edit of a true gain gets past the screen and the rule in a class of its own."""

    def run(mean: float) -> float:
        return rng.gauss(mean, SPREAD)

    true_mean = 1.0 - gain_in_spreads * SPREAD
    state: ClassState = open_class([run(1.0) for _ in range(BASELINE_RUNS)])
    state = explore(state, candidate("x", run(true_mean))).state
    for _ in range(LOOKS[-1].pairs):
        standing = state.standings.get(ExperimentId("x"))
        if standing is None or standing.has_passed:
            break
        state = pair(state, "x", run(true_mean), run(1.0)).state
    standing = state.standings.get(ExperimentId("x"))
    return standing is not None and standing.has_passed


def test_fewer_than_one_in_a_hundred_null_edits_are_promoted() -> None:
    rng = random.Random(20260101)

    promoted = sum(is_promoted(rng, 0.0) for _ in range(4_000))

    assert promoted < 40


def test_most_edits_that_gain_two_spreads_are_promoted() -> None:
    rng = random.Random(20260102)

    promoted = sum(is_promoted(rng, 2.0) for _ in range(400))

    assert promoted > 300
