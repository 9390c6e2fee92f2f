"""What one run leaves behind: a small JSON file that the swarm's node reads, whatever happened.

Only finite numbers appear in it. The file is written beside its name and renamed, so a reader sees all of it
or nothing.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

from autoresearch.attestation import Attestation, attestation_of
from autoresearch.model import CURVE_LIMIT_POINTS

from trainer.devices import DeviceReport

SCHEMA = 1
HARNESS_VERSION = "1"
"""Raised whenever scores of the same code could change; a challenge's policy lists those it accepts."""

Outcome = Literal["completed", "crashed", "timed_out", "rejected"]
OUTCOMES: tuple[Outcome, ...] = ("completed", "crashed", "timed_out", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """The budget and how much of it was spent; ``limit_s`` is 0 for a budget of steps.

    ``pace`` is what a CPU second was worth on average, in seconds of the budget (see ``trainer.pace``).
    """

    kind: str
    limit_s: float
    used_s: float
    pace: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the wall clock went, in seconds; ``overhead_s`` is all but training."""

    start_s: float = 0.0
    setup_s: float = 0.0
    train_s: float = 0.0
    eval_s: float = 0.0
    holdout_s: float = 0.0
    overhead_s: float = 0.0
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run of one ``train.py``."""

    outcome: Outcome
    reason: str
    crash_kind: str | None
    challenge_id: str
    challenge: str
    harness_version: str
    code_hash: str
    seed: int
    val_seed: int
    metrics: Mapping[str, float]
    device: DeviceReport
    budget: BudgetReport
    timings: Timings
    attestation: Attestation
    steps: int = 0
    tokens: int = 0
    num_params: int | None = None
    peak_memory_mb: float = 0.0
    mfu: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    log_tail: str = ""
    sandbox_layers: tuple[str, ...] = ()
    started_at: str
    finished_at: str
    schema: int = field(default=SCHEMA)

    def to_json(self) -> str:
        """The report as JSON text."""
        fields = asdict(self) | {"attestation": self.attestation.to_fields()}
        fields["metrics"] = {
            name: value for name, value in sorted(self.metrics.items()) if math.isfinite(value)
        }
        fields["curve"] = [[round(progress, 5), loss] for progress, loss in thin(self.curve)]
        fields["sandbox"] = {"layers": list(fields.pop("sandbox_layers"))}
        fields["timings"] = {name: round(value, 4) for name, value in fields["timings"].items()}
        return json.dumps(fields, allow_nan=False, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read ``to_json``'s text.

        Raises:
            ValueError: it is no report of this schema.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields["schema"] != SCHEMA or fields["outcome"] not in OUTCOMES:
                raise ValueError(f"schema {fields['schema']!r}, outcome {fields['outcome']!r}")  # noqa: TRY301
            fields["sandbox_layers"] = tuple(fields.pop("sandbox")["layers"])
            fields["curve"] = tuple((float(progress), float(loss)) for progress, loss in fields["curve"])
            fields["device"] = DeviceReport(**fields["device"])
            fields["budget"] = BudgetReport(**fields["budget"])
            fields["timings"] = Timings(**fields["timings"])
            fields["attestation"] = attestation_of(fields["attestation"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a report of schema {SCHEMA}: {error}") from error


def write_report(report: Report, path: Path) -> None:
    """Write the report so that a reader finds the old file or the whole new one, never a part.

    Raises:
        OSError: it cannot be written (no space, no permission).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(report.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def thin(curve: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    """At most ``CURVE_LIMIT_POINTS`` points, evenly taken, the last one among them."""
    finite = [point for point in curve if math.isfinite(point[1])]
    if len(finite) <= CURVE_LIMIT_POINTS:
        return tuple(finite)
    last = len(finite) - 1
    chosen = [finite[last * index // (CURVE_LIMIT_POINTS - 1)] for index in range(CURVE_LIMIT_POINTS)]
    return cast("tuple[tuple[float, float], ...]", tuple(chosen))
