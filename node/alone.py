"""Working alone from the start, so that what is found can be brought to a swarm later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from autoresearch.challenge import Challenge
from autoresearch.model import Insight, NodeId, Published

from node.swarm.outbox import Outbox
from node.swarm.protocol import Publication
from node.swarm.solo import SoloSwarm


class AloneSwarm(SoloSwarm):
    """A swarm of one whose results wait in the outbox for a later ``join``."""

    def __init__(
        self,
        path: Path,
        challenge: Challenge,
        node_id: NodeId,
        outbox: Outbox,
        *,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(path, challenge, node_id, now=now)
        self._outbox = outbox

    async def publish(self, publication: Publication) -> Published:
        """In the outbox first; the lease is this machine's own and means nothing elsewhere."""
        self._outbox.put(replace(publication, lease=None))
        return await super().publish(publication)

    async def share(self, insight: Insight) -> None:
        """Kept for the swarm too, once it is known to be one that a swarm takes."""
        await super().share(insight)
        self._outbox.insights.put(insight)

    async def close(self) -> None:
        await super().close()
        self._outbox.close()
