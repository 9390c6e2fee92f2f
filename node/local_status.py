"""The commands about this machine: what its node is doing, and what the doctor found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from autoresearch.model import Usage, utc_now
from rich.text import Text

from node import rendering
from node.board import StatusUnreadable, read_status
from node.control import Command, ControlError, NobodyThere, Request, ask
from node.doctor import Finding
from node.exit_codes import ExitCode
from node.failures import Failed
from node.places import outbox_path, purse_path, worker_dir
from node.purse import Budget, Purse
from node.swarm.database import StateFileError
from node.swarm.outbox import Outbox, OutboxStatus
from node.team_picture import whole_picture

RESULTS_SHOWN = 10


def show_status(node_dir: Path, *, as_json: bool) -> ExitCode:
    """Prints what the node says of itself, or the picture that it left, and what its outbox holds.

    Raises:
        Failed: One of the two cannot be read (the other is printed), or no node has run here.
    """
    picture, outbox, problems = _look(node_dir)
    spent = _spent(node_dir, problems)
    if picture is None and outbox is None and not problems:
        raise Failed(f"no node has run in {node_dir}; start one with: autoresearch-node join HOST")
    if as_json:
        fields = {
            **(picture or {"is_running": False}),
            "outbox": asdict(outbox) if outbox else None,
            "spent": {when: rendering.usage_fields(usage) for when, usage in spent.items()},
        }
        sys.stdout.write(rendering.to_json(fields) + "\n")
    else:
        _print(picture, outbox, spent)
    if problems:
        raise Failed(". ".join(problems))
    return ExitCode.OK


def _look(node_dir: Path) -> tuple[dict[str, Any] | None, OutboxStatus | None, list[str]]:
    """Picture and outbox, None where there is none, and why one cannot be read."""
    outbox, problems = None, []
    picture = _live_picture(node_dir)
    is_live = picture is not None
    if picture is None:
        try:
            picture = read_status(node_dir)
        except StatusUnreadable as error:
            problems.append(str(error))
    try:
        outbox = _outbox(node_dir)
    except StateFileError as error:
        problems.append(error.message)
    if picture is not None:
        is_running = is_live or _is_running(picture)
        if not is_live and isinstance(picture.get("workers"), list):
            picture = _with_workers(node_dir, picture, is_running=is_running)
        if not is_running and picture.get("state") != "stopped":
            picture["state"] = "gone"
        picture["is_running"] = is_running
    return picture, outbox, problems


def _with_workers(node_dir: Path, picture: dict[str, Any], *, is_running: bool) -> dict[str, Any]:
    """The last word of each worker beside that of its supervisor."""
    pictures: dict[str, dict[str, Any] | None] = {}
    for row in picture["workers"]:
        name = str(row.get("worker", ""))
        with contextlib.suppress(StatusUnreadable):
            pictures[name] = read_status(worker_dir(node_dir, name))
    whole = whole_picture(picture, pictures)
    return whole if is_running else {**whole, "state": picture.get("state")}


def _live_picture(node_dir: Path) -> dict[str, Any] | None:
    """What a running node answers; None where none does, which the file that it left then tells."""
    try:
        return asyncio.run(ask(node_dir, Request(command=Command.STATUS)))
    except (NobodyThere, ControlError):
        return None


def _print(
    picture: Mapping[str, Any] | None, outbox: OutboxStatus | None, spent: Mapping[str, Usage]
) -> None:
    terminal = rendering.console()
    lines = [*(_lines(picture) if picture is not None else ()), *_outbox_lines(outbox)]
    amounts = [f"${usage.cost_usd:.4f} and {usage.tokens:,} tokens {when}" for when, usage in spent.items()]
    lines += [f"spent        {', '.join(amounts)}"] if any(usage.tokens for usage in spent.values()) else []
    rendering.print_lines(terminal, lines)
    results = picture.get("results") if picture is not None else None
    if isinstance(results, list) and results:
        terminal.print()
        terminal.print(_results(results))


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Prints what the doctor saw."""
    if as_json:
        sys.stdout.write(rendering.to_json([asdict(finding) for finding in findings]) + "\n")
        return
    terminal = rendering.console()
    for finding in findings:
        mark = Text("ok  " if finding.is_fine else "BAD ", style="green" if finding.is_fine else "bold red")
        terminal.print(mark + Text(f"{finding.name:<12} {rendering.clean(finding.seen)}", style=""))
        if finding.fix:
            terminal.print(Text(f"                 fix: {finding.fix}"))


