"""What a decision went by, in figures: a code that was dropped is told as much as one that was confirmed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoresearch.evidence import SequentialTest, Verdict, margin, standard_error, verify


def in_figures(gains: Sequence[float], spread: float) -> str:
    """Mean gain and standard error of some pairs, to follow what names them and how many they are."""
    mean_gain, error = math.fsum(gains) / len(gains), standard_error(spread, len(gains))
    return f"gain {mean_gain:.4g} on average, standard error {error:.4g}"


def why_dropped(gains: Sequence[float], spread: float, test: SequentialTest, *, is_disputed: bool) -> str:
    """The rule by which these pairs dropped a code, with the figure that it compared."""
    if is_disputed:
        return "their owners still disagree at the last look, by more than luck explains"
    for number, look in enumerate(test.looks, start=1):
        first = gains[: look.pairs]
        if len(first) == look.pairs and verify(first, spread, test=test) is Verdict.DROP:
            allowed = margin(test, spread)
            ratio = (math.fsum(first) / look.pairs + allowed) / standard_error(spread, look.pairs)
            with_margin = f"with a margin of {allowed:.4g} for shorter code, " if allowed else ""
            is_last = number == len(test.looks)
            bound = f"not above {look.promote_above:g}" if is_last else f"below {look.drop_below:g}"
            return f"{with_margin}{ratio:.2f} standard errors at {look.pairs} pairs are {bound}"
    return "the mean of all its runs is not better than that of the code before it"
