"""Search nodes that offer the same edits over and over: is anything trained twice?

A coordinator with its embedded store and four nodes of four owners, all real processes that train ``pocket``
(or ``--challenge``). All but ``--informed`` of the nodes have one ``--agent-seed`` and ``--agent-history 0``:
they draw alike and are told nothing of what others tried, so that one offers what the other did, and only the
coordinator can tell. The rest search as usual. After ``--experiments`` explored edits the nodes are asked to
leave, and the books are read (``offers_ledger.py``).

Prints JSON. Exit code 1 if a promise is broken:

- ``enough_explored``: so many edits were trained;
- ``repeats_were_offered``: some of the offers were truly repeats, or the drill has shown nothing;
- ``none_trained_twice``: no two explored edits of the class are the same file, nor the same edit of the same
  code, by signatures of the stored sources; what the coordinator itself flags as run again is listed apart;
- ``none_refused_as_new``: no offer was refused as tried or held that was neither;
- ``books_agree``: nodes and coordinator tell the same of every claim, count the same duplicates and runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autoresearch.errors import Unavailable
from autoresearch.model import ExperimentQuery, ExperimentSummary, Result, SwarmStatus
from bench.offers_ledger import (
    NOT_RUN,
    TWICE,
    Kind,
    Line,
    Tried,
    answers_of,
    audit,
    books_of,
    by_node,
    coded_otherwise,
    kinds_of,
    lines_of,
)
from local_swarm import COORDINATOR, LocalSwarm, SwarmFailed

from node.logs import set_up_logging
from node.swarm.grpc_client import GrpcReader

OWNERS = ("ada", "grace", "mallory", "niklaus", "barbara", "edsger", "frances", "donald")
SEED = 1
POLL_S = 2.0
LISTED = 200
LEAVE_PATIENCE_S = 400.0
"""A run in hand, and on few cores the others' too, is waited for."""

SERVE_OPTIONS = ("--log-format", "json", "--log-level", "debug")
ENVIRONMENT = {"AUTORESEARCH_LOG_LEVEL": "debug"}


