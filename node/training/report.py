"""Reads the trainer's JSON report strictly: bounded, typed, finite, or a crash with the reason.

The report is written by the harness, but what stands in it was partly said by ``train.py``: log lines, curve
and the reason of a crash are capped here again and freed of what a terminal would obey, and nothing that is
not a finite number becomes a metric.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from autoresearch.attestation import Attestation, attestation_of
from autoresearch.challenge import ContentHash
from autoresearch.limits import clip_curve, clip_log_tail, clip_text
from autoresearch.model import (
    METRICS_LIMIT,
    NAME_LIMIT_CHARS,
    Outcome,
    SourceHash,
)

REPORT_LIMIT_BYTES = 1024 * 1024
SEED_LIMIT = 2**63
REASON_LIMIT_CHARS = 500
EXTRA_METRICS = ("peak_memory_mb", "steps", "tokens", "num_params", "mfu")
TIMING_METRICS = ("setup_s", "train_s", "eval_s", "overhead_s", "wall_s")


class ReportError(ValueError):
    """A report is missing or not what a trainer writes; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """How one run ended, in the trainer's words."""

    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    reason: str = ""
    crash_kind: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    log_tail: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    harness_version: str = ""
    attestation: Attestation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the report must agree with, since it was asked for; ``metrics`` are those of a completed run."""

    seed: int
    val_seed: int
    code_hash: SourceHash
    manifest_hash: ContentHash
    metrics: tuple[str, ...]


def read_report(raw: bytes, expected: Expected) -> TrainingReport:
    """The report in what a trainer wrote.

    Raises:
        ReportError: It is missing, too large, not JSON, or contradicts itself or what was asked for.
    """
    if not raw:
        raise ReportError("the trainer wrote no report")
    if len(raw) > REPORT_LIMIT_BYTES:
        raise ReportError(f"the trainer's report has over {REPORT_LIMIT_BYTES:,} bytes")
    try:
        document = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"the trainer's report is not JSON ({error})") from error
    return parse_report(document, expected)


def parse_report(document: object, expected: Expected) -> TrainingReport:
    """The report in a JSON document; raises like ``read_report``."""
    if not isinstance(document, dict):
        raise ReportError("the trainer's report is not a JSON object")
    outcome = _outcome(document)
    for key, wanted in (("seed", expected.seed), ("val_seed", expected.val_seed)):
        if _whole(document, key) != wanted:
            raise ReportError(f"the report is about {key} {document[key]}, not {wanted}")
    if _text(document, "code_hash", NAME_LIMIT_CHARS) != expected.code_hash:
        raise ReportError("the report is about another train.py than the one that was handed over")
    metrics = _metrics(document, outcome, expected.metrics)
    harness_version = _text(document, "harness_version", NAME_LIMIT_CHARS)
    return TrainingReport(
        outcome=outcome,
        started_at=_time(document, "started_at"),
        finished_at=_time(document, "finished_at"),
        reason=clip_text(_text(document, "reason", None), REASON_LIMIT_CHARS),
        crash_kind=_text(document, "crash_kind", NAME_LIMIT_CHARS),
        metrics=metrics,
        log_tail=clip_log_tail(_text(document, "log_tail", None)),
        curve=_curve(document.get("curve")),
        harness_version=harness_version,
        attestation=_attestation(document, outcome, expected, harness_version),
    )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _outcome(document: Mapping[str, Any]) -> Outcome:
    try:
        return Outcome(str(document.get("outcome")))
    except ValueError as error:
        raise ReportError(f"the report's outcome {document.get('outcome')!r:.50} is unknown") from error


def _text(document: Mapping[str, Any], key: str, limit_chars: int | None) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ReportError(f"the report's {key} is not a text")
    value = value.encode("utf-8", errors="replace").decode("utf-8")  # a lone surrogate is no text
    return value if limit_chars is None else value[:limit_chars]


def _whole(document: Mapping[str, Any], key: str) -> int:
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= SEED_LIMIT:
        raise ReportError(f"the report's {key} is not a whole number")
    return value


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _metrics(document: Mapping[str, Any], outcome: Outcome, expected: tuple[str, ...]) -> dict[str, float]:
    raw = document.get("metrics")
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ReportError("the report's metrics are not a map")
    metrics: dict[str, float] = {}
    for name, value in raw.items():
        number = _number(value)
        if number is not None and len(name) <= NAME_LIMIT_CHARS and len(metrics) < METRICS_LIMIT:
            metrics[name] = number
    lacking = next((name for name in expected if name not in metrics), None)
    if outcome is Outcome.COMPLETED and lacking:
        raise ReportError(f"the run completed without a finite {lacking}")
    timings = document.get("timings")
    extras = {name: document.get(name) for name in EXTRA_METRICS}
    if isinstance(timings, dict):
        extras |= {name: timings.get(name) for name in TIMING_METRICS}
    for name, value in extras.items():
        number = _number(value)
        if number is not None and len(metrics) < METRICS_LIMIT:
            metrics.setdefault(name, number)
    return metrics


def _time(document: Mapping[str, Any], key: str) -> datetime:
    value = document.get(key)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ReportError(f"the report's {key} is not a time with its zone")
    return moment


def _curve(raw: object) -> tuple[tuple[float, float], ...]:
    if not isinstance(raw, list):
        return ()
    points = []
    for pair in raw:
        if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004 - progress and loss
            continue
        progress, loss = _number(pair[0]), _number(pair[1])
        if progress is not None and loss is not None:
            points.append((progress, loss))
    return clip_curve(points)


def _attestation(
    document: Mapping[str, Any], outcome: Outcome, expected: Expected, harness_version: str
) -> Attestation:
    """What the harness vouches for; it must be about the run that was asked for."""
    try:
        attestation = attestation_of(document.get("attestation"))
    except ValueError as error:
        raise ReportError(f"the report's attestation cannot be read: {error}") from error
    for name, wanted in (
        ("seed", expected.seed),
        ("val_seed", expected.val_seed),
        ("code_hash", expected.code_hash),
        ("manifest_hash", expected.manifest_hash),
        ("harness_version", harness_version),
    ):
        if getattr(attestation, name) != wanted:
            raise ReportError(f"the report's attestation is about another {name} than the run")
    if outcome is Outcome.COMPLETED and not (attestation.rows_digest and attestation.losses_digest):
        raise ReportError("the run completed and its attestation names no losses")
    return attestation
