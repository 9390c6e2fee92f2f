"""What the commands print: texts for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from autoresearch.model import ClassStatus, ProgramRow, SwarmStatus, Token, WorkingBest


def to_json(value: Any) -> str:
    """Dataclasses by their fields, times in ISO 8601."""
    return json.dumps(value, default=_plain, indent=2, ensure_ascii=False)


def show_status(status: SwarmStatus) -> str:
    """One challenge at a glance."""
    lines = [
        f"challenge   {status.challenge_name}  ({status.challenge_id})",
        f"metric      {status.metric_name}, {status.direction} is better",
        f"store       {status.store}{'  READ-ONLY' if status.is_read_only else ''}",
        f"nodes       {status.nodes_live} live of {status.nodes}",
        f"tried       {status.experiments} experiments, {status.results} results",
        f"now         {status.live_claims} live claims, {status.queued} queued ideas",
        f"stopped     {status.duplicates_stopped} duplicates",
        f"up          {_duration(status.uptime_s)}, version {status.version}",
        f"best        {_best(status.global_best)}",
    ]
    for row in status.classes:
        lines += ["", *_class(row)]
    return "\n".join(lines)


def show_tokens(tokens: Sequence[Token]) -> str:
    """A table, oldest first."""
    if not tokens:
        return "no tokens; make one with: autoresearch-coordinator token create OWNER"
    rows = [("TOKEN", "OWNER", "USES LEFT", "EXPIRES", "STATE")]
    for token in tokens:
        uses = "unlimited" if token.uses_left is None else str(token.uses_left)
        expires = "never" if token.expires_at is None else _time(token.expires_at)
        rows.append(
            (token.token_id, token.owner_id, uses, expires, "revoked" if token.is_revoked else "valid")
        )
    return _columns(rows)


def show_programs(rows: Sequence[ProgramRow]) -> str:
    """A table of the swarm's own programs, newest first, and of those that volunteers have instead."""
    table = [("VERSION", "PROGRAM", "EXPERIMENTS", "BESTS", "BEST DELTA", "COST", "SET", "NOTE")]
    for row in rows:
        program = row.program
        version = str(program.version) if program.text else "-"
        table.append(
            (
                version + (" in force" if row.is_current else ""),
                program.program_hash,
                str(row.experiments),
                str(row.bests),
                "-" if row.best_delta is None else f"{row.best_delta:+.4f}",
                f"${row.cost_usd:.2f}",
                _time(program.set_at) if program.set_at else "-",
                program.note or ("the challenge's own" if program.text and not program.version else ""),
            )
        )
    return _columns(table)


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _class(row: ClassStatus) -> list[str]:
    baseline = "-" if row.baseline_mean is None else f"{row.baseline_mean:.4f} over {row.baseline_runs} runs"
    lines = [
        row.hardware_class,
        f"  working   {_best(row.best)}",
        f"  confirmed {_best(row.confirmed)}",
        f"  baseline  {baseline}, spread {row.spread:.4f}, {row.experiments} experiments",
    ]
    if row.verifying is not None:
        lines.append(f"  verifying {row.verifying}")
    return lines


def _best(best: WorkingBest | None) -> str:
    if best is None:
        return "none yet"
    return (
        f"{best.mean:.4f}  {best.level}  {best.title or 'baseline'}  ({best.runs} runs, {best.experiment_id})"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")
