"""All that is looked at for the whole corpus, part by part: the tests and the printed report share it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from canaries import Home, hostile_baseline, watch_gullible_node, watch_trainer
from commands import watch_commands
from corpus import CORPUS
from notebooks import watch_notebook
from prompts import watch_prompts
from researchers import watch_researcher
from searches import watch_search
from swarms import watch_swarm
from terminals import watch_terminal
from watch import Watch

Part = Callable[[Watch], Awaitable[None]]


def parts_in(folder: Path) -> tuple[Home, Mapping[str, Part]]:
    """The secrets to watch for, and what to run; each part takes a folder of its own."""
    home = Home(folder / "home")

    async def notebook(watch: Watch) -> None:
        watch_notebook(watch, CORPUS, folder / "notebook")

    async def gullible(watch: Watch) -> None:
        here = folder / "gullible"
        here.mkdir()
        await watch_gullible_node(watch, home, hostile_baseline(CORPUS), here)

    async def swarm(watch: Watch) -> None:
        here = folder / "swarm"
        here.mkdir()
        await watch_swarm(watch, CORPUS, here)

    return home, {
        "anthropic": partial(watch_prompts, texts=CORPUS),
        "command": partial(watch_commands, texts=CORPUS, folder=folder / "command", environ=home.environ),
        "mcp": partial(watch_researcher, texts=CORPUS),
        "notebook": notebook,
        "terminal": partial(watch_terminal, texts=CORPUS, folder=folder),
        "trainer": partial(watch_trainer, texts=CORPUS, home=home, folder=folder / "trainer"),
        "search": partial(watch_search, texts=CORPUS),
        "swarm": swarm,
        "gullible": gullible,
    }
