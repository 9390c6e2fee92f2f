from __future__ import annotations

import ast
import random

import pytest
from autoresearch.edits import EditError, edit_signature, file_signature
from autoresearch.edits.merge import LINES_LIMIT, PARTS_LIMIT, merge, merge_all
from hypothesis import given, settings
from hypothesis import strategies as st

BASE = """\
import torch

LR = 0.04
BATCH = 2**18
DEPTH = 4


class Model:
    def forward(self, x):
        x = self.embed(x)
        x = self.blocks(x)
        return self.head(x)


def train(ctx):
    model = Model(DEPTH)
    while ctx.running():
        loss = model(ctx.batch(BATCH))
        step(loss, LR)
    return model
"""


def test_edits_of_different_statements_are_both_in_the_result() -> None:
    ours = BASE.replace("LR = 0.04", "LR = 0.05")
    theirs = BASE.replace("        x = self.blocks(x)\n", "        x = self.blocks(x)\n        x = norm(x)\n")

    merged = merge(BASE, ours, theirs)

    assert merged is not None
    assert "LR = 0.05" in merged
    assert "x = norm(x)" in merged
    assert merge(BASE, theirs, ours) == merged


def test_neighbouring_constants_do_not_touch() -> None:
    ours, theirs = BASE.replace("0.04", "0.05"), BASE.replace("2**18", "2**19")

    merged = merge(BASE, ours, theirs)

    assert merged == ours.replace("2**18", "2**19")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (BASE.replace("0.04", "0.05"), BASE.replace("0.04", "0.06")),
        (
            BASE.replace("self.blocks(x)", "self.blocks(x, 1)"),
            BASE.replace("        x = self.blocks(x)\n", ""),
        ),
        (
            BASE.replace("        x = self.blocks(x)\n", "        x = self.blocks(x)\n        x = norm(x)\n"),
            BASE.replace("        x = self.blocks(x)\n", "        x = self.blocks(x)\n        x = drop(x)\n"),
        ),
        (
            BASE.replace("step(loss, LR)", "step(loss, LR, 1)"),
            BASE.replace(
                "        loss = model(ctx.batch(BATCH))\n        step(loss, LR)\n", "        pass\n"
            ),
        ),
    ],
)
def test_edits_that_touch_are_left_alone(ours: str, theirs: str) -> None:
    assert merge(BASE, ours, theirs) is None


def test_a_statement_over_several_lines_is_one_thing() -> None:
    base = "value = call(\n    1,\n    2,\n    3,\n)\nother = 1\n"

    assert merge(base, base.replace("    1,", "    9,"), base.replace("    3,", "    7,")) is None
    assert merge(base, base.replace("    1,", "    9,"), base.replace("other = 1", "other = 2")) is not None


def test_a_side_without_changes_gives_the_other_side() -> None:
    theirs = BASE.replace("0.04", "0.05")

    assert merge(BASE, BASE, theirs) == theirs
    assert merge(BASE, theirs, BASE) == theirs


@pytest.mark.parametrize("line_break", ["\r", "\r\n", "\r\r\n"])
def test_line_breaks_of_other_systems_are_read_as_python_reads_them(line_break: str) -> None:
    edited = line_break.join(["TEXT = '''one", "two'''", "DEPTH = 8", ""])

    merged = merge("DEPTH = 8\n", edited, "DEPTH = 8\n")

    assert merged is not None
    assert file_signature(merged) == file_signature(edited)


def test_a_result_that_is_not_python_is_no_result() -> None:
    base = "if a:\n    x = 1\n    y = 2\n    z = 3\n"
    ours = "if a:\n    x = 1\n    y = 2\n    zz = 3\n"
    theirs = "if a: x = 1\n\n\nz = 3\n"

    merged = merge(base, ours, theirs)

    assert merged is None or ast.parse(merged)


def test_several_edits_go_in_one_after_the_other_and_those_that_touch_stay_out() -> None:
    parts = [
        (BASE, BASE.replace("0.04", "0.05")),
        (BASE, BASE.replace("0.04", "0.06")),
        (BASE, BASE.replace("DEPTH = 4", "DEPTH = 5")),
    ]

    merged, taken = merge_all(parts, BASE)

    assert taken == (0, 2)
    assert merged == BASE.replace("0.04", "0.05").replace("DEPTH = 4", "DEPTH = 5")


