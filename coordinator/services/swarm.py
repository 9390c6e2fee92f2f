"""All services of one coordinator, composed: what the RPC layer and the web are given.

The caller of a method that needs one is the ``Node`` that the RPC layer authenticated. Every method
raises domain errors of ``autoresearch.errors`` only.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.challenge import Challenge
from coordinator.services.admin import Admin
from coordinator.services.challenge import ChallengeServices
from coordinator.services.membership import Membership
from coordinator.services.settings import ServiceSettings
from coordinator.storage.base import StoreServer


class SwarmServices:
    """Everything that one coordinator does for its callers.

    ``start`` comes first and ``close`` last; the store server is closed by whoever opened it.
    """

    membership: Membership
    admin: Admin

    def __init__(
        self, server: StoreServer, challenges: Sequence[Challenge], settings: ServiceSettings
    ) -> None:
        """Composes the services of ``challenges``, the first of which is the default.

        Raises:
            ChallengeUnfrozen: a manifest has no hashes yet.
        """

    @property
    def challenges(self) -> tuple[ChallengeServices, ...]:
        """Every hosted challenge, the default first."""

    def challenge(self, name_or_id: str) -> ChallengeServices:
        """The services of one challenge by name or id; empty for the default. Raises UnknownChallenge."""

    async def start(self) -> None:
        """Rebuilds indexes and starts background tasks. Raises Unavailable."""

    async def close(self) -> None:
        """Ends background tasks and worker processes."""
