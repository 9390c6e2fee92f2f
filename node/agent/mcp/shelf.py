"""What only a coordinator can tell a researcher: experiments by their meaning, and the queue of ideas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from autoresearch.errors import Unavailable
from autoresearch.model import Idea, SearchFindings, SearchQuery

from node.config import Config
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcReader

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Shelf:
    """Reads, unsigned; None where there is no coordinator or it cannot be reached."""

    def __init__(self, config: Config, host: str, challenge: str) -> None:
        """``host`` is empty for a node that works alone."""
        self._config = config
        self._host = host
        self._challenge = challenge

    async def search(self, query: SearchQuery) -> SearchFindings | None:
        """The experiments nearest to a text."""
        return await self._ask(lambda reader: reader.search(query))

    async def ideas(self) -> tuple[Idea, ...] | None:
        """What waits, next first."""
        return await self._ask(lambda reader: reader.ideas())

    async def _ask(self, ask: Callable[[GrpcReader], Awaitable[T]]) -> T | None:
        if not self._host:
            return None
        address = parse_address(self._host)
        channel = open_channel(address, ca_file=self._config.ca_file, insecure=self._config.insecure)
        reader = GrpcReader(channel, address.target, challenge=self._challenge)
        try:
            return await ask(reader)
        except Unavailable as error:
            _log.info("the coordinator cannot be read", reason=error.message)
            return None
        finally:
            await reader.close()
