"""What is kept of readings is known by the number of the rules that made it."""

from __future__ import annotations

import json
import pkgutil
from dataclasses import replace
from hashlib import blake2b
from importlib import import_module
from importlib.resources import files

import pytest
from autoresearch import edits
from autoresearch.edits import RULES, canonical_changes, changes_of_edit, edit_signature, file_signature
from autoresearch.edits.words import (
    Reading,
    pack_reading,
    packed_terms,
    read_text,
    reading_of_changes,
    unpack_reading,
)
from autoresearch.model import ConstantChange
from hypothesis import given
from hypothesis import strategies as st

from .sources import PARENT, edited

READ_BY_RULES = {1: "c2a5ec3a5c67f3a2"}
"""The digest of what these tests read, by the rules that read it. A new line is a new number of the rules."""

SCHEMES_BY_RULES = {1: {"changes": "1", "signatures": "2"}}
"""What enters the digests beside what is digested, by the rules that they belong to."""

TITLES = (
    "MATRIX_LR 0.04 -> 0.05",
    "halve the embedding learning rate and add QK norm with 4 heads",
    "raise Adam's betas to (0.9, 0.99), as 0.8 was noisy",
    "remove the logit softcap, WINDOW_PATTERN = SSSL instead of SL",
    "a frobnicated weight decay by 20% for the first half of training",
    "replace ReLU squared by SwiGLU (3 matrices), same parameters",
    "label smoothing 0.1",
    "make the gadget quux",
    "",
)
EDITS = (
    edited(("MATRIX_LR = 0.04", "MATRIX_LR = 0.05")),
    edited(("DEPTH = 8\n", "DEPTH = 12\nEXTRA = (1, 2)\n"), ("x = x + block(x)", "x = x + 0.5 * block(x)")),
    edited(("ADAM_BETAS = (0.8, 0.95)", "ADAM_BETAS = (0.8, 0.99)")),
    PARENT + "\n\ndef more(x):\n    return x\n",
)


def test_another_outcome_of_reading_is_another_number_of_the_rules() -> None:
    table = files("autoresearch.edits.words").joinpath("vocabulary.toml").read_bytes()
    outcomes: list[object] = [blake2b(table).hexdigest(), file_signature(PARENT)]
    for code in EDITS:
        edit = edit_signature(PARENT, code)
        outcomes += [file_signature(code), edit.key, changes_of_edit(edit).key, repr(edit.changes)]
    for title in TITLES:
        outcomes += [pack_reading(read_text(title, PARENT)), pack_reading(read_text(title))]
    stated = (
        ConstantChange(name="matrix lr", new="5e-2"),
        ConstantChange(name="ADAM_BETAS", new="(0.9,0.95)"),
    )
    outcomes += [canonical_changes(stated, parent).key for parent in (PARENT, None)]
    outcomes.append(pack_reading(reading_of_changes(canonical_changes(stated, PARENT), PARENT)))

    digest = blake2b(json.dumps(outcomes).encode(), digest_size=8).hexdigest()

    assert READ_BY_RULES.get(RULES) == digest, "raise RULES, and add its line to READ_BY_RULES"


def test_another_scheme_of_a_digest_is_another_number_of_the_rules() -> None:
    schemes = {
        module.__name__.removeprefix(f"{edits.__name__}."): value
        for found in pkgutil.walk_packages(edits.__path__, f"{edits.__name__}.")
        for module in [import_module(found.name)]
        for name, value in vars(module).items()
        if name.endswith(("SCHEME", "VERSION"))
    }

    assert SCHEMES_BY_RULES.get(RULES) == schemes, "raise RULES, and add its lines to both tables"
    assert SCHEMES_BY_RULES.keys() == READ_BY_RULES.keys()


@pytest.mark.parametrize("title", TITLES)
def test_packed_reading_comes_back_whole(title: str) -> None:
    for parent in (PARENT, None):
        reading = read_text(title, parent)

        packed = pack_reading(reading)

        assert unpack_reading(packed) == reading
        assert set(packed_terms(packed)) == reading.mechanisms | {
            "\t".join(sorted(subject)) for subject in reading.settings
        }


def test_names_that_nobody_knows_may_have_blanks() -> None:
    stated = canonical_changes((ConstantChange(name="my own knob", new="3"),), PARENT)
    reading = reading_of_changes(stated, PARENT)

    assert list(reading.settings) == [frozenset({"my own knob"})]
    assert unpack_reading(pack_reading(reading)) == reading


def test_all_of_a_reading_is_packed() -> None:
    terms = {name: frozenset({name, "x"}) for name in ("added", "removed", "replaced", "amounts", "rest")}
    more = {name: frozenset({name, "x"}) for name in ("before", "words", "context", "mentioned")}
    settings = read_text("lower the frobbed LR and raise dropout from 0.1 a b c by 2x", PARENT).settings
    reading = Reading(settings=settings, is_specific=True, has_details=True, **terms, **more)

    assert unpack_reading(pack_reading(reading)) == reading
    assert unpack_reading(pack_reading(replace(reading, is_specific=False))) != reading
    assert unpack_reading(pack_reading(None)) is None


@given(st.text(max_size=80))
def test_any_title_survives_packing(title: str) -> None:
    reading = read_text(title, PARENT)

    assert unpack_reading(pack_reading(reading)) == reading