def main() -> None:
    """Parse, drill, print."""
    options = parsed()
    set_up_logging("text", "error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    command = [sys.executable, "-m", "trainer", "prepare", "--challenge", options.challenge]
    subprocess.run(command, check=True, stdout=sys.stderr)
    kept = nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory(prefix="overlap-")
    with kept as folder:
        root = Path(folder).absolute()
        root.mkdir(parents=True, exist_ok=True)
        swarm = LocalSwarm(root=root, serve_options=("--challenge", options.challenge))
        try:
            report = drill(swarm, options)
        except SwarmFailed as error:
            sys.exit(f"error: {error}")
    print(json.dumps(report, indent=1))
    sys.exit(0 if all(report["promises"].values()) else 1)


def parsed(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--challenge", default="pocket", help="name or folder (default pocket)")
    parser.add_argument("--experiments", type=int, default=60, help="explored edits to wait for (default 60)")
    parser.add_argument("--nodes", type=int, default=4, choices=range(2, len(OWNERS) + 1), metavar="N")
    parser.add_argument("--informed", type=int, default=1, help="nodes that search as usual (default 1)")
    parser.add_argument("--limit-s", type=float, default=5400, help="longest time of the drill")
    parser.add_argument("--folder", default="", help="where state and logs are kept; unset for nowhere")
    return parser.parse_args(argv)


def drill(swarm: LocalSwarm, options: argparse.Namespace) -> dict[str, Any]:
    """The swarm from its start to the report."""
    swarm.serve_options += SERVE_OPTIONS
    swarm.environment |= ENVIRONMENT
    nodes = OWNERS[: options.nodes]
    began = time.monotonic()
    try:
        swarm.start_coordinator()
        for number, node in enumerate(nodes):
            is_blind = number < options.nodes - options.informed
            blind = ("--agent-seed", str(SEED), "--agent-history", "0") if is_blind else ()
            swarm.start_node(node, "--agent", "search", "--json-logs", *blind)
        wait_for_experiments(swarm, options.experiments, options.limit_s)
        exits = swarm.stop(*nodes, patience_s=LEAVE_PATIENCE_S)
        took_s = time.monotonic() - began
        tried, status = asyncio.run(stored(swarm))
    finally:
        swarm.stop(*nodes, sig=signal.SIGTERM)
        swarm.stop(COORDINATOR, sig=signal.SIGTERM)
    logs = {name: list(lines_of((swarm.root / f"{name}.log").read_text())) for name in (COORDINATOR, *nodes)}
    coordinator = logs.pop(COORDINATOR)
    return {
        "challenge": status.challenge_name,
        "nodes": options.nodes,
        "informed_nodes": list(nodes[options.nodes - options.informed :]),
        "took_s": round(took_s),
        "node_exit_codes": exits,
        **report_of(coordinator, logs, tried, status, options.experiments),
    }


def wait_for_experiments(swarm: LocalSwarm, wanted: int, limit_s: float) -> None:
    """Until so many edits have been trained and published."""
    deadline, told = time.monotonic() + limit_s, 0
    while True:
        swarm.check()
        try:
            found = asyncio.run(listed(swarm))
        except Unavailable:  # on a busy machine an answer may be late
            found = []
        done = sum(bool(one.experiment.parents) and one.state not in NOT_RUN for one in found)
        if done > told:
            told = done
            print(f"{told} of {wanted} edits are trained", file=sys.stderr, flush=True)
        if done >= wanted:
            return
        if time.monotonic() > deadline:
            raise SwarmFailed(f"{told} of {wanted} edits were trained within {limit_s:.0f} s")
        time.sleep(POLL_S)


async def listed(swarm: LocalSwarm) -> list[ExperimentSummary]:
    """Every experiment of the swarm."""
    reader = swarm.reader()
    try:
        return await _all(reader)
    finally:
        await reader.close()


async def stored(swarm: LocalSwarm) -> tuple[list[Tried], SwarmStatus]:
    """Every experiment with its runs and sources, the oldest first, and the coordinator's status."""
    reader = swarm.reader()
    try:
        sources: dict[str, str] = {}
        found: list[tuple[ExperimentSummary, tuple[Result, ...]]] = []
        for one in sorted(await _all(reader), key=lambda one: one.experiment.experiment_id):
            experiment_id = one.experiment.experiment_id
            found.append(await reader.experiment(experiment_id))
            sources[experiment_id] = (await reader.source(experiment=experiment_id)).decode()
        status = await reader.status()
    finally:
        await reader.close()
    tried = [
        Tried(
            summary=summary,
            results=results,
            source=sources[summary.experiment.experiment_id],
            parent_source=sources[summary.experiment.parent] if summary.experiment.parent else "",
        )
        for summary, results in found
    ]
    return tried, status


def report_of(
    coordinator: Sequence[Line],
    nodes: Mapping[str, Sequence[Line]],
    tried: Sequence[Tried],
    status: SwarmStatus,
    wanted: int,
) -> dict[str, Any]:
    """Claims, what they truly were, the audit, and which promises were kept."""
    books = books_of(coordinator, nodes)
    kinds = kinds_of(books.offers, tried)
    answers = Counter(one.answer for one in books.offers)
    table = answers_of(books.offers, kinds)
    rows = by_node(books.offers, kinds, nodes)
    repeats = sum(kind in (Kind.TRIED, Kind.UNDER_WAY) for kind in kinds)
    found = audit(tried)
    is_twice = any(found[name] for name in TWICE)
    purposes = Counter(result.purpose.value for one in tried for result in one.results)
    purposes["sealed"] = sum(one.summary.sealed_runs for one in tried)
    trained = sum(row["runs"] for row in rows.values())
    return {
        "experiments": dict(Counter(one.summary.state.value for one in tried if one.parent_source)),
        "runs": dict(purposes),
        "claims": {
            "offered": len(books.offers),
            "queued_ideas_among_them": sum(one.is_queued for one in books.offers),
            "granted": sum(one.is_granted for one in books.offers),
            **dict(answers.most_common()),
        },
        "truly_repeats": repeats,
        "what_they_were": table,
        "by_node": rows,
        "books": {
            "only_in_a_nodes_log": books.only_node,
            "only_in_the_coordinators_log": books.only_coordinator,
            "contradicting": books.contradicting,
            "coded_otherwise": coded_otherwise(books.offers, tried),
            "runs_by_the_nodes_logs": trained,
            "runs_stored": purposes.total(),
            "duplicates_stopped_by_status": status.duplicates_stopped,
            "duplicates_stopped_by_log": books.refusals,
        },
        "audit": found,
        "promises": {
            "enough_explored": found["explored"] >= wanted,
            "repeats_were_offered": repeats > 0,
            "none_trained_twice": not is_twice,
            "none_refused_as_new": not any(one.startswith("refused") for one in table.get(Kind.NEW, ())),
            "books_agree": not books.only_node
            and not books.contradicting
            and trained == purposes.total()
            and status.duplicates_stopped == books.refusals,
        },
    }


async def _all(reader: GrpcReader) -> list[ExperimentSummary]:
    found: list[ExperimentSummary] = []
    cursor = ""
    while True:
        page = await reader.experiments(ExperimentQuery(limit=LISTED, cursor=cursor))
        found += page.experiments
        cursor = page.next_cursor
        if not cursor:
            return found


if __name__ == "__main__":
    main()
