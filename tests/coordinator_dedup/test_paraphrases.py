"""The judge of words on descriptions in many voices: floors of precision and recall, on our own pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from coordinator.dedup.pairs import Answer, Pair, PairVerdict, judge_pair

PAIRS_MIN = 150
FLOORS = {
    frozenset({Answer.BLOCK}): (0.99, 0.92),
    frozenset({Answer.BLOCK, Answer.CONFIRM}): (0.98, 0.93),
}
"""Precision and recall. A false block loses an experiment, so of those there is next to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A labelled pair and what was said of it."""

    is_same: bool
    kind: str
    a: str
    b: str
    verdict: PairVerdict

    def __str__(self) -> str:
        label = "same" if self.is_same else f"other {self.kind}"
        return f"{label}, {self.verdict.answer}: {self.a!r} / {self.b!r} ({self.verdict.reason})"


def read_judged() -> Iterator[Judged]:
    text = Path(__file__).with_name("paraphrases.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            label, kind, a, b = line.split("\t")
            verdict = judge_pair(Pair(a=a, b=b))
            yield Judged(is_same=label == "same", kind=kind, a=a, b=b, verdict=verdict)


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    return list(read_judged())


def test_the_pairs_are_many_and_of_both_labels(judged: list[Judged]) -> None:
    same = sum(pair.is_same for pair in judged)

    assert len(judged) >= PAIRS_MIN
    assert len(judged) / 3 <= same <= 2 * len(judged) / 3


@pytest.mark.parametrize("answers", FLOORS, ids=lambda answers: " or ".join(sorted(answers)))
def test_paraphrases_are_found_and_nothing_else(judged: list[Judged], answers: frozenset[Answer]) -> None:
    precision_min, recall_min = FLOORS[answers]
    found = [pair for pair in judged if pair.verdict.answer in answers]
    same = [pair for pair in judged if pair.is_same]
    false = [str(pair) for pair in found if not pair.is_same]
    missed = [str(pair) for pair in same if pair.verdict.answer not in answers]

    precision, recall = 1 - len(false) / len(found), 1 - len(missed) / len(same)

    assert precision >= precision_min, "\n".join(false)
    assert recall >= recall_min, "\n".join(missed)


def test_the_order_of_two_descriptions_does_not_matter(judged: list[Judged]) -> None:
    turned = {pair: judge_pair(Pair(a=pair.b, b=pair.a)) for pair in judged}

    assert [str(pair) for pair, verdict in turned.items() if verdict.answer is not pair.verdict.answer] == []
