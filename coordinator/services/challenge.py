"""The services of one challenge, composed."""

from __future__ import annotations

from autoresearch.challenge import Challenge
from coordinator.services.claiming import Claiming
from coordinator.services.ideas import Ideas
from coordinator.services.leaderboard import Leaderboard
from coordinator.services.publishing import Publishing
from coordinator.storage.base import Store


class ChallengeServices:
    """One challenge: its store and what can be done with it."""

    challenge: Challenge
    store: Store
    claiming: Claiming
    publishing: Publishing
    ideas: Ideas
    leaderboard: Leaderboard

    async def start(self) -> None:
        """Rebuilds the indexes from the store and starts the follower and the reaper."""

    async def close(self) -> None:
        """Ends the background tasks."""
