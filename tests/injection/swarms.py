"""A node in a swarm of hostile ideas and errors: its log, its status, its folders, what it gives back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path

import structlog
from autoresearch.errors import InvalidArgument
from autoresearch.model import ClaimId, ConstantChange, Hypothesis, HypothesisId, QueuedTask
from corpus import Hostile
from fake_swarm import FakeSwarm, make_lease
from slots import hostile_hypothesis
from terminals import watch_printed
from test_loop import Node, ScriptedAgent, scored
from watch import Watch

from node.logs import set_up_logging

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT|  |$")
"""A line of the log begins with its time; what belongs to the line above is indented."""


CHOSEN = (
    "roles and turns of vendors",
    "ends of our own quotations",
    "paths and names of files",
    "escapes of terminals",
    "git",
)


def one_of_each(texts: Sequence[Hostile]) -> list[Hostile]:
    """The first text of families that logs and files could suffer from: each costs a training."""
    return [next(text for text in texts if text.family == family) for family in CHOSEN]


def constants_only(hypothesis: Hypothesis) -> Hypothesis:
    """The fake swarm makes its history of constants."""
    changes = tuple(change for change in hypothesis.changes if isinstance(change, ConstantChange))
    return replace(hypothesis, changes=changes)


def watch_names(watch: Watch, folder: Path) -> None:
    """Files and folders are named by the node."""
    for path in folder.rglob("*"):
        watch.without_texts("swarm, names of files", str(path))


async def watch_swarm(watch: Watch, texts: Sequence[Hostile], folder: Path) -> None:
    """One run for each of them, with an agent that writes what it reads into its code and its lesson."""
    swarm, chosen = FakeSwarm(source=scored(1.9)), one_of_each(texts)
    for hostile in chosen:
        swarm.tasks.append(InvalidArgument(hostile.at("error")))
        swarm.tasks.append(
            QueuedTask(
                lease=make_lease(ClaimId(f"q{hostile.number}")),
                hypothesis_id=HypothesisId(f"h{hostile.number}"),
                hypothesis=constants_only(hostile_hypothesis(hostile)),
                parent=swarm._best(),
                source_hash=None,
            )
        )
    agent = ScriptedAgent(scored(1.9))
    agent.lesson = chosen[-1].at("insight")
    node = Node(folder, swarm, agent, max_experiments=len(chosen))
    before, said = structlog.get_config(), StringIO()
    with redirect_stderr(said):
        set_up_logging("text", "debug")
        await node.run()
    structlog.configure(**before)
    watch.expect("swarm, runs published", len(swarm.published), len(chosen))
    watch_printed(watch, "swarm, log", said.getvalue())
    odd = [line for line in said.getvalue().split("\n") if LOG_LINE.match(line) is None]
    watch.expect("swarm, lines of the log", odd, [])
    watch.expect("swarm, status file", (folder / "status.json").read_text().isascii(), True)
    watch_names(watch, folder)
    for _claim_id, reason in swarm.released:
        watch.without_texts("swarm, reasons for giving back", reason)
