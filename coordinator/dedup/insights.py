"""The newest insights of a challenge in memory: by age, by evidence, and by the words that they share."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from heapq import nlargest

from autoresearch.model import Insight, InsightId, InsightQuery

from coordinator.dedup.index import words_of
from coordinator.storage.base import NumberedInsight

WORDS_LIMIT = 16
"""Words of a text that a search goes by: the rarest."""


class InsightIndex:
    """Keeps at most ``kept`` of them, as the store does, in its order of arrival."""

    def __init__(self) -> None:
        self._by_id: dict[InsightId, NumberedInsight] = {}
        self._with_word: dict[str, dict[InsightId, None]] = defaultdict(dict)
        self.times_cleared = 0

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def newest_number(self) -> int:
        """The number of the last that came; 0 before the first."""
        return next(reversed(self._by_id.values())).number if self._by_id else 0

    def get(self, insight_id: InsightId) -> Insight | None:
        """One that is kept."""
        known = self._by_id.get(insight_id)
        return known.insight if known else None

    def put(self, numbered: NumberedInsight, *, kept: int) -> None:
        """The next one; the oldest make room."""
        insight = numbered.insight
        self._drop(insight.insight_id)
        self._by_id[insight.insight_id] = numbered
        for word in words_of(insight.text):
            self._with_word[word][insight.insight_id] = None
        while len(self._by_id) > kept:
            self._drop(next(iter(self._by_id)))

    def clear(self) -> None:
        """Knows nothing any more."""
        self._by_id.clear()
        self._with_word.clear()
        self.times_cleared += 1

    def after(self, number: int) -> tuple[NumberedInsight, ...]:
        """Those that came after a number, oldest first."""
        newer = []
        for one in reversed(self._by_id.values()):
            if one.number <= number:
                break
            newer.append(one)
        return tuple(reversed(newer))

    def newest(self, query: InsightQuery) -> Iterator[Insight]:
        """Those that a query lets through, newest first."""
        accepts = accepting(query)
        return (one.insight for one in reversed(self._by_id.values()) if accepts(one.insight))

    def sharing_words(self, query: InsightQuery) -> tuple[Insight, ...]:
        """Those that share words with the query's text, rare words counting more, then the newer first."""
        having = {word: self._with_word.get(word, {}) for word in words_of(query.text)}
        rarest = sorted(having, key=lambda word: len(having[word]))[:WORDS_LIMIT]
        accepts = accepting(query)
        shared: dict[InsightId, float] = defaultdict(float)
        for word in rarest:
            weight = math.log((len(self._by_id) + 1) / (len(having[word]) + 0.5))
            for insight_id in having[word]:
                shared[insight_id] += weight
        accepted = (key for key in shared if accepts(self._by_id[key].insight))
        best = nlargest(query.limit, accepted, key=lambda key: (shared[key], self._by_id[key].number))
        return tuple(self._by_id[key].insight for key in best)

    def _drop(self, insight_id: InsightId) -> None:
        known = self._by_id.pop(insight_id, None)
        if known is None:
            return
        for word in words_of(known.insight.text):
            having = self._with_word[word]
            del having[insight_id]
            if not having:
                del self._with_word[word]


def accepting(query: InsightQuery) -> Callable[[Insight], bool]:
    """Whether an insight is of the query's class and of its experiment."""

    def accepts(insight: Insight) -> bool:
        return query.hardware_class in (None, insight.hardware_class) and (
            query.experiment_id is None or query.experiment_id in insight.experiment_ids
        )

    return accepts
