"""What the ``anthropic`` agent sends, text by text, to a local server that speaks the Messages API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

from anthropic_builders import agent_for, ends, replaces, states
from autoresearch.model import (
    ChallengeId,
    ExperimentId,
    IdeaKind,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    SourceHash,
)
from corpus import Hostile
from messages_server import MessagesServer, call
from messages_server import Says as Answer
from node_builders import NOW, make_hardware
from slots import (
    PLAIN,
    broken_source,
    hostile_context,
    hostile_failure,
    hostile_hypothesis,
    hostile_outcome,
    with_materials,
)
from watch import Watch

from node.agent.base import Agent

CONTEXT_TOKENS = 400_000
KINDS = (IdeaKind.COMBINE, IdeaKind.ABLATE, IdeaKind.REBASE)
RESULT = Result(
    result_id=ResultId("r"),
    experiment_id=ExperimentId("e"),
    challenge_id=ChallengeId("ch"),
    node_id=NodeId("n"),
    owner_id=OwnerId("o"),
    outcome=Outcome.COMPLETED,
    purpose=Purpose.EXPLORE,
    metrics={"val_bpb": 1.9},
    seed=1,
    hardware=make_hardware(),
    code_hash=SourceHash("sha256:" + "0" * 64),
    harness_version="1",
    started_at=NOW,
    finished_at=NOW,
)

LIKE = 6
"""Kinds of ideas and of changes take turns: a text is compared with a harmless one of the same turn."""
PLAINS = tuple(replace(PLAIN, number=999 - turn) for turn in range(LIKE))

Asked = dict[str, list[dict]]
"""The requests of each thing that an agent is asked."""


def obedient(request):
    """States; looks at the file and edits it; stops too early once, and mends what is no Python."""
    first = request["messages"][0]["content"][-1]
    turns = len(request["messages"])
    if "Find ONE idea" in first["text"]:
        return states()
    if "An experiment of yours has ended" in first["text"]:
        return ends("Warmer helps.")
    if turns == 1:
        insert = call("edit_train_py", command="insert", insert_line=0, insert_text="# seen")
        return Answer.of(call("edit_train_py", command="view"), insert)
    if turns == 5:
        return replaces(old="    global", new="    kept =")
    return ends()


async def asked_of(server: MessagesServer, agent: Agent, hostile: Hostile) -> Asked:
    """Everything that is sent where one text stands in all places at once."""
    context, hypothesis = hostile_context(hostile), hostile_hypothesis(hostile)
    kind = KINDS[hostile.number % len(KINDS)]
    calls = {
        "propose": lambda: agent.propose(context),
        "edit": lambda: agent.edit(with_materials(context, hostile, kind), hypothesis),
        "repair": lambda: agent.repair(context, broken_source(hostile), hostile_failure(hostile)),
        "reflect": lambda: agent.reflect(context, hypothesis, hostile_outcome(hostile, RESULT)),
    }
    asked = {}
    for name, make_call in calls.items():
        before = len(server.requests)
        server.script.extend([obedient] * 12)
        await make_call()
        server.script.clear()
        asked[name] = server.requests[before:]
    return asked


async def watch_prompts(watch: Watch, texts: Iterable[Hostile], make_agent: Callable = agent_for) -> None:
    """Looks at every part of every request."""
    async with MessagesServer() as server:
        agent = make_agent(server, context_tokens=CONTEXT_TOKENS)
        plain = {hostile: await asked_of(server, agent, hostile) for hostile in PLAINS}
        for hostile in texts:
            asked = await asked_of(server, agent, hostile)
            like = next(one for one in PLAINS if one.number % LIKE == hostile.number % LIKE)
            for name, requests in asked.items():
                _watch_conversation(watch, f"anthropic, {name}", requests, plain[like][name])
        watch.expect("anthropic, requests that a server refuses", server.complaints, [])


def _watch_conversation(watch: Watch, place: str, requests: list[dict], plain: list[dict]) -> None:
    watch.expect(f"{place}, number of requests", len(requests), len(plain))
    for request, harmless in zip(requests, plain, strict=False):
        watch.without_texts("anthropic, system prompt", json.dumps(request["system"], ensure_ascii=False))
        watch.expect("anthropic, system prompt is ours", request["system"], harmless["system"])
        watch.without_texts("anthropic, tools", json.dumps(request.get("tools", []), ensure_ascii=False))
        rest = {key: value for key, value in request.items() if key not in ("system", "messages", "tools")}
        watch.without_texts("anthropic, settings of the call", json.dumps(rest))
        for turn, like in zip(request["messages"], harmless["messages"], strict=False):
            texts, harmless_texts = _texts(turn), _texts(like)
            if turn["role"] == "assistant":
                watch.without_texts("anthropic, assistant turns", "\n".join(texts))
                continue
            watch.expect(f"{place}, blocks of a turn", len(texts), len(harmless_texts))
            for text, harmless_text in zip(texts, harmless_texts, strict=False):
                watch.quoted(place, text)
                watch.same_frame(place, text, harmless_text)
    watch.expect(
        f"{place}, turns", [len(one["messages"]) for one in requests], [len(one["messages"]) for one in plain]
    )


def _texts(turn: dict) -> list[str]:
    return [
        block.get("text") or block.get("content") or json.dumps(block, ensure_ascii=False)
        for block in turn["content"]
    ]
