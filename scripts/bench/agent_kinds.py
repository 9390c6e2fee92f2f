"""Every kind of agent in one swarm: each finishes some experiments on `pocket`, credited and paid for.

    python scripts/bench/agent_kinds.py [--experiments 3] [--folder PLACE]

A coordinator with its embedded store and six nodes of six owners, all real processes:

- search: the agent without a key;
- anthropic: the official SDK against the tests' server, which speaks the Messages API and answers by a rule;
- command: a small script that behaves like a coding agent;
- mcp: a node whose researcher is the MCP SDK's own client, driven from here;
- head: proposes without hardware (by the same script), and gpu: runs what waits, without ideas of its own.
  The head comes last, since what waits goes before the ideas of everybody.

Prints JSON: by agent the finished experiments with their titles, states and costs, and the exit codes with
which the nodes left; on standard error what ``show`` says of one of each, its diff, and what was learned.
Exit code 1 if a promise is broken: so many experiments of each kind, a cost where a model was paid, proposer
and runner credited, every node left with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "node"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autoresearch.errors import Unavailable
from autoresearch.model import ExperimentSummary, Node
from bench.overlap import listed
from local_swarm import COORDINATOR, LocalSwarm, SwarmFailed, program
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from messages_server import KEY, MessagesServer, Says, call, text

from node.logs import set_up_logging

KINDS = ("search", "anthropic", "command", "mcp")
HEAD, GPU = "head", "gpu"
TURNS_LIMIT = 500
FACTORS = (0.9, 1.1, 0.8, 1.25, 0.7, 1.4, 0.6, 1.6, 0.5, 2.0, 0.95, 1.05)
"""By what the scripted agents change the constant of theirs, one after the other."""

LEAVE_PATIENCE_S = 400.0
POLL_S = 2.0
LIMIT_S = 2400.0

SCRIPT = """
import json, pathlib, re, sys
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
train, turns = folder / "train.py", pathlib.Path(sys.argv[3])
source = train.read_text()
number = len(turns.read_text()) if turns.exists() else 0
turns.write_text("x" * (number + 1))
old = re.search(rf"(?m)^{name} = (\\S+)", source)[1]
new = f"{float(old) * FACTORS[number % len(FACTORS)]:.3g}"
train.write_text(re.sub(rf"(?m)^{name} = \\S+", f"{name} = {new}", source))
words = {"title": f"{name} {old} -> {new}", "rationale": "a neighbouring value"}
(folder / "hypothesis.json").write_text(json.dumps(words))
"""


class Brain:
    """Answers like a model would: an idea, its code, a lesson."""

    def __init__(self, constant: str) -> None:
        self._constant = constant
        self._ideas = 0

    def __call__(self, request: dict[str, Any]) -> Says:
        """One message."""
        name, last = self._constant, request["messages"][-1]["content"][-1]
        if last["type"] == "tool_result":
            return Says.of(text("Done."))
        if "An experiment of yours has ended" in last["text"]:
            return Says.of(text(f"A small step of {name} moves the score by less than the noise of one run."))
        if "Find ONE idea" in last["text"]:
            told = " ".join(block["text"] for block in request["messages"][0]["content"])
            old = re.search(rf"{name} = (\S+)", told)
            if old is None:
                raise SystemExit(f"the model is not shown {name}")
            new = f"{float(old[1]) * FACTORS[self._ideas % len(FACTORS)]:.3g}"
            self._ideas += 1
            changes = [{"name": name, "old": old[1], "new": new}]
            title = f"{name} {old[1]} -> {new}"
            stated = {"title": title, "rationale": "a neighbouring value", "changes": changes}
            return Says.of(call("state_hypothesis", **stated))
        asked = re.search(rf"^> {name} (\S+) -> (\S+)$", last["text"], re.MULTILINE)
        if asked is None:
            return Says.of(text("I cannot do that."))
        edit = {"old_str": f"{name} = {asked[1]}", "new_str": f"{name} = {asked[2]}"}
        return Says.of(call("edit_train_py", command="str_replace", **edit))


class Researcher:
    """A coding agent's part, by the tools of ``autoresearch-node mcp``."""

    def __init__(self, swarm: LocalSwarm, name: str, constant: str) -> None:
        self._swarm, self._name, self._constant = swarm, name, constant
        self.answers: list[str] = []

    async def work(self, wanted: int) -> None:
        """Experiments until so many have run, each with its lesson."""
        place = ["--name", self._name, "--state-dir", str(self._swarm.root / "nodes")]
        server = StdioServerParameters(command=program("autoresearch-node"), args=["mcp", *place])
        async with stdio_client(server) as streams, ClientSession(*streams) as session:
            await session.initialize()
            for factor in FACTORS:
                if await self._one(session, factor):
                    wanted -= 1
                if not wanted:
                    return

    async def _one(self, session: ClientSession, factor: float) -> bool:
        name, code = self._constant, ""
        while not (old := re.search(rf"{name} = (\S+)", code)):
            code = await self._call(session, "what_to_try", part="code")
            await asyncio.sleep(POLL_S)
        new = f"{float(old[1]) * factor:.3g}"
        changes = [{"name": name, "old": old[1], "new": new}]
        words = {
            "title": f"{name} {old[1]} -> {new}",
            "rationale": "a neighbouring value",
            "changes": changes,
        }
        answer = await self._call(session, "claim", **words)
        if _field(answer, "state") != "granted":
            return False
        ticket = _field(answer, "id")
        edits = [{"old": f"{name} = {old[1]} ", "new": f"{name} = {new} "}]
        await self._call(session, "run", id=ticket, edits=edits)
        while _field(told := await self._call(session, "result", id=ticket), "state") in (
            "judging",
            "queued",
            "training",
        ):
            pass
        if _field(told, "state") != "completed":
            return False
        lesson = f"{new} for {name} is no different from {old[1]} as far as one run tells."
        await self._call(session, "insights", action="share", id=ticket, text=lesson)
        return True

    async def _call(self, session: ClientSession, tool: str, **arguments: Any) -> str:
        """A tool's text; a refusal too, which the node gives until it is ready."""
        result = await session.call_tool(tool, arguments)
        said = "\n".join(part.text for part in result.content if part.type == "text")
        self.answers.append(f"{tool}: {said[:300]}")
        return said


