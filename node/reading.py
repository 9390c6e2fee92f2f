"""The commands that only read a coordinator: leaderboard, show, diff, best."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import stamina.instrumentation
from autoresearch.errors import InvalidArgument, NotFound, SwarmError
from autoresearch.limits import PAGE_LIMIT
from autoresearch.model import (
    ClassStatus,
    ConstantChange,
    ExperimentQuery,
    ExperimentState,
    ExperimentSummary,
    HardwareClass,
    SwarmStatus,
    WorkingBest,
)
from rich.text import Text

from node import rendering
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcReader

T = TypeVar("T")

DIFF_CONTEXT_LINES = 3
LOG_SHOWN_LINES = 15
WITHOUT_RUN = (ExperimentState.RUNNING, ExperimentState.LOST)
"""States of experiments that say nothing yet: under way, or prepared and given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which coordinator and challenge to read, and how to get there."""

    host: str
    challenge: str = ""
    ca_file: Path | None = None
    insecure: bool = False


async def reading(place: Place, ask: Callable[[GrpcReader], Awaitable[T]]) -> T:
    """The answer to ``ask`` over a channel that is closed afterwards. Raises SwarmError."""
    stamina.instrumentation.set_on_retry_hooks([])  # what cannot be reached is told once, at the end
    address = parse_address(place.host)
    channel = open_channel(address, ca_file=place.ca_file, insecure=place.insecure)
    reader = GrpcReader(channel, address.target, challenge=place.challenge)
    try:
        return await ask(reader)
    finally:
        await reader.close()


async def leaderboard(reader: GrpcReader, *, hardware_class: str, limit: int, as_json: bool) -> None:
    """Prints the best experiments of each class, or of one."""
    status = await reader.status()
    names = await _names(reader)
    rows = [row for row in status.classes if hardware_class in ("", row.hardware_class)]
    if hardware_class and not rows:
        known = ", ".join(row.hardware_class for row in status.classes) or "none yet"
        raise NotFound(f"nobody has run on {hardware_class}; known classes: {known}")
    if as_json:
        queries = [ExperimentQuery(hardware_class=row.hardware_class, limit=limit) for row in rows]
        pages = [(await reader.experiments(query)).experiments for query in queries]
        classes = [_class_fields(row, page, names) for row, page in zip(rows, pages, strict=True)]
        _print_json({**_status_fields(status), "classes": classes})
        return
    terminal = rendering.console()
    terminal.print(Text(_headline(status)))
    for row in rows:
        ended, without_run = await _ended(reader, row.hardware_class, limit)
        terminal.print()
        title = f"{row.hardware_class}: {rendering.best_line(row.best)}"
        table = rendering.leaderboard_table(title, status.metric_name, ended, names, width=terminal.width)
        terminal.print(table)
        if without_run:
            verbs = "was given back or is running" if without_run == 1 else "were given back or are running"
            terminal.print(Text(f"{without_run} more {verbs}"))
    if not rows:
        terminal.print(Text("Nothing has been measured yet."))


async def show(reader: GrpcReader, experiment: str, *, as_json: bool) -> None:
    """Prints one experiment with its reasoning, its changes and its runs."""
    summary, results = await reader.experiment(experiment)
    names = await _names(reader)
    if as_json:
        fields = rendering.summary_fields(summary, names)
        _print_json({**fields, "results": [rendering.result_fields(result) for result in results]})
        return
    status = await reader.status()
    terminal = rendering.console()
    for line in _detail(summary, status.metric_name, names):
        terminal.print(Text(line))
    terminal.print()
    columns = [
        ("run", "left"),
        ("outcome", "left"),
        (status.metric_name, "right"),
        ("seed", "right"),
        ("node", "left"),
        ("reason", "left"),
    ]
    digits = rendering.digits_for(summary.interval)
    rows = [
        (
            result.purpose.value,
            result.outcome.value,
            rendering.number(result.metrics.get(status.metric_name), digits),
            str(result.seed),
            names.get(result.node_id, result.node_id),
            result.reason,
        )
        for result in results
    ]
    terminal.print(rendering.plain_table("", columns, rows))
    failed = next((result for result in reversed(results) if result.reason and result.log_tail), None)
    if failed is not None:
        terminal.print(Text("\nend of the log:"))
        tail = "\n".join(failed.log_tail.splitlines()[-LOG_SHOWN_LINES:])
        terminal.print(Text(rendering.clean_lines(tail), style="dim"))


async def diff(reader: GrpcReader, experiment: str, *, against: str) -> None:
    """Prints what an experiment changes in its parent, the class's best, or another experiment."""
    summary, _ = await reader.experiment(experiment)
    other = await _other(reader, summary, against)
    old = (await reader.source(experiment=other)).decode("utf-8", errors="replace")
    new = (await reader.source(experiment=summary.experiment.experiment_id)).decode("utf-8", errors="replace")
    lines = list(
        difflib.unified_diff(
            old.splitlines(keepends=True),
            new.splitlines(keepends=True),
            fromfile=f"{other}/train.py",
            tofile=f"{summary.experiment.experiment_id}/train.py",
            n=DIFF_CONTEXT_LINES,
        )
    )
    text = rendering.diff_text(lines) if lines else Text("no difference\n")
    rendering.console().print(text, end="", soft_wrap=True)


