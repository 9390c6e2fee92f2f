"""Looking ahead with a memory, judged as a swarm judges it: by the pairs of a verification."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from autoresearch.challenge import find_challenge, load_challenge
from autoresearch.model import ExperimentId, NodeId, OwnerId
from peeking_model import LookingAhead, text_of, trained

from coordinator.domain.class_state import Pair, Rules, Slot
from coordinator.domain.hidden_gap import why_it_looks_ahead
from trainer.evaluate import Score, evaluate

POCKET = load_challenge(find_challenge("pocket"))
RULES = Rules(direction="lower", prior_sd=POCKET.prior_sd, baseline_runs=3, hidden_gap=POCKET.hidden_gap)
SLOT = Slot(candidate_id=ExperimentId("x"), control_id=ExperimentId("b"), is_vote=True, number=0)
PAIRS = 8
WEIGHTS = (0.001, 0.003, 0.006)
LARGEST_GAIN_SPREADS = 4.0
"""No gain of looking ahead above this many spreads of a rerun gets through eight pairs."""

UNSEEN_GAIN_SPREADS = 7.0
"""One that is larger gets through eight single runs."""


def scored(number: int, *, seed: int, weight: float = 0.0, part: float = 1.0) -> Score:
    cheat = LookingAhead(honest=trained(seed), weight=weight, part=part)
    return evaluate(cheat.answer, text_of(number), POCKET.audit, order_seed=number)


def paired(candidate: Score, control: Score) -> Pair:
    return Pair(
        verification_id="",
        slot=SLOT,
        owner_id=OwnerId("o"),
        node_id=NodeId("n"),
        candidate_score=candidate.bits_per_byte,
        control_score=control.bits_per_byte,
        hidden_gap=candidate.hidden_gap_bpb,
        control_hidden_gap=control.hidden_gap_bpb,
    )


@pytest.fixture(scope="module")
def controls() -> list[Score]:
    return [scored(number, seed=100 + number) for number in range(PAIRS)]


@pytest.fixture(scope="module")
def honest() -> list[Score]:
    return [scored(number, seed=number) for number in range(PAIRS)]


def gain_over(honest: list[Score], ahead: list[Score]) -> float:
    gains = [one.bits_per_byte - two.bits_per_byte for one, two in zip(honest, ahead, strict=True)]
    return statistics.fmean(gains)


def test_an_honest_code_gets_through_its_pairs(honest: list[Score], controls: list[Score]) -> None:
    assert why_it_looks_ahead(list(map(paired, honest, controls)), RULES) is None


@pytest.mark.parametrize("part", [1.0, 0.5])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_what_gets_through_one_run_and_gains_much_is_refused_by_its_pairs(
    honest: list[Score], controls: list[Score], weight: float, part: float
) -> None:
    ahead = [scored(number, seed=number, weight=weight, part=part) for number in range(PAIRS)]

    gain, reason = gain_over(honest, ahead), why_it_looks_ahead(list(map(paired, ahead, controls)), RULES)

    assert gain > 0
    assert reason is not None or gain < LARGEST_GAIN_SPREADS * POCKET.prior_sd


def test_without_the_figure_seven_spreads_would_get_through(
    honest: list[Score], controls: list[Score]
) -> None:
    ahead = [scored(number, seed=number, weight=max(WEIGHTS)) for number in range(PAIRS)]

    pairs = list(map(paired, ahead, controls))

    assert gain_over(honest, ahead) > UNSEEN_GAIN_SPREADS * POCKET.prior_sd
    assert why_it_looks_ahead(pairs, replace(RULES, hidden_gap=None)) is None
    assert "it gains 0.11 where its input shows" in (why_it_looks_ahead(pairs, RULES) or "")
