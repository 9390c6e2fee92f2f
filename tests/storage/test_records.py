"""Packing keeps what was packed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from autoresearch.model import IdeaKind, Outcome
from hypothesis import example, given
from hypothesis import strategies as st
from store_samples import START, make_experiment, make_idea, make_result, make_stored_reading

from coordinator.storage.redis import evidence
from coordinator.storage.redis.keys import pack_hash, pack_id, unpack_hash, unpack_id
from coordinator.storage.redis.records import (
    RecordCodec,
    experiment_parts,
    from_micros,
    idea_parts,
    micros,
    pack_experiment,
    read_experiment,
    read_idea,
    read_result,
    result_parts,
    unpack_experiment,
)

finite = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)


@example("ffffffff-ffff-4fff-bfff-ffffffffffff")
@example("x" * 15)
@given(st.one_of(st.uuids().map(str), st.text(st.characters(codec="utf-8"), max_size=60)))
def test_any_id_survives_packing(text: str) -> None:
    assert unpack_id(pack_id(text)) == text


@given(
    st.one_of(
        st.binary(min_size=32, max_size=32).map(lambda raw: "sha256:" + raw.hex()),
        st.text("abc:", max_size=40),
    )
)
def test_any_hash_survives_packing(text: str) -> None:
    assert unpack_hash(pack_hash(text)) == text


def test_time_ordered_ids_and_hashes_are_packed_as_bytes() -> None:
    assert len(pack_id(make_experiment().experiment_id)) == 16
    assert len(pack_hash(make_experiment().source_hash)) == 32


def test_id_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a store keeps"):
        pack_id("x" * 300)


def test_records_survive_packing() -> None:
    codec = RecordCodec()
    experiment, idea = make_experiment(), make_idea()

    same_experiment = read_experiment(
        experiment.experiment_id, codec.unpack(codec.pack(experiment_parts(experiment)))
    )
    same_idea = read_idea(idea.hypothesis_id, codec.unpack(codec.pack(idea_parts(idea))))

    assert (same_experiment, same_idea) == (experiment, idea)


def test_records_of_before_programs_usage_and_proposers_are_read() -> None:
    experiment, idea = make_experiment(), make_idea()
    result = make_result(experiment)

    read = read_experiment(experiment.experiment_id, experiment_parts(experiment)[:14])
    waiting = read_idea(idea.hypothesis_id, idea_parts(idea)[:10])
    run = read_result(result.result_id, result_parts(result)[:17], is_late=False, published_ms=0.0)

    assert (read.hypothesis.program_hash, read.proposer_id, read.proposer_owner_id) == (None, None, None)
    assert (read.idea_usage, waiting.usage) == (None, None)
    assert (read.hypothesis.title, read.flags) == (experiment.hypothesis.title, experiment.flags)
    assert (waiting.kind, waiting.priority, waiting.material_ids) == (IdeaKind.FREE, 0, ())
    assert (run.usage, run.metrics) == (None, result.metrics)


def test_what_is_not_there_takes_no_room() -> None:
    bare = replace(
        make_experiment(),
        proposer_id=None,
        proposer_owner_id=None,
        idea_usage=None,
        hypothesis=replace(make_experiment().hypothesis, program_hash=None),
    )

    assert len(experiment_parts(bare)) == len(experiment_parts(make_experiment())) - 4
    assert len(result_parts(replace(make_result(bare), usage=None))) == 17


@pytest.mark.parametrize("digests", [b"", bytes(range(255))])
def test_experiment_with_a_reading_survives_packing_and_one_without_is_as_before(digests: bytes) -> None:
    codec = RecordCodec()
    experiment, reading = make_experiment(), replace(make_stored_reading(), digests=digests)

    packed = pack_experiment(codec, experiment, reading)
    plain = pack_experiment(codec, experiment, None)

    assert unpack_experiment(codec, experiment.experiment_id, packed) == (experiment, reading)
    assert unpack_experiment(codec, experiment.experiment_id, plain) == (experiment, None)
    assert plain == codec.pack(experiment_parts(experiment))
    assert (packed[0], plain[0]) == (2, 1)


@pytest.mark.parametrize("old", [{}, {"harness": "sha256:ab"}])
def test_what_an_older_result_has_for_an_attestation_is_none(old: dict[str, str]) -> None:
    result = make_result(make_experiment())
    parts = result_parts(result)
    parts[15] = old

    read = read_result(result.result_id, parts, is_late=False, published_ms=0.0)

    assert read.attestation is None
    assert read.metrics == result.metrics


def test_record_of_a_newer_version_says_upgrade() -> None:
    with pytest.raises(ValueError, match="newer coordinator"):
        RecordCodec().unpack(b"\x7f....")


def test_times_keep_their_microseconds() -> None:
    assert from_micros(micros(START)) == START


@given(st.lists(st.tuples(finite, finite), max_size=128))
def test_curve_keeps_four_digits_of_its_largest_value(curve: list[tuple[float, float]]) -> None:
    result = make_result(make_experiment())

    packed = evidence.pack_evidence(replace(result, curve=tuple(curve), log_tail="x"))
    log, unpacked = evidence.unpack_evidence(packed)

    assert log == "x"
    assert len(unpacked) == len(curve)
    for axis in (0, 1):
        largest = max((abs(point[axis]) for point in curve), default=0.0)
        for before, after in zip(curve, unpacked, strict=True):
            assert math.isclose(before[axis], after[axis], rel_tol=0, abs_tol=largest * 1e-3 + 1e-100)


@given(st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 9_999)), max_size=128))
def test_curve_of_short_decimals_is_exact(points: list[tuple[int, int]]) -> None:
    curve = tuple((float(x), y / 1_000) for x, y in points)

    packed = evidence.pack_evidence(replace(make_result(make_experiment()), curve=curve, log_tail="x"))

    assert evidence.unpack_evidence(packed)[1] == curve


@pytest.mark.parametrize(
    ("outcome", "quota"),
    [(Outcome.COMPLETED, evidence.QUOTA_BYTES), (Outcome.CRASHED, evidence.FAILURE_LOG_QUOTA_BYTES)],
)
def test_log_beyond_its_quota_keeps_its_end(outcome: Outcome, quota: int) -> None:
    log = "".join(f"step {number} loss {math.sin(number) + 3:.6f} \u00e9\n" for number in range(2_000))

    packed = evidence.pack_evidence(
        replace(make_result(make_experiment()), log_tail=log, outcome=outcome, curve=())
    )
    kept, _ = evidence.unpack_evidence(packed)

    assert log.endswith(kept)
    assert len(kept) > quota
    assert len(packed) <= quota + 2
