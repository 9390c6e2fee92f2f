"""What the commands print: tables for people, JSON for programs.

Titles, reasons and names come from strangers: they are shown as plain text cells, never as markup, and
without control characters.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from autoresearch.evidence import interval_half_width
from autoresearch.model import (
    Change,
    ConstantChange,
    Experiment,
    ExperimentSummary,
    Level,
    Result,
    Usage,
    WorkingBest,
)
from rich.console import Console
from rich.table import Table
from rich.text import Text

DIGITS_DEFAULT = 4
DIGITS_MAX = 6
WIDTH_ELSEWHERE = 160
HANGING_CHARS = 13
ID_SHOWN = 8
"""The end of an id is its random part, and enough to name it to ``show`` and ``diff``."""

_EXPERIMENT_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

STYLES = {
    "confirmed": "bold green",
    "one-owner": "green",
    "self-replicated": "cyan",
    "provisional": "yellow",
    "candidate": "yellow",
    "crashed": "red",
    "timed_out": "red",
    "rejected": "red",
    "refuted": "magenta",
}


def one_line(text: str) -> str:
    """Text of others as one line, with nothing in it that a terminal would obey; its blanks are kept."""
    return "".join(char if char.isprintable() else " " for char in text)


def hanging(text: str, width: int) -> list[str]:
    """A labelled line as one or several: what does not fit stands below the text and passes for no label."""
    indent = " " * min(HANGING_CHARS, width // 2)
    return textwrap.wrap(one_line(text), width, subsequent_indent=indent, replace_whitespace=False) or [""]


def print_lines(terminal: Console, lines: Iterable[str]) -> None:
    """Lines with words of others in them, each hanging."""
    for line in lines:
        for shown in hanging(line, terminal.width):
            terminal.print(Text(shown), soft_wrap=True)


def clean(text: str) -> str:
    """The same with no more than one blank between words."""
    return " ".join(one_line(text).split())


def clean_reason(text: str) -> str:
    """A coordinator's reason on one line, with ids of experiments as short as elsewhere."""
    return _EXPERIMENT_ID.sub(lambda found: found[0][-ID_SHOWN:], clean(text))


def clean_lines(text: str) -> str:
    """The same for text of several lines, such as code."""
    return "\n".join(
        "".join(char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in line)
        for line in text.split("\n")
    )


def quoted_lines(text: str, limit_chars: int) -> list[str]:
    """Prose of others as quotation lines, cut to a length."""
    cut = text[:limit_chars] + (" [cut]" if len(text) > limit_chars else "")
    return [f"> {line}" for line in clean_lines(cut.strip()).split("\n")]


def digits_for(interval: float | None) -> int:
    """As many decimals as the interval makes meaningful: two of its own digits."""
    if interval is None or not interval > 0:
        return DIGITS_DEFAULT
    return min(DIGITS_MAX, max(2, 1 - math.floor(math.log10(interval))))


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A figure, or a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def counted(count: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sealed(summary: ExperimentSummary) -> str:
    """What is in and not shown yet, in words; empty where nothing is."""
    runs = summary.sealed_runs
    return f"{counted(runs, 'verification run')} in, sealed until decided" if runs else ""


def plain_table(
    title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Text | str]]
) -> Table:
    """A table of text cells; ``columns`` are names with ``left`` or ``right``."""
    table = bare_table(title)
    for name, side in columns:
        is_right = side == "right"
        table.add_column(Text(name), justify="right" if is_right else "left", no_wrap=is_right)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in row))
    return table


def bare_table(title: str = "") -> Table:
    """A table without lines; its title is plain text, and is broken where the table ends."""
    heading = Text(clean(title)) if title else None
    return Table(title=heading, title_justify="left", box=None, pad_edge=False, header_style="bold")


def evidence_of(summary: ExperimentSummary) -> str:
    """How sure we are: the level where there is one, else the state."""
    return summary.level.value if summary.level is not None else summary.state.value


def credited(experiment: Experiment, names: Mapping[str, str]) -> str:
    """Who ran an experiment, and whose idea it was where that was somebody else's."""
    node = names.get(experiment.node_id, experiment.node_id)
    if experiment.proposer_id is None:
        return clean(node)
    return clean(f"{node}, idea of {names.get(experiment.proposer_id, experiment.proposer_id)}")


def summary_fields(summary: ExperimentSummary, names: Mapping[str, str]) -> dict[str, Any]:
    """An experiment for JSON."""
    experiment = summary.experiment
    return {
        "experiment_id": experiment.experiment_id,
        "title": experiment.hypothesis.title,
        "state": summary.state.value,
        "level": summary.level.value if summary.level else None,
        "score": summary.score,
        "interval": summary.interval,
        "runs": summary.runs,
        "sealed_runs": summary.sealed_runs,
        "delta": summary.delta,
        "parents": list(experiment.parents),
        "changes": change_fields(experiment.hypothesis.changes),
        "rationale": experiment.hypothesis.rationale,
        "agent": experiment.hypothesis.agent,
        "node_id": experiment.node_id,
        "node": names.get(experiment.node_id, ""),
        "owner_id": experiment.owner_id,
        "proposer_id": experiment.proposer_id,
        "proposer": names.get(experiment.proposer_id or "", ""),
        "proposer_owner_id": experiment.proposer_owner_id,
        "hardware_class": experiment.hardware_class,
        "source_hash": experiment.source_hash,
        "confirmed_by": list(summary.confirmed_by),
        "created_at": experiment.created_at.isoformat(),
        "flags": list(experiment.flags),
        "reason": summary.reason,
        "usage": usage_fields(summary.usage),
    }


