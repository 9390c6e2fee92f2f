"""Stated changes and sentences that say the same are read alike."""

from __future__ import annotations

import pytest
from autoresearch.edits import canonical_changes
from autoresearch.edits.words import read_text, reading_of_changes
from autoresearch.model import ConstantChange, MechanismChange, MechanismOp

PARENT = """
MATRIX_LR = 0.04
BATCH = 2**18
WINDOW_PATTERN = "SSSL"
USE_BIAS = True
XYZZY = 3
"""


@pytest.mark.parametrize(
    ("name", "new", "text"),
    [
        ("MATRIX_LR", "0.05", "matrix LR from 0.04 to 0.05"),
        ("MATRIX_LR", "5e-2", "MATRIX_LR 0.04 -> 0.05"),
        ("BATCH", "2**19", "BATCH from 2**18 to 2**19"),
        ("WINDOW_PATTERN", "'SL'", "WINDOW_PATTERN SSSL -> SL"),
        ("XYZZY", "4", "XYZZY 3 -> 4"),
    ],
)
def test_constant_is_read_as_in_a_sentence(name: str, new: str, text: str) -> None:
    changes = canonical_changes([ConstantChange(name=name, new=new)], PARENT)

    stated, said = reading_of_changes(changes, PARENT), read_text(text, PARENT)

    assert {key: (one.old, one.new.casefold()) for key, one in stated.settings.items()} == {
        key: (one.old, one.new.casefold()) for key, one in said.settings.items()
    }


def test_mechanism_is_read_beside_the_constants() -> None:
    changes = canonical_changes(
        [
            MechanismChange(op=MechanismOp.ADD, what="z-loss", where=""),
            ConstantChange(name="MATRIX_LR", new="0.05"),
        ],
        PARENT,
    )

    reading = reading_of_changes(changes, PARENT)

    assert any(setting.new == "0.05" for setting in reading.settings.values())
    assert not read_text("add z-loss", PARENT).is_empty
    assert read_text("add z-loss", PARENT).mechanisms <= reading.mechanisms


def test_constant_that_the_parent_has_not_is_read_by_its_name() -> None:
    changes = canonical_changes([ConstantChange(name="BRAND_NEW", new="7")], PARENT)

    assert {tuple(key) for key in reading_of_changes(changes, PARENT).settings} == {("brand_new",)}
