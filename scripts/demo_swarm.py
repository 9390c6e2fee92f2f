"""Run a small swarm on this machine: one coordinator, two owners with a node each, the CPU challenge.

Everything lives in ``.quickstart/``; a second run goes on where the first stopped (``--fresh`` starts over).
Ends by itself once both nodes have tried several edits and one has built on the other's win, or when
its time is up. ``--keep`` leaves coordinator and nodes running and prints how to stop them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from autoresearch.model import BestChange, ExperimentOrder, ExperimentQuery, ExperimentSummary
from local_swarm import COORDINATOR, LEAVE_LIMIT_S, LocalSwarm, SwarmFailed, program

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".quickstart"
OWNERS = ("ada", "grace")
POLL_S = 1.0
LISTED = 500
WATCHED_UNTIL_S = 320.0
WATCHED_AT_LEAST_S = 150.0
DROPPED_AFTER_S = 345.0
"""Seconds since the installation began: no more watching, and no more waiting for runs in hand ..."""
PATIENCE_MIN_S = 30.0
"""... but that long at least, where the installation took long."""
SERVE_OPTIONS = ("--lease-ttl-s", "40")
"""Nodes report every ten seconds, so they hear of a new best at once."""
ADOPTIONS_TOLD = 3
TRIED_BY_EACH = 2
"""Edits that each node has tried before the demonstration may end."""


def main() -> None:
    """Parse, run, tidy up."""
    parser = argparse.ArgumentParser(
        prog="scripts/quickstart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="leave coordinator and nodes running")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument(
        "--seconds", type=float, help="longest time to watch (default: what is left of 6 min)"
    )
    parser.add_argument("--spent", type=float, default=0.0, help="seconds that installing took")
    options = parser.parse_args()
    began_at = time.monotonic() - options.spent
    try:
        refuse_second()
        if options.fresh:
            shutil.rmtree(STATE, ignore_errors=True)
        STATE.mkdir(exist_ok=True)
        run(began_at, seconds=options.seconds, is_kept=options.keep)
    except SwarmFailed as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        say("==> interrupted: everything was stopped")
        sys.exit(130)


def run(began_at: float, *, seconds: float | None, is_kept: bool) -> None:
    """The demonstration from preparing the challenge to the leaderboard; ``seconds`` limits the watching."""
    started_at = time.monotonic()
    say("==> preparing the challenge 'pocket'")
    # Prepared text stays beside the rest, unless this person keeps it elsewhere anyway.
    cache = {"AUTORESEARCH_CACHE_DIR": os.environ.get("AUTORESEARCH_CACHE_DIR", str(STATE / "cache"))}
    prepared = subprocess.run(
        [sys.executable, "-m", "trainer", "prepare", "--challenge", "pocket"],
        check=False,
        env={**os.environ, **cache},
    )
    if prepared.returncode:
        raise SwarmFailed("the challenge could not be prepared: see the line above")
    swarm = LocalSwarm(root=STATE, environment=cache, serve_options=SERVE_OPTIONS)
    try:
        say("==> starting a coordinator with its embedded store")
        swarm.start_coordinator()
        (STATE / "address").write_text(swarm.address)
        for owner in OWNERS:
            say(f"==> {owner}'s node joins {swarm.address}")
            swarm.start_node(owner, "--agent", "search")
        say("==> the nodes train; each line is a finished run")
        left_s = max(WATCHED_AT_LEAST_S, began_at + WATCHED_UNTIL_S - time.monotonic())
        asyncio.run(watch(swarm, left_s if seconds is None else seconds))
        if not is_kept:
            say("==> enough seen: the nodes finish what they train, publish and leave")
            patience_s = max(PATIENCE_MIN_S, began_at + DROPPED_AFTER_S - time.monotonic())
            swarm.stop(*OWNERS, patience_s=patience_s if seconds is None else LEAVE_LIMIT_S)
        subprocess.run([program("autoresearch-node"), "leaderboard", swarm.address], check=True)
        asyncio.run(report_adoptions(swarm))
        if is_kept:
            pids = " ".join(str(process.pid) for process in swarm.processes.values())
            swarm.processes.clear()
            print(f"Still running on {swarm.address}. Look: autoresearch-node leaderboard {swarm.address}")
            print(f"Stop: kill -INT {pids}")
    finally:
        swarm.stop(*OWNERS, sig=signal.SIGTERM)
        swarm.stop(COORDINATOR, sig=signal.SIGTERM)
    say(f"==> done in {time.monotonic() - started_at:.0f} s; everything is in .quickstart/")


def refuse_second() -> None:
    """Two coordinators cannot share one data directory: point to the one that --keep left."""
    path = STATE / "address"
    if path.exists() and LocalSwarm(root=STATE, address=path.read_text()).is_answering():
        raise SwarmFailed(
            f"a swarm that an earlier --keep left is running on {path.read_text()}; stop it with the command "
            f"that it printed, or look at it with: autoresearch-node leaderboard {path.read_text()}"
        )


async def watch(swarm: LocalSwarm, seconds: float) -> None:
    """Print what the nodes find until enough has happened or time is up."""
    reader = swarm.reader()
    told: set[tuple[str, int]] = set()
    started_at = time.monotonic()
    known = (await reader.experiments(ExperimentQuery(limit=LISTED))).total
    told_changes, told_adoptions = 0, 0
    try:
        while time.monotonic() < started_at + seconds:
            swarm.check()
            query = ExperimentQuery(order=ExperimentOrder.NEWEST, limit=LISTED)
            page, changes = await reader.experiments(query), await reader.progress()
            names = {node.node_id: node.name for node in await reader.nodes()}
            for summary in reversed(page.experiments):
                key = (summary.experiment.experiment_id, summary.runs)
                if summary.runs and key not in told:
                    told.add(key)
                    say(line_of(summary, names, time.monotonic() - started_at))
            for change in changes[told_changes:]:
                say(f"{'':15}now best: {change.best.mean:.4f} ({change.best.level}): {change.reason}")
            told_changes = len(changes)
            adopted = adoptions(page.experiments, changes)
            for adoption in adopted[told_adoptions:ADOPTIONS_TOLD]:
                say(f"{'':15}{sentence_of(*adoption, names)}")
            told_adoptions = len(adopted)
            if page.total > known and is_shown(page.experiments, changes):
                return
            await asyncio.sleep(POLL_S)
    finally:
        await reader.close()


def line_of(summary: ExperimentSummary, names: dict[str, str], elapsed_s: float) -> str:
    """One experiment as one line."""
    who = names.get(summary.experiment.node_id, COORDINATOR)
    score = "-" if summary.score is None else f"{summary.score:.4f}"
    runs = f", {summary.runs} runs" if summary.runs > 1 else ""
    title = summary.experiment.hypothesis.title[:56]
    return f"   {elapsed_s:5.0f} s   {who:<12} {title:<56} {score} ({summary.state}{runs})"


def is_shown(experiments: Sequence[ExperimentSummary], changes: Sequence[BestChange]) -> bool:
    """True once both nodes have tried enough, and one has finished an edit of the other's win."""
    tried: dict[str, int] = {}
    for summary in experiments:
        if summary.experiment.parents and summary.runs:
            tried[summary.experiment.node_id] = tried.get(summary.experiment.node_id, 0) + 1
    is_enough = len(tried) >= len(OWNERS) and min(tried.values()) >= TRIED_BY_EACH
    return is_enough and any(summary.runs for summary, _ in adoptions(experiments, changes))


