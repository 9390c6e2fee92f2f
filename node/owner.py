"""What an owner says to a node of this machine, and how the node's answer reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoresearch.model import utc_now

from node.control import Command, ControlError, NobodyThere, Request, ask
from node.failures import Failed
from node.pausing import forget_pause, note_pause


async def pause_node(node_dir: Path, *, now: bool) -> str:
    """Pauses a node that runs, and every later one until ``resume_node``. Raises Failed."""
    if not node_dir.is_dir():  # noqa: ASYNC240 - a command that does nothing else meanwhile
        raise Failed(f"no node has run in {node_dir}; start one with: autoresearch-node join HOST")
    note_pause(node_dir, utc_now())
    picture = await _told(node_dir, Request(command=Command.PAUSE, now=now))
    if picture is None:
        return f"no node runs in {node_dir}; the next one will start paused, until `resume`"
    if now:
        return "pausing at once: the work in hand is given back"
    return "pausing after the run in hand" if _trains(picture) else "paused"


async def resume_node(node_dir: Path) -> str:
    """Takes the owner's pause back; other causes of a pause stay. Raises Failed."""
    was_paused = forget_pause(node_dir)
    picture = await _told(node_dir, Request(command=Command.RESUME))
    if picture is None:
        return f"no node runs in {node_dir}; the next one will " + (
            "not start paused any more" if was_paused else "start as ever: it was not paused"
        )
    others = _reasons(picture)
    return f"still paused: {'; '.join(others)}" if others else "taking work again"


async def drain_node(node_dir: Path) -> str:
    """Lets a node finish its run and leave. Raises Failed."""
    if await _told(node_dir, Request(command=Command.DRAIN)) is None:
        raise Failed(f"no node runs in {node_dir}; there is nothing to drain")
    return "leaving after the run in hand"


async def _told(node_dir: Path, request: Request) -> dict[str, Any] | None:
    try:
        return await ask(node_dir, request)
    except NobodyThere:
        return None
    except ControlError as error:
        raise Failed(str(error)) from error


def _trains(picture: Mapping[str, Any]) -> bool:
    workers = picture.get("workers") or [picture]
    return any(worker.get("current") for worker in workers)


def _reasons(picture: Mapping[str, Any]) -> list[str]:
    workers = picture.get("workers") or [picture]
    return sorted({str(reason) for worker in workers for reason in worker.get("pauses") or ()})
