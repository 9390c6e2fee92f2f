"""The contention benchmark's own verdict: what it is to prove, it can also miss."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
SOUND = {
    "edits": 20,
    "claims": 320,
    "granted_once": 20,
    "verdicts": {"Granted": 20, "Duplicate by spelling": 300, "asked again": 2},
    "publishes": 201,
    "ledger": 206,
    "repeats": 15,
    "best_changes": 9,
    "bests_that_passed": 2,
    "double_grants": 0,
    "double_firsts": 0,
    "lost_results": 0,
    "doubled_results": 0,
    "lost_bests": 0,
    "regressed_bests": 0,
}


@pytest.fixture
def contention(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import contention

    return contention


def test_a_report_of_all_that_was_asked_for_is_sound(contention: ModuleType) -> None:
    assert contention.faults_of(SOUND, publishes=200) == []


@pytest.mark.parametrize(
    "change",
    [
        {"granted_once": 19},
        {"granted_once": 0, "edits": 0},
        {"verdicts": {"Granted": 20}},
        {"publishes": 199},
        {"ledger": 200},
        {"repeats": 0},
        {"best_changes": 0},
        {"bests_that_passed": 0},
        {"double_grants": 1},
        {"double_firsts": 1},
        {"lost_results": 1},
        {"doubled_results": 1},
        {"lost_bests": 1},
        {"regressed_bests": 1},
    ],
    ids=str,
)
def test_a_report_that_falls_short_is_not_sound(contention: ModuleType, change: dict[str, Any]) -> None:
    assert len(contention.faults_of(SOUND | change, publishes=200)) == 1


def test_a_client_process_that_dies_is_a_clear_failure(contention: ModuleType) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=os._exit, args=(9,))
    process.start()

    with pytest.raises(SystemExit, match="died with exit code 9"):
        contention.collect([process], context.Queue())
    process.join()


def test_a_client_process_that_never_answers_is_a_clear_failure(contention: ModuleType) -> None:
    with pytest.raises(SystemExit, match="gave no answer"):
        contention.collect([multiprocessing.current_process()], multiprocessing.Queue(), limit_s=0.0)
