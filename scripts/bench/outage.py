"""Kill the coordinator and its store under a running swarm, bring them back, and balance the ledger.

Two nodes train ``pocket`` (or ``--challenge``). In the middle of their runs the coordinator and its
embedded server are killed with SIGKILL. The nodes must go on alone. After ``--outage`` seconds a
coordinator is started on the same data; the nodes must come back by themselves. Then every result that a
node ever finished (its own notebook of runs, outside the coordinator) is looked up in the coordinator's
ledger: each must be there exactly once, and none that was acknowledged before the outage may be missing.
Prints JSON; exit code 1 if the ledger does not balance.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autoresearch.model import ExperimentQuery
from local_swarm import COORDINATOR, LocalSwarm

NODES = ("ada", "grace")
POLL_S = 1.0
LISTED = 200


def main() -> None:
    """Parse, drill, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--challenge", default="pocket", help="name or folder (default pocket)")
    parser.add_argument("--before", type=int, default=4, help="results before the outage (default 4)")
    parser.add_argument("--outage", type=float, default=60, help="seconds without a coordinator (default 60)")
    parser.add_argument("--after", type=int, default=4, help="results after it (default 4)")
    parser.add_argument("--limit", type=float, default=900, help="longest time of each phase in seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-") as folder:
        figures = drill(Path(folder), options)
    print(json.dumps(figures, indent=2))
    sys.exit(0 if figures["ledger"]["is_balanced"] else 1)


def drill(root: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One outage from start to ledger."""
    swarm = LocalSwarm(root=root, serve_options=("--challenge", options.challenge))
    try:
        swarm.start_coordinator()
        for node in NODES:
            swarm.start_node(node)
        wait_for_results(swarm, options.before, options.limit)
        before = set(asyncio.run(ledger(swarm)))
        killed_server = kill_coordinator_and_store(swarm)
        killed_at = time.time()
        finished = count_local(swarm)
        wait_until(lambda: time.time() > killed_at + options.outage, options.outage + POLL_S, swarm)
        made_alone = count_local(swarm) - finished
        swarm.start_coordinator()
        back_at = time.monotonic()
        wait_for_results(swarm, count_local(swarm) + options.after, options.limit)
        took_s = time.monotonic() - back_at
        exits = swarm.stop(*NODES)
        return {
            "killed": ["coordinator", f"store pid {killed_server}"],
            "results_before": len(before),
            "results_made_alone": made_alone,
            "caught_up_and_went_on_s": round(took_s, 1),
            "node_exit_codes": exits,
            "transitions": transitions(swarm),
            "ledger": balance(swarm, before),
        }
    finally:
        swarm.stop(*NODES, sig=signal.SIGTERM)
        swarm.stop(COORDINATOR, sig=signal.SIGTERM)


def kill_coordinator_and_store(swarm: LocalSwarm) -> int:
    """SIGKILL both; returns the pid of the store's server."""
    pid = server_pid(swarm.data_dir)
    swarm.kill(COORDINATOR)
    os.kill(pid, signal.SIGKILL)
    return pid


def server_pid(data_dir: Path) -> int:
    """The embedded server: the process whose working directory is the store's folder."""
    store = (data_dir / "store").resolve()
    for entry in Path("/proc").iterdir():
        try:
            is_ours = entry.name.isdigit() and (entry / "cwd").resolve() == store
            if is_ours and b"server" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    raise SystemExit(f"no embedded server runs in {store}")


def wait_for_results(swarm: LocalSwarm, wanted: int, limit_s: float) -> None:
    """Until the coordinator has that many results."""
    wait_until(lambda: len(asyncio.run(ledger(swarm))) >= wanted, limit_s, swarm)


def wait_until(is_done: Any, limit_s: float, swarm: LocalSwarm) -> None:
    """Polls, while every process that should live does."""
    deadline = time.monotonic() + limit_s
    while not is_done():
        swarm.check()
        if time.monotonic() > deadline:
            raise SystemExit(f"not reached within {limit_s:.0f} s")
        time.sleep(POLL_S)


async def ledger(swarm: LocalSwarm) -> list[str]:
    """Every result id that the coordinator shows, with repeats if there are any."""
    shown, _ = await _books(swarm)
    return shown


async def count_sealed(swarm: LocalSwarm) -> int:
    """How many results the coordinator has and shows nobody yet: their codes are still being verified."""
    _, sealed = await _books(swarm)
    return sealed


async def _books(swarm: LocalSwarm) -> tuple[list[str], int]:
    reader = swarm.reader()
    found: list[str] = []
    sealed, cursor = 0, ""
    try:
        while True:
            page = await reader.experiments(ExperimentQuery(limit=LISTED, cursor=cursor))
            for one in page.experiments:
                summary, results = await reader.experiment(one.experiment.experiment_id)
                found += [result.result_id for result in results]
                sealed += summary.sealed_runs
            cursor = page.next_cursor
            if not cursor:
                return found, sealed
    finally:
        await reader.close()


def local_results(swarm: LocalSwarm) -> dict[str, str]:
    """Every result that the nodes finished, with what their outboxes say of it."""
    found: dict[str, str] = {}
    for node in NODES:
        path = swarm.node_dir(node) / "outbox.sqlite"
        if path.exists():
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
                found.update(database.execute("SELECT result_id, state FROM entries").fetchall())
    return found


def count_local(swarm: LocalSwarm) -> int:
    """How many results the nodes have finished."""
    return len(local_results(swarm))


def transitions(swarm: LocalSwarm) -> dict[str, list[str]]:
    """What each node logged of losing and finding the coordinator."""
    words = ("solo", "coordinator")
    return {
        node: [
            line[:200]
            for line in (swarm.root / f"{node}.log").read_text(errors="replace").splitlines()
            if "[" in line and any(word in line for word in words)
        ][:12]
        for node in NODES
    }


def balance(swarm: LocalSwarm, before: set[str]) -> dict[str, Any]:
    """Nodes' books against the coordinator's."""
    local = local_results(swarm)
    counts = Counter(asyncio.run(ledger(swarm)))
    sealed = asyncio.run(count_sealed(swarm))
    unseen = sorted(set(local) - set(counts))
    missing = [] if len(unseen) == sealed else unseen
    repeated = sorted(result for result, times in counts.items() if times > 1)
    unknown = sorted(set(counts) - set(local))
    forgotten = sorted(before - set(counts))
    waiting = sorted(result for result, state in local.items() if state != "acknowledged")
    return {
        "finished_by_nodes": len(local),
        "in_coordinator": sum(counts.values()) + sealed,
        "sealed_until_decided": sealed,
        "missing": missing,
        "repeated": repeated,
        "unknown_to_nodes": unknown,
        "acknowledged_then_lost": forgotten,
        "still_waiting_or_set_aside": waiting,
        "is_balanced": not (missing or repeated or unknown or forgotten or waiting),
    }


if __name__ == "__main__":
    main()