def adoptions(
    experiments: Sequence[ExperimentSummary], changes: Sequence[BestChange]
) -> list[tuple[ExperimentSummary, BestChange]]:
    """Edits, oldest first, whose parent is a win of another node, with that win."""
    wins = {change.best.experiment_id: change for change in changes if change.previous}
    found = [
        (summary, win)
        for summary in experiments
        if summary.experiment.parent
        for win in [wins.get(summary.experiment.parent)]
        if win and win.best.node_id != summary.experiment.node_id
    ]
    return sorted(found, key=lambda one: one[0].experiment.experiment_id)


def sentence_of(summary: ExperimentSummary, win: BestChange, names: dict[str, str]) -> str:
    """Who builds on whom."""
    builder, winner = names[summary.experiment.node_id], names.get(win.best.node_id, "another")
    title = summary.experiment.hypothesis.title
    return f"{builder} builds on {winner}'s {win.best.title!r} ({win.best.level}): {title}"


async def report_adoptions(swarm: LocalSwarm) -> None:
    """Print who built on whom, finished edits only."""
    reader = swarm.reader()
    try:
        page = await reader.experiments(ExperimentQuery(limit=LISTED))
        changes = await reader.progress()
        names = {node.node_id: node.name for node in await reader.nodes()}
    finally:
        await reader.close()
    adopted = [one for one in adoptions(page.experiments, changes) if one[0].runs]
    for adoption in adopted[:ADOPTIONS_TOLD]:
        print(sentence_of(*adoption, names))
    if not adopted:
        print("No edit of the other node's win is finished yet: run again to go on, longer with --seconds.")


def say(text: str) -> None:
    """One line for the person who watches."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
