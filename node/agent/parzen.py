"""Optuna's tree-structured Parzen estimator over the knobs of a source, fed with the swarm's history.

The study is rebuilt for each proposal: a few hundred trials take milliseconds, and nothing has to be kept in
step with what other nodes publish meanwhile.
"""

from __future__ import annotations

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
    """Values for ``names``, the other knobs held at the parent's; empty if the history teaches nothing.

    They lie near the parent's: with few trials the estimator draws from all of its range alike, and far from
    constants that are tuned already almost everything is worse.
    """
    import optuna  # noqa: PLC0415 - takes a second to import

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spaces = {name: knobs[name].near() for name in names if _has_neighbours(knobs[name])}
    scored = [trial for trial in trials if trial.setting is not None and trial.loss is not None]
    if not spaces or len(scored) < MIN_SCORED_TRIALS:
        return {}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(*space) for name, space in spaces.items()
    }
    worst = max(trial.loss for trial in scored if trial.loss is not None)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=False)
    )
    for trial in trials[-STUDY_TRIALS_LIMIT:]:
        loss = worst + FAILED_LOSS_MARGIN if trial.has_failed else trial.loss
        setting = trial.setting
        if loss is None or setting is None:
            continue
        params = {name: knobs[name].place(setting.get(name, here[name])) for name in spaces}
        if all(low <= params[name] <= high for name, (low, high) in spaces.items()):
            study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=loss))
    asked = study.ask(distributions)
    return {name: knobs[name].value_at(asked.params[name]) for name in spaces}


def _has_neighbours(knob: Knob) -> bool:
    """False for a constant that is zero or negative, to which no other has a ratio."""
    return knob.kind is not KnobKind.SCALE or knob.bounds()[0] > 0.0
