from __future__ import annotations

import pytest

from trainer.scoring_time import ScoringTime, lazy_allowance_s


def spent_on(*calls_s: float) -> float:
    now = [100.0]
    spent = ScoringTime(lambda: now[0])
    for call_s in calls_s:
        now[0] += call_s
        spent.call_ended()
    return spent.excess_s()


def test_calls_that_cost_about_the_same_have_no_excess() -> None:
    assert spent_on(0.3, 0.2, 0.25, 0.2, 0.22) == 0.0


def test_a_dear_call_counts_wherever_it_is() -> None:
    assert spent_on(3.3, 0.2, 0.2, 0.2, 0.2) == pytest.approx(3.0)
    assert spent_on(0.2, 0.2, 0.2, 1.3, 2.3) == pytest.approx(3.0)


def test_no_calls_have_no_excess() -> None:
    assert spent_on() == 0.0


def test_the_allowance_is_a_small_share_of_the_training() -> None:
    assert lazy_allowance_s(100.0, is_cpu_time=True) == 2.5
    assert lazy_allowance_s(300.0, is_cpu_time=False) == 30.0
    assert lazy_allowance_s(0.1, is_cpu_time=True) == 0.5
