"""How long a tool waits for the swarm: less than whoever waits for the tool."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from node.agent.mcp.desk import NotNow

SWARM_LIMIT_S = 3.0
"""A supervisor waits 4 s for its worker's answer, and the server of the tools 10 s for both."""

T = TypeVar("T")


def left_s(until: float) -> float:
    """Seconds until then, on the monotonic clock."""
    return max(0.0, until - time.monotonic())


async def within(answer: Awaitable[T], limit_s: float = SWARM_LIMIT_S, *, then: str = "ask again") -> T:
    """What the swarm answers. Raises NotNow, which says what to do ``then``, where that takes too long."""
    try:
        async with asyncio.timeout(limit_s):
            return await answer
    except TimeoutError as error:
        raise NotNow(f"the swarm does not answer in time; {then}, or go on with claim and run") from error
