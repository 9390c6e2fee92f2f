"""What commands and logs print of hostile experiments: nothing that a terminal would obey."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import structlog
import typer
from autoresearch.errors import NotFound
from autoresearch.model import (
    ConstantChange,
    ExperimentId,
    ExperimentState,
    HypothesisId,
    Idea,
    Level,
    NodeId,
    OwnerId,
    SearchBasis,
    SearchFindings,
    SearchMatch,
    Usage,
)
from corpus import Hostile
from node_builders import NOW, make_insight, make_summary
from prompts import RESULT
from slots import hostile_hypothesis, hostile_outcome, hostile_source
from test_reading import FakeReader, change
from watch import Watch

from node import ideas, insights, reading, searching
from node.cli import _one_sentence
from node.local_status import show_status
from node.logs import set_up_logging
from node.terms import Terms

ID = "id-00000001"
TERMS_QUOTE = "  | "
FACT = re.compile(r"  (?:state|confirmed by|id|parent|class|code) {2}")


def reader_of(hostile: Hostile) -> FakeReader:
    """A coordinator that answers with one text wherever a stranger's words stand."""
    at = hostile.at
    summary = make_summary(experiment_id=ID, score=1.9, delta=-0.1, state=ExperimentState.REFUTED)
    experiment = replace(
        summary.experiment,
        hypothesis=replace(hostile_hypothesis(hostile), agent=at("agent")),
        owner_id=OwnerId(at("owner")),
        proposer_id=NodeId("n2"),
        proposer_owner_id=OwnerId(at("owner")),
        flags=(at("flag"),),
    )
    usage = Usage(calls=1, input_tokens=1, model=at("agent"))
    summary = replace(
        summary, experiment=experiment, reason=at("reason"), confirmed_by=(at("owner"),), usage=usage
    )
    reader = FakeReader(summary, sources={ID: hostile_source(hostile).encode(), "parent": b"A = 1\n"})
    best = replace(reader.classes[0].best, title=at("title"), confirmed_by=(OwnerId(at("owner")),))
    reader.classes = (replace(reader.classes[0], best=best),)
    reader.results = (replace(hostile_outcome(hostile, RESULT), log_tail=at("logtail")),)
    reader.changes = (change(ID, Level.CONFIRMED, at("historyreason"), at("owner")),)
    reader.learned = (replace(make_insight(ID, text=at("insight")), agent=at("agent")),)
    nodes = reader.nodes

    async def named():
        return tuple(replace(node, name=at("nodename")) for node in await nodes())

    async def search(query):
        match = SearchMatch(summary=summary, similarity=0.9)
        return SearchFindings(matches=(match,), basis=SearchBasis.WORDS)

    async def waiting():
        return (
            Idea(
                hypothesis_id=HypothesisId(ID),
                hypothesis=hostile_hypothesis(hostile),
                node_id=NodeId("n"),
                owner_id=OwnerId(at("owner")),
                proposed_at=NOW,
                origin_experiment_id=ExperimentId(ID),
            ),
        )

    reader.nodes, reader.search, reader.ideas = named, search, waiting
    return reader


async def watch_terminal(watch: Watch, texts: Iterable[Hostile], folder: Path) -> None:
    """Runs each command that prints what strangers wrote, for people and as JSON. ``folder`` is there."""
    for hostile in texts:
        reader = reader_of(hostile)
        for name, printing in _commands(reader).items():
            for as_json in (False, True):
                said = StringIO()
                with redirect_stdout(said):
                    await printing(as_json)
                _watch_output(watch, f"{name}{' --json' if as_json else ''}", said.getvalue())
        await _watch_status(watch, hostile, folder)
        _watch_sentence(watch, hostile)
        _watch_terms(watch, hostile)
        _watch_logs(watch, hostile)


def _commands(reader: FakeReader) -> dict[str, Callable]:
    found = {"hardware_class": "", "limit": 5}

    async def diff(as_json):
        if not as_json:
            await reading.diff(reader, ID, against="parent")

    return {
        "leaderboard": lambda as_json: reading.leaderboard(reader, **found, as_json=as_json),
        "show": lambda as_json: reading.show(reader, ID, as_json=as_json),
        "best": lambda as_json: reading.best(reader, hardware_class="", save=None, as_json=as_json),
        "insights": lambda as_json: insights.insights(reader, "", **found, as_json=as_json),
        "search": lambda as_json: searching.search(reader, "x", state=None, **found, as_json=as_json),
        "ideas": lambda as_json: ideas.list_ideas(reader, as_json=as_json),
        "diff": diff,
    }


