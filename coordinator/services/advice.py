"""What every answer to a claim brings: the nearest tried experiments, and what is known of its knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoresearch.errors import NotFound
from autoresearch.model import (
    NEAREST_LIMIT,
    Advice,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    KnobTrial,
    NearMatch,
    NodeId,
)

from coordinator.dedup.embedder import Near
from coordinator.dedup.index import EditIndex, Neighbours
from coordinator.domain.class_state import Rules
from coordinator.services.catalog import Catalog
from coordinator.services.context import ChallengeContext

NEIGHBOUR_MIN = 0.4
"""Cosine of titles below which an experiment has little to say about an idea."""

KNOBS_LIMIT = 8
TRIALS_SCAN_LIMIT = 64
"""Latest edits of a constant whose values and gains are told."""

VALUES_LIMIT = 32
"""Values told per constant, the latest tried first."""


class Adviser:
    """Answers from memory alone."""

    def __init__(self, index: EditIndex, neighbours: Neighbours, catalog: Catalog, rules: Rules) -> None:
        self._index = index
        self._neighbours = neighbours
        self._catalog = catalog
        self._rules = rules

    @classmethod
    def of(cls, context: ChallengeContext) -> Adviser:
        """One that goes by the indexes that there are now."""
        return cls(context.index, context.index, context.catalog, context.rules)

    def advise(
        self,
        hardware_class: HardwareClass,
        parent_id: ExperimentId,
        knobs: Mapping[str, str],
        title: str,
        *,
        by_meaning: Sequence[Near] = (),
    ) -> Advice:
        """Neighbours of an idea and the history of the constants that it turns.

        Experiments with the same constants come first, then those that are near in meaning; where that is
        not known, those that share words.
        """
        exact = self._neighbours.nearest(hardware_class, knobs, title, limit=NEAREST_LIMIT)
        meant = tuple(one.experiment_id for one in by_meaning if one.similarity >= NEIGHBOUR_MIN)
        ranked = (*exact, *meant) if knobs else (*meant, *exact)
        near = tuple(dict.fromkeys(ranked))[:NEAREST_LIMIT]
        trials = [trial for knob in list(knobs)[:KNOBS_LIMIT] for trial in self._trials(hardware_class, knob)]
        return Advice(
            nearest=tuple(self.match(experiment_id, parent_id) for experiment_id in near),
            knobs=tuple(trials),
        )

    def match(
        self, experiment_id: ExperimentId, parent_id: ExperimentId, *, same_parent: bool | None = None
    ) -> NearMatch:
        """One tried experiment with how it went."""
        try:
            summary = self._catalog.summary(experiment_id)
        except NotFound:
            return NearMatch(
                experiment_id=experiment_id,
                title="",
                state=ExperimentState.COMPLETED,
                score=None,
                delta=None,
                same_parent=bool(same_parent),
                reason="was tried before",
            )
        experiment = summary.experiment
        is_same = experiment.parent == parent_id if same_parent is None else same_parent
        return NearMatch(
            experiment_id=experiment_id,
            title=experiment.hypothesis.title,
            state=summary.state,
            score=summary.score,
            delta=summary.delta,
            same_parent=is_same,
            reason=summary.reason,
        )

    @staticmethod
    def held(title: str, node_id: NodeId, experiment_id: ExperimentId | None) -> NearMatch:
        """An edit that another claim holds at this moment; it has no id before it has started."""
        return NearMatch(
            experiment_id=experiment_id or ExperimentId(""),
            title=title,
            state=ExperimentState.RUNNING,
            score=None,
            delta=None,
            same_parent=True,
            reason=f"node {node_id} is trying it now",
        )

    def _trials(self, hardware_class: HardwareClass, knob: str) -> list[KnobTrial]:
        deltas: dict[str, float] = {}
        values: dict[str, None] = {}
        for edit in self._index.with_knob(hardware_class, knob, limit=TRIALS_SCAN_LIMIT):
            value = edit.knobs[knob]
            if value not in values and len(values) >= VALUES_LIMIT:
                continue
            values[value] = None
            delta = self._catalog.delta_of(edit.experiment_id)
            if delta is not None and (value not in deltas or self._rules.gain(delta, deltas[value]) > 0):
                deltas[value] = delta
        return [
            KnobTrial(
                knob=knob,
                value=value,
                trials=self._index.count(hardware_class, knob, value),
                best_delta=deltas.get(value),
            )
            for value in values
        ]
