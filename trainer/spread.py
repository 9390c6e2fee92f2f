"""Several runs of one code as a mean with its spread: a single run never tells the truth about a change."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from trainer.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean and standard deviation of the completed runs; None where there are too few for it."""

    metric: str
    attempted: int
    completed: int
    mean: float | None
    sd: float | None

    @classmethod
    def of(cls, reports: Sequence[Report], metric: str) -> Self:
        """Sum up reports of one code."""
        values = [report.metrics[metric] for report in reports if metric in report.metrics]
        return cls(
            metric=metric,
            attempted=len(reports),
            completed=len(values),
            mean=statistics.fmean(values) if values else None,
            sd=statistics.stdev(values) if len(values) > 1 else None,
        )

    def to_fields(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """One line for a person."""
        if self.mean is None:
            return f"none of {self.attempted} runs completed"
        spread = f", sd {self.sd:.4f}" if self.sd is not None else ""
        return f"{self.metric} mean {self.mean:.4f}{spread} over {self.completed} of {self.attempted} runs"


def describe_run(report: Report) -> dict[str, Any]:
    """The part of a report that a table of runs shows."""
    return {
        "seed": report.seed,
        "val_seed": report.val_seed,
        "outcome": report.outcome,
        "reason": report.reason,
        "metrics": dict(report.metrics),
        "steps": report.steps,
        "tokens": report.tokens,
        "used_s": report.budget.used_s,
        "train_s": report.timings.train_s,
        "overhead_s": report.timings.overhead_s,
    }