def test_an_old_edit_goes_into_a_best_that_has_moved_on() -> None:
    best = BASE.replace("        x = self.embed(x)\n", "        x = norm(self.embed(x))\n")

    merged, taken = merge_all([(BASE, BASE.replace("DEPTH = 4", "DEPTH = 5"))], best)

    assert taken == (0,)
    assert merged == best.replace("DEPTH = 4", "DEPTH = 5")


def test_merged_constants_are_the_union_of_both_edits() -> None:
    rng = random.Random(7)
    names = [f"K{index}" for index in range(12)]
    base = "".join(f"{name} = {index}\n" for index, name in enumerate(names))
    for _ in range(50):
        mine = set(rng.sample(names, 3))
        yours = set(rng.sample(names, 3))

        def edit(which: set[str]) -> str:
            return "".join(f"{name} = {index + 100 * (name in which)}\n" for index, name in enumerate(names))

        merged = merge(base, edit(mine), edit(yours))

        if mine & yours:
            assert merged is None
        else:
            assert merged is not None
            assert edit_signature(base, merged) == edit_signature(base, edit(mine | yours))


def test_what_cannot_be_read_is_refused_in_a_sentence() -> None:
    with pytest.raises(EditError):
        merge(BASE, BASE, "def broken(:")
    with pytest.raises(EditError, match="lines"):
        merge("\n" * (LINES_LIMIT + 1), BASE, BASE)


def lines_of(values: list[int]) -> str:
    """A program of constants, each with a statement of several lines that uses it."""
    parts = [
        f"K{index} = {value}\nx{index} = call(\n    K{index},\n)\n" for index, value in enumerate(values)
    ]
    return "".join(parts)


EXAMPLES = 30
edits = st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True)


@given(
    first=edits,
    last=st.integers(0, 7),
    text=st.sampled_from(["pass\n", "y = [1, 2]\n", "z = f(\n    1,\n)\n"]),
)
def test_taking_the_last_edit_out_gives_the_parents_signature(first: list[int], last: int, text: str) -> None:
    base = lines_of([0] * 8)
    parent = lines_of([int(index in first) for index in range(8)])
    best = parent.replace(f"K{last} = ", f"{text}K{last} = 1 + ")

    without, taken = merge_all([(best, parent)], best)

    assert taken == (0,)
    assert file_signature(without) == file_signature(parent)
    assert file_signature(base) != file_signature(best)


@settings(max_examples=EXAMPLES, deadline=None)
@given(chosen=edits, seed=st.randoms(use_true_random=False))
def test_edits_that_do_not_touch_are_combined_alike_in_every_order(
    chosen: list[int], seed: random.Random
) -> None:
    base = lines_of([0] * 8)
    parts = [
        (base, base.replace(f"K{index} = 0", f"K{index} = {index + 2}")) for index in chosen[:PARTS_LIMIT]
    ]
    shuffled = seed.sample(parts, len(parts))

    one, taken = merge_all(parts, base)
    other, _ = merge_all(shuffled, base)

    assert len(taken) == len(parts)
    assert file_signature(one) == file_signature(other)
    assert edit_signature(base, one).key == edit_signature(base, other).key


@settings(max_examples=EXAMPLES, deadline=None)
@given(order=st.permutations(range(4)), out=st.integers(0, 3))
def test_taking_out_any_edit_of_a_combination_leaves_the_others(order: list[int], out: int) -> None:
    base = lines_of([0] * 8)
    edited = {index: base.replace(f"K{index} = 0", f"K{index} = 9") for index in order}
    best, _ = merge_all([(base, edited[index]) for index in order], base)

    without, taken = merge_all([(edited[out], base)], best)

    rest, _ = merge_all([(base, edited[index]) for index in order if index != out], base)
    assert taken == (0,)
    assert file_signature(without) == file_signature(rest)
