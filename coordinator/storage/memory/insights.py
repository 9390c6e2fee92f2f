"""Lessons, in the process's memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from autoresearch.errors import Conflict, NotFound
from autoresearch.model import Insight, InsightId

from coordinator.storage.base import NumberedInsight
from coordinator.storage.fingerprints import insight_fingerprint
from coordinator.storage.memory.tables import ChallengeTables


class MemoryInsights:
    """The insights of one challenge."""

    _t: ChallengeTables

    async def put_insight(self, insight: Insight, *, max_per_day: int, kept: int) -> bool | None:
        t = self._t
        known = t.insights.get(insight.insight_id)
        if known is not None:
            if insight_fingerprint(known.insight) != insight_fingerprint(insight):
                raise Conflict(f"insight id {insight.insight_id} was used for another insight")
            return False
        for experiment_id in insight.experiment_ids:
            if experiment_id not in t.experiments:
                raise NotFound(f"experiment {experiment_id}, which an insight names, is not in the store")
        today = t.now().date()
        day, shared = t.insights_shared.get(insight.node_id, (today, 0))
        shared = shared if day == today else 0
        if shared >= max_per_day:
            return None
        t.insights_shared[insight.node_id] = (today, shared + 1)
        number = t.next_insight_number()
        t.insights[insight.insight_id] = NumberedInsight(number=number, insight=insight)
        while len(t.insights) > kept:
            oldest = next(iter(t.insights))
            del t.insights[oldest]
            t.insight_vectors.pop(oldest, None)
        return True

    async def get_insights(self, *, after: int = 0) -> AsyncIterator[NumberedInsight]:
        for one in tuple(self._t.insights.values()):
            if one.number > after:
                yield one

    async def put_insight_vector(self, insight_id: InsightId, model: str, vector: bytes) -> None:
        if insight_id in self._t.insights:
            self._t.insight_vectors[insight_id] = (model, vector)

    async def get_insight_vectors(
        self, insight_ids: Sequence[InsightId], model: str
    ) -> Mapping[InsightId, bytes]:
        found = {key: self._t.insight_vectors.get(key, ("", b"")) for key in insight_ids}
        return {key: vector for key, (made_by, vector) in found.items() if made_by == model}
