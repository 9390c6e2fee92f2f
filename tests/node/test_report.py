import json
from dataclasses import replace

import pytest
from autoresearch.attestation import Attestation
from autoresearch.limits import check_result
from autoresearch.model import (
    ChallengeId,
    ExperimentId,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    SourceHash,
    new_id,
)
from hypothesis import given
from hypothesis import strategies as st
from node_builders import make_hardware

from node.training.report import Expected, ReportError, TrainingReport, parse_report, read_report

CODE, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
EXPECTED = Expected(seed=7, val_seed=8, code_hash=CODE, manifest_hash=OTHER, metrics=("val_bpb",))
ATTESTATION = Attestation(
    manifest_hash=OTHER,
    code_hash=CODE,
    seed=7,
    val_seed=8,
    harness_version="1",
    rows_digest=OTHER,
    losses_digest=OTHER,
    sandbox=("own-session", "limits"),
)


def make_report(**changes):
    return {
        "outcome": "completed",
        "reason": "",
        "crash_kind": None,
        "metrics": {"val_bpb": 1.5},
        "seed": 7,
        "val_seed": 8,
        "code_hash": CODE,
        "harness_version": "1",
        "timings": {"train_s": 20.0},
        "steps": 3,
        "curve": [[0.0, 3.0], [1.0, 2.0]],
        "log_tail": "ok",
        "attestation": ATTESTATION.to_fields(),
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:00:30+00:00",
        **changes,
    }


def make_result(report):
    return Result(
        result_id=ResultId(new_id()),
        experiment_id=ExperimentId(new_id()),
        challenge_id=ChallengeId("ch_toy"),
        node_id=NodeId("n"),
        owner_id=OwnerId("o"),
        outcome=report.outcome,
        purpose=Purpose.EXPLORE,
        metrics=report.metrics,
        seed=7,
        hardware=make_hardware(),
        code_hash=SourceHash(CODE),
        harness_version=report.harness_version,
        started_at=report.started_at,
        finished_at=report.finished_at,
        reason=report.reason,
        crash_kind=report.crash_kind,
        log_tail=report.log_tail,
        curve=report.curve,
        attestation=report.attestation,
    )


def test_a_good_report_becomes_a_result():
    report = parse_report(make_report(), EXPECTED)

    assert report.outcome is Outcome.COMPLETED
    assert report.metrics == {"val_bpb": 1.5, "steps": 3.0, "train_s": 20.0}
    assert report.attestation == ATTESTATION


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "won"},
        {"outcome": None},
        {"seed": 6},
        {"seed": "7"},
        {"seed": True},
        {"val_seed": 9},
        {"code_hash": OTHER},
        {"attestation": None},
        {"attestation": {**ATTESTATION.to_fields(), "digest": OTHER}},
        {"attestation": replace(ATTESTATION, seed=8).to_fields()},
        {"attestation": replace(ATTESTATION, val_seed=7).to_fields()},
        {"attestation": replace(ATTESTATION, code_hash=OTHER).to_fields()},
        {"attestation": replace(ATTESTATION, manifest_hash=CODE).to_fields()},
        {"attestation": replace(ATTESTATION, harness_version="2").to_fields()},
        {"attestation": replace(ATTESTATION, losses_digest="").to_fields()},
        {"metrics": {}},
        {"metrics": {"val_bpb": "1.5"}},
        {"metrics": {"val_bpb": True}},
        {"metrics": [1]},
        {"metrics": {"val_bpb": 10**400}},
        {"started_at": "yesterday"},
        {"started_at": "2026-01-01T00:00:00"},
        {"log_tail": 3},
    ],
)
def test_a_report_that_contradicts_what_was_asked_is_refused(changes):
    with pytest.raises(ReportError):
        parse_report(make_report(**changes), EXPECTED)


def test_a_crash_needs_no_score():
    report = parse_report(
        make_report(outcome="crashed", metrics={}, reason="boom", crash_kind="exception"), EXPECTED
    )

    assert (report.outcome, report.reason, report.crash_kind) == (Outcome.CRASHED, "boom", "exception")


def test_what_is_too_long_is_cut():
    curve = [[i / 1000, 1.0] for i in range(1001)]
    many = {f"m{i}": 1.0 for i in range(100)}

    report = parse_report(
        make_report(curve=curve, log_tail="ä" * 10_000, reason="x" * 9_000, metrics={"val_bpb": 1.0, **many}),
        EXPECTED,
    )

    assert len(report.curve) == 128
    assert (report.curve[0][0], report.curve[-1][0]) == (0.0, 1.0)
    assert len(report.log_tail.encode()) <= 8192
    assert len(report.reason) == 500
    assert len(report.metrics) == 32


def test_curve_points_that_are_no_numbers_are_left_out():
    report = parse_report(make_report(curve=[[0.0, None], "x", [1], [0.5, 2.0], [True, 1.0]]), EXPECTED)

    assert report.curve == ((0.5, 2.0),)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(make_report())), json_values))
def test_any_json_is_read_or_refused_with_a_reason(changes):
    try:
        report = parse_report(make_report(**changes), EXPECTED)
    except ReportError as error:
        report = str(error)

    assert isinstance(report, TrainingReport) or report


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b" " * 1_100_000, "over 1,048,576 bytes"),
        (json.dumps(make_report()).replace("1.5", "NaN").encode(), "NaN is no number"),
    ],
)
def test_a_garbled_report_is_a_reason(raw, complaint):
    with pytest.raises(ReportError, match=complaint):
        read_report(raw, EXPECTED)


def test_a_missing_report_is_a_reason():
    with pytest.raises(ReportError, match="wrote no report"):
        read_report(b"", EXPECTED)


def test_a_log_and_a_reason_with_controls_are_cleaned_and_then_taken():
    dirty = "loss \x1b[31;1m3.2\x1b[0m\r\n\x1b]0;title\x07a\x00b \u202eevil\u2066 \ud800 \x9b2Jdone\n"
    report = parse_report(
        make_report(outcome="crashed", metrics={}, crash_kind="exception", reason=dirty, log_tail=dirty),
        EXPECTED,
    )

    check_result(make_result(report))
    assert report.log_tail.startswith("loss 3.2\nab evil ")
    assert "done" in report.reason
    assert not any(char in report.log_tail + report.reason for char in "\x1b\x00\x07\x9b\u202e\u2066")
