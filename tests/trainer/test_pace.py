"""CPU seconds of a reference core."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from autoresearch.challenge import Budget, ChallengeError, load_challenge
from proc import wait_for
from tiny_challenge import GOOD, tiny_folder

from trainer.budget import BudgetClock
from trainer.pace import PACE_MAX, PACE_MIN, REFERENCE_STEP, REFERENCE_STEP_S, Pace, PaceMeter
from trainer.processes import ProcessTree

SPINNING = "print(flush=True)\nwhile True: pass\n"


class Paces:
    """A meter that answers what it was given, and notes whether the worker stood still."""

    def __init__(self, pid: int, *values: float) -> None:
        self.pid = pid
        self.values = list(values)
        self.states: list[str] = []

    def measure(self) -> Pace:
        self.states.append(state_of(self.pid))
        return Pace(self.values.pop(0) if len(self.values) > 1 else self.values[0])


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    assert wait_for(lambda: state_of(pid) == "T")


@pytest.fixture
def spinner():
    with subprocess.Popen([sys.executable, "-c", SPINNING], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def spend(tree: ProcessTree, seconds: float) -> None:
    until = tree.cpu_s() + seconds
    while tree.cpu_s() < until:
        pass


def test_a_step_at_the_reference_cost_is_pace_one() -> None:
    assert Pace.of_step(REFERENCE_STEP_S).value == 1.0
    assert Pace.of_step(2 * REFERENCE_STEP_S).value == 0.5


@pytest.mark.parametrize(("cpu_s", "value"), [(0.0, PACE_MAX), (1e9, PACE_MIN)])
def test_an_impossible_measurement_stays_within_bounds(cpu_s: float, value: float) -> None:
    assert Pace.of_step(cpu_s).value == value


def test_the_meter_gives_its_core_back() -> None:
    before = os.sched_getaffinity(0)

    pace = PaceMeter(min(before)).measure()

    assert PACE_MIN < pace.value < PACE_MAX
    assert os.sched_getaffinity(0) == before


def test_a_slow_core_is_given_more_cpu_seconds(spinner) -> None:
    tree = ProcessTree(spinner.pid)
    meter = Paces(spinner.pid, 0.5)
    clock = BudgetClock(Budget(kind="cpu", amount=10, pace=REFERENCE_STEP), tree, meter=meter)

    clock.start()
    spend(tree, 0.4)
    stop(spinner.pid)

    assert clock.used_s == pytest.approx(0.5 * clock.cpu_s)
    assert clock.pace == pytest.approx(0.5)


def test_each_stretch_counts_at_the_pace_that_was_measured_before_it(spinner) -> None:
    tree = ProcessTree(spinner.pid)
    meter = Paces(spinner.pid, 1.0, 0.25)
    clock = BudgetClock(Budget(kind="cpu", amount=10, pace=REFERENCE_STEP), tree, meter=meter)

    clock.start()
    spend(tree, 0.6)
    clock.follow_pace()
    first_s = clock.cpu_s
    spend(tree, 0.3)
    stop(spinner.pid)
    second_s = clock.cpu_s - first_s

    assert clock.used_s == pytest.approx(first_s + 0.25 * second_s, abs=0.05)


def test_the_worker_stands_still_while_the_pace_is_measured_and_goes_on_after(spinner) -> None:
    tree = ProcessTree(spinner.pid)
    meter = Paces(spinner.pid, 1.0)
    clock = BudgetClock(Budget(kind="cpu", amount=10, pace=REFERENCE_STEP), tree, meter=meter)

    clock.start()
    spend(tree, 0.6)
    clock.follow_pace()

    assert meter.states == ["T", "T"]
    assert state_of(spinner.pid) == "R"


def test_the_pace_is_not_measured_anew_before_it_is_due(spinner) -> None:
    tree = ProcessTree(spinner.pid)
    meter = Paces(spinner.pid, 1.0)
    clock = BudgetClock(Budget(kind="cpu", amount=10, pace=REFERENCE_STEP), tree, meter=meter)

    clock.start()
    clock.follow_pace()

    assert len(meter.states) == 1


def test_a_pace_that_this_trainer_does_not_know_is_refused(spinner) -> None:
    budget = Budget(kind="cpu", amount=10, pace="reference-step/99")

    with pytest.raises(ChallengeError, match="reference-step/99"):
        BudgetClock(budget, ProcessTree(spinner.pid), meter=Paces(spinner.pid, 1.0))


def test_a_pace_goes_with_cpu_seconds_only(tmp_path: Path) -> None:
    with pytest.raises(ChallengeError, match="pace goes with kind 'cpu' only"):
        tiny_folder(tmp_path, tmp_path, budget='kind = "wall"\nseconds = 1\npace = "reference-step/1"')


def test_a_run_under_a_paced_budget_reports_its_pace(trainer, tmp_path: Path, cache_dir: Path) -> None:
    budget = f'kind = "cpu"\nseconds = 1\npace = "{REFERENCE_STEP}"'
    folder = tmp_path / "paced"
    folder.mkdir()
    challenge = tiny_folder(folder, cache_dir, budget=budget)

    report = trainer.run(challenge, GOOD)

    assert report["outcome"] == "completed", report["reason"]
    assert 1.0 <= report["budget"]["used_s"] <= 1.5
    assert PACE_MIN < report["budget"]["pace"] < PACE_MAX
    assert load_challenge(challenge).budget.pace == REFERENCE_STEP
