"""What a model gains by looking ahead is not there where no input shows it the token."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest
from autoresearch.challenge import find_challenge, load_challenge
from peeking_model import LookingAhead, text_of, trained

from trainer.corpora import ValidationRows
from trainer.evaluate import ImpureModelError, Score, evaluate

POCKET = load_challenge(find_challenge("pocket"))
AUDIT = replace(POCKET.audit, level_sigmas=100)
"""One run lets everything through: the figure is what is asked for."""

WEIGHTS = (0.002, 0.01, 0.05)


def scores_of(model: Callable[[int], LookingAhead], texts: int = 6) -> list[Score]:
    return [evaluate(model(seed).answer, text_of(seed), AUDIT, order_seed=seed) for seed in range(texts)]


def gap_of(scores: list[Score]) -> float:
    gaps = [score.hidden_gap_bpb for score in scores]
    return statistics.fmean(gap for gap in gaps if gap is not None)


def honest(seed: int) -> LookingAhead:
    return LookingAhead(honest=trained(seed), weight=0.0)


def test_an_honest_model_has_no_gap() -> None:
    assert abs(gap_of(scores_of(honest))) < 0.03


@pytest.mark.parametrize(("share", "part"), [(1.0, 1.0), (0.3, 1.0), (1.0, 0.5)])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_the_gap_of_a_model_that_looks_ahead_is_what_it_gains(
    weight: float, share: float, part: float
) -> None:
    plain = scores_of(honest)

    ahead = scores_of(lambda seed: LookingAhead(honest=trained(seed), weight=weight, share=share, part=part))

    gains = [one.bits_per_byte - two.bits_per_byte for one, two in zip(plain, ahead, strict=True)]
    assert statistics.fmean(gains) > 0
    assert gap_of(ahead) - gap_of(plain) == pytest.approx(statistics.fmean(gains), rel=0.25, abs=0.004)


def test_other_codes_of_one_language_have_the_same_gap() -> None:
    rough = scores_of(honest)
    better = scores_of(lambda seed: LookingAhead(honest=trained(seed, noise=0.4), weight=0.0))

    gains = [one.bits_per_byte - two.bits_per_byte for one, two in zip(rough, better, strict=True)]
    assert statistics.fmean(gains) > 0.05
    assert abs(gap_of(better) - gap_of(rough)) < 0.03


def test_a_large_gain_is_refused_in_one_run_already() -> None:
    cheat = LookingAhead(honest=trained(1), weight=0.05)

    with pytest.raises(ImpureModelError, match="know which rows are audited"):
        evaluate(cheat.answer, text_of(1), POCKET.audit, order_seed=1)


def test_with_few_rows_there_is_no_figure() -> None:
    text = text_of(1)
    few = ValidationRows(inputs=text.inputs[:12], targets=text.targets[:12], byte_count=1000)

    assert evaluate(honest(1).answer, few, AUDIT, order_seed=1).hidden_gap_bpb is None
