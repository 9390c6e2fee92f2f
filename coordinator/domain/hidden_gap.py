"""Whether what a code gains is there where no input shows it what is to be predicted.

A model that looks ahead, a little and without contradicting itself, passes every check of one run. But the
figure that its evaluator gives for what is hidden from it (``HiddenGap.metric``) is off by what it gains, and
the two runs of a pair hide the same, so that it varies less between them. It is judged over a candidate's
pairs, in two ways: by its difference from the control, and by itself, which bounds what a chain of edits adds
up to.

Verifiers may lie about it as about scores, so it is checked as they are: who contradicts the others' figures
is left out, or the candidate disputed (``trust.outliers_among``), and then neither refused nor confirmed by
it. Where most pairs have no figure, nothing is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from autoresearch.evidence import LOOKS
from autoresearch.model import OwnerId

from coordinator.domain.class_state import Pair, Rules
from coordinator.domain.trust import contradicts, disagree, outliers_among

LOOKS_AHEAD = "looks ahead"
"""How each reason to refuse a code begins."""

PAIRS_TO_REFUSE = LOOKS[0].pairs
"""Fewer refuse nothing, as fewer promote nothing: a trusted owner before whom others give way would refuse a
code with its first pair."""

PAIRS_COUNTED = LOOKS[-1].pairs
"""More pairs than these make no bound narrower: honest edits of a kind are all off by a little (in ``pocket``
by up to half the spread of a pair)."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """One reading of pairs, with its standard deviation between honest ones."""

    of: Callable[[Pair], float | None]
    sd: float

    @property
    def spread(self) -> float:
        """As trust counts it: the difference of two such runs would vary as the figure does."""
        return self.sd / math.sqrt(2)

    def by_owner(self, pairs: Sequence[Pair]) -> dict[OwnerId, list[float]]:
        """Each owner's figures; owners without any are left out."""
        figures: dict[OwnerId, list[float]] = {}
        for pair in pairs:
            if (figure := self.of(pair)) is not None:
                figures.setdefault(pair.owner_id, []).append(figure)
        return figures

    def mean(self, pairs: Sequence[Pair]) -> tuple[float, int]:
        """The mean, and over how many pairs."""
        figures = [figure for pair in pairs if (figure := self.of(pair)) is not None]
        return (math.fsum(figures) / len(figures) if figures else 0.0), len(figures)

    def allowed(self, pairs: int, sigmas: float) -> float:
        """What the mean over some pairs may be by chance."""
        return sigmas * self.sd / math.sqrt(min(max(pairs, 1), PAIRS_COUNTED))


def why_it_looks_ahead(pairs: Sequence[Pair], rules: Rules) -> str | None:
    """The reason to refuse a code with these pairs, in words for people; None where there is none."""
    policy = rules.hidden_gap
    if policy is None:
        return None
    against, alone = _figures(rules)
    gap, count = against.mean(pairs)
    if _is_known(count, pairs) and (allowed := against.allowed(count, policy.sigmas)) < gap:
        measured = [pair for pair in pairs if against.of(pair) is not None]
        gains = [rules.gain(pair.candidate_score, pair.control_score) for pair in measured]
        gain = math.fsum(gains) / len(gains)
        return (
            f"{LOOKS_AHEAD}: it gains {gain:.3g} where its input shows what is to be predicted, and "
            f"{gain - gap:.3g} where none does ({count} pairs; {allowed:.2g} less would be chance)"
        )
    gap, count = alone.mean(pairs)
    if _is_known(count, pairs) and (allowed := alone.allowed(count, policy.sigmas)) < gap:
        return (
            f"{LOOKS_AHEAD}, or what it is built on does: it is worse by {gap:.3g} where no input shows what "
            f"is to be predicted ({count} pairs; {allowed:.2g} would be chance)"
        )
    return None


def gap_outliers(pairs: Sequence[Pair], rules: Rules, trusted: Collection[OwnerId]) -> frozenset[OwnerId]:
    """Owners whose figures contradict the others', so that they decide nothing."""
    found: set[OwnerId] = set()
    for figure in _figures(rules):
        kept = [pair for pair in pairs if pair.owner_id not in found]
        found |= outliers_among(figure.by_owner(kept), figure.spread, trusted)
    return frozenset(found)


def gap_contradictors(
    pairs: Sequence[Pair], rules: Rules, left_out: Collection[OwnerId]
) -> frozenset[OwnerId]:
    """Owners whose figures contradict those of the others that are not left out, whoever of them is right."""
    found: set[OwnerId] = set()
    for figure in _figures(rules):
        figures = figure.by_owner(pairs)
        for owner in figures:
            others = {key: own for key, own in figures.items() if key not in left_out or key == owner}
            if contradicts(others, owner, figure.spread):
                found.add(owner)
    return frozenset(found)


def is_gap_disputed(pairs: Sequence[Pair], rules: Rules) -> bool:
    """True if owners among those that were kept contradict each other about it."""
    return any(disagree(figure.by_owner(pairs), figure.spread) for figure in _figures(rules))


def _is_known(count: int, pairs: Sequence[Pair]) -> bool:
    """True if most of enough pairs tell it: one verifier among others of an older harness has no word of its
    own.
    """
    return 2 * count > len(pairs) >= PAIRS_TO_REFUSE


def _figures(rules: Rules) -> Iterator[_Figure]:
    if rules.hidden_gap is not None:
        yield _Figure(_against_control, rules.hidden_gap.pair_sd)
        yield _Figure(lambda pair: pair.hidden_gap, rules.hidden_gap.run_sd)


def _against_control(pair: Pair) -> float | None:
    if pair.hidden_gap is None or pair.control_hidden_gap is None:
        return None
    return pair.hidden_gap - pair.control_hidden_gap
