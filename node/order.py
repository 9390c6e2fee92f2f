"""What a supervisor tells a worker through its stdin: first what to do, later when to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pydantic

from node.config import Config
from node.stopping import Stop
from node.supervisor import ABORT_WORD, DRAIN_WORD

ORDER_LIMIT_BYTES = 256 * 1024
"""A program.md of 32 KiB, of which JSON escapes every sign at worst, and room for the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one worker is told: the node's settings, and what is its own.

    ``host`` is empty for a node that works alone. ``program`` is the text of the owner's own program.md as
    it was when the node began: workers that start later go by the same.
    """

    config: Config
    host: str
    challenge_dir: Path
    seat: str
    trainer_argv: tuple[str, ...]
    token: str = field(default="", repr=False)
    program: str | None = None

    def line(self) -> bytes:
        """As the worker reads it."""
        return pydantic.TypeAdapter(Order).dump_json(self) + b"\n"


def read_order(stdin: BinaryIO) -> Order:
    """The order from an unbuffered stdin: what follows it is read later."""
    return pydantic.TypeAdapter(Order).validate_json(stdin.readline(ORDER_LIMIT_BYTES))


@asynccontextmanager
async def heeding(stop: Stop, stdin: BinaryIO) -> AsyncIterator[None]:
    """Stops as the supervisor says while the block runs, and at once when the supervisor is gone."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), stdin
    )
    listening = asyncio.create_task(_heed(stop, reader))
    try:
        yield
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        transport.close()


async def _heed(stop: Stop, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        if line == DRAIN_WORD:
            stop.drain("the supervisor asked")
        elif line == ABORT_WORD:
            stop.abort("the supervisor asked")
    stop.abort("the supervisor is gone")