async def best(reader: GrpcReader, *, hardware_class: str, save: Path | None, as_json: bool) -> None:
    """Prints what a class builds on; ``save`` gets its ``train.py``."""
    status = await reader.status()
    found = _best_of(status, hardware_class)
    if save is not None:
        source = await reader.source(experiment=found.experiment_id)
        _save(save, source)
    if as_json:
        _print_json(rendering.best_fields(found))
        return
    terminal = rendering.console()
    terminal.print(Text(f"{found.hardware_class}: {rendering.best_line(found)}"))
    terminal.print(Text(f"experiment {found.experiment_id}, since {found.since:%Y-%m-%d %H:%M} UTC"))
    if save is not None:
        terminal.print(Text(f"saved to {save}"))


async def _ended(
    reader: GrpcReader, hardware_class: HardwareClass, limit: int
) -> tuple[tuple[ExperimentSummary, ...], int]:
    """The best of the experiments that had a run, and how many have had none."""
    queries = [ExperimentQuery(hardware_class=hardware_class, state=state, limit=1) for state in WITHOUT_RUN]
    without_run = sum([(await reader.experiments(query)).total for query in queries])
    # They are listed among those without a score, such as crashes, and must not crowd them out.
    wide = ExperimentQuery(hardware_class=hardware_class, limit=min(limit + without_run, PAGE_LIMIT))
    listed = (await reader.experiments(wide)).experiments
    return tuple(summary for summary in listed if summary.state not in WITHOUT_RUN)[:limit], without_run


def _save(path: Path, source: bytes) -> None:
    try:
        path.write_bytes(source)
    except OSError as error:
        raise InvalidArgument(f"cannot write {path} ({error.strerror})") from error


def _best_of(status: SwarmStatus, hardware_class: str) -> WorkingBest:
    """The class's best; without a class the global one, or that of the only class there is."""
    bests = {row.hardware_class: row.best for row in status.classes if row.best is not None}
    if hardware_class:
        found = next((best for name, best in bests.items() if name == hardware_class), None)
        if found is None:
            raise NotFound(f"{hardware_class} has no working best; known: {', '.join(bests) or 'none yet'}")
        return found
    if status.global_best is not None:
        return status.global_best
    if len(bests) == 1:
        return next(iter(bests.values()))
    if not bests:
        raise NotFound("there is no working best yet: a class opens with runs of the baseline")
    raise InvalidArgument(f"no best is confirmed yet; choose a class with --class: {', '.join(bests)}")


