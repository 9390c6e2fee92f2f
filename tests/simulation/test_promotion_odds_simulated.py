"""The simulation of promotion, small: the full one is ``scripts/bench/promotion_odds.py``."""

from __future__ import annotations

import promotion_odds as simulation


def test_null_edits_are_hardly_ever_promoted_and_large_gains_mostly() -> None:
    null = simulation.odds(11, 0.0, 1_500)
    large = simulation.odds(12, 2.0, 300)

    assert null["passed"] <= 0.015
    assert large["passed"] >= 0.78


def test_trusted_votes_confirm_what_pairs_of_anybody_pass() -> None:
    null = simulation.odds(13, 0.0, 300, has_votes=True)
    large = simulation.odds(14, 3.0, 100, has_votes=True)

    assert null["passed"] <= 0.02
    assert large["passed"] >= 0.9


def test_shorter_code_passes_unless_it_is_worse() -> None:
    worse = simulation.odds(15, -1.0, 200, size=simulation.SHORTER)
    better = simulation.odds(16, 1.0, 100, size=simulation.SHORTER)

    assert worse["passed"] <= 0.02
    assert better["passed"] >= 0.7


def test_a_swarm_on_the_mix_gets_better_and_audits_less_than_a_tenth() -> None:
    figures = simulation.mixed_swarm(17, 250)

    assert figures["true_gain_in_spreads"] > 0
    assert figures["of_these_by_more_than_half_a_spread"] == 0
    assert figures["audit_share_of_runs"] <= 0.1
    assert figures["runs_per_experiment"] < 5
