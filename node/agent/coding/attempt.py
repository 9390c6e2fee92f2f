"""One run of a coding tool, from an empty home to its end: read while it works, and ended at its limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from autoresearch.model import Usage

from node.agent.account import Account, Bill, Cap
from node.agent.base import AgentError, AgentUnusable
from node.agent.coding.bill import billed, excess, least_of
from node.agent.coding.heard import Heard, Lines
from node.agent.coding.tool import Folders, Setup, Tool
from node.agent.model_names import public_name
from node.agent.quoting import inline
from node.agent.scratch import PROMPT
from node.training.processes import Ended, run_group

PASSED_VARIABLES = ("PATH", "LANG", "LC_ALL")
SAID_SHOWN_CHARS = 300
TASK = f"Your task is in the file {PROMPT} in this folder. Read it first, then do what it says.\n"
"""All that a tool is asked. Claude Code reads whatever file stands after an @ in what it is asked,
wherever that lies, so quotations of strangers must not be there."""

TRAIL_POLL_S = 0.5
TRAIL_PIECE_BYTES = 1024 * 1024
TRAIL_FILES_LIMIT = 16
NOT_FOUND = 127

_log = structlog.get_logger(__name__)


def base_environ(setup: Setup, environ: Mapping[str, str]) -> dict[str, str]:
    """What of the node's environment the tool may see."""
    return {name: environ[name] for name in (*PASSED_VARIABLES, *setup.variables) if name in environ}


def furnish(tool: Tool, setup: Setup, folders: Folders, base: Mapping[str, str]) -> dict[str, str]:
    """Fills the tool's home; returns its environment."""
    for name, content in tool.files(setup).items():
        path = folders.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return {
        **base,
        **tool.environ(setup),
        "HOME": str(folders.home),
        "TMPDIR": str(folders.temporary),
    }


async def attempt(
    tool: Tool,
    setup: Setup,
    folders: Folders,
    *,
    base: Mapping[str, str],
    account: Account,
    hide: Callable[[str], str],
) -> Heard:
    """Lets the tool do what the prompt in its folder says. What it spends is on the account however it ends.

    ``hide`` takes its owner's keys out of what it says when it fails, which logs and pages show.

    Raises:
        AgentUnusable: It is not there, or its key or model is refused.
        AgentError: It failed, or passed a limit and was ended.
    """
    env = await asyncio.to_thread(furnish, tool, setup, folders, base)
    wish = Cap(usd=setup.limits.usd, tokens=setup.limits.tokens)
    with account.call_within(wish, least=least_of(setup)) as (bill, granted):
        setup = replace(setup, limits=replace(setup.limits, usd=granted.usd, tokens=granted.tokens))
        bill.usage = replace(bill.usage, model=public_name(setup.model))
        listener = _Listener(tool, setup, bill)
        async with _followed(listener, tool, folders.home):
            ended = await run_group(
                [setup.program, *tool.argv(setup)],
                cwd=folders.work,
                env=env,
                timeout_s=setup.limits.time_s,
                told=TASK.encode(),
                hear=listener.hear,
                enough=listener.enough,
            )
        listener.end()
        if _was_free(listener, ended):
            bill.usage = Usage()
        elif not listener.heard.usages:
            _log.warning("nothing was heard of what it spent: it counts in full", agent=tool.name)
    _check(tool, setup, listener, ended, hide)
    return listener.heard


class _Listener:
    """Keeps the bill while the tool speaks, and says when it is enough."""

    def __init__(self, tool: Tool, setup: Setup, bill: Bill) -> None:
        self.heard = Heard()
        self.enough = asyncio.Event()
        self.excess = ""
        self.has_spoken = False
        self._tool = tool
        self._setup = setup
        self._bill = bill
        self._lines = Lines()

    def hear(self, piece: bytes) -> None:
        self.take(self._lines.take(piece))

    def end(self) -> None:
        self.take(self._lines.end())

    def take(self, events: list[Mapping[str, Any]]) -> None:
        if not events:
            return
        self.has_spoken = True
        for event in events:
            self._tool.hear(self.heard, event)
        if self.heard.usages:
            self._bill.usage = billed(self.heard, self._setup)
            self.excess = self.excess or excess(self._bill.usage, self._setup.limits)
        if self.excess or self.heard.is_refused:
            self.enough.set()


class _Trail:
    """The files in which a tool notes what it does, each read as far as it goes."""

    def __init__(self, home: Path, pattern: str) -> None:
        self._home = home
        self._pattern = pattern
        self._read: dict[Path, tuple[int, Lines]] = {}

    def news(self) -> list[Mapping[str, Any]]:
        """What came since it was asked last."""
        found: list[Mapping[str, Any]] = []
        for path in sorted(self._home.glob(self._pattern))[:TRAIL_FILES_LIMIT]:
            offset, lines = self._read.get(path, (0, Lines()))
            with contextlib.suppress(OSError), path.open("rb") as file:
                file.seek(offset)
                while piece := file.read(TRAIL_PIECE_BYTES):
                    found += lines.take(piece)
                offset = file.tell()
            self._read[path] = (offset, lines)
        return found


@asynccontextmanager
async def _followed(listener: _Listener, tool: Tool, home: Path) -> AsyncIterator[None]:
    """Reads the trail of a tool that has one while the block runs, and once more after it."""
    if not tool.trail:
        yield
        return
    trail = _Trail(home, tool.trail)

    async def follow() -> None:
        while True:
            await asyncio.sleep(TRAIL_POLL_S)
            listener.take(await asyncio.to_thread(trail.news))

    task = asyncio.create_task(follow(), name="trail")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        listener.take(trail.news())


def _was_free(listener: _Listener, ended: Ended) -> bool:
    """True where it never came to a call: not found, refused, or gone before it said anything.

    One that had begun and failed before it told its usage may have been charged.
    """
    if listener.heard.usages or ended.is_timeout:
        return False
    is_silent = not listener.has_spoken and ended.returncode != 0
    return is_silent or ended.returncode == NOT_FOUND or listener.heard.is_refused


def _check(tool: Tool, setup: Setup, listener: _Listener, ended: Ended, hide: Callable[[str], str]) -> None:
    heard = listener.heard
    # Hidden before it is cut: a part of a key is not found any more.
    said = hide(heard.problem) or hide(ended.output)[-SAID_SHOWN_CHARS:] or hide(heard.said)
    said = inline(said, SAID_SHOWN_CHARS) or "nothing"
    if ended.returncode == NOT_FOUND and not heard.usages:
        raise AgentUnusable(f"{tool.name}: {said}; install it: {tool.install}")
    if heard.is_refused:
        raise AgentUnusable(f"{tool.name} is refused: {said}; check the key and --agent-model")
    if listener.excess:
        raise AgentError(f"{tool.name} took {listener.excess}, and was ended")
    if ended.is_timeout:
        limit_s = setup.limits.time_s
        raise AgentError(f"{tool.name} was not done after {limit_s:g} s and was ended; it said: {said}")
    if ended.returncode != 0 or heard.problem:
        raise AgentError(f"{tool.name} ended with exit code {ended.returncode}; it said: {said}")
