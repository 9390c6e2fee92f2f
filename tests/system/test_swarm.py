"""Real processes on real sockets: a coordinator with its embedded store, nodes, trainings."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess

import pytest
from autoresearch.model import ExperimentQuery, ExperimentSummary
from bench.outage import NODES, balance, kill_coordinator_and_store, ledger, wait_for_results, wait_until
from local_swarm import LocalSwarm, program

LIMIT_S = 150.0


def experiments(swarm: LocalSwarm) -> tuple[ExperimentSummary, ...]:
    async def ask() -> tuple[ExperimentSummary, ...]:
        reader = swarm.reader()
        try:
            return (await reader.experiments(ExperimentQuery(limit=200))).experiments
        finally:
            await reader.close()

    return asyncio.run(ask())


def node(swarm: LocalSwarm, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("autoresearch-node"), *arguments], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.timeout(300)
def test_two_nodes_claim_different_edits_publish_them_and_leave_when_asked(swarm: LocalSwarm) -> None:
    for name in NODES:
        swarm.start_node(name)
    wait_for_results(swarm, 9, LIMIT_S)

    codes = swarm.stop(*NODES, sig=signal.SIGINT)

    tried = [summary for summary in experiments(swarm) if summary.experiment.parents and summary.runs]
    sources = [summary.experiment.source_hash for summary in tried]
    assert codes == {"ada": 0, "grace": 0}
    assert len({summary.experiment.node_id for summary in tried}) == len(NODES)
    assert len(sources) == len(set(sources))
    assert not [s for s in experiments(swarm) if s.state == "running"]
    assert balance(swarm, set())["is_balanced"]


@pytest.mark.timeout(300)
def test_readers_see_the_leaderboard_an_experiment_and_its_diff(swarm: LocalSwarm) -> None:
    swarm.start_node("ada")
    wait_for_results(swarm, 5, LIMIT_S)
    tried = next(s for s in experiments(swarm) if s.experiment.parents and s.runs)
    experiment_id = tried.experiment.experiment_id

    board = node(swarm, "leaderboard", swarm.address, "--json")
    shown = node(swarm, "show", experiment_id[-8:], swarm.address)
    diff = node(swarm, "diff", experiment_id, swarm.address)
    unknown = node(swarm, "show", "ffffffffffff", swarm.address)

    assert json.loads(board.stdout)["metric"] == "val_bpb"
    assert tried.experiment.hypothesis.title in shown.stdout
    assert "-" + tried.experiment.hypothesis.changes[0].name in diff.stdout
    assert unknown.returncode == 1
    assert "no experiment" in unknown.stderr


@pytest.mark.timeout(400)
def test_killing_coordinator_and_store_loses_nothing_and_nodes_come_back(swarm: LocalSwarm) -> None:
    for name in NODES:
        swarm.start_node(name)
    wait_for_results(swarm, 5, LIMIT_S)
    before = set(asyncio.run(ledger(swarm)))

    kill_coordinator_and_store(swarm)
    wait_until(
        lambda: all("(solo)" in (swarm.root / f"{name}.log").read_text() for name in NODES), LIMIT_S, swarm
    )
    swarm.start_coordinator()
    wait_for_results(swarm, len(before) + 6, LIMIT_S)
    codes = swarm.stop(*NODES, sig=signal.SIGINT)

    assert codes == {"ada": 0, "grace": 0}
    books = balance(swarm, before)
    assert books["is_balanced"], books


@pytest.mark.timeout(200)
def test_a_second_interrupt_gives_the_claim_back_at_once(swarm: LocalSwarm) -> None:
    swarm.start_node("ada")
    wait_for_results(swarm, 3, LIMIT_S)
    process = swarm.processes["ada"]

    process.send_signal(signal.SIGINT)
    wait_until(
        lambda: "leaving after the run in hand" in (swarm.root / "ada.log").read_text(), LIMIT_S, swarm
    )
    process.send_signal(signal.SIGINT)
    process.wait(LIMIT_S)
    del swarm.processes["ada"]

    assert process.returncode in (0, 130)
    assert not [s for s in experiments(swarm) if s.state == "running"]
