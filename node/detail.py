"""One experiment as ``show`` prints it: what it is, how sure that is and why, every run, what is attested."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoresearch.challenge import HIDDEN_GAP_PREFIX, HOLDOUT_PREFIX
from autoresearch.model import (
    RATIONALE_LIMIT_CHARS,
    BestChange,
    ConstantChange,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    Level,
    OwnerId,
    Result,
)
from rich.table import Table

from node.rendering import (
    ID_SHOWN,
    clean,
    clean_reason,
    counted,
    digits_for,
    evidence_of,
    number,
    plain_table,
    quoted_lines,
    sealed,
    usage_line,
)

DIGEST_SHOWN_CHARS = 12
LABEL_CHARS = 13
LEFT, RIGHT = "left", "right"


def confirmers(changes: Sequence[BestChange]) -> dict[ExperimentId, tuple[OwnerId, ...]]:
    """Who agreed on each code that was ever built on, by the class's history: the last word counts."""
    return {
        change.best.experiment_id: change.best.confirmed_by for change in changes if change.best.confirmed_by
    }


def detail_lines(
    summary: ExperimentSummary,
    results: Sequence[Result],
    metric: str,
    names: Mapping[str, str],
    history: Sequence[BestChange],
) -> list[str]:
    """Everything but the runs; ``history`` is the class's, of which the lines about this one are shown."""
    experiment = summary.experiment
    lines = [clean(experiment.hypothesis.title)]
    for label, text in _facts(summary, results, metric, names, history):
        lines.append(f"  {label:<{LABEL_CHARS}}{text}")
    own = [change for change in history if _is_about(change, experiment.experiment_id)]
    if own:
        lines += ["", "history"]
        lines += [f"  {_history_line(change, experiment.experiment_id)}" for change in own]
    if experiment.hypothesis.rationale:
        lines += ["", *quoted_lines(experiment.hypothesis.rationale, RATIONALE_LIMIT_CHARS)]
    return lines


def runs_table(
    results: Sequence[Result], metric: str, names: Mapping[str, str], interval: float | None
) -> Table:
    """Every run; the held-back score has a column where a run has one."""
    digits = digits_for(interval)
    held_back = _holdout_metric(results)
    columns = [("run", LEFT), ("outcome", LEFT), (metric, RIGHT)]
    columns += [(held_back, RIGHT)] if held_back else []
    columns += [("seed", RIGHT), ("node", LEFT), ("owner", LEFT), ("attested", LEFT), ("reason", LEFT)]
    rows = []
    for result in results:
        scores = [number(result.metrics.get(metric), digits)]
        scores += [number(result.metrics.get(held_back), digits)] if held_back else []
        rows.append(
            (
                result.purpose.value + (" (late)" if result.is_late else ""),
                result.outcome.value,
                *scores,
                str(result.seed),
                names.get(result.node_id, result.node_id),
                result.owner_id,
                short_digest(result.attestation.digest) if result.attestation else "-",
                result.reason,
            )
        )
    return plain_table("", columns, rows)


def attested_table(results: Sequence[Result]) -> Table | None:
    """What the harness of each run vouches for; None where nothing is attested."""
    columns = [(name, LEFT) for name in ("attested", "losses", "rows", "manifest", "harness")]
    columns += [("val seed", RIGHT), ("train s", RIGHT), ("wall s", RIGHT), ("device", LEFT)]
    rows = [
        (
            short_digest(attested.digest),
            short_digest(attested.losses_digest),
            short_digest(attested.rows_digest),
            short_digest(attested.manifest_hash),
            attested.harness_version,
            str(attested.val_seed),
            number(attested.timings_s.get("train_s"), 1),
            number(attested.timings_s.get("wall_s"), 1),
            f"{attested.device_name or '-'}, torch {attested.torch_version or '-'}",
        )
        for attested in (result.attestation for result in results)
        if attested is not None
    ]
    return plain_table("", columns, rows) if rows else None


def sandbox_lines(results: Sequence[Result]) -> list[str]:
    """The layers that held the runs: a line for each set of them, with how many runs it held."""
    held = Counter(result.attestation.sandbox for result in results if result.attestation)
    return [
        f"sandbox of {counted(runs, 'run')}: {', '.join(layers) or 'none'}" for layers, runs in held.items()
    ]


def history_fields(history: Sequence[BestChange], experiment_id: ExperimentId) -> list[dict[str, Any]]:
    """The history of one experiment for JSON."""
    return [
        {
            "at": change.at.isoformat(),
            "experiment_id": change.best.experiment_id,
            "level": change.best.level.value,
            "previous": change.previous,
            "confirmed_by": list(change.best.confirmed_by),
            "reason": change.reason,
        }
        for change in history
        if _is_about(change, experiment_id)
    ]


def holdout_fields(results: Sequence[Result], metric: str) -> dict[str, Any] | None:
    """The held-back score for JSON; None where no run has one."""
    held_back = _holdout(results, metric)
    if held_back is None:
        return None
    name, mean, gap, runs = held_back
    return {"metric": name, "mean": mean, "gap": gap, "runs": runs}


def hidden_gap_fields(results: Sequence[Result]) -> dict[str, Any] | None:
    """The hidden gap for JSON; None where no run has one."""
    gap = _hidden_gap(results)
    return gap and {"metric": gap[0], "mean": gap[1], "runs": gap[2]}


def short_digest(digest: str) -> str:
    """The beginning of a digest, enough to tell it from others on a page."""
    return digest.removeprefix("sha256:")[:DIGEST_SHOWN_CHARS] or "-"


