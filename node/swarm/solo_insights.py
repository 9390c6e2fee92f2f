"""What was learned, as far as a node alone knows: its own lessons and those that the swarm told it of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from autoresearch import codec
from autoresearch.errors import Conflict, InvalidArgument, NotFound
from autoresearch.limits import SEARCH_LIMIT, check_insight
from autoresearch.model import Insight, InsightQuery
from autoresearch.v1 import types_pb2

from node.swarm.solo_store import SoloStore

INSIGHTS_KEPT = 1_000
"""The newest; whoever asks reads them all."""

_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")


class SoloInsights:
    """Insights in a node's own store; methods that write belong into a transaction."""

    def __init__(self, store: SoloStore) -> None:
        self._store = store

    def share(self, insight: Insight) -> None:
        """Raises InvalidArgument, NotFound (its evidence) and Conflict (its id)."""
        check_insight(insight)
        for experiment_id in insight.experiment_ids:
            if self._store.experiment_row(experiment_id) is None:
                raise NotFound(f"experiment {experiment_id}, which an insight names, is not on this machine")
        known = self._store.insight_bytes(insight.insight_id)
        if known is not None and not _is_same(_insight_of(known), insight):
            raise Conflict(f"the insight id {insight.insight_id} was used for another insight")
        self.learn((insight,))

    def learn(self, insights: Iterable[Insight]) -> None:
        """Keeps those that are new; the oldest make room."""
        for insight in insights:
            message = codec.insight_to_message(insight).SerializeToString()
            self._store.put_insight(insight.insight_id, message)
        self._store.keep_insights(INSIGHTS_KEPT)

    def find(self, query: InsightQuery) -> tuple[Insight, ...]:
        """The newest first or, with a text, those that share most of its words. Raises InvalidArgument."""
        if not 1 <= query.limit <= SEARCH_LIMIT:
            raise InvalidArgument(f"limit is {query.limit}; ask for 1 to {SEARCH_LIMIT}")
        found = list(self._matching(query))
        words = _words_of(query.text)
        if words:
            shared = {one.insight_id: len(words & _words_of(one.text)) for one in found}
            found = [one for one in found if shared[one.insight_id]]
            found.sort(key=lambda one: -shared[one.insight_id])
        return tuple(found[: query.limit])

    def _matching(self, query: InsightQuery) -> Iterator[Insight]:
        for message in self._store.insight_messages():
            insight = _insight_of(message)
            is_of_class = query.hardware_class in (None, insight.hardware_class)
            if is_of_class and (query.experiment_id in (None, *insight.experiment_ids)):
                yield insight


def _insight_of(message: bytes) -> Insight:
    return codec.insight_from_message(types_pb2.Insight.FromString(message))


def _is_same(one: Insight, other: Insight) -> bool:
    return (one.text, one.experiment_ids) == (other.text, other.experiment_ids)


def _words_of(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
