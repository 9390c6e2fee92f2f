"""What is known of a run at any moment, so that a report can be made of it however it ends."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoresearch.attestation import TEXT_LIMIT_CHARS, Attestation
from autoresearch.challenge import Challenge

from trainer import devices
from trainer.devices import DeviceReport
from trainer.report import HARNESS_VERSION, BudgetReport, Outcome, Report, Timings
from trainer.sandbox import Plan
from trainer.wire import number_field

CURVE_KEPT_POINTS = 4096
_CLAIM_MAX = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One run to be made; ``val_seed`` picks the validation text where the corpus has more than one.

    ``plan`` says which layers hold its worker, ``holdout`` whether the held-back text is scored as well.
    ``losses_to`` gets the losses of each validation row, from which anybody can work out the score.
    """

    challenge: Challenge
    source: bytes
    seed: int
    val_seed: int
    device: str
    cache_dir: Path
    plan: Plan
    keep_scratch: bool = False
    holdout: bool = False
    losses_to: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Digests of one text's rows, and of their losses once there are any."""

    rows_digest: str = ""
    losses_digest: str = ""


@dataclass(slots=True)
class Record:
    """What is known of the run so far; a report can be made of it at any moment."""

    experiment: Experiment
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began_s: float = field(default_factory=time.monotonic)
    device: DeviceReport = field(
        default_factory=lambda: DeviceReport(kind="", name="", memory_mb=0, torch="")
    )
    metrics: dict[str, float] = field(default_factory=dict)
    spans_s: dict[str, float] = field(default_factory=dict)
    used_s: float = 0.0
    pace: float = 1.0
    steps: int = 0
    tokens: int = 0
    num_params: int | None = None
    flops_per_token: float | None = None
    peak_memory_mb: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)
    log_tail: str = ""
    scored: Scored = Scored()
    holdout: Scored = Scored()
    layers: tuple[str, ...] = ()

    def add_point(self, progress: float, loss: float) -> None:
        """Keep a point of the curve; when there are many, every other one goes."""
        self.curve.append((progress, loss))
        if len(self.curve) > CURVE_KEPT_POINTS:
            self.curve = self.curve[::2]

    def take_log(self, fields: dict[str, Any], progress: float) -> None:
        """Keep what a candidate says of itself; none of it ranks."""
        budget = self.experiment.challenge.budget
        self.steps = whole_field(fields, "step") or self.steps
        self.tokens = whole_field(fields, "tokens") or self.tokens
        self.num_params = whole_field(fields, "num_params") or self.num_params
        self.flops_per_token = number_field(fields, "flops_per_token") or self.flops_per_token
        loss = number_field(fields, "loss")
        if loss is not None:
            by_steps = min(1.0, self.steps / budget.amount)
            self.add_point(by_steps if budget.kind == "steps" else progress, loss)
            self.metrics["train_loss_last"] = loss

    def report(self, outcome: Outcome, reason: str, crash_kind: str | None = None) -> Report:
        """The report of a run that ended this way, as of now."""
        wall_s = time.monotonic() - self.began_s
        train_s = self.spans_s.get("train_s", 0.0)
        timings = Timings(**self.spans_s, overhead_s=wall_s - train_s, wall_s=wall_s)
        challenge = self.experiment.challenge
        return Report(
            outcome=outcome,
            reason=reason,
            crash_kind=crash_kind,
            challenge_id=challenge.challenge_id,
            challenge=challenge.name,
            harness_version=HARNESS_VERSION,
            code_hash=self._code_hash,
            seed=self.experiment.seed,
            val_seed=self.experiment.val_seed,
            metrics={name: value for name, value in self.metrics.items() if math.isfinite(value)},
            device=self.device,
            budget=BudgetReport(
                kind=challenge.budget.kind,
                limit_s=challenge.budget.seconds or 0.0,
                used_s=round(self.used_s, 4),
                pace=round(self.pace, 4),
            ),
            timings=timings,
            attestation=self._attestation(timings),
            steps=self.steps,
            tokens=self.tokens,
            num_params=self.num_params,
            peak_memory_mb=round(self.peak_memory_mb, 1),
            mfu=self._mfu(train_s),
            curve=tuple(self.curve),
            log_tail=self.log_tail,
            sandbox_layers=self.layers,
            started_at=self.started_at.isoformat(timespec="milliseconds"),
            finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    @property
    def _code_hash(self) -> str:
        return "sha256:" + hashlib.sha256(self.experiment.source).hexdigest()

    def _attestation(self, timings: Timings) -> Attestation:
        spans_s = {**asdict(timings), "budget_used_s": self.used_s}
        return Attestation(
            manifest_hash=self.experiment.challenge.manifest_hash,
            code_hash=self._code_hash,
            seed=self.experiment.seed,
            val_seed=self.experiment.val_seed,
            harness_version=HARNESS_VERSION,
            rows_digest=self.scored.rows_digest,
            losses_digest=self.scored.losses_digest,
            holdout_rows_digest=self.holdout.rows_digest,
            holdout_losses_digest=self.holdout.losses_digest,
            device_kind=_one_line(self.device.kind),
            device_name=_one_line(self.device.name),
            memory_mb=float(self.device.memory_mb),
            torch_version=_one_line(self.device.torch),
            sandbox=self.layers,
            timings_s={name: round(seconds, 4) for name, seconds in spans_s.items()},
        )

    def _mfu(self, train_s: float) -> float | None:
        peak = devices.peak_flops(self.device.name) if self.device.kind in {"cuda", "rocm"} else None
        if peak is None or self.flops_per_token is None or train_s <= 0:
            return None
        share = self.flops_per_token * self.tokens / train_s / peak
        return round(share, 4) if 0 < share <= 1 else None


def _one_line(text: str) -> str:
    """What a worker calls its device, as an attestation takes it."""
    return "".join(char for char in text if char.isprintable())[:TEXT_LIMIT_CHARS]


def whole_field(fields: dict[str, Any], key: str) -> int | None:
    """A whole number that an untrusted object claims; anything out of reason gives None."""
    value = number_field(fields, key)
    return int(value) if value is not None and 0 <= value <= _CLAIM_MAX else None
