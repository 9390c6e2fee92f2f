"""Attacks as real processes: each fails against the trainer, and works where the defence it names is out."""

from __future__ import annotations

import pytest
from attack import Cheat, Escape
from attack_runs import Runner
from suite import ATTACKS, HONEST

pytestmark = pytest.mark.timeout(900)  # a test waits for its runs, and for those before them

CHEATS_MIN, ESCAPES_MIN = 25, 20


def test_there_are_enough_attacks_that_count() -> None:
    counted = [attack for attack in ATTACKS.values() if not attack.is_probe]

    assert sum(isinstance(attack, Cheat) for attack in counted) >= CHEATS_MIN
    assert sum(isinstance(attack, Escape) for attack in counted) >= ESCAPES_MIN
    assert all(attack.without for attack in counted)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_and_works_only_without_its_defence(name: str, verdicts) -> None:
    verdict = verdicts[name].result()

    assert verdict.problems == ()


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_candidate_is_scored(name: str, honest_runs) -> None:
    _ran, problems = honest_runs[name].result()

    assert problems == []


def test_nothing_is_left_of_the_whole_suite(runner: Runner, verdicts, honest_runs) -> None:
    defended = [verdict.result().defended for verdict in verdicts.values()]
    honest = [run.result()[0] for run in honest_runs.values()]

    for ran in (*defended, *honest):
        assert ran.survivors == ()
        assert ran.litter == ()
    assert runner.left_behind() == []
    assert sorted(path.name for path in runner.grounds.home.rglob("*")) == [".ssh", "id_ed25519"]
