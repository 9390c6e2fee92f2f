"""The simulation of lying owners, small: the full one is ``scripts/bench/liars.py``."""

from __future__ import annotations

import argparse
import math
import random
import statistics

import liars
import pytest
from autoresearch.challenge import HiddenGap
from autoresearch.model import ExperimentId
from simulated_gaps import HiddenGaps
from simulated_swarm import ReaderHere

PUBLISHES = 400
POLICY = HiddenGap(metric="hidden_gap_bpb", pair_sd=0.02, run_sd=0.03, sigmas=4.0)


@pytest.fixture(scope="module")
def reader() -> ReaderHere:
    return ReaderHere()


async def test_liars_on_their_own_confirm_nothing_and_honest_owners_go_on(reader: ReaderHere) -> None:
    figures = await liars.simulate(reader, lying=6, colluding=False, publishes=PUBLISHES, seed=5)

    assert figures["confirmed_by_forged_results"] == 0
    assert figures["confirmed"] > 0
    assert figures["audit_share_of_runs"] <= 0.1
    assert figures["true_gain_in_spreads"] > 0


async def test_a_swarm_of_three_confirms_although_nobody_is_trusted_at_first(reader: ReaderHere) -> None:
    figures = await liars.simulate(reader, lying=0, colluding=False, publishes=250, seed=6, owners=3)

    assert figures["confirmed"] > 0
    assert figures["confirmed_by_forged_results"] == 0


async def test_a_swarm_of_two_goes_on_without_confirming(reader: ReaderHere) -> None:
    figures = await liars.simulate(reader, lying=0, colluding=False, publishes=150, seed=7, owners=2)

    assert figures["confirmed"] == 0
    assert figures["true_gain_of_working_in_spreads"] > 0


async def test_a_forged_bad_result_refuses_nobody_while_its_owner_is_not_trusted(
    reader: ReaderHere,
) -> None:
    figures = await liars.simulate(
        reader,
        lying=2,
        colluding=False,
        publishes=120,
        seed=3,  # a swarm in which none of them earns trust
        owners=6,
        strategies=("blocker",),
        retry_chance=1.0,
    )

    retries = figures["retries_of_spoilt_edits"]
    assert figures["trusted_liars"] == []
    assert retries["refused_on_a_trusted_word"] == 0
    assert retries["spoilt_edits"] > 0
    assert retries["granted"] == retries["asked"] > 0
    assert retries["refused"] == 0


async def test_every_strategy_lies_and_is_reported_by_its_name(reader: ReaderHere) -> None:
    lying = len(liars.INDEPENDENT)

    figures = await liars.simulate(reader, lying=lying, colluding=False, publishes=PUBLISHES, seed=0)

    assert set(figures["by_strategy"]) == set(liars.INDEPENDENT)
    assert figures["forged_experiments"] > 0
    assert figures["confirmed_by_forged_results"] == 0


async def test_a_killer_who_invents_gaps_refutes_no_true_gain_alone(reader: ReaderHere) -> None:
    figures = await liars.simulate(
        reader, lying=1, colluding=False, publishes=PUBLISHES, seed=4, strategies=("killer",)
    )

    assert figures["codes_with_forged_gaps"] > 0
    assert figures["true_gains_refuted_by_forged_gaps"] == 0
    assert figures["refuted_by_honest_gaps"] == 0


def test_honest_gaps_vary_as_the_policy_says_and_those_of_a_pair_together() -> None:
    gaps = HiddenGaps(POLICY, random.Random(1))

    pairs = [gaps.of_pair() for _ in range(4000)]

    assert statistics.stdev(gaps.of_run() for _ in range(4000)) == pytest.approx(POLICY.run_sd, rel=0.05)
    assert statistics.stdev(one for one, _ in pairs) == pytest.approx(POLICY.run_sd, rel=0.05)
    assert statistics.stdev(one - other for one, other in pairs) == pytest.approx(POLICY.pair_sd, rel=0.05)


def test_an_invented_gap_stays_what_it_is_for_a_candidate_and_always_makes_it_look_ahead() -> None:
    gaps = HiddenGaps(POLICY, random.Random(2))
    ids = [ExperimentId(f"x{number}") for number in range(100)]

    first = [gaps.invented(one) for one in ids]
    again = [gaps.invented(one) for one in reversed(ids)]

    lies = [one for one in first if one is not None]
    assert first == again[::-1]
    assert 0 < len(lies) < len(first)
    assert all(candidate - control > 3 * POLICY.pair_sd for candidate, control in lies)
    assert {candidate > 0 for candidate, _ in lies} == {True, False}


async def test_the_report_sums_the_swarms_of_each_share_and_kind_of_liars() -> None:
    asked = argparse.Namespace(
        shares=[0.0, 0.3], seeds=[1, 2], kind=None, publishes=60, strategies=liars.INDEPENDENT
    )

    shares = (await liars.report(asked))["shares"]

    assert [(one["share"], one["colluding"]) for one in shares] == [(0.0, False), (0.3, False), (0.3, True)]
    assert all(one["swarms"] == 2 for one in shares)
    assert all(
        one["publishes"] == sum(swarm["publishes"] for swarm in one["of_each_swarm"]) for one in shares
    )
    assert shares[2]["colluders"]["bound_per_verified_forged"] == round(liars.bound(liars.OWNERS, 6), 5)


def test_the_bound_grows_with_the_group_and_two_colluders_reach_nothing() -> None:
    bounds = [liars.bound(20, colluders) for colluders in (0, 2, 3, 4, 5, 6)]

    assert bounds[:3] == [0.0, 0.0, 0.0]
    assert bounds[3:] == sorted(bounds[3:])
    # Of 19 others all three fellows are among the first four drawn: with one honest owner at most.
    assert liars.bound(20, 4) == pytest.approx(math.comb(4, 3) / math.comb(19, 3))