async def _other(reader: GrpcReader, summary: ExperimentSummary, against: str) -> str:
    if against == "parent":
        parent = summary.experiment.parent
        if parent is None:
            raise NotFound(f"{summary.experiment.experiment_id} is a baseline and has no parent")
        return parent
    if against == "best":
        return _best_of(await reader.status(), summary.experiment.hardware_class).experiment_id
    other, _ = await reader.experiment(against)
    return other.experiment.experiment_id


async def _names(reader: GrpcReader) -> dict[str, str]:
    """Node names by id; a listing without them is still a listing."""
    try:
        nodes = await reader.nodes()
    except SwarmError:
        return {}
    return {node.node_id: node.name for node in nodes if node.name}


def _detail(summary: ExperimentSummary, metric: str, names: Mapping[str, str]) -> list[str]:
    experiment = summary.experiment
    digits = rendering.digits_for(summary.interval)
    score, interval = (rendering.number(value, digits) for value in (summary.score, summary.interval))
    delta = rendering.number(summary.delta, digits, signed=True)
    runs = rendering.counted(summary.runs, "run")
    node = rendering.clean(names.get(experiment.node_id, experiment.node_id))
    owner, agent = rendering.clean(experiment.owner_id), rendering.clean(experiment.hypothesis.agent)
    lines = [
        rendering.clean(experiment.hypothesis.title),
        f"  id        {experiment.experiment_id}",
        f"  parent    {experiment.parent or 'none: this is the baseline'}",
        f"  evidence  {rendering.evidence_of(summary)}",
        f"  {metric:<9} {score} +- {interval} over {runs}, {delta} against its parent",
        f"  node      {node} (owner {owner}), agent {agent or '-'}",
        f"  class     {experiment.hardware_class}",
        f"  at        {experiment.created_at:%Y-%m-%d %H:%M} UTC",
    ]
    if summary.reason:
        lines.append(f"  reason    {rendering.clean(summary.reason)}")
    lines += [f"  change    {rendering.clean(_change(change))}" for change in experiment.hypothesis.changes]
    if experiment.hypothesis.rationale:
        lines += ["", rendering.clean_lines(experiment.hypothesis.rationale)]
    return lines


def _change(change: Any) -> str:
    if isinstance(change, ConstantChange):
        return f"{change.name} {change.old} -> {change.new}"
    return f"{change.op.value} {change.what}" + (f" in {change.where}" if change.where else "")


def _headline(status: SwarmStatus) -> str:
    return (
        f"{rendering.clean(status.challenge_name)}: {status.metric_name}, {status.direction} is better; "
        f"{rendering.counted(status.experiments, 'experiment')}, {rendering.counted(status.results, 'run')}, "
        f"{status.nodes_live} of {rendering.counted(status.nodes, 'node')} live"
    )


def _status_fields(status: SwarmStatus) -> dict[str, Any]:
    return {
        "challenge_id": status.challenge_id,
        "challenge": status.challenge_name,
        "metric": status.metric_name,
        "direction": status.direction,
        "experiments": status.experiments,
        "results": status.results,
        "nodes": status.nodes,
        "nodes_live": status.nodes_live,
        "duplicates_stopped": status.duplicates_stopped,
        "global_best": rendering.best_fields(status.global_best),
    }


def _class_fields(
    row: ClassStatus, experiments: tuple[ExperimentSummary, ...], names: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "hardware_class": row.hardware_class,
        "best": rendering.best_fields(row.best),
        "confirmed": rendering.best_fields(row.confirmed),
        "baseline_mean": row.baseline_mean,
        "baseline_runs": row.baseline_runs,
        "spread": row.spread,
        "experiments": [rendering.summary_fields(summary, names) for summary in experiments],
    }


def _print_json(value: Any) -> None:
    sys.stdout.write(rendering.to_json(value) + "\n")
