"""How long the accelerator waits between two trainings, with a slow agent: prepared ahead against in turn.

The node is the real one: loop, preparation, its own swarm in SQLite, git notebook. The agent is `search` that
thinks for ``--agent-s`` first, and a training is a sleep of ``--train-s``. "in turn" is the same node whose
preparation waits until nothing trains, which is what most agent loops do. Gaps count before runs of the
agent's own ideas; baselines and verifications need no agent.

    python scripts/bench/idle_gpu.py --agent-s 10 --train-s 12 --experiments 9
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import structlog
from autoresearch.challenge import find_challenge, load_challenge
from autoresearch.model import Hardware, HardwareClass, NodeId, Outcome, Purpose, utc_now

from node.agent.base import AgentContext, Proposal
from node.agent.search import SearchAgent
from node.assignment import Assignment, NodeFacts
from node.board import Board
from node.loop import Limits, NodeLoop
from node.pausing import Pauses
from node.pieces import CountedPieces
from node.prepare import Preparer
from node.program import ProgramInForce
from node.record import Page, Recorder
from node.state import WorkEvent
from node.stopping import Stop
from node.swarm.heartbeat import Heartbeat
from node.swarm.solo import SoloSwarm
from node.training.report import TrainingReport
from node.training.runner import TrainingJob
from node.workspace import Workspace

BUDGET_S = 300.0


class SlowAgent(SearchAgent):
    """Search, after thinking for as long as a language model does."""

    def __init__(self, *, node_id: str, think_s: float) -> None:
        super().__init__(node_id=node_id)
        self._think_s = think_s

    async def propose(self, context: AgentContext) -> Proposal:
        await asyncio.sleep(self._think_s)
        return await super().propose(context)


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

    async def next_assignment(self) -> Assignment:
        await asyncio.sleep(0)  # let the training that called for this begin
        await self._trainer.is_free.wait()
        return await super().next_assignment()


class WatchedNotebook(Workspace):
    """Remembers what each run was for."""

    purposes: list[Purpose]

    def record(self, page: Page) -> None:
        super().record(page)
        self.purposes.append(page.run.purpose)


async def measure(
    folder: Path, *, ahead: bool, agent_s: float, train_s: float, experiments: int
) -> dict[str, float]:
    """The gaps between trainings of one node."""
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
    trainer = SleepingTrainer(train_s)
    agent = SlowAgent(node_id=node_id, think_s=agent_s)
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
    notebook = WatchedNotebook.open(folder / "notebook", challenge, "bench")
    notebook.purposes = []
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
    spans = trainer.spans
    pairs = zip(itertools.pairwise(spans), notebook.purposes[1:], strict=True)
    gaps = [later[0] - earlier[1] for (earlier, later), purpose in pairs if purpose is Purpose.EXPLORE]
    median_gap_s = statistics.median(gaps)
    return {
        "trainings": len(spans),
        "gaps": len(gaps),
        "gap_median_s": round(median_gap_s, 4),
        "gap_max_s": round(max(gaps), 4),
        "busy_share": round(sum(end - begin for begin, end in spans) / (spans[-1][1] - spans[0][0]), 4),
        "experiments_per_hour_at_300_s": round(3600 / (BUDGET_S + median_gap_s), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agent-s", type=float, default=10.0)
    parser.add_argument("--train-s", type=float, default=12.0)
    parser.add_argument("--experiments", type=int, default=9)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    report: dict[str, object] = {"agent_s": options.agent_s, "train_s": options.train_s}
    for name, ahead in (("prepared_ahead", True), ("in_turn", False)):
        with tempfile.TemporaryDirectory() as folder:
            report[name] = asyncio.run(
                measure(
                    Path(folder),
                    ahead=ahead,
                    agent_s=options.agent_s,
                    train_s=options.train_s,
                    experiments=options.experiments,
                )
            )
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
