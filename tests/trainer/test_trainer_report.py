from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from autoresearch.attestation import Attestation
from autoresearch.model import CURVE_LIMIT_POINTS

from trainer.devices import DeviceReport
from trainer.report import BudgetReport, Report, Timings, thin, write_report

SHA = "sha256:" + "ab" * 32


def a_report(**changes: object) -> Report:
    fields: dict = {
        "outcome": "completed",
        "reason": "",
        "crash_kind": None,
        "challenge_id": "ch_0",
        "challenge": "tiny",
        "harness_version": "1",
        "code_hash": "sha256:0",
        "seed": 1,
        "val_seed": 2,
        "metrics": {"val_bpb": 1.5},
        "device": DeviceReport(kind="cpu", name="abacus", memory_mb=1, torch="2.13.0"),
        "budget": BudgetReport(kind="cpu", limit_s=1.0, used_s=1.0),
        "timings": Timings(train_s=1.0),
        "attestation": Attestation(
            manifest_hash=SHA,
            code_hash=SHA,
            seed=1,
            val_seed=2,
            harness_version="1",
            sandbox=("own-session",),
        ),
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "finished_at": "2026-01-01T00:00:01.000+00:00",
    }
    return Report(**(fields | changes))


def test_a_report_survives_its_json() -> None:
    report = a_report(curve=((0.5, 2.0), (1.0, 1.5)), sandbox_layers=("own-session",), log_tail="ø\n")

    assert Report.from_json(report.to_json()) == report


def test_no_wild_number_reaches_the_file() -> None:
    report = a_report(metrics={"val_bpb": math.nan, "other": 1.0}, curve=((0.1, math.inf), (0.2, 2.0)))

    fields = json.loads(report.to_json())

    assert fields["metrics"] == {"other": 1.0}
    assert fields["curve"] == [[0.2, 2.0]]


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    curve = tuple((step / 1000, float(step)) for step in range(1000))

    thinned = thin(curve)

    assert len(thinned) == CURVE_LIMIT_POINTS
    assert (thinned[0], thinned[-1]) == (curve[0], curve[-1])


def test_a_report_replaces_the_old_file_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    write_report(a_report(), path)

    assert Report.from_json(path.read_text()) == a_report()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": 99, "outcome": "completed"}', '{"schema": 1, "outcome": "won"}']
)
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a report"):
        Report.from_json(text)
