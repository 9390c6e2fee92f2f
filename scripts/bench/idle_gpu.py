"""Does the accelerator wait for a slow agent? Prepared ahead against in turn; prints JSON.

    python scripts/bench/idle_gpu.py [--scale 20] [--experiments 12] [--pocket 8]

The node is the real one: loop, preparation, its own swarm in SQLite, git notebook. The agent is `search` that
thinks first, 60 s for an idea and 30 s for its code, and a training is a sleep of a 300 s budget and 26 s of
start, compilation and scoring. All of these times are divided by --scale; what the node itself does is not,
so it weighs that many times more than it would. "in turn" is the same node whose preparation waits until
nothing trains, which is what most agent loops do.

- alive_share: of the wall time, a trainer process was alive;
- clock_share: of the wall time, the training clock ran;
- at_full_length: both shares for times that are not scaled, with the median gap as it was (in turn: with the
  agent's time in it at its full length).

With --pocket the same is asked of `autoresearch-node solo` on `pocket`, not scaled: so many experiments by a
coding agent that takes --pocket-agent-s for each, trained for real. Its gaps are told, from the end of one
training to the begin of the next as the node logs them. Exit code 1 where alive_share, ahead, is below 0.97.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from autoresearch.challenge import find_challenge, load_challenge
from autoresearch.model import Hardware, HardwareClass, Hypothesis, NodeId, Outcome, utc_now
from offers_ledger import gaps_of

from node.agent.base import AgentContext, Proposal
from node.agent.search import SearchAgent
from node.assignment import Assignment, NodeFacts
from node.board import Board
from node.loop import Limits, NodeLoop
from node.pausing import Pauses
from node.pieces import CountedPieces
from node.prepare import Preparer
from node.program import ProgramInForce
from node.record import Recorder
from node.state import WorkEvent
from node.stopping import Stop
from node.swarm.heartbeat import Heartbeat
from node.swarm.solo import SoloSwarm
from node.training.report import TrainingReport
from node.training.runner import TrainingJob
from node.workspace import Workspace

BUDGET_S, OVERHEAD_S = 300.0, 26.0
PROPOSE_S, EDIT_S = 60.0, 30.0
ALIVE_SHARE_MIN = 0.97
BEGUN_BY_S = 0.2


class SlowAgent(SearchAgent):
    """Search, after thinking for as long as a language model does."""

    thinks_for_free = False

    def __init__(self, *, node_id: str, scale: float) -> None:
        super().__init__(node_id=node_id)
        self._scale = scale

    async def propose(self, context: AgentContext) -> Proposal:
        await asyncio.sleep(PROPOSE_S / self._scale)
        return await super().propose(context)

    async def edit(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        await asyncio.sleep(EDIT_S / self._scale)
        return await super().edit(context, hypothesis)


class SleepingTrainer:
    """Trains by sleeping; writes down when."""

    def __init__(self, train_s: float) -> None:
        self._train_s = train_s
        self.spans: list[tuple[float, float]] = []
        self.is_free = asyncio.Event()
        self.is_free.set()

    async def run(self, job: TrainingJob) -> TrainingReport:
        began, started_at = time.monotonic(), utc_now()
        self.is_free.clear()
        await asyncio.sleep(self._train_s)
        self.is_free.set()
        self.spans.append((began, time.monotonic()))
        return TrainingReport(
            outcome=Outcome.COMPLETED,
            started_at=started_at,
            finished_at=utc_now(),
            metrics={"val_bpb": 1.0 + random.Random(job.seed).gauss(0.0, 0.01)},
            harness_version="1",
        )


class InTurn(Preparer):
    """Prepares only while nothing trains."""

    def __init__(self, trainer: SleepingTrainer, **parts: object) -> None:
        super().__init__(**parts)  # type: ignore[arg-type]
        self._trainer = trainer
        self._is_first = True

    async def next_assignment(self) -> Assignment:
        if not self._is_first:
            await asyncio.sleep(BEGUN_BY_S)  # the training that called for this has begun by then
        self._is_first = False
        await self._trainer.is_free.wait()
        return await super().next_assignment()


async def trainings(
    folder: Path, *, ahead: bool, scale: float, experiments: int
) -> Sequence[tuple[float, float]]:
    """When one node trained: seconds of begin and end."""
    challenge = load_challenge(find_challenge("pocket"))
    hardware = Hardware(
        hardware_class=HardwareClass("cpu-bench/torch-2.13"),
        device_kind="cpu",
        device_name="bench",
        memory_mb=1024.0,
        torch_version="2.13.0",
    )
    node_id = NodeId("n_" + "a" * 26)
    swarm = SoloSwarm(folder / "solo.sqlite", challenge, node_id)
    session = await swarm.connect(hardware)
    facts = NodeFacts(node_id=node_id, owner_id=session.owner_id, hardware=hardware, challenge=challenge)
    trainer = SleepingTrainer((BUDGET_S + OVERHEAD_S) / scale)
    agent = SlowAgent(node_id=node_id, scale=scale)
    leases = Heartbeat(swarm.heartbeat, interval_s=session.heartbeat_interval_s)
    program = ProgramInForce(swarm.program, await swarm.program(), own=None)
    parts = {
        "swarm": swarm,
        "agent": agent,
        "leases": leases,
        "facts": facts,
        "program": program,
        "now": utc_now,
    }
    preparer = Preparer(**parts) if ahead else InTurn(trainer, **parts)  # type: ignore[arg-type]
    board = Board(path=folder / "status.json", now=utc_now, facts={})
    board.step(WorkEvent.SESSION_OPENED)
    notebook = Workspace.open(folder / "notebook", challenge, "bench")
    stop = Stop()
    loop = NodeLoop(
        preparer=preparer,
        trainer=trainer,
        recorder=Recorder(
            swarm=swarm, notebook=notebook, board=board, facts=facts, stop=stop, scrub=lambda text: text
        ),
        agent=agent,
        leases=leases,
        board=board,
        stop=stop,
        pauses=Pauses(),
        limits=Limits(pieces=CountedPieces(experiments)),
        baseline=challenge.baseline_source.encode(),
        free_bytes=lambda: 1 << 40,
    )
    await loop.run()
    await swarm.close()
    return trainer.spans


def shares(spans: Sequence[tuple[float, float]], *, scale: float, waits: bool) -> dict[str, Any]:
    """What a node's trainings say; ``waits`` where the agent's time is part of each gap."""
    gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(spans)]
    wall_s = spans[-1][1] - spans[0][0]
    clock_s, alive_s = BUDGET_S / scale * len(spans), sum(end - begin for begin, end in spans)
    agent_s = PROPOSE_S + EDIT_S if waits else 0.0
    # The median: gaps before baselines and verifications have no agent in them.
    full_gap_s = statistics.median(gaps) - agent_s / scale + agent_s
    full_s = BUDGET_S + OVERHEAD_S + full_gap_s
    return {
        "trainings": len(spans),
        "gap_median_s": round(statistics.median(gaps), 3),
        "gap_max_s": round(max(gaps), 3),
        "alive_share": round(alive_s / wall_s, 4),
        "clock_share": round(clock_s / wall_s, 4),
        "at_full_length": {
            "gap_s": round(full_gap_s, 3),
            "alive_share": round((BUDGET_S + OVERHEAD_S) / full_s, 4),
            "clock_share": round(BUDGET_S / full_s, 4),
            "experiments_per_hour": round(3600 / full_s, 2),
        },
    }


def scaled(*, scale: float, experiments: int) -> dict[str, Any]:
    """Both nodes."""
    found = {}
    for name, ahead in (("ahead", True), ("in_turn", False)):
        with tempfile.TemporaryDirectory() as folder:
            work = trainings(Path(folder), ahead=ahead, scale=scale, experiments=experiments)
            found[name] = shares(asyncio.run(work), scale=scale, waits=not ahead)
    return found


SLOW_AGENT = """
import json, pathlib, random, re, sys, time
time.sleep(float(sys.argv[1]))
folder = pathlib.Path(sys.argv[2])
train = folder / "train.py"
source = train.read_text()
rate = float(re.search(r"(?m)^MATRIX_LR = (\\S+)", source)[1])
new = f"{rate * random.uniform(0.7, 1.4):.4g}"
train.write_text(re.sub(r"(?m)^MATRIX_LR = \\S+", f"MATRIX_LR = {new}", source))
title = f"MATRIX_LR {rate:g} -> {new}"
(folder / "hypothesis.json").write_text(json.dumps({"title": title, "rationale": "nearby rates"}))
"""


def on_pocket(*, experiments: int, agent_s: float) -> dict[str, Any]:
    """The gaps of a node of its own that really trains."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "slow_agent.py"
        script.write_text(SLOW_AGENT, encoding="utf-8")
        argv = [sys.executable, "-c", "from node.cli import main; main()", "solo", "--challenge", "pocket"]
        argv += ["--agent", "command", "--agent-command", f"{sys.executable} {script} {agent_s} {{workdir}}"]
        argv += ["--state-dir", f"{folder}/state", "--max-experiments", str(experiments), "--json-logs"]
        done = subprocess.run(argv, check=False, stderr=subprocess.PIPE, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    gaps = gaps_of(lines)
    if done.returncode or not gaps:
        sys.exit(f"the node on pocket ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return {
        "agent_s": agent_s,
        "results": sum(line["event"] == "result" for line in lines),
        "gap_median_s": round(statistics.median(gaps), 3),
        "gap_max_s": round(max(gaps), 3),
        "gaps_s": [round(gap, 3) for gap in gaps],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=20.0)
    parser.add_argument("--experiments", type=int, default=12)
    parser.add_argument("--pocket", type=int, default=0, help="real experiments, not scaled")
    parser.add_argument("--pocket-agent-s", type=float, default=8.0)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    report: dict[str, Any] = {
        "benchmark": "idle_gpu",
        "budget_s": BUDGET_S,
        "overhead_s": OVERHEAD_S,
        "agent_s": PROPOSE_S + EDIT_S,
        "scale": options.scale,
        **scaled(scale=options.scale, experiments=options.experiments),
    }
    report["is_within_target"] = report["ahead"]["alive_share"] >= ALIVE_SHARE_MIN
    if options.pocket:
        report["pocket"] = on_pocket(experiments=options.pocket, agent_s=options.pocket_agent_s)
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["is_within_target"] else 1)


if __name__ == "__main__":
    main()
