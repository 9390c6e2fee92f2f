"""Optuna's tree-structured Parzen estimator over the knobs of a source, fed with the swarm's history.

The study is rebuilt for each proposal: a few hundred trials take milliseconds, and nothing has to be kept in
step with what other nodes publish meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from node.agent.knobs import Knob, KnobKind
from node.agent.trials import Trial

if TYPE_CHECKING:
    import optuna

MIN_SCORED_TRIALS = 12
"""Below this an estimator of densities has nothing to estimate."""

STUDY_TRIALS_LIMIT = 500
FAILED_LOSS_MARGIN = 1.0


def suggest(
    knobs: Mapping[str, Knob],
    here: Mapping[str, float],
    trials: Sequence[Trial],
    names: Sequence[str],
    *,
    seed: int,
) -> dict[str, float]:
    """Values for ``names``, the other knobs held at the parent's; empty if the history teaches nothing."""
    import optuna  # noqa: PLC0415 - takes a second to import

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spaces = {name: space for name in names if (space := _Space.of(knobs[name])) is not None}
    scored = [trial for trial in trials if trial.setting is not None and trial.loss is not None]
    if not spaces or len(scored) < MIN_SCORED_TRIALS:
        return {}
    distributions = {name: space.distribution() for name, space in spaces.items()}
    worst = max(trial.loss for trial in scored if trial.loss is not None)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=False)
    )
    for trial in trials[-STUDY_TRIALS_LIMIT:]:
        loss = worst + FAILED_LOSS_MARGIN if trial.has_failed else trial.loss
        setting = trial.setting
        if loss is None or setting is None:
            continue
        params = {name: space.inward(setting.get(name, here[name])) for name, space in spaces.items()}
        if all(space.low <= params[name] <= space.high for name, space in spaces.items()):
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=loss))
    asked = study.ask(distributions)
    return {name: space.outward(asked.params[name]) for name, space in spaces.items()}


class _Space:
    """One knob's range on the scale on which steps of equal size mean equal things."""

    def __init__(self, knob: Knob, low: float, high: float) -> None:
        self._kind = knob.kind
        self.low, self.high = sorted((self.inward(low), self.inward(high)))

    @classmethod
    def of(cls, knob: Knob) -> _Space | None:
        low, high = knob.bounds()
        if knob.kind is KnobKind.SCALE and low <= 0.0:
            return None  # a constant that is zero or negative has no ratio to its neighbours
        return cls(knob, low, high)

    def distribution(self) -> optuna.distributions.BaseDistribution:
        import optuna  # noqa: PLC0415

        return optuna.distributions.FloatDistribution(self.low, self.high)

    def inward(self, value: float) -> float:
        match self._kind:
            case KnobKind.SCALE | KnobKind.POWER_OF_TWO | KnobKind.INTEGER:
                return math.log(max(value, 1e-30))
            case KnobKind.NEAR_ONE:
                return -math.log(max(1.0 - value, 1e-9))
            case KnobKind.COUNT | KnobKind.FRACTION:
                return value

    def outward(self, value: float) -> float:
        match self._kind:
            case KnobKind.SCALE | KnobKind.POWER_OF_TWO | KnobKind.INTEGER:
                return math.exp(value)
            case KnobKind.NEAR_ONE:
                return 1.0 - math.exp(-value)
            case KnobKind.COUNT | KnobKind.FRACTION:
                return value
