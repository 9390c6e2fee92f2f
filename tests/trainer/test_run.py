"""Real processes: every candidate goes through ``python -m trainer run`` and leaves a report."""

from __future__ import annotations

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from candidates import CANDIDATES
from proc import family, is_running, named, wait_for
from tiny_challenge import GOOD

from trainer.report import Report

WORKERS = 2


@pytest.fixture(scope="module")
def reports(session_trainer, cpu_challenge: Path) -> dict[str, dict]:
    """The report of every bad candidate; they run side by side because each of them imports torch."""
    with ThreadPoolExecutor(WORKERS) as pool:
        runs = {
            name: pool.submit(session_trainer.run, cpu_challenge, candidate.source, name.replace(" ", "_"))
            for name, candidate in CANDIDATES.items()
        }
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_bad_candidate_is_a_recorded_outcome_with_its_reason(name: str, reports: dict[str, dict]) -> None:
    report, wanted = reports[name], CANDIDATES[name]

    assert (report["outcome"], report["crash_kind"]) == (wanted.outcome, wanted.crash_kind), report["reason"]
    assert re.search(wanted.reason, report["reason"])
    assert "val_bpb" not in report["metrics"]


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_report_can_be_read_back(name: str, reports: dict[str, dict]) -> None:
    text = json.dumps(reports[name])

    assert json.loads(Report.from_json(text).to_json()) == reports[name]


def test_a_flood_of_output_leaves_its_end_and_no_control_characters(reports: dict[str, dict]) -> None:
    tail = reports["floods its output"]["log_tail"]

    assert len(tail.encode()) <= 8192
    assert tail.rstrip().endswith("ValueError: the end")
    assert "\x1b" not in tail


def test_a_traceback_shows_the_line_that_failed(reports: dict[str, dict]) -> None:
    assert "1 / 0" in reports["crash before start"]["log_tail"]


def test_the_worker_inherits_nothing_from_the_environment(reports: dict[str, dict]) -> None:
    reason = reports["reads the environment"]["reason"]

    assert "SECRET_OF_THE_NODE" not in reason
    assert "AUTORESEARCH_CACHE_DIR" not in reason


def test_no_descendant_outlives_the_run(reports: dict[str, dict]) -> None:
    assert reports["forks a survivor"]["outcome"] == "crashed"

    assert not [pid for pid in named("a-survivor") if is_running(pid)]


@pytest.mark.parametrize("sandbox", ["auto", "none"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_worker_ends_with_its_harness(
    session_trainer, steps_challenge: Path, tmp_path: Path, number: signal.Signals, sandbox: str
) -> None:
    train, name = tmp_path / "train.py", f"w{os.getpid()}-{number}-{sandbox}"
    train.write_text(
        f"import ctypes, time\nctypes.CDLL(None).prctl(15, b{name!r}, 0, 0, 0)\ntime.sleep(1000)\n"
    )
    arguments = ["run", "--challenge", str(steps_challenge), "--train", str(train), "--out", "r"]
    harness = session_trainer.start(*arguments, "--sandbox", sandbox)
    with harness:
        try:
            (pid,) = wait_for(lambda: named(name))
            relatives = family(harness.pid) - {harness.pid}

            harness.send_signal(number)

            harness.wait(timeout=30)
        finally:
            harness.kill()
    assert pid in relatives
    assert wait_for(lambda: not any(map(is_running, relatives)))


def test_a_good_candidate_under_a_budget_of_cpu_seconds_is_scored(trainer, cpu_challenge: Path) -> None:
    report = trainer.run(cpu_challenge, GOOD)

    assert report["outcome"] == "completed", report["reason"]
    assert 0 < report["metrics"]["val_bpb"] < 4
    assert report["metrics"]["causality_leak_nats"] == 0.0
    assert abs(report["metrics"]["hidden_gap_bpb"]) < 1
    assert 1.0 <= report["budget"]["used_s"] <= 1.5
    assert report["steps"] > 0
    assert report["tokens"] == report["steps"] * 512
    assert report["num_params"] == 300 * 300
    assert report["device"]["kind"] == "cpu"
    assert 2 <= len(report["curve"]) <= 128
    assert {"empty-environment", "own-session", "resource-limits"} <= set(report["sandbox"]["layers"])


def test_a_budget_of_steps_is_bit_identical_for_a_seed(trainer, steps_challenge: Path) -> None:
    first = trainer.run(steps_challenge, GOOD, "first")
    second = trainer.run(steps_challenge, GOOD, "second")
    other = trainer.run(steps_challenge, GOOD, "other", seed=2)

    assert first["outcome"] == "completed", first["reason"]
    assert first["steps"] == 20
    kept = ("metrics", "curve", "code_hash", "steps")
    assert [first[key] for key in kept] == [second[key] for key in kept]
    assert other["metrics"]["val_bpb"] != first["metrics"]["val_bpb"]
    attested = [report["attestation"] for report in (first, second, other)]
    assert attested[0]["digest"] == attested[1]["digest"] != attested[2]["digest"]
    assert attested[0]["losses_digest"] == attested[1]["losses_digest"] != attested[2]["losses_digest"]
    assert attested[0]["rows_digest"] == attested[2]["rows_digest"]