def _watch_output(watch: Watch, name: str, said: str) -> None:
    watch_printed(watch, f"terminal, {name}", said)
    if name == "show":
        facts = [line.split()[0] for line in said.split("\n") if FACT.match(line)]
        watch.expect("terminal, show, facts told once", len(facts), len(set(facts)))
    if name.endswith("--json") and said:
        watch.expect(f"terminal, {name} can be read", isinstance(json.loads(said), dict | list), True)


def watch_printed(watch: Watch, place: str, said: str) -> None:
    """Letters without a shape harm nobody here; what moves a cursor or turns text around does."""
    watch.places[place] += 1
    wrong = {char for char in said if not char.isprintable() and char not in "\n\t"}
    watch.expect(place, sorted(f"U+{ord(char):04X}" for char in wrong), [])


async def _watch_status(watch: Watch, hostile: Hostile, folder: Path) -> None:
    at = hostile.at
    line = {"title": at("title"), "outcome": "completed", "purpose": "explore", "reason": at("reason")}
    picture = {
        "state": "stopped",
        "pid": 0,
        "name": "toy",
        "note": at("note"),
        "prepared": at("title"),
        "current": {"title": at("title"), "purpose": "explore", "started_at": NOW.isoformat()},
        "pauses": [at("reason")],
        "results": [line],
    }
    (folder / "status.json").write_text(json.dumps(picture))
    counts = []
    for shown in (picture, {key: picture[key] for key in picture} | _plain(picture)):
        (folder / "status.json").write_text(json.dumps(shown))
        said = StringIO()
        with redirect_stdout(said):
            await asyncio.to_thread(show_status, folder, as_json=False)
        watch_printed(watch, "terminal, status", said.getvalue())
        head = said.getvalue().split("\n\n")[0].split("\n")
        counts.append([line[:12].strip() for line in head if line[:1].strip()])
    watch.expect("terminal, status, lines of its own", *counts)


def _plain(picture: dict) -> dict:
    return {
        "note": "x",
        "prepared": "x",
        "current": {**picture["current"], "title": "x"},
        "pauses": ["x"],
        "results": [{**picture["results"][0], "title": "x", "reason": "x"}],
    }


def _watch_sentence(watch: Watch, hostile: Hostile) -> None:
    said = StringIO()
    try:
        with redirect_stderr(said), _one_sentence():
            raise NotFound(hostile.at("error"))
    except typer.Exit:
        pass
    watch_printed(watch, "terminal, a coordinator's error", said.getvalue())
    watch.expect("terminal, lines of a coordinator's error", said.getvalue().count("\n"), 1)


def _watch_terms(watch: Watch, hostile: Hostile) -> None:
    text = Terms(
        coordinator="host:1",
        licence=hostile.at("flag"),
        operator_text=Terms.of("h", _Licensed(), hostile.at("note"), is_held=True).operator_text,
        is_held=True,
    ).text
    watch_printed(watch, "terminal, terms", text)
    own = [line for line in text.split("\n") if not line.startswith(TERMS_QUOTE)]
    for line in own:
        if not line.startswith("Contributions are licensed under "):
            watch.without_texts("terminal, words of the terms", line)


class _Licensed:
    contribution_licence = "MIT"


def _watch_logs(watch: Watch, hostile: Hostile) -> None:
    for form in ("text", "json"):
        before = structlog.get_config()
        said = StringIO()
        with redirect_stderr(said):
            set_up_logging(form, "info")
            log = structlog.get_logger("watched")
            log.info("result", title=hostile.at("title"), reason=hostile.at("reason"))
            change = ConstantChange(name=hostile.at("name"), old="", new=hostile.at("new"))
            log.info("claim", constants={change.name: change.new}, flags=(hostile.at("flag"),))
            try:
                _fail(hostile.at("error"))
            except ValueError:
                log.exception("failed")
        structlog.configure(**before)
        watch_printed(watch, f"log, {form}", said.getvalue())
        lines = said.getvalue().split("\n")[:-1]
        began = [line for line in lines if line[:1] not in (" ", "")]
        watch.expect(f"log, {form}, lines", len(began), 3)


def _fail(message: str) -> None:
    raise ValueError(message)
