"""Titles in free words that set constants: they meet the key of the exact statement, or none at all."""

from __future__ import annotations

import pytest
from autoresearch.edits import CanonicalChanges, canonical_changes, changes_from_title
from autoresearch.edits.words import changes_from_reading, read_text
from autoresearch.model import ConstantChange
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .sources import PARENT, edited

ONE_BATCH = "BATCH = 2**18\nLR = 0.04\n"
OTHERS = """\
WARMUP_FRAC = 0.02
WARM_UP_STEPS = 3
MLP_RATIO = 4
LOGIT_SOFTCAP = 15.0
WEIGHT_DECAY = 0.2
"""


def stated(title: str, parent: str = PARENT) -> CanonicalChanges | None:
    return changes_from_reading(read_text(title, parent), parent)


@pytest.mark.parametrize(
    ("title", "name", "new"),
    [
        ("bump the token embedding learning rate from 0.6 to 0.8", "EMBEDDING_LR", "0.8"),
        ("learning rate of the embeddings to .8 so that rare tokens learn sooner", "EMBEDDING_LR", "0.8"),
        ("Muon LR: 0.04 up to 0.05", "MATRIX_LR", "0.05"),
        ("increase the matrix learning rate by 25%", "MATRIX_LR", "0.05"),
        ("a 10% lower Muon LR", "MATRIX_LR", "0.036"),
        ("halve the effective batch", "TOTAL_BATCH_SIZE", "131072"),
        ("a total batch of 512K tokens", "TOTAL_BATCH_SIZE", "2**19"),
        ("two more layers: depth from 8 to 10", "DEPTH", "10"),
        ("second Adam beta 0.95 -> 0.97", "ADAM_BETAS[1]", "0.97"),
        ("a warmdown of 60%", "WARMDOWN_RATIO", "0.6"),
        ('window pattern "SL" instead of "SSSL"', "WINDOW_PATTERN", "SL"),
    ],
)  # fmt: skip
def test_free_words_meet_the_key_of_the_exact_statement(title: str, name: str, new: str) -> None:
    exact = canonical_changes([ConstantChange(name=name, new=new)], PARENT)

    found = stated(title)

    assert found is not None
    assert found.key == exact.key
    assert found.constants == exact.constants


def test_two_settings_in_one_title_are_both_read() -> None:
    found = stated("deeper, depth 10, and a Muon learning rate of 0.03")
    both = [ConstantChange(name="DEPTH", new="10"), ConstantChange(name="MATRIX_LR", new="0.03")]

    assert found is not None
    assert found.key == canonical_changes(both, PARENT).key


@pytest.mark.parametrize(
    "title",
    [
        "raise the embedding learning rate from 0.7 to 0.8",
        "raise the embedding learning rate to 0.5",
        "set the embedding learning rate to 0.6",
        "a higher embedding learning rate",
        "learning rate 0.04 -> 0.05",
        "frobnicated embedding learning rate of 0.8",
        "embedding learning rate of 0.8 in every blorp",
        "embedding learning rate of 0.8 for the first half of training",
        "embedding learning rate of 0.8 and QK norm",
        "embedding learning rate of 0.8 with QK norm",
        "embedding learning rate of 0.8 and a deeper model",
        "embedding learning rate of 0.8 with WARMDOWN_RATIO=0.9",
        "embedding learning rate of 0.8 at depth 12",
        "cosine embedding learning rate, 0.6 to 0.8",
        "raise depth by 10%",
        "scale the embedding learning rate by a third: x 1/3",
        "EMBEDDING_LR / 3",
        "tie the embeddings",
        "no window pattern",
        "drop ADAM_BETAS",
        "make the frobnicator quux",
        "",
    ],
)
def test_words_that_say_anything_else_are_no_canonical_changes(title: str) -> None:
    assert stated(title) is None


@pytest.mark.parametrize(
    ("title", "parent", "expected"),
    [
        ("double the batch", ONE_BATCH, ("BATCH", "524288")),
        ("batch of 512K", ONE_BATCH, ("BATCH", "524288")),
        ("halve the learning rate", ONE_BATCH, ("LR", "0.02")),
        ("remove the weight decay", OTHERS, ("WEIGHT_DECAY", "0.0")),
        ("MLP ratio 4x -> 3x", OTHERS, ("MLP_RATIO", "3")),
        ("MLP ratio 2x -> 3x", OTHERS, None),
        ("without the logit softcap", OTHERS, None),
        ("warmup of 5%", OTHERS, None),
        ("warmup of 5%", "WARMUP_FRAC = 0.02\n", ("WARMUP_FRAC", "0.05")),
        ("warmup of 200 steps", "WARMUP_FRAC = 0.02\n", None),
        ("warmup of 5%", "WARMUP_STEPS = 100\n", None),
        ("disable the frob nication", "FROB_NICATION = True\n", ("FROB_NICATION", "False")),
        ("batch of 512K", "BATCH = 2**18\nDEVICE_BATCH_SIZE = 8\n", ("BATCH", "524288")),
        ("double the batch", "BATCH = 2**18\nDEVICE_BATCH_SIZE = 8\n", None),
    ],
)
def test_the_parent_decides_what_is_meant(title: str, parent: str, expected: tuple[str, str] | None) -> None:
    found = stated(title, parent)

    assert (found and [(one.name, one.new) for one in found.constants]) == (expected and [expected])


def test_a_field_of_a_class_is_meant_where_nothing_else_is() -> None:
    parent = edited(
        ("DEPTH = 8\n", "LAYERS_OF_OLD = 8\n"), ("DEPTH * ASPECT", "8 * ASPECT"), ("=DEPTH", "=8")
    )

    found = stated("10 transformer blocks instead of 8", parent)

    assert found is not None
    assert found.knobs == ("Config.n_layer",)


WORDS = st.sampled_from(
    [
        "raise", "halve", "the", "to", "from", "by", "and", "->", ",", "(", ")", "x2", "off",
        "embedding", "learning rate", "Muon", "depth", "betas", "batch", "window SL", "warmup",
        "0.6", "0.8", "10", "25%", "(0.9, 0.9)",
    ]
)  # fmt: skip


@given(st.lists(WORDS).map(" ".join))
@example("halve " * 60)
@settings(max_examples=300, deadline=None)
def test_what_is_read_holds_against_the_parent(title: str) -> None:
    found = stated(title)

    if found is not None:
        assert not found.is_empty
        assert (found.mechanisms, found.misstated, found.foreign) == ((), (), ())
        exact = changes_from_title(title, PARENT)
        assert exact is None or exact.key == found.key
