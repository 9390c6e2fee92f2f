"""When is a gain real? The pure rules that a coordinator and a node alone both judge by.

A gain is sign-normalised by the caller: positive is better. ``spread`` is the standard deviation of a
rerun in the hardware class, pooled over the class and never taken from a candidate's own runs.

The verification rule is sequential: it looks after 3, 5 and 8 pairs of candidate and control, with
SE = spread * sqrt(2 / n). Its thresholds come from two simulations: of null edits it promotes 0.4 to
0.7 per cent, of gains of two standard deviations 88 per cent.

Code that is shorter than what it is compared with need not be better, only not worse: see
``NOT_WORSE``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

BASELINE_RUNS = 3
"""A class opens with this many runs of the challenge's own ``train.py``."""

SCREEN_SPREADS = 0.5
"""A single run goes on to verification if it gains more than this share of the spread."""

NORMAL_QUANTILE = 1.96
"""Two-sided 95 per cent of the normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One point at which the sequential rule decides: on gain / SE over the first ``pairs`` pairs."""

    pairs: int
    promote_above: float
    drop_below: float


LOOKS = (
    Look(pairs=3, promote_above=2.75, drop_below=0.0),
    Look(pairs=5, promote_above=2.55, drop_below=0.8),
    Look(pairs=8, promote_above=2.35, drop_below=math.inf),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialTest:
    """A sequential test of "the gain is above ``-margin_spreads``": its looks, and the margin in spreads."""

    looks: tuple[Look, ...]
    margin_spreads: float


BETTER = SequentialTest(looks=LOOKS, margin_spreads=0.0)
"""What a code of the same length or longer has to pass."""

NOT_WORSE = SequentialTest(
    looks=(
        Look(pairs=4, promote_above=2.6, drop_below=0.0),
        Look(pairs=8, promote_above=2.3, drop_below=0.4),
        Look(pairs=16, promote_above=1.95, drop_below=1.0),
        Look(pairs=24, promote_above=1.85, drop_below=math.inf),
    ),
    margin_spreads=0.5,
)
"""What a shorter code has to pass: a group-sequential test of non-inferiority.

Null hypothesis: the code is worse by the margin m of half a spread or more; it is refused at
Z = (mean gain + m) / SE, SE = spread * sqrt(2 / n). At a true gain g, Z is normal with mean
(g + m) / SE, and Z at n1 < n2 pairs correlates by sqrt(n1 / n2): the joint distribution that every
group-sequential test has (Jennison and Turnbull, Group Sequential Methods, 1999, chapter 3). The bounds
fall with n, between those of Pocock and of O'Brien and Fleming, so that an edit that also gains is through
at the first look; the lower bounds only end early what would hardly pass. Bounds were chosen by simulating
the test alone, 200,000 times per gain: a code that is worse by 1 / 0.5 / 0.25 spreads passes in 0.1 / 4.1 /
16 per cent, an equal one in 40, one that gains 0.5 / 1 spreads in 86 / 98; 13 pairs on average at most. With
the screen before it, ``scripts/bench/promotion_odds.py`` gave 0.05 / 1.6 per cent for 1 / 0.5 worse, 27 for
equal, 72 / 89 for the gains.
SE alone says why it cannot be cheap: an equal code is one margin away, and one margin is one SE at 8 pairs.
At every look the bound lies above m / SE, so nothing passes whose mean gain over its pairs is not positive:
a chain of simplifications does not walk downhill one margin at a time.
"""


class Verdict(StrEnum):
    """What the pairs seen so far decide."""

    PROMOTE = "promote"
    CONTINUE = "continue"
    DROP = "drop"


def passes_screen(gain: float, spread: float, *, test: SequentialTest = BETTER) -> bool:
    """True if one run's gain over the best's mean is worth verifying.

    A shorter code is, if that run is within its margin.
    """
    _check_spread(spread)
    if test is BETTER:
        return gain > SCREEN_SPREADS * spread
    return gain > -margin(test, spread)


def standard_error(spread: float, pairs: int) -> float:
    """The standard error of the mean difference over ``pairs`` pairs of runs."""
    _check_spread(spread)
    _check_runs(pairs)
    return spread * math.sqrt(2 / pairs)


def margin(test: SequentialTest, spread: float) -> float:
    """How much worse a code may be and still pass."""
    _check_spread(spread)
    return test.margin_spreads * spread


def verify(gains: Sequence[float], spread: float, *, test: SequentialTest = BETTER) -> Verdict:
    """Judges the gains of the pairs, in their order.

    Each look takes the first pairs only, so pairs that arrive after a decision never undo it.

    Args:
        gains: Candidate against control of each pair, positive is better.
        spread: Standard deviation of a rerun in the class.
        test: What the candidate has to pass.

    Returns:
        PROMOTE or DROP at the first look that decides, CONTINUE while more pairs are needed.
    """
    allowed = margin(test, spread)
    for look in test.looks:
        if len(gains) < look.pairs:
            return Verdict.CONTINUE
        mean_gain = math.fsum(gains[: look.pairs]) / look.pairs
        ratio = (mean_gain + allowed) / standard_error(spread, look.pairs)
        if ratio > look.promote_above:
            return Verdict.PROMOTE
        if ratio < look.drop_below:
            return Verdict.DROP
    return Verdict.DROP


def next_look(pairs: int, test: SequentialTest = BETTER) -> int | None:
    """How many pairs there must be for the next decision; None if there is no look after ``pairs``."""
    return next((look.pairs for look in test.looks if look.pairs > pairs), None)


def pooled_spread(groups: Sequence[Sequence[float]], *, prior_sd: float, prior_df: float = 4.0) -> float:
    """The standard deviation of a rerun, pooled over groups of runs of one code each.

    Args:
        groups: Scores by code; a group of one run tells nothing about spread and is passed over.
        prior_sd: What is believed before there are runs.
        prior_df: How many degrees of freedom that belief is worth.

    Returns:
        Square root of the pooled variance; never zero, because the prior never is.
    """
    _check_spread(prior_sd)
    squares = prior_df * prior_sd**2
    freedom = prior_df
    for group in groups:
        if len(group) > 1:
            mean = math.fsum(group) / len(group)
            squares += math.fsum((score - mean) ** 2 for score in group)
            freedom += len(group) - 1
    return math.sqrt(squares / freedom)


def interval_half_width(spread: float, runs: int) -> float:
    """Half the 95 per cent interval of a mean over ``runs`` runs."""
    _check_spread(spread)
    _check_runs(runs)
    return NORMAL_QUANTILE * spread / math.sqrt(runs)


def _check_spread(spread: float) -> None:
    if not (math.isfinite(spread) and spread > 0):
        raise ValueError(f"a spread is a positive finite number, not {spread}")


def _check_runs(runs: int) -> None:
    if runs < 1:
        raise ValueError(f"needs at least one run, not {runs}")
