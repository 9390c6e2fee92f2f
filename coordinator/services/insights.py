"""Lessons from what was run: taken in with their evidence, and found again by what they are about."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, time, timedelta
from itertools import islice

from autoresearch.errors import InvalidArgument, LimitExceeded, NotFound
from autoresearch.limits import SEARCH_LIMIT, SEARCH_TEXT_LIMIT_CHARS, check_insight, check_line
from autoresearch.model import HardwareClass, Insight, InsightId, InsightQuery, Node

from coordinator.dedup.embedding_queue import Lane
from coordinator.dedup.insights import accepting
from coordinator.services.context import ChallengeContext

INSIGHTS_KEPT = 10_000
"""Of a challenge: the newest. With text and vector about 20 MB of the store at most."""

MEANING_WAIT_S = 2.0
"""A reader waits longer than a claim does."""


class Insights:
    """The insights of one challenge."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._reading = asyncio.Lock()

    async def share(self, caller: Node, insight: Insight) -> bool:
        """Keeps an insight; True if this is a repeat. Whom it is from, its class and its time are set here.

        Raises:
            InvalidArgument: a limit is broken, or the insight is of another challenge.
            NotFound: an experiment that it names is unknown.
            Conflict: the id was used for another insight.
            LimitExceeded: the node has shared as many as it may in a day.
        """
        check_insight(insight)
        challenge_id = self._c.challenge.challenge_id
        if insight.challenge_id != challenge_id:
            raise InvalidArgument(
                f"the insight is of challenge {insight.challenge_id}, this is {challenge_id}"
            )
        share = self._c.settings.insights_per_node
        now = self._c.clock()
        taken = replace(
            insight,
            experiment_ids=tuple(dict.fromkeys(insight.experiment_ids)),
            node_id=caller.node_id,
            owner_id=caller.owner_id,
            hardware_class=caller.hardware_class or self._class_of(insight),
            created_at=now,
        )
        is_new = await self._c.store.put_insight(taken, max_per_day=share, kept=INSIGHTS_KEPT)
        if is_new is None:
            raise LimitExceeded(
                f"this node has shared {share} insights today; share more tomorrow (UTC)",
                retry_after_s=_until_tomorrow(now).total_seconds(),
            )
        return not is_new

    async def list_insights(self, query: InsightQuery) -> tuple[Insight, ...]:
        """The newest first or, with a text, the nearest: by meaning where there is a model for it at this
        moment, else by the words they share. Raises InvalidArgument for a bad limit or text.
        """
        if not 1 <= query.limit <= SEARCH_LIMIT:
            raise InvalidArgument(f"limit is {query.limit}; give 1 to {SEARCH_LIMIT}")
        check_line(query.text, "text", limit=SEARCH_TEXT_LIMIT_CHARS)
        await self.catch_up()
        if not query.text.strip():
            return tuple(islice(self._c.insights.newest(query), query.limit))
        near = await self._nearest(query)
        return self._c.insights.sharing_words(query) if near is None else near

    def _class_of(self, insight: Insight) -> HardwareClass:
        """Where it was learned, for a caller that has no hardware."""
        entry = self._c.catalog.entry(insight.experiment_ids[0])
        if entry is None:
            raise NotFound(f"there is no experiment {insight.experiment_ids[0]} to learn from")
        return entry.experiment.hardware_class

    async def catch_up(self) -> None:
        """Reads what any coordinator on this store has taken in since the last time: one short trip."""
        async with self._reading:
            while not await self._read_to_the_end():
                continue

    async def _read_to_the_end(self) -> bool:
        """False where the index was cleared meanwhile, and what has been read is of another epoch."""
        index = self._c.insights
        times_cleared = index.times_cleared
        async for one in self._c.store.get_insights(after=index.newest_number):
            if index.times_cleared != times_cleared:
                return False
            index.put(one, kept=INSIGHTS_KEPT)
        return True

    async def _nearest(self, query: InsightQuery) -> tuple[Insight, ...] | None:
        accepts, index = accepting(query), self._c.insights

        def is_wanted(insight_id: InsightId) -> bool:
            known = index.get(insight_id)
            return known is not None and accepts(known)

        near = await self._c.insight_embeddings.nearest(
            query.text, Lane.READER, limit=query.limit, wait_s=MEANING_WAIT_S, accepts=is_wanted
        )
        if near is None:
            return None
        found = (index.get(insight_id) for insight_id in near)
        return tuple(one for one in found if one is not None)


def _until_tomorrow(now: datetime) -> timedelta:
    tomorrow = now.date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), tzinfo=now.tzinfo) - now
