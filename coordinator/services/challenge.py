"""The services of one challenge, composed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from coordinator.services.claiming import Claiming
from coordinator.services.context import ChallengeContext
from coordinator.services.following import Caretaker, Follower
from coordinator.services.ideas import Ideas
from coordinator.services.insights import Insights
from coordinator.services.leaderboard import Leaderboard
from coordinator.services.publishing import Publishing
from coordinator.services.searching import Search
from coordinator.services.starting import Starting
from coordinator.storage.base import StoreHealth

CANCEL_AGAIN_S = 1.0


class ChallengeServices:
    """One challenge: its store and what can be done with it."""

    def __init__(self, context: ChallengeContext, health: Callable[[], Awaitable[StoreHealth]]) -> None:
        self.context = context
        self.challenge = context.challenge
        self.store = context.store
        self.claiming = Claiming(context)
        self.starting = Starting(context)
        self.publishing = Publishing(context)
        self.ideas = Ideas(context)
        self.insights = Insights(context)
        self.programs = context.programs
        self.leaderboard = Leaderboard(context, health)
        self.search = Search(context)
        self.follower = Follower(context)
        self.caretaker = Caretaker(context)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Rebuilds the indexes from the store and starts what keeps them current."""
        await self.store.put_source(self.context.baseline_source())
        await self.follower.rebuild()
        await self.insights.catch_up()
        self._tasks = [
            asyncio.create_task(self.follower.follow(), name="follower"),
            asyncio.create_task(self.follower.read_on(), name="reading"),
            asyncio.create_task(self.caretaker.run(), name="caretaker"),
            asyncio.create_task(self.context.embeddings.run(), name="embeddings"),
            asyncio.create_task(self.context.insight_embeddings.run(), name="embeddings of insights"),
        ]

    async def close(self) -> None:
        """Ends the background tasks."""
        self.follower.stop()
        tasks, self._tasks = self._tasks, []
        await end_tasks(tasks)


async def end_tasks(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels tasks and sees them end."""
    # On Python 3.11 a cancellation that meets the end of a timed wait is lost: it is asked for again.
    while any(not task.done() for task in tasks):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)
