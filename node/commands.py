"""What a worker answers to its owner: it pauses, goes on, drains, or tells how it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from node.control import Command, Request
from node.pausing import Cause, Pauses
from node.stopping import Stop

PAUSED_BY_OWNER = "paused by its owner"
DRAINED_BY_OWNER = "told to by its owner"


class Commands:
    """Carries out what came over the socket; the wish for a pause is kept by whoever asked."""

    def __init__(
        self,
        *,
        pauses: Pauses,
        stop: Stop,
        picture: Callable[[], Mapping[str, Any]],
        research: Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
    ) -> None:
        """``research`` answers the tools of an external researcher."""
        self._pauses = pauses
        self._stop = stop
        self._picture = picture
        self._research = research

    async def answer(self, request: Request) -> Mapping[str, Any]:
        """Every answer is the node's picture after it, but that to a researcher."""
        match request.command:
            case Command.PAUSE:
                self._pauses.hold(Cause.OWNER, PAUSED_BY_OWNER, now=request.now)
            case Command.RESUME:
                self._pauses.lift(Cause.OWNER)
            case Command.DRAIN:
                self._stop.drain(DRAINED_BY_OWNER)
            case Command.RESEARCH:
                return await self._research(request.tool, request.arguments)
            case Command.STATUS:
                pass
        return self._picture()
