"""The queue of ideas at the terminal: what waits, an idea of one's own, and taking one back.

Whoever proposes needs neither an accelerator nor an agent: a key that is enrolled, and consent to the terms.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from autoresearch.calls import ProposeCall
from autoresearch.errors import UnknownChallenge
from autoresearch.limits import check_hypothesis, check_source
from autoresearch.model import (
    ChallengeId,
    ConstantChange,
    ExperimentId,
    Hypothesis,
    HypothesisId,
    Idea,
    new_id,
)
from rich.text import Text

from node import places, rendering
from node.config import Config
from node.enrolment import read_token
from node.exit_codes import ExitCode
from node.failures import Failed
from node.materialise import find_hosted, materialise
from node.reading import Place, reading
from node.swarm import contributions
from node.swarm.address import open_channel, parse_address
from node.swarm.calling import Caller
from node.swarm.grpc_client import GrpcReader, GrpcSwarm, JoinTerms
from node.swarm.identity import load_identity
from node.terms import ConsentMissing, Terms, ask_consent

COLUMNS = (
    ("next", "right"),
    ("priority", "right"),
    ("title", "left"),
    ("code", "left"),
    ("from", "left"),
    ("since", "left"),
    ("id", "left"),
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIdea:
    """What ``ideas propose`` was told; ``changes`` are NAME=VALUE."""

    title: str
    rationale: str = ""
    changes: Sequence[str] = ()
    source_file: Path | None = None
    parent: str | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contributor:
    """Signed calls about one challenge, by a key that its owner has agreed to the terms with."""

    caller: Caller
    enrol: Callable[[], Awaitable[object]]
    challenge_id: ChallengeId


async def list_ideas(reader: GrpcReader, *, as_json: bool) -> None:
    """Prints what waits, next first."""
    ideas = await reader.ideas()
    if as_json:
        _print_json([idea_fields(idea) for idea in ideas])
        return
    terminal = rendering.console()
    if not ideas:
        terminal.print(Text("No idea waits."))
        return
    names: dict[str, str] = {node.node_id: node.name for node in await reader.nodes() if node.name}
    terminal.print(rendering.plain_table("", COLUMNS, _rows(ideas, names)))


def propose(config: Config, host: str, new: NewIdea, *, as_json: bool) -> None:
    """Puts an idea into the queue. Raises SwarmError and Failed."""
    hypothesis = Hypothesis(
        title=new.title, rationale=new.rationale, changes=tuple(map(_change, new.changes))
    )
    check_hypothesis(hypothesis)
    source = _source(new.source_file)
    hypothesis_id = HypothesisId(new_id())

    async def send(contributor: _Contributor) -> bool:
        call = ProposeCall(
            challenge_id=contributor.challenge_id,
            hypothesis_id=hypothesis_id,
            hypothesis=hypothesis,
            source=source,
            priority=new.priority,
            parent=ExperimentId(new.parent) if new.parent else None,
        )
        return await contributions.enrolled(
            lambda: contributions.propose(contributor.caller, call), contributor.enrol
        )

    _contribute(config, host, send)
    if as_json:
        _print_json({"hypothesis_id": hypothesis_id, "title": new.title, "priority": new.priority})
    else:
        rendering.console().print(Text(f"proposed as {hypothesis_id}; it waits for a node"))


def withdraw(config: Config, host: str, hypothesis_id: str, *, as_json: bool) -> None:
    """Takes a waiting idea back; one that waits no more is no error. Raises SwarmError and Failed."""

    async def send(contributor: _Contributor) -> bool:
        return await contributions.enrolled(
            lambda: contributions.withdraw(
                contributor.caller, contributor.challenge_id, HypothesisId(hypothesis_id)
            ),
            contributor.enrol,
        )

    was_waiting = _contribute(config, host, send)
    if as_json:
        _print_json({"hypothesis_id": hypothesis_id, "was_waiting": was_waiting})
    else:
        told = "taken back" if was_waiting else "it does not wait any more: nothing to take back"
        rendering.console().print(Text(told))


def idea_fields(idea: Idea) -> dict[str, Any]:
    """An idea for JSON."""
    return {
        "hypothesis_id": idea.hypothesis_id,
        "title": idea.hypothesis.title,
        "rationale": idea.hypothesis.rationale,
        "changes": rendering.change_fields(idea.hypothesis.changes),
        "agent": idea.hypothesis.agent,
        "kind": idea.kind.value,
        "priority": idea.priority,
        "node_id": idea.node_id,
        "owner_id": idea.owner_id,
        "proposed_at": idea.proposed_at.isoformat(),
        "origin_experiment_id": idea.origin_experiment_id,
        "source_hash": idea.source_hash,
        "parents": list(idea.parents),
        "material_ids": list(idea.material_ids),
    }


def _contribute(config: Config, host: str, send: Callable[[_Contributor], Awaitable[T]]) -> T:
    """Asks for consent where it was not given, then makes the call. No state but the key is touched."""
    address = parse_address(host)
    place = Place(host=host, ca_file=config.ca_file, insecure=config.insecure)
    info = asyncio.run(reading(place, lambda reader: reader.server_info()))
    text = find_hosted(info, config.challenge)
    if text is None:
        hosted = ", ".join(challenge.name for challenge in info.challenges) or "nothing"
        raise UnknownChallenge(f"{host} does not host {config.challenge!r}; it hosts: {hosted}")
    config.node_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    challenge = materialise(text, places.challenges_dir(config.node_dir))
    terms = Terms.of(address.target, challenge, info.terms, is_held=config.sandbox != "none")
    try:
        ask_consent(terms, config.node_dir, agreed=config.yes)
    except ConsentMissing as error:
        raise Failed(str(error), ExitCode.USAGE) from error
    key, token = load_identity(config.node_dir), read_token(config.token_file)

    async def call() -> T:
        channel = open_channel(address, ca_file=config.ca_file, insecure=config.insecure)
        join = JoinTerms(token=token, name=config.name, has_consented=True)
        swarm = GrpcSwarm(channel, address.target, key, join)
        caller = Caller(channel, address.target, key)
        try:
            if token:
                await swarm.enrol()
            contributor = _Contributor(caller=caller, enrol=swarm.enrol, challenge_id=challenge.challenge_id)
            return await send(contributor)
        finally:
            await swarm.close()

    return asyncio.run(call())


def _rows(ideas: Sequence[Idea], names: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [
        (
            str(place),
            str(idea.priority),
            idea.hypothesis.title,
            "yes" if idea.source_hash else "no",
            f"{names.get(idea.node_id, idea.node_id)} ({idea.owner_id or 'unknown'})",
            f"{idea.proposed_at:%Y-%m-%d %H:%M}",
            idea.hypothesis_id,
        )
        for place, idea in enumerate(ideas, start=1)
    ]


def _change(text: str) -> ConstantChange:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise Failed(f"--change {text!r} is no NAME=VALUE, such as MATRIX_LR=0.05", ExitCode.USAGE)
    return ConstantChange(name=name.strip(), new=value.strip())


def _source(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        source = path.read_bytes()
    except OSError as error:
        raise Failed(f"cannot read {path} ({error.strerror})", ExitCode.USAGE) from error
    check_source(source, str(path))
    return source


def _print_json(value: Any) -> None:
    sys.stdout.write(rendering.to_json(value) + "\n")