def _is_running(picture: Mapping[str, Any]) -> bool:
    pid = picture.get("pid")
    if not isinstance(pid, int) or picture.get("state") == "stopped":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _outbox(node_dir: Path) -> OutboxStatus | None:
    path = outbox_path(node_dir)
    if not path.exists():
        return None
    outbox = Outbox(path, now=utc_now)
    try:
        return outbox.status()
    finally:
        outbox.close()


def _spent(node_dir: Path, problems: list[str]) -> dict[str, Usage]:
    """What the node's agents spent, by the time in which they did; empty where none ever paid."""
    path = purse_path(node_dir)
    if not path.exists():
        return {}
    try:
        purse = Purse(path, Budget(), now=utc_now)
    except StateFileError as error:
        problems.append(error.message)
        return {}
    try:
        return {"today": purse.spent_today(), "in total": purse.spent_in_total()}
    finally:
        purse.close()


def _lines(picture: Mapping[str, Any]) -> list[str]:
    lines = [
        f"node         {picture.get('name') or '-'}  ({picture.get('node_id', '-')})",
        f"process      {picture.get('pid')}",
        f"coordinator  {picture.get('coordinator', '-')}",
        f"challenge    {picture.get('challenge', '-')} on {picture.get('hardware_class', '-')}",
        f"state        {picture.get('state', '-')}",
    ]
    workers = picture.get("workers")
    if isinstance(workers, list):
        for worker in workers:
            ended = f", exit code {worker['exit_code']}" if worker.get("exit_code") is not None else ""
            again = f", {rendering.counted(worker['restarts'], 'restart')}" if worker.get("restarts") else ""
            process = f" (process {worker['pid']})" if worker.get("pid") else ""
            lines.append(f"{worker.get('worker', '-'):<12} {worker.get('state')}{process}{again}{ended}")
            lines += [f"  {line}" for line in _work_lines(worker)]
    else:
        lines += _work_lines(picture)
    lines.append(f"done         {rendering.counted(picture.get('runs_done', 0), 'run')}")
    return lines


def _work_lines(picture: Mapping[str, Any]) -> list[str]:
    """What one worker does."""
    current = picture.get("current")
    lines = [f"paused       {rendering.clean(str(reason))}" for reason in _texts(picture.get("pauses"))]
    if picture.get("note"):
        lines.append(f"note         {rendering.clean(str(picture['note']))}")
    if isinstance(current, dict):
        what = f"{current.get('title')} ({current.get('purpose')})"
        lines.append(f"training     {what}, {_progress(current, picture.get('usual_s'))}")
    if picture.get("prepared"):
        lines.append(f"next         {picture['prepared']}")
    return lines


def _texts(value: object) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, list) else []


def _progress(current: Mapping[str, Any], usual_s: object) -> str:
    """How long a run has trained, and how long the one before it took in all."""
    try:
        elapsed = utc_now() - datetime.fromisoformat(str(current.get("started_at")))
    except ValueError:
        return "since a time that cannot be read"
    so_far = f"for {elapsed.total_seconds():.0f} s"
    return f"{so_far} of about {usual_s:.0f} s" if isinstance(usual_s, float) else so_far


def _outbox_lines(outbox: OutboxStatus | None) -> list[str]:
    if outbox is None:
        return []
    lines = [f"outbox       {outbox.waiting} waiting, {outbox.acknowledged} acknowledged"]
    if outbox.set_aside_count:
        refused = rendering.counted(outbox.set_aside_count, "result")
        lines.append(f"set aside    {refused} that the coordinator refused:")
        lines += [f"             {entry.result_id}: {entry.reason}" for entry in outbox.set_aside]
    return lines


def _results(results: Sequence[Any]) -> Any:
    columns = [
        ("score", "right"),
        ("outcome", "left"),
        ("run", "left"),
        ("state", "left"),
        ("title", "left"),
        ("reason", "left"),
    ]
    rows = [
        (
            rendering.number(line.get("score"), rendering.DIGITS_DEFAULT),
            str(line.get("outcome", "")),
            str(line.get("purpose", "")),
            str(line.get("state") or "kept here"),
            str(line.get("title", "")),
            str(line.get("reason", "")),
        )
        for line in results[-RESULTS_SHOWN:]
        if isinstance(line, dict)
    ]
    return rendering.plain_table("last results", columns, rows)
