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
    BestChange,
    ClassStatus,
    ExperimentOrder,
    ExperimentQuery,
    ExperimentState,
    ExperimentSummary,
    HardwareClass,
    InsightQuery,
    SwarmStatus,
    WorkingBest,
)
from rich.text import Text

from node import rendering
from node.detail import (
    attested_table,
    confirmers,
    detail_lines,
    hidden_gap_fields,
    history_fields,
    holdout_fields,
    runs_table,
    sandbox_lines,
)
from node.insights import BESIDE_LIMIT, beside, insight_fields, insight_lines
from node.listing import fallen_table, leaderboard_table
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcReader

T = TypeVar("T")

DIFF_CONTEXT_LINES = 3
LOG_SHOWN_LINES = 15
FALLEN_SHOWN_MAX = 8
FALLEN = (ExperimentState.REFUTED, ExperimentState.REJECTED)
"""States that readers want a reason for; so many of each are listed with theirs."""

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
        classes = [await _class_fields(reader, row, names, limit) for row in rows]
        _print_json({**_status_fields(status), "classes": classes})
        return
    terminal = rendering.console()
    terminal.print(Text(_headline(status)))
    for row in rows:
        await _print_class(reader, row, status.metric_name, names, limit=limit)
    if not rows:
        terminal.print(Text("Nothing has been measured yet."))


async def _print_class(
    reader: GrpcReader, row: ClassStatus, metric: str, names: Mapping[str, str], *, limit: int
) -> None:
    terminal = rendering.console()
    ended, without_run = await _ended(reader, row.hardware_class, limit)
    title = f"{row.hardware_class}: {rendering.best_line(row.best)}"
    owners = confirmers(await _history(reader, row.hardware_class))
    table = leaderboard_table(metric, ended, names, confirmed_by=owners, width=terminal.width)
    terminal.print()
    rendering.print_lines(terminal, [title])
    terminal.print(table)
    if without_run:
        verbs = "was given back or is running" if without_run == 1 else "were given back or are running"
        terminal.print(Text(f"{without_run} more {verbs}"))
    ids = [summary.experiment.experiment_id for summary in ended]
    if row.best is not None and row.best.experiment_id in ids[1:]:
        terminal.print(Text("What stands above the best has not been verified: one run may be lucky."))
    for summary in ended:
        if summary.sealed_runs:
            shown_id = summary.experiment.experiment_id[-rendering.ID_SHOWN :]
            terminal.print(Text(f"{shown_id}: {rendering.sealed(summary)}"))
    fallen, total = await _fallen(reader, row.hardware_class)
    if fallen:
        more = f" (the latest {len(fallen)} of {total})" if total > len(fallen) else ""
        terminal.print(Text(f"\nrefuted or rejected{more}"))
        terminal.print(fallen_table(fallen, width=terminal.width))


async def show(reader: GrpcReader, experiment: str, *, as_json: bool) -> None:
    """Prints one experiment with its reasoning, its evidence, its changes and its runs."""
    summary, results = await reader.experiment(experiment)
    names, status = await _names(reader), await reader.status()
    history = await _history(reader, summary.experiment.hardware_class)
    own_id = summary.experiment.experiment_id
    learned = await beside(reader, InsightQuery(experiment_id=own_id, limit=BESIDE_LIMIT))
    if as_json:
        fields = rendering.summary_fields(summary, names)
        fields["confirmed_by"] = fields["confirmed_by"] or list(confirmers(history).get(own_id, ()))
        fields["holdout"] = holdout_fields(results, status.metric_name)
        fields["hidden_gap"] = hidden_gap_fields(results)
        fields["history"] = history_fields(history, own_id)
        fields["insights"] = [insight_fields(insight) for insight in learned]
        _print_json({**fields, "results": [rendering.result_fields(result) for result in results]})
        return
    terminal = rendering.console()
    rendering.print_lines(terminal, detail_lines(summary, results, status.metric_name, names, history))
    terminal.print()
    terminal.print(runs_table(results, status.metric_name, names, summary.interval))
    attested = attested_table(results)
    if attested is not None:
        terminal.print()
        terminal.print(attested)
    for line in sandbox_lines(results):
        terminal.print(Text(line))
    if learned:
        terminal.print(Text("\nlearned from it"))
        rendering.print_lines(terminal, insight_lines(learned, names))
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


async def _fallen(
    reader: GrpcReader, hardware_class: HardwareClass
) -> tuple[tuple[ExperimentSummary, ...], int]:
    """The latest that were refuted or rejected, and how many there are."""
    pages = [
        await reader.experiments(
            ExperimentQuery(
                hardware_class=hardware_class,
                state=state,
                order=ExperimentOrder.NEWEST,
                limit=FALLEN_SHOWN_MAX,
            )
        )
        for state in FALLEN
    ]
    return tuple(summary for page in pages for summary in page.experiments), sum(page.total for page in pages)


async def _history(reader: GrpcReader, hardware_class: HardwareClass) -> tuple[BestChange, ...]:
    """The class's bests in order of time; a listing without them is still a listing."""
    try:
        return await reader.progress(hardware_class)
    except SwarmError:
        return ()


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


async def _class_fields(
    reader: GrpcReader, row: ClassStatus, names: Mapping[str, str], limit: int
) -> dict[str, Any]:
    query = ExperimentQuery(hardware_class=row.hardware_class, limit=limit)
    listed = (await reader.experiments(query)).experiments
    fallen, total = await _fallen(reader, row.hardware_class)
    owners = confirmers(await _history(reader, row.hardware_class))

    def fields_of(summary: ExperimentSummary) -> dict[str, Any]:
        fields = rendering.summary_fields(summary, names)
        known = owners.get(summary.experiment.experiment_id, ())
        return {**fields, "confirmed_by": fields["confirmed_by"] or list(known)}

    return {
        "hardware_class": row.hardware_class,
        "best": rendering.best_fields(row.best),
        "confirmed": rendering.best_fields(row.confirmed),
        "baseline_mean": row.baseline_mean,
        "baseline_runs": row.baseline_runs,
        "spread": row.spread,
        "verifying": row.verifying,
        "experiments": [fields_of(summary) for summary in listed],
        "refuted_or_rejected": [fields_of(summary) for summary in fallen],
        "refuted_or_rejected_total": total,
    }


def _print_json(value: Any) -> None:
    sys.stdout.write(rendering.to_json(value) + "\n")
