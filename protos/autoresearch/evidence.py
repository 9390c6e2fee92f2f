"""When is a gain real? The pure rules that a coordinator and a node alone both judge by.

A gain is sign-normalised by the caller: positive is better. ``spread`` is the standard deviation of a
rerun in the hardware class, pooled over the class and never taken from a candidate's own runs.

The verification rule is sequential: it looks after 3, 5 and 8 pairs of candidate and control, with
SE = spread * sqrt(2 / n). Its thresholds come from two simulations: of null edits it promotes 0.4 to
0.7 per cent, of gains of two standard deviations 88 per cent.
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


class Verdict(StrEnum):
    """What the pairs seen so far decide."""

    PROMOTE = "promote"
    CONTINUE = "continue"
    DROP = "drop"


def passes_screen(gain: float, spread: float) -> bool:
    """True if one run's gain over the best's mean is worth verifying."""
    _check_spread(spread)
    return gain > SCREEN_SPREADS * spread


def standard_error(spread: float, pairs: int) -> float:
    """The standard error of the mean difference over ``pairs`` pairs of runs."""
    _check_spread(spread)
    _check_runs(pairs)
    return spread * math.sqrt(2 / pairs)


def verify(gains: Sequence[float], spread: float) -> Verdict:
    """Judges the gains of the pairs, in their order.

    Each look takes the first pairs only, so pairs that arrive after a decision never undo it.

    Args:
        gains: Candidate against control of each pair, positive is better.
        spread: Standard deviation of a rerun in the class.

    Returns:
        PROMOTE or DROP at the first look that decides, CONTINUE while more pairs are needed.
    """
    _check_spread(spread)
    for look in LOOKS:
        if len(gains) < look.pairs:
            return Verdict.CONTINUE
        ratio = math.fsum(gains[: look.pairs]) / look.pairs / standard_error(spread, look.pairs)
        if ratio > look.promote_above:
            return Verdict.PROMOTE
        if ratio < look.drop_below:
            return Verdict.DROP
    return Verdict.DROP


def next_look(pairs: int) -> int | None:
    """How many pairs there must be for the next decision; None if there is no look after ``pairs``."""
    return next((look.pairs for look in LOOKS if look.pairs > pairs), None)


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
