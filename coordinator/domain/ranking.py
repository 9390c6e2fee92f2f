"""Scores and order: what one experiment's runs amount to, and which experiment comes first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.evidence import interval_half_width
from autoresearch.model import ExperimentId, ExperimentState, Outcome, Purpose, Result

from coordinator.domain.class_state import Rules

_UNMEASURED = math.inf
_OUT_OF_RACE = frozenset({ExperimentState.REJECTED})
"""States whose score ranks behind every other: a run that broke the measuring rules has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One completed run; ``verification_id`` names the pair that it is half of, empty where it is of none."""

    score: float
    purpose: Purpose
    verification_id: str = ""

    @property
    def is_explore(self) -> bool:
        """True for a run that its own node chose to publish."""
        return self.purpose is Purpose.EXPLORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The mean over ``runs`` runs with the half-width of its 95 % interval, in the metric's unit."""

    mean: float
    interval: float
    runs: int


def run_of(result: Result, metric_name: str) -> Run | None:
    """A result as a run that counts; None if it was not completed or has no finite score."""
    score = result.metrics.get(metric_name)
    if result.outcome is not Outcome.COMPLETED or score is None or not math.isfinite(score):
        return None
    return Run(score=score, purpose=result.purpose, verification_id=result.verification_id)


def score_of(runs: Sequence[Run], spread: float) -> Score | None:
    """The score over some runs of one experiment; None without a run.

    Once there are runs that nobody picked (verification, control, baseline), they alone count: the run
    that made a code a candidate was picked for being good.
    """
    scores = _counted(runs)
    if not scores:
        return None
    return Score(
        mean=math.fsum(scores) / len(scores),
        interval=interval_half_width(spread, len(scores)),
        runs=len(scores),
    )


def mean_of(runs: Sequence[Run]) -> float | None:
    """The mean of ``score_of`` alone, which is all that an order asks for."""
    scores = _counted(runs)
    return math.fsum(scores) / len(scores) if scores else None


def _counted(runs: Sequence[Run]) -> list[float]:
    return [run.score for run in runs if not run.is_explore] or [run.score for run in runs]


def best_first(
    score: float | None, state: ExperimentState, experiment_id: ExperimentId, rules: Rules
) -> tuple[float, ExperimentId]:
    """A sort key: better scores first, then older; what has no score, or broke the rules, comes last."""
    if score is None or state in _OUT_OF_RACE:
        return (_UNMEASURED, experiment_id)
    return (-rules.gain(score, 0.0), experiment_id)