def _facts(
    summary: ExperimentSummary,
    results: Sequence[Result],
    metric: str,
    names: Mapping[str, str],
    history: Sequence[BestChange],
) -> Iterator[tuple[str, str]]:
    """Label and text of each line, in order."""
    experiment = summary.experiment
    digits = digits_for(summary.interval)
    node = clean(names.get(experiment.node_id, experiment.node_id))
    owner, agent = clean(experiment.owner_id), clean(experiment.hypothesis.agent)
    yield "id", experiment.experiment_id
    yield "parent", experiment.parent or "none: this is the baseline"
    yield "state", _state(summary)
    yield _agreement(summary, history)
    if summary.reason:
        yield "why", clean_reason(summary.reason)
    score, interval = number(summary.score, digits), number(summary.interval, digits)
    delta = number(summary.delta, digits, signed=True)
    yield (
        metric,
        f"{score} +- {interval} (95 %) over {counted(summary.runs, 'run')}, {delta} against its parent",
    )
    if summary.sealed_runs:
        yield "verification", sealed(summary)
    held_back = _holdout(results, metric)
    if held_back is not None:
        name, mean, gap, runs = held_back
        yield (
            name,
            f"{mean:.{digits}f} over {counted(runs, 'run')}, {gap:+.{digits}f} against {metric} of these",
        )
    hidden = _hidden_gap(results)
    if hidden is not None:
        name, mean, runs = hidden
        yield (
            "hidden gap",
            f"{mean:+.{digits}f} over {counted(runs, 'run')}; near 0 if it never looks ahead ({name})",
        )
    worked = f", agent {agent or '-'}"
    if experiment.proposer_id is None:
        yield "node", f"{node} (owner {owner}){worked}"
    else:
        proposer = clean(names.get(experiment.proposer_id, experiment.proposer_id))
        yield "proposed by", f"{proposer} (owner {clean(experiment.proposer_owner_id or 'unknown')}){worked}"
        yield "run by", f"{node} (owner {owner})"
    if summary.usage is not None:
        yield "agent spent", usage_line(summary.usage)
    yield "class", experiment.hardware_class
    yield "code", experiment.source_hash
    yield "at", f"{experiment.created_at:%Y-%m-%d %H:%M} UTC"
    for flag in experiment.flags:
        yield "flag", clean(flag)
    for change in experiment.hypothesis.changes:
        yield "change", clean(_change(change))


def _state(summary: ExperimentSummary) -> str:
    evidence = evidence_of(summary)
    is_both = summary.level is not None and summary.state is not ExperimentState.COMPLETED
    return f"{evidence} ({summary.state.value})" if is_both else evidence


def _agreement(summary: ExperimentSummary, history: Sequence[BestChange]) -> tuple[str, str]:
    """Who confirmed it or, where that is not enough to call it confirmed, who agreed."""
    own_id = summary.experiment.experiment_id
    told = [
        change.best for change in history if change.best.experiment_id == own_id and change.best.confirmed_by
    ]
    owners, level = summary.confirmed_by, summary.level
    if told and not owners:
        owners, level = told[-1].confirmed_by, told[-1].level
    if owners:
        return "confirmed by" if level is Level.CONFIRMED else "agreed by", clean(", ".join(owners))
    is_open = summary.state in {ExperimentState.CANDIDATE, ExperimentState.BEST}
    return "confirmed by", "nobody yet" if is_open else "nobody"


def _is_about(change: BestChange, experiment_id: ExperimentId) -> bool:
    return experiment_id in (change.best.experiment_id, change.previous)


def _history_line(change: BestChange, experiment_id: ExperimentId) -> str:
    """A line of the class's history; its reason may begin with the level, which is told once."""
    best = change.best
    what = best.level.value
    if best.experiment_id != experiment_id:
        what = f"gave way to {best.experiment_id[-ID_SHOWN:]} ({best.level.value})"
    reason = clean_reason(change.reason).removeprefix(f"{best.level.value}: ")
    return f"{change.at:%Y-%m-%d %H:%M}  {what}: {reason}"


def _holdout_metric(results: Sequence[Result]) -> str:
    found = (name for result in results for name in result.metrics if name.startswith(HOLDOUT_PREFIX))
    return next(found, "")


def _holdout(results: Sequence[Result], metric: str) -> tuple[str, float, float, int] | None:
    """Name, mean and gap to the public score of the same runs, and how many these are."""
    name = _holdout_metric(results)
    pairs = [
        (result.metrics[name], result.metrics[metric])
        for result in results
        if name in result.metrics and metric in result.metrics
    ]
    if not name or not pairs:
        return None
    mean = math.fsum(held_back for held_back, _ in pairs) / len(pairs)
    gap = math.fsum(held_back - public for held_back, public in pairs) / len(pairs)
    return name, mean, gap, len(pairs)


def _hidden_gap(results: Sequence[Result]) -> tuple[str, float, int] | None:
    """Name and mean over the runs that tell it, and how many these are."""
    found = [
        (name, gap)
        for result in results
        for name, gap in result.metrics.items()
        if name.startswith(HIDDEN_GAP_PREFIX)
    ]
    return (found[0][0], math.fsum(gap for _, gap in found) / len(found), len(found)) if found else None


def _change(change: Any) -> str:
    if isinstance(change, ConstantChange):
        return f"{change.name} {change.old} -> {change.new}"
    return f"{change.op.value} {change.what}" + (f" in {change.where}" if change.where else "")
