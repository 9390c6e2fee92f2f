"""Which worker of a node with several answers its one researcher.

A ticket's name begins with its worker's seat, so what is about a ticket goes there. Everything else goes to
the worker that an idea is of most use to; all are asked how that is, and so all hear that a researcher is
there and wait for ideas rather than do without. One researcher can keep every GPU busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from node.control import Command, ControlError, NobodyThere, Request

READINESS = Request(command=Command.RESEARCH, tool="readiness")

Reply = Mapping[str, Any]
AskWorker = Callable[[str, Request], Awaitable[Reply]]
"""By the name of a seat. Raises NobodyThere and ControlError."""


async def route(seats: Sequence[str], ask: AskWorker, request: Request) -> Reply:
    """The answer of the worker that it concerns; of all of them, to ``status``."""
    named = str(request.arguments.get("id", ""))
    seat = named.rpartition(".")[0]
    if named and seat not in seats:
        return {"refusal": f"there is no {named[:80]!r} here; status lists what there is"}
    if seat:
        return await _asked(seat, ask, request)
    if request.tool == "status":
        replies = await asyncio.gather(*(_asked(one, ask, request) for one in seats))
        told = [str(reply.get("text") or reply.get("refusal")) for reply in replies]
        return {"text": "\n\n".join(f"worker {one}\n{text}" for one, text in zip(seats, told, strict=True))}
    found = await asyncio.gather(*(_asked(one, ask, READINESS) for one in seats))
    ready = [
        (str(reply["text"]), seat) for seat, reply in zip(seats, found, strict=True) if "refusal" not in reply
    ]
    if not ready:
        return found[0]
    return await _asked(min(ready)[1], ask, request)


async def _asked(seat: str, ask: AskWorker, request: Request) -> Reply:
    try:
        return await ask(seat, request)
    except (NobodyThere, ControlError) as error:
        return {"refusal": f"worker {seat} does not answer ({error}); try again"}