def _field(said: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)$", said, re.MULTILINE)
    return found[1] if found else ""


def main() -> None:
    """Parse, drill, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=3, help="of each kind (default 3)")
    parser.add_argument("--folder", default="", help="where state and logs are kept; unset for nowhere")
    options = parser.parse_args()
    set_up_logging("text", "error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    subprocess.run(
        [sys.executable, "-m", "trainer", "prepare", "--challenge", "pocket"], check=True, stdout=sys.stderr
    )
    kept = nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory(prefix="kinds-")
    with kept as folder:
        root = Path(folder).absolute()
        root.mkdir(parents=True, exist_ok=True)
        try:
            report = asyncio.run(drill(LocalSwarm(root=root), options.experiments))
        except SwarmFailed as error:
            sys.exit(f"error: {error}")
    print(json.dumps(report, indent=1))
    sys.exit(0 if all(report["promises"].values()) else 1)


async def drill(swarm: LocalSwarm, wanted: int) -> dict[str, Any]:
    """The swarm from its start to the report."""
    script = swarm.root / "agent.py"
    script.write_text(f"FACTORS = {FACTORS}\n{SCRIPT}", encoding="utf-8")
    key = swarm.root / "key"
    key.touch(mode=0o600)
    key.write_text(KEY, encoding="utf-8")
    researcher = Researcher(swarm, "mcp", "ROPE_BASE")
    began = time.monotonic()
    async with MessagesServer(*[Brain("EMBEDDING_LR")] * TURNS_LIMIT) as server:
        try:
            await asyncio.to_thread(swarm.start_coordinator)
            options = options_of(script, key, server.url)
            for name in (*KINDS, GPU):
                await asyncio.to_thread(swarm.start_node, name, *options[name])
            work = asyncio.create_task(researcher.work(wanted))
            await all_have(swarm, KINDS, wanted)
            await work
            await asyncio.to_thread(swarm.start_node, HEAD, *options[HEAD])
            await all_have(swarm, (HEAD,), wanted)
            nodes = [*KINDS, HEAD, GPU]
            exits = await asyncio.to_thread(partial(swarm.stop, *nodes, patience_s=LEAVE_PATIENCE_S))
            found, credited = await seen(swarm)
            report = report_of(found, credited, exits, server, wanted)
            report["took_s"] = round(time.monotonic() - began, 1)
            show(swarm, found)
        except SwarmFailed:
            sys.stderr.write("\n".join(researcher.answers[-5:]) + "\n")
            raise
        finally:
            await asyncio.to_thread(partial(swarm.stop, *KINDS, HEAD, GPU, sig=signal.SIGTERM))
            await asyncio.to_thread(partial(swarm.stop, COORDINATOR, sig=signal.SIGTERM))
    return report


def options_of(script: Path, key: Path, url: str) -> dict[str, tuple[str, ...]]:
    """What each node is started with."""

    def by_script(constant: str) -> tuple[str, ...]:
        turns = script.with_name(f"{constant}.turns")
        command = f"{sys.executable} {script} {constant} {{workdir}} {turns}"
        return ("--agent", "command", "--agent-command", command)

    model = ("--anthropic-key-file", str(key), "--agent-base-url", url, "--agent-model", "claude-sonnet-5-5")
    priced = ("--agent-price-in", "3", "--agent-price-out", "15", "--agent-max-tokens", "2000")
    return {
        "search": ("--agent", "search"),
        "anthropic": ("--agent", "anthropic", *model, *priced),
        "command": by_script("UNEMBEDDING_LR"),
        "mcp": ("--agent", "mcp"),
        HEAD: ("--propose-only", *by_script("WEIGHT_DECAY")),
        GPU: ("--agent", "none"),
    }


async def all_have(swarm: LocalSwarm, names: Sequence[str], wanted: int) -> None:
    """Until each of these has so many finished experiments."""
    deadline = time.monotonic() + LIMIT_S
    told: dict[str, int] = {}
    while True:
        swarm.check()
        counted = await patiently(lambda: counts(swarm))
        if counted != told:
            told = counted
            sys.stderr.write(f"finished: {told}\n")
        if all(told.get(name, 0) >= wanted for name in names):
            return
        if time.monotonic() > deadline:
            raise SwarmFailed(f"finished within {LIMIT_S:.0f} s: {told}")
        await asyncio.sleep(POLL_S)


async def patiently(ask: Callable[[], Awaitable[dict[str, int]]]) -> dict[str, int]:
    """The answer; nothing where a busy machine is late with it."""
    try:
        return await ask()
    except Unavailable:
        return {}


async def counts(swarm: LocalSwarm) -> dict[str, int]:
    """Finished experiments by who had the idea."""
    found, nodes = await seen(swarm)
    names = {node.node_id: node.name for node in nodes}
    done = [one.experiment for one in found if one.runs and one.experiment.parents]
    counted: dict[str, int] = {}
    for one in done:
        name = names.get(one.proposer_id or one.node_id, "")
        counted[name] = counted.get(name, 0) + 1
    return counted


async def seen(swarm: LocalSwarm) -> tuple[list[ExperimentSummary], tuple[Node, ...]]:
    """Every experiment, the oldest first, and every node."""
    reader = swarm.reader()
    try:
        nodes = await reader.nodes()
    finally:
        await reader.close()
    found = await listed(swarm)
    return sorted(found, key=lambda one: one.experiment.experiment_id), nodes


def report_of(
    found: list[ExperimentSummary],
    nodes: tuple[Node, ...],
    exits: dict[str, int],
    server: MessagesServer,
    wanted: int,
) -> dict[str, Any]:
    """By agent what it has done, and which promises were kept."""
    names = {node.node_id: node.name for node in nodes}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in (*KINDS, HEAD)}
    for one in found:
        experiment = one.experiment
        name = names.get(experiment.proposer_id or experiment.node_id, "")
        if not experiment.parents or name not in rows:
            continue
        rows[name].append(
            {
                "id": experiment.experiment_id,
                "title": experiment.hypothesis.title,
                "state": one.state.value,
                "score": one.score,
                "run_by": names.get(experiment.node_id, ""),
                "cost_usd": one.usage.cost_usd if one.usage else None,
                "tokens": one.usage.tokens if one.usage else None,
            }
        )
    finished = {name: sum(row["score"] is not None for row in own) for name, own in rows.items()}
    by_others = [row for row in rows[HEAD] if row["run_by"] != HEAD and row["score"] is not None]
    # What the coordinator has tried again on another parent, by others, was paid for before.
    own = [row for row in rows["anthropic"] if row["run_by"] == "anthropic"]
    paid = [row["cost_usd"] for row in own if row["score"] is not None]
    return {
        "benchmark": "agent_kinds",
        "finished": finished,
        "experiments": rows,
        "model_calls": len(server.requests),
        "refused_by_the_model_server": server.complaints,
        "exit_codes": exits,
        "promises": {
            "enough_of_each": all(count >= wanted for count in finished.values()),
            "models_are_paid": bool(paid) and all(cost for cost in paid),
            "heads_ideas_are_run_by_others": len(by_others) >= wanted,
            "protocol_kept": not server.complaints,
            "all_left_with_0": set(exits.values()) == {0},
        },
    }


def show(swarm: LocalSwarm, found: list[ExperimentSummary]) -> None:
    """What a reader sees of the first finished experiment of each agent."""
    seen_agents: set[str] = set()
    for one in found:
        agent = one.experiment.hypothesis.agent
        key = f"{agent}, proposed" if one.experiment.proposer_id else agent
        if not one.experiment.parents or one.score is None or key in seen_agents:
            continue
        seen_agents.add(key)
        for command in ("show", "diff"):
            said = _printed(swarm, command, one.experiment.experiment_id)
            sys.stderr.write(f"\n$ autoresearch-node {command}    # {key}\n{said}")
    sys.stderr.write(f"\n$ autoresearch-node insights\n{_printed(swarm, 'insights', '')}")


def _printed(swarm: LocalSwarm, command: str, *arguments: str) -> str:
    argv = [program("autoresearch-node"), command, *arguments, swarm.address]
    return subprocess.run(argv, capture_output=True, check=False, text=True).stdout


if __name__ == "__main__":
    main()