def usage_fields(usage: Usage | None) -> dict[str, Any] | None:
    """What an agent spent, for JSON; None where none is told."""
    return None if usage is None else {**asdict(usage), "tokens": usage.tokens}


def usage_line(usage: Usage) -> str:
    """What an agent spent, in words."""
    parts = [clean(usage.model)] if usage.model else []
    if usage.tokens:
        read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        parts.append(
            f"{counted(usage.calls, 'call')}, {read:,} tokens read "
            f"({usage.cache_read_tokens:,} from the cache), {usage.output_tokens:,} written"
        )
    if usage.cost_usd or usage.tokens:
        parts.append(f"{'about ' if usage.is_estimate else ''}${usage.cost_usd:.4f}")
    if usage.seconds:
        parts.append(f"{usage.seconds:.0f} s")
    return ", ".join(parts) or "nothing"


def change_fields(changes: Sequence[Change]) -> list[dict[str, str]]:
    """What an idea changes, for JSON."""
    return [
        {"name": change.name, "old": change.old, "new": change.new}
        if isinstance(change, ConstantChange)
        else {"op": change.op.value, "what": change.what, "where": change.where}
        for change in changes
    ]


def result_fields(result: Result) -> dict[str, Any]:
    """A run for JSON."""
    return {
        "result_id": result.result_id,
        "outcome": result.outcome.value,
        "purpose": result.purpose.value,
        "metrics": dict(result.metrics),
        "seed": result.seed,
        "node_id": result.node_id,
        "owner_id": result.owner_id,
        "hardware_class": result.hardware.hardware_class,
        "verification_id": result.verification_id,
        "is_late": result.is_late,
        "code_hash": result.code_hash,
        "harness_version": result.harness_version,
        "attestation": result.attestation.to_fields() if result.attestation else None,
        "reason": result.reason,
        "crash_kind": result.crash_kind,
        "log_tail": result.log_tail,
        "curve": [list(point) for point in result.curve],
        "started_at": result.started_at.isoformat(),
        "finished_at": result.finished_at.isoformat(),
        "published_at": result.published_at.isoformat() if result.published_at else None,
        "usage": usage_fields(result.usage),
    }


def best_fields(best: WorkingBest | None) -> dict[str, Any] | None:
    """A working best for JSON."""
    if best is None:
        return None
    return {
        "experiment_id": best.experiment_id,
        "title": best.title,
        "hardware_class": best.hardware_class,
        "level": best.level.value,
        "mean": best.mean,
        "interval": interval_of(best),
        "runs": best.runs,
        "spread": best.spread,
        "source_hash": best.source_hash,
        "node_id": best.node_id,
        "confirmed_by": list(best.confirmed_by),
        "since": best.since.isoformat(),
    }


def best_line(best: WorkingBest | None) -> str:
    """A working best in a sentence."""
    if best is None:
        return "none yet"
    interval = interval_of(best)
    digits = digits_for(interval)
    word = " by" if best.level is Level.CONFIRMED else ", agreed by"
    by = f"{word} {clean(', '.join(best.confirmed_by))}" if best.confirmed_by else ""
    return (
        f"{best.mean:.{digits}f} +- {number(interval, digits)}  {best.level.value}{by}  "
        f"{clean(best.title) or 'baseline'}  ({counted(best.runs, 'run')}, {best.experiment_id[-ID_SHOWN:]})"
    )


def interval_of(best: WorkingBest) -> float | None:
    """Half the 95 % interval of a best's mean; None without a run."""
    return interval_half_width(best.spread, best.runs) if best.runs and best.spread > 0 else None


def diff_text(lines: Iterable[str]) -> Text:
    """A unified diff in colours."""
    text = Text()
    for line in lines:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        text.append(clean_lines(line.rstrip("\n")) + "\n", style=style)
    return text


def to_json(value: Any) -> str:
    """JSON for programs; times in ISO 8601. It may end on a terminal: what one would obey is escaped."""
    text = json.dumps(value, default=_plain, indent=2, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def console() -> Console:
    """Where tables go; as wide as the terminal, and wide enough for a title where there is none."""
    terminal = Console(highlight=False, markup=False, emoji=False)
    return (
        terminal
        if terminal.is_terminal
        else Console(highlight=False, markup=False, emoji=False, width=WIDTH_ELSEWHERE)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")
