"""What the swarm has tried, as full settings of the parent's constants with their scores.

A history names changes against each experiment's own parent; followed back to a source whose constants are
known, they give whole settings, which is what a sampler learns from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoresearch.model import ConstantChange, ExperimentId, ExperimentState, ExperimentSummary

from node.agent.knobs import value_of

LINEAGE_LIMIT = 512

Setting = Mapping[str, float]

FAILED_STATES = frozenset({ExperimentState.CRASHED, ExperimentState.TIMED_OUT, ExperimentState.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One experiment: what it changed, the whole setting where it is known, and how it went.

    ``gain`` is against its parent and ``loss`` is its score, both turned so that smaller losses and larger
    gains are better; None while unknown.
    """

    experiment_id: ExperimentId
    parent_id: ExperimentId | None
    changed: Setting
    directions: Mapping[str, int]
    setting: Setting | None
    loss: float | None
    gain: float | None
    has_failed: bool


def trials_of(
    history: Sequence[ExperimentSummary],
    *,
    known: Mapping[ExperimentId, Setting],
    baseline: Setting,
    lower_is_better: bool,
) -> tuple[Trial, ...]:
    """The history as trials, in its order.

    Args:
        history: Experiments of one class, in any order.
        known: Constants of experiments whose source is at hand, the parent's above all.
        baseline: Constants of the challenge's own ``train.py``; experiments without a parent have them.
        lower_is_better: The direction of the metric.
    """
    by_id = {summary.experiment.experiment_id: summary for summary in history}
    settings: dict[ExperimentId, Setting | None] = dict(known)
    sign = 1.0 if lower_is_better else -1.0
    trials = []
    for summary in history:
        experiment = summary.experiment
        changed, directions = _changes(summary)
        trials.append(
            Trial(
                experiment_id=experiment.experiment_id,
                parent_id=experiment.parent,
                changed=changed,
                directions=directions,
                setting=_setting(experiment.experiment_id, by_id, settings, baseline),
                loss=None if summary.score is None else sign * summary.score,
                gain=None if summary.delta is None else -sign * summary.delta,
                has_failed=summary.state in FAILED_STATES,
            )
        )
    return tuple(trials)


def _changes(summary: ExperimentSummary) -> tuple[dict[str, float], dict[str, int]]:
    changed: dict[str, float] = {}
    directions: dict[str, int] = {}
    for change in summary.experiment.hypothesis.changes:
        if not isinstance(change, ConstantChange):
            continue
        new, old = value_of(change.new), value_of(change.old) if change.old else None
        if new is None:
            continue
        changed[change.name] = new
        if old is not None and old != new:
            directions[change.name] = 1 if new > old else -1
    return changed, directions


def _setting(
    experiment_id: ExperimentId,
    by_id: Mapping[ExperimentId, ExperimentSummary],
    settings: dict[ExperimentId, Setting | None],
    baseline: Setting,
) -> Setting | None:
    """Walks up to the first ancestor whose constants are known, then applies the changes on the way down.

    An experiment that changed anything but constants is unknown, and so are its descendants: their numbers
    belong to another program.
    """
    path: list[ExperimentSummary] = []
    current: ExperimentId | None = experiment_id
    for _ in range(LINEAGE_LIMIT):
        if current is None or current in settings:
            break
        summary = by_id.get(current)
        if summary is None:
            settings[current] = None
            break
        path.append(summary)
        current = summary.experiment.parent
    setting = baseline if current is None else settings.get(current)
    for summary in reversed(path):
        changes = summary.experiment.hypothesis.changes
        if setting is not None and all(isinstance(change, ConstantChange) for change in changes):
            changed, _ = _changes(summary)
            setting = {**setting, **{k: v for k, v in changed.items() if k in setting}}
        else:
            setting = None
        settings[summary.experiment.experiment_id] = setting
    return setting
