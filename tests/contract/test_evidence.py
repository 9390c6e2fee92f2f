import math

import pytest
from autoresearch.evidence import (
    Verdict,
    interval_half_width,
    next_look,
    passes_screen,
    pooled_spread,
    standard_error,
    verify,
)
from hypothesis import given
from hypothesis import strategies as st

gain_lists = st.lists(st.floats(-10, 10), max_size=12)


def test_screen_needs_more_than_half_a_spread():
    assert not passes_screen(0.5, 1.0)
    assert passes_screen(0.51, 1.0)


@pytest.mark.parametrize(("pairs", "threshold"), [(3, 2.75), (5, 2.55), (8, 2.35)])
def test_gain_above_the_threshold_of_a_look_is_promoted(pairs, threshold):
    undecided = {3: 0.5, 5: 1.0, 8: 1.0}
    first = [undecided[3] * standard_error(1.0, 3)] * 3 if pairs > 3 else []
    wanted = (threshold + 0.01) * standard_error(1.0, pairs) * pairs
    rest = pairs - len(first)
    gains = first + [(wanted - sum(first)) / rest] * rest
    if pairs == 8:  # keep the look at five undecided too
        at_five = 1.5 * standard_error(1.0, 5) * 5
        gains = first + [(at_five - sum(first)) / 2] * 2
        gains += [(wanted - sum(gains)) / 3] * 3

    assert verify(gains[:-1], 1.0) is Verdict.CONTINUE
    assert verify(gains, 1.0) is Verdict.PROMOTE


def test_loss_at_three_pairs_is_dropped():
    assert verify([-0.1, 0.0, 0.05], 1.0) is Verdict.DROP


def test_small_gain_at_five_pairs_is_dropped():
    assert verify([0.1] * 5, 1.0) is Verdict.DROP


def test_gain_that_eight_pairs_do_not_prove_is_dropped():
    assert verify([0.7] * 7, 1.0) is Verdict.CONTINUE
    assert verify([0.7] * 8, 1.0) is Verdict.DROP


@given(gain_lists, st.lists(st.floats(-10, 10), max_size=4))
def test_pairs_after_a_decision_never_undo_it(gains, later):
    decided = verify(gains, 1.0)

    if decided is not Verdict.CONTINUE:
        assert verify(gains + later, 1.0) is decided


def test_no_more_than_eight_pairs_are_ever_asked_for():
    assert [next_look(pairs) for pairs in (0, 3, 4, 5, 8)] == [3, 5, 5, 8, None]
    assert verify([0.7] * 8, 1.0) is not Verdict.CONTINUE


def test_spread_without_runs_is_the_prior():
    assert pooled_spread([], prior_sd=0.02) == pytest.approx(0.02)
    assert pooled_spread([[1.0], [2.0]], prior_sd=0.02) == pytest.approx(0.02)


def test_spread_pools_within_groups_and_not_between_them():
    spread = pooled_spread([[1.0, 3.0], [100.0, 102.0]], prior_sd=1.0, prior_df=2.0)

    assert spread == pytest.approx(math.sqrt((2.0 + 2.0 + 2.0) / 4.0))


def test_interval_shrinks_with_the_root_of_the_runs():
    assert interval_half_width(1.0, 4) == pytest.approx(0.98)


@pytest.mark.parametrize("spread", [0.0, -1.0, math.nan, math.inf])
def test_impossible_spread_is_an_error(spread):
    with pytest.raises(ValueError, match="spread"):
        verify([1.0], spread)
