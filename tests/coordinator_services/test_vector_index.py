from __future__ import annotations

import numpy as np
import pytest
from autoresearch.model import ExperimentId, HardwareClass

from coordinator.dedup.vectors import BLOCK_VECTORS, VectorIndex, pack_vector, unpack_vectors

OURS, THEIRS = HardwareClass("cpu-a/torch-2.13"), HardwareClass("cpu-b/torch-2.13")


def unit(rng: np.random.Generator, *shape: int):
    vectors = rng.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def numbered(number: int) -> ExperimentId:
    return ExperimentId(f"x{number}")


@pytest.fixture
def filled():
    vectors = unit(np.random.default_rng(7), BLOCK_VECTORS + 500, 16)
    index = VectorIndex[ExperimentId](16)
    for number, vector in enumerate(vectors):
        index.put(numbered(number), OURS if number % 3 else THEIRS, vector)
    return index, vectors


def test_search_ranks_as_a_full_sort_does(filled) -> None:
    index, vectors = filled

    found = index.search(vectors[5], limit=20)

    ranked = np.argsort(-(vectors @ vectors[5]))[:20]
    assert [near.key for near in found] == [numbered(row) for row in ranked]
    assert found[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert len(index) == len(vectors)


def test_search_of_a_class_sees_no_other(filled) -> None:
    index, vectors = filled

    found = index.search(vectors[5], limit=len(vectors), hardware_class=THEIRS)

    assert {near.key for near in found} == {numbered(row) for row in range(0, len(vectors), 3)}
    assert index.search(vectors[5], limit=3, hardware_class=HardwareClass("nobody/torch-2.13")) == ()


def test_filter_finds_what_is_rare_and_far_away(filled) -> None:
    index, vectors = filled
    farthest = numbered(int(np.argmin(vectors @ vectors[5])))

    found = index.search(vectors[5], limit=3, accepts=lambda experiment_id: experiment_id == farthest)

    assert [near.key for near in found] == [farthest]


def test_put_replaces_a_vector_and_its_class(filled) -> None:
    index, vectors = filled
    before = len(index)

    index.put(numbered(9), OURS, vectors[5])

    assert len(index) == before
    assert {near.key for near in index.search(vectors[5], limit=2)} == {numbered(5), numbered(9)}
    assert numbered(9) in [near.key for near in index.search(vectors[5], limit=2, hardware_class=OURS)]


def test_vectors_that_come_together_are_as_those_that_come_one_by_one(filled) -> None:
    one_by_one, vectors = filled
    together = VectorIndex[ExperimentId](16)
    for begin, end in ((0, 0), (0, 7), (7, 7 + BLOCK_VECTORS), (7 + BLOCK_VECTORS, len(vectors))):
        numbers = range(begin, end)
        classes = [OURS if number % 3 else THEIRS for number in numbers]
        together.put_new([numbered(number) for number in numbers], classes, vectors[begin:end])

    assert len(together) == len(one_by_one)
    assert numbered(9) in together
    for hardware_class in (None, OURS, THEIRS):
        found = [
            index.search(vectors[5], limit=50, hardware_class=hardware_class)
            for index in (one_by_one, together)
        ]
        assert found[0] == found[1]


def test_empty_index_finds_nothing() -> None:
    assert VectorIndex[ExperimentId](16).search(np.ones(16, np.float32), limit=5) == ()


def test_stored_vectors_come_back_with_length_one() -> None:
    vectors = unit(np.random.default_rng(3), 5, 384)

    packed = [pack_vector(vector) for vector in vectors]
    unpacked = unpack_vectors(packed, 384)

    assert {len(one) for one in packed} == {768}
    assert np.linalg.norm(unpacked, axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    assert (np.einsum("vd,vd->v", unpacked, vectors) > 0.9999).all()


@pytest.mark.parametrize("packed", [b"", b"\0" * 768, b"\xff" * 768, b"\0" * 766])
def test_bytes_that_are_no_vector_are_zeros_beside_those_that_are(packed: bytes) -> None:
    vector = unit(np.random.default_rng(3), 384)

    unpacked = unpack_vectors([packed, pack_vector(vector)], 384)

    assert not unpacked[0].any()
    assert float(unpacked[1] @ vector) > 0.9999


def test_no_stored_vectors_are_no_vectors() -> None:
    assert unpack_vectors([], 384).shape == (0, 384)
