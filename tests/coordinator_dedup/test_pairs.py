"""Pairs of edits: labelled ones in our own words, and code that has the last word."""

from __future__ import annotations

from pathlib import Path

import pytest
from autoresearch.edits import EditError

from coordinator.dedup.pairs import Answer, Pair, judge_pair

PARENT = "MATRIX_LR = 0.04\nDEPTH = 8\n\n\ndef train(ctx):\n    return MATRIX_LR * DEPTH\n"
HALVED = PARENT.replace("0.04", "0.02")

EXPECTED = {"same": Answer.BLOCK, "diff": Answer.ALLOW, "vague": Answer.CONFIRM}
LABELLED = [
    line.split("\t")
    for line in Path(__file__).with_name("pairs.tsv").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(("label", "kind", "a", "b"), LABELLED, ids=lambda text: text[:40])
def test_labelled_pairs_are_judged_as_labelled_in_both_orders(label: str, kind: str, a: str, b: str) -> None:
    verdicts = [judge_pair(Pair(a=a, b=b)), judge_pair(Pair(a=b, b=a))]

    assert [verdict.answer for verdict in verdicts] == [EXPECTED[label]] * 2, verdicts
    assert all(verdict.reason for verdict in verdicts)


@pytest.mark.parametrize("text", sorted({text for _, _, *pair in LABELLED for text in pair}))
def test_a_description_is_the_same_as_itself_in_capitals(text: str) -> None:
    assert judge_pair(Pair(a=text, b=f"  {text.upper()} ")).answer is Answer.BLOCK


def test_equal_files_block_whatever_the_words_say() -> None:
    commented = HALVED.replace("DEPTH = 8", "DEPTH = 2**3  # layers")

    verdict = judge_pair(Pair(a="halve the LR", b="use SwiGLU", a_code=HALVED, b_code=commented))

    assert verdict.answer is Answer.BLOCK


def test_different_files_are_allowed_whatever_the_words_say() -> None:
    verdict = judge_pair(
        Pair(a="halve the LR", b="halve the LR", a_code=HALVED, b_code=PARENT, parent_code=PARENT)
    )

    assert verdict.answer is Answer.ALLOW


def test_the_same_edit_of_the_parent_blocks() -> None:
    verdict = judge_pair(
        Pair(a="x", b="y", a_code=HALVED, b_code=HALVED.replace("0.02", "2e-2"), parent_code=PARENT)
    )

    assert verdict.answer is Answer.BLOCK


def test_words_decide_where_one_code_is_missing() -> None:
    verdict = judge_pair(Pair(a="halve MATRIX_LR", b="MATRIX_LR 0.02", a_code=HALVED, parent_code=PARENT))

    assert verdict.answer is Answer.BLOCK


def test_the_parent_settles_what_the_words_leave_open() -> None:
    pair = Pair(a="halve MATRIX_LR", b="set MATRIX_LR to 0.02")

    assert judge_pair(pair).answer is Answer.CONFIRM
    assert judge_pair(Pair(a=pair.a, b=pair.b, parent_code=PARENT)).answer is Answer.BLOCK


def test_nothing_is_compared_with_an_empty_description() -> None:
    assert judge_pair(Pair(a=" ", b="")).answer is Answer.ALLOW


def test_code_that_is_not_python_is_an_error() -> None:
    with pytest.raises(EditError, match="not Python"):
        judge_pair(Pair(a="a", b="b", a_code="x = (", b_code=PARENT))
