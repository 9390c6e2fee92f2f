"""What a node reads of its swarm: sources by experiment, checked and remembered, history and insights."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import structlog
from autoresearch.errors import NotFound, SwarmError
from autoresearch.model import (
    ExperimentId,
    ExperimentOrder,
    ExperimentQuery,
    ExperimentSummary,
    HardwareClass,
    Insight,
    InsightQuery,
    Level,
    SourceHash,
    WorkingBest,
)

from node.agent.base import Material
from node.swarm.protocol import Swarm

HISTORY_LIMIT = 400
HISTORY_PAGE = 100
SOURCES_CACHED = 16
FOREBEARS_LIMIT = 12
MATERIALS_LIMIT = 8
"""Experiments that one idea is about; a coordinator names fewer."""
INSIGHTS_LIMIT = 20

_log = structlog.get_logger(__name__)


class Library:
    """Sources and history of one hardware class."""

    def __init__(self, *, swarm: Swarm, hardware_class: HardwareClass) -> None:
        self._swarm = swarm
        self._hardware_class = hardware_class
        self._sources: OrderedDict[ExperimentId, bytes] = OrderedDict()

    async def best_source(self, parent: WorkingBest) -> bytes:
        """The parent's code, checked against the hash under which the swarm knows it."""
        source = self._sources.get(parent.experiment_id)
        if source is None:
            synced = await self._swarm.best()
            if synced is not None and synced.best.experiment_id == parent.experiment_id:
                source = self._remember(parent.experiment_id, synced.source)
            else:
                source = await self.source(parent.experiment_id)
        if parent.source_hash and source_hash(source) != parent.source_hash:
            self._sources.pop(parent.experiment_id, None)
            raise NotFound(f"the code of {parent.experiment_id} does not have its hash")
        return source

    async def source(self, experiment_id: ExperimentId) -> bytes:
        if experiment_id in self._sources:
            return self._sources[experiment_id]
        return self._remember(experiment_id, await self._swarm.source(experiment_id))

    async def code(self, wanted: SourceHash) -> bytes:
        """The code with a hash, asked for once by whoever runs it; checked, since it is run as it comes."""
        source = await self._swarm.source_by_hash(wanted)
        if source_hash(source) != wanted:
            raise NotFound(f"the code {wanted} does not have its hash")
        return source

    def _remember(self, experiment_id: ExperimentId, source: bytes) -> bytes:
        self._sources[experiment_id] = source
        while len(self._sources) > SOURCES_CACHED:
            self._sources.popitem(last=False)
        return source

    async def history(self, limit: int = HISTORY_LIMIT) -> tuple[ExperimentSummary, ...]:
        """The newest experiments of this class, at most so many, oldest first."""
        found: list[ExperimentSummary] = []
        wanted, cursor = min(limit, HISTORY_LIMIT), ""
        while len(found) < wanted:
            query = ExperimentQuery(
                hardware_class=self._hardware_class,
                order=ExperimentOrder.NEWEST,
                limit=min(HISTORY_PAGE, wanted - len(found)),
                cursor=cursor,
            )
            page = await self._swarm.experiments(query)
            found += page.experiments
            cursor = page.next_cursor
            if not cursor or not page.experiments:
                break
        return tuple(reversed(found))

    async def materials(self, experiment_ids: Sequence[ExperimentId]) -> tuple[Material, ...]:
        """Experiments with what each did to its parent. Raises NotFound."""
        found = []
        for experiment_id in experiment_ids[:MATERIALS_LIMIT]:
            summary = await self._swarm.experiment(experiment_id)
            parent_id = summary.experiment.parent
            if parent_id is None:
                raise NotFound(f"{experiment_id} is no edit of anything")
            before, after = await self.source(parent_id), await self.source(experiment_id)
            found.append(Material(summary=summary, diff=await asyncio.to_thread(_diff, before, after)))
        return tuple(found)

    async def insights(self) -> tuple[Insight, ...]:
        """The newest lessons of this class, newest first; none where the swarm cannot tell them."""
        query = InsightQuery(hardware_class=self._hardware_class, limit=INSIGHTS_LIMIT)
        try:
            return await self._swarm.insights(query)
        except SwarmError as error:
            _log.info("no insights", reason=error.message)
            return ()

    def forebears(self, parent: WorkingBest, history: Sequence[ExperimentSummary]) -> tuple[WorkingBest, ...]:
        """What the parent came from and, last, baselines: the newest first, and only what was scored."""
        known = {summary.experiment.experiment_id: summary for summary in history}
        line: list[ExperimentSummary] = []
        seen = {parent.experiment_id}
        following = known.get(parent.experiment_id)
        while following is not None and following.experiment.parent is not None:
            following = known.get(following.experiment.parent)
            if following is None or following.experiment.experiment_id in seen:
                break
            seen.add(following.experiment.experiment_id)
            line.append(following)
        line += [
            summary
            for summary in reversed(history)
            if not summary.experiment.parents and summary.experiment.experiment_id not in seen
        ]
        scored = [summary for summary in line if summary.score is not None]
        return tuple(_as_parent(parent, summary) for summary in scored[:FOREBEARS_LIMIT])


def _as_parent(best: WorkingBest, summary: ExperimentSummary) -> WorkingBest:
    """An experiment in the place of the working best that an idea begins from."""
    experiment = summary.experiment
    return replace(
        best,
        experiment_id=experiment.experiment_id,
        source_hash=experiment.source_hash,
        level=summary.level or Level.PROVISIONAL,
        mean=summary.score if summary.score is not None else best.mean,
        runs=summary.runs,
        title=experiment.hypothesis.title,
        confirmed_by=summary.confirmed_by,
        node_id=experiment.node_id,
    )


def _diff(before: bytes, after: bytes) -> str:
    """A unified diff."""
    old, new = (text.decode("utf-8", "replace").splitlines() for text in (before, after))
    return "\n".join(difflib.unified_diff(old, new, "before", "after", lineterm=""))


def source_hash(source: bytes) -> SourceHash:
    """The identity of a ``train.py``."""
    return SourceHash("sha256:" + hashlib.sha256(source).hexdigest())
