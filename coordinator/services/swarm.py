"""All services of one coordinator, composed: what the RPC layer and the web are given.

The caller of a method that needs one is the ``Node`` that the RPC layer authenticated. Every method
raises domain errors of ``autoresearch.errors`` only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from autoresearch.challenge import Challenge
from autoresearch.errors import ChallengeUnfrozen, InvalidArgument, UnknownChallenge
from autoresearch.model import utc_now

from coordinator.dedup.code import CodeReader
from coordinator.dedup.embedder import Embedder
from coordinator.dedup.embedding_queue import EmbeddingQueue
from coordinator.services.admin import Admin
from coordinator.services.challenge import ChallengeServices, end_tasks
from coordinator.services.context import ChallengeContext, Sessions
from coordinator.services.membership import Membership
from coordinator.services.settings import ServiceSettings
from coordinator.storage.base import StoreServer


class SwarmServices:
    """Everything that one coordinator does for its callers.

    ``start`` comes first and ``close`` last; the store server is closed by whoever opened it.
    """

    def __init__(
        self,
        server: StoreServer,
        challenges: Sequence[Challenge],
        settings: ServiceSettings,
        *,
        clock: Callable[[], datetime] = utc_now,
        reader: CodeReader | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """Composes the services of ``challenges``, the first of which is the default.

        A ``reader`` that is given is left open by ``close``. Without an ``embedder`` words in common stand in
        for meaning.

        Raises:
            ChallengeUnfrozen: a manifest has no hashes yet.
            InvalidArgument: no challenge, or two of one name or id.
        """
        check_hosted(challenges)
        identity = server.identity_store()
        self._own_reader = reader is None
        self._reader = reader or CodeReader(workers=settings.judge_workers, limit_s=settings.judge_limit_s)
        self._queue = EmbeddingQueue(embedder) if embedder is not None else None
        self._embedding: asyncio.Task[None] | None = None
        sessions = Sessions()
        contexts = [
            ChallengeContext(
                challenge,
                server.challenge_store(challenge.challenge_id, direction=challenge.direction),
                identity,
                settings,
                reader=self._reader,
                sessions=sessions,
                clock=clock,
                embedding_queue=self._queue,
            )
            for challenge in challenges
        ]
        self._hosted = tuple(ChallengeServices(context, server.health) for context in contexts)
        self.membership = Membership(
            identity,
            lambda name_or_id: self.challenge(name_or_id).context,
            contexts,
            settings,
            sessions=sessions,
            clock=clock,
        )
        self.admin = Admin(identity, clock=clock)

    @property
    def challenges(self) -> tuple[ChallengeServices, ...]:
        """Every hosted challenge, the default first."""
        return self._hosted

    def challenge(self, name_or_id: str) -> ChallengeServices:
        """The services of one challenge by name or id; empty for the default. Raises UnknownChallenge."""
        if not name_or_id:
            return self._hosted[0]
        for one in self._hosted:
            if name_or_id in (one.challenge.challenge_id, one.challenge.name):
                return one
        names = ", ".join(one.challenge.name for one in self._hosted)
        raise UnknownChallenge(f"challenge {name_or_id[:80]!r} is not hosted here; hosted are: {names}")

    async def start(self) -> None:
        """Rebuilds indexes and starts background tasks. Raises Unavailable."""
        await self._reader.warm_up()
        for one in self._hosted:
            await one.start()
        if self._queue is not None:
            self._embedding = asyncio.create_task(self._queue.run(), name="embedding queue")

    async def close(self) -> None:
        """Ends background tasks and worker processes."""
        for one in self._hosted:
            await one.close()
        await self._end_embedding()
        if self._own_reader:
            await self._reader.close()

    async def _end_embedding(self) -> None:
        task, self._embedding = self._embedding, None
        if task is not None:
            await end_tasks([task])
        if self._queue is not None:
            await self._queue.close()


def check_hosted(challenges: Sequence[Challenge]) -> None:
    """Whether these can be hosted together.

    Raises:
        ChallengeUnfrozen: a manifest has no hashes yet.
        InvalidArgument: no challenge, or two of one name or id.
    """
    if not challenges:
        raise InvalidArgument("no challenge is named; a coordinator hosts at least one")
    for challenge in challenges:
        if not challenge.frozen:
            raise ChallengeUnfrozen(
                f"challenge {challenge.name} has no hashes yet; run: python -m trainer prepare --freeze"
            )
    for kind, keys in (
        ("name", [one.name for one in challenges]),
        ("id", [one.challenge_id for one in challenges]),
    ):
        if len(set(keys)) != len(keys):
            raise InvalidArgument(f"two hosted challenges have the same {kind}; host one of them")
