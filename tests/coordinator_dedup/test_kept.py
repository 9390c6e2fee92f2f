"""What the index knows comes back from the store as it was, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from autoresearch.edits import RULES
from autoresearch.edits.words import pack_reading, read_text
from autoresearch.model import (
    ChallengeId,
    Experiment,
    ExperimentId,
    HardwareClass,
    Hypothesis,
    NodeId,
    OwnerId,
    SourceHash,
)
from hypothesis import given
from hypothesis import strategies as st

from coordinator.dedup.index import TriedEdit
from coordinator.dedup.kept import KNOBS_LIMIT, TEXTS_LIMIT_CHARS, keep, take_over

TITLE = "raise LR from 0.1 to 0.2 and add QK norm"
EXPERIMENT = Experiment(
    experiment_id=ExperimentId("01910000-0000-7000-8000-000000000000"),
    challenge_id=ChallengeId("ch"),
    hypothesis=Hypothesis(title=TITLE),
    source_hash=SourceHash("sha256:" + "5c" * 32),
    parents=(ExperimentId("p"),),
    node_id=NodeId("n"),
    owner_id=OwnerId("o"),
    hardware_class=HardwareClass("cpu"),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
digests = st.binary(min_size=16, max_size=16).map(bytes.hex)
maybe_changes = st.one_of(st.just(""), digests.map("cs_".__add__))
short = st.text(st.characters(codec="utf-8"), max_size=12)


def tried(**known: object) -> TriedEdit:
    return TriedEdit(
        **(
            {
                "experiment_id": EXPERIMENT.experiment_id,
                "hardware_class": EXPERIMENT.hardware_class,
                "parent_id": EXPERIMENT.parent,
                "title": TITLE,
                "file_signature": "fs_" + "ab" * 16,
                "size": 70_000,
            }
            | known
        )
    )


@given(
    st.builds(
        tried,
        knobs=st.dictionaries(short, short, max_size=5),
        stated_key=maybe_changes,
        code_key=maybe_changes,
        edit_key=st.one_of(st.just(""), digests.map("es_".__add__)),
        file_signature=digests.map("fs_".__add__),
        size=st.integers(0, 2**24 - 1),
        said=short.map(read_text).map(pack_reading),
    ),
    st.sampled_from(["stated", "otherwise"]),
)
def test_all_that_the_index_knows_comes_back(edit: TriedEdit, done: str) -> None:
    edit = replace(edit, code_key=edit.stated_key) if done == "stated" else edit

    kept = keep(edit, EXPERIMENT.source_hash)

    assert kept is not None
    assert kept.rules == RULES
    assert take_over(EXPERIMENT, kept) == edit


def test_an_edit_of_one_constant_takes_few_bytes() -> None:
    edit = tried(knobs={"LR": "0.2"}, edit_key="es_" + "cd" * 16, code_key="cs_" + "ef" * 16)
    edit = replace(edit, stated_key=edit.code_key, said=pack_reading(read_text("LR 0.1 -> 0.2")))

    kept = keep(edit, EXPERIMENT.source_hash)

    assert kept is not None
    assert len(kept.digests) == 55
    assert sum(map(len, kept.texts)) < 20


@given(st.integers(0, 200), st.integers(1, 255))
def test_no_wrong_byte_passes(at: int, change: int) -> None:
    kept = keep(tried(knobs={"LR": "0.2"}, edit_key="es_" + "cd" * 16), EXPERIMENT.source_hash)
    assert kept is not None
    at %= len(kept.digests)
    wrong = kept.digests[:at] + bytes([kept.digests[at] ^ change]) + kept.digests[at + 1 :]

    assert take_over(EXPERIMENT, replace(kept, digests=wrong)) is None


@pytest.mark.parametrize(
    "knobs",
    [
        {f"K{number}": "1" for number in range(KNOBS_LIMIT + 1)},
        {"K": "x" * TEXTS_LIMIT_CHARS},
        {"K": "\ud800"},
    ],
)
def test_what_no_store_should_keep_is_not_kept(knobs: dict[str, str]) -> None:
    assert keep(tried(knobs=knobs), EXPERIMENT.source_hash) is None


def test_nothing_or_what_other_rules_made_is_not_taken_over() -> None:
    kept = keep(tried(), EXPERIMENT.source_hash)
    assert kept is not None

    assert take_over(EXPERIMENT, None) is None
    assert take_over(EXPERIMENT, replace(kept, rules=RULES + 1)) is None
    assert take_over(replace(EXPERIMENT, source_hash=SourceHash("sha256:other")), kept) is None
