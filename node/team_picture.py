"""What a node with several workers shows: its own facts, and each worker's picture within."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from node.board import LAST_RESULTS

NOBODY = "starting"
STOPPED = "stopped"


def whole_picture(own: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """The supervisor's picture with those of its workers, by the names of their seats.

    A worker that has left no picture yet is starting; one without a process shows its last one.
    """
    known = own.get("workers")
    rows = known if isinstance(known, list) else []
    workers = [_worker(row, pictures.get(str(row.get("worker")))) for row in rows if isinstance(row, dict)]
    if not workers:
        return dict(own)
    results = [line for worker in workers for line in worker.get("results") or ()]
    return {
        **own,
        "workers": workers,
        "state": summary([str(worker["state"]) for worker in workers]),
        "runs_done": sum(int(worker.get("runs_done") or 0) for worker in workers),
        "results": sorted(results, key=_finished)[-LAST_RESULTS:],
    }


def summary(states: Sequence[str]) -> str:
    """``training`` where all do the same, else ``2 training, 1 paused``."""
    counted = Counter(states)
    if len(counted) == 1:
        return states[0]
    return ", ".join(f"{number} {state}" for state, number in counted.most_common())


def _worker(row: Mapping[str, Any], picture: Mapping[str, Any] | None) -> dict[str, Any]:
    if picture is None:
        return {**row, "state": STOPPED if row.get("exit_code") is not None else NOBODY}
    state = str(picture.get("state"))
    if row.get("pid") is None and state != STOPPED:
        state = STOPPED if row.get("exit_code") is not None else "restarting"
    return {**picture, **row, "state": state}


def _finished(line: object) -> str:
    return str(line.get("finished_at", "")) if isinstance(line, dict) else ""
