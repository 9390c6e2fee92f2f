"""What was tried, as agents and readers see it, from a node's own store."""

from __future__ import annotations

import math
import sqlite3

from autoresearch import codec
from autoresearch.errors import InvalidArgument
from autoresearch.evidence import interval_half_width
from autoresearch.limits import PAGE_LIMIT
from autoresearch.model import (
    Advice,
    ExperimentId,
    ExperimentOrder,
    ExperimentPage,
    ExperimentQuery,
    ExperimentState,
    ExperimentSummary,
    HardwareClass,
    KnobTrial,
    NearMatch,
    Outcome,
)
from autoresearch.v1 import types_pb2

from node.swarm.solo_best import SoloBest, SoloRules
from node.swarm.solo_keys import EditKeys
from node.swarm.solo_store import SoloStore

NEAREST_LIMIT = 8
KNOB_VALUES_LIMIT = 32


class SoloListing:
    """Reads; writes nothing."""

    def __init__(self, store: SoloStore, best: SoloBest, rules: SoloRules) -> None:
        self._store = store
        self._best = best
        self._rules = rules

    def page(self, query: ExperimentQuery) -> ExperimentPage:
        """One page of a listing; the cursor is how many came before."""
        if not 1 <= query.limit <= PAGE_LIMIT:
            raise InvalidArgument(f"limit is {query.limit}; ask for 1 to {PAGE_LIMIT}")
        if query.cursor and not (query.cursor.isascii() and query.cursor.isdigit()):
            raise InvalidArgument(f"{query.cursor!r} is no cursor of this listing")
        rows = [row for row in self._store.class_rows(query.hardware_class) if _matches(row, query)]
        found = [self.summary(row) for row in reversed(rows)]
        if query.order is ExperimentOrder.BEST:
            found.sort(key=self._rank)
        begin = int(query.cursor or 0)
        end = begin + query.limit
        return ExperimentPage(
            experiments=tuple(found[begin:end]),
            next_cursor=str(end) if end < len(found) else "",
            total=len(found),
        )

    def summary(self, row: sqlite3.Row) -> ExperimentSummary:
        """One experiment; the swarm's word counts where it gave one."""
        if row["swarm_summary"] is not None:
            message = types_pb2.ExperimentSummary.FromString(row["swarm_summary"])
            return codec.experiment_summary_from_message(message)
        experiment = codec.experiment_from_message(types_pb2.Experiment.FromString(row["message"]))
        scores = self._scores(experiment.hardware_class, experiment.experiment_id)
        working = self._store.working(experiment.hardware_class)
        is_working = working is not None and working.experiment_id == experiment.experiment_id
        spread = self._best.spread(experiment.hardware_class)
        return ExperimentSummary(
            experiment=experiment,
            state=ExperimentState(row["state"]),
            score=math.fsum(scores) / len(scores) if scores else None,
            interval=interval_half_width(spread, len(scores)) if scores else None,
            runs=len(scores),
            delta=row["delta"],
            level=working.level if working is not None and is_working else None,
            reason=row["reason"],
        )

    def mean(self, hardware_class: HardwareClass, experiment_id: ExperimentId) -> float | None:
        """The score that an edit of this experiment is compared with."""
        working = self._store.working(hardware_class)
        if working is not None and working.experiment_id == experiment_id:
            return working.mean
        row = self._store.experiment_row(experiment_id)
        return None if row is None else self.summary(row).score

    def near_match(self, tried: ExperimentId | sqlite3.Row, parent_id: ExperimentId) -> NearMatch:
        """What a duplicate is a duplicate of: an experiment, or a live claim that may have none yet."""
        if isinstance(tried, str):
            row = self._store.experiment_row(tried)
            if row is not None:
                return self._match(row, parent_id)
            raise AssertionError(f"{tried} was tried and has no record")
        hypothesis = codec.hypothesis_from_message(types_pb2.Hypothesis.FromString(tried["hypothesis"]))
        return NearMatch(
            experiment_id=ExperimentId(tried["experiment_id"] or ""),
            title=hypothesis.title,
            state=ExperimentState.RUNNING,
            score=None,
            delta=None,
            same_parent=tried["parent_id"] == parent_id,
            reason="another worker of this machine is at it",
        )

    def advice(self, hardware_class: HardwareClass, edit: EditKeys) -> Advice:
        """The latest experiments that turned the same constants, and what each value led to."""
        nearest: dict[str, None] = {}
        trials: list[KnobTrial] = []
        for knob, _ in edit.knobs:
            values: dict[str, list[float | None]] = {}
            for row in self._store.knob_rows(hardware_class, knob):
                nearest.setdefault(row["experiment_id"])
                values.setdefault(row["value"], []).append(row["delta"])
            for value, deltas in list(values.items())[:KNOB_VALUES_LIMIT]:
                known = [delta for delta in deltas if delta is not None]
                best = (min if self._rules.direction == "lower" else max)(known, default=None)
                trials.append(KnobTrial(knob=knob, value=value, trials=len(deltas), best_delta=best))
        rows = (self._store.experiment_row(ExperimentId(near)) for near in list(nearest)[:NEAREST_LIMIT])
        working = self._store.working(hardware_class)
        parent_id = working.experiment_id if working is not None else ExperimentId("")
        return Advice(
            nearest=tuple(self._match(row, parent_id) for row in rows if row is not None), knobs=tuple(trials)
        )

    def _match(self, row: sqlite3.Row, parent_id: ExperimentId) -> NearMatch:
        summary = self.summary(row)
        return NearMatch(
            experiment_id=summary.experiment.experiment_id,
            title=summary.experiment.hypothesis.title,
            state=summary.state,
            score=summary.score,
            delta=summary.delta,
            same_parent=summary.experiment.parent == parent_id,
            reason=summary.reason,
        )

    def _scores(self, hardware_class: HardwareClass, experiment_id: ExperimentId) -> list[float]:
        runs = self._store.runs(hardware_class, experiment_id=experiment_id)
        return [run.score for run in runs if run.outcome is Outcome.COMPLETED and run.score is not None]

    def _rank(self, summary: ExperimentSummary) -> tuple[bool, float]:
        if summary.score is None:
            return True, 0.0
        return False, summary.score if self._rules.direction == "lower" else -summary.score


def _matches(row: sqlite3.Row, query: ExperimentQuery) -> bool:
    return (
        (query.state is None or row["state"] == query.state)
        and (query.node_id is None or row["node_id"] == query.node_id)
        and query.text.lower() in row["title"].lower()
    )
