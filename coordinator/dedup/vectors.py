"""The exact nearest of all vectors, in memory: one pass over all of them per search."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from autoresearch.model import HardwareClass
from numpy.typing import NDArray

BLOCK_VECTORS = 2_048
"""Vectors lie side by side in blocks of so many: that is read nearly twice as fast as one row after another
(100,000 of 384 numbers: 6 ms of a core against 13), and nothing is copied as they become more. The sums of a
block stay in the core's first cache; of 4,096 they do not, and take 9 ms."""

LOOKED_AT_FACTOR = 4
"""A search that filters looks at so many times more vectors than asked for, and at so many more again."""
LOOKED_AT_LIMIT = 16_384

STORED_TYPE = np.dtype("<f2")
"""Half precision moves a cosine by less than 0.001 and takes half the store."""

_ELSEWHERE = -2.0
"""Below every cosine."""

_NO_CLASS = -1


Id = TypeVar("Id", bound=str)


class Ranked(NamedTuple, Generic[Id]):
    """What a vector is of, and its cosine with the one that was asked for."""

    key: Id
    similarity: float


class VectorIndex(Generic[Id]):
    """The unit vectors of one challenge by one model: of its experiments, or of its insights.

    Any thread may search while others put: a vector is written before it is counted.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._places: dict[Id, int] = {}
        self._ids: list[Id] = []
        self._class_numbers: dict[HardwareClass, int] = {}
        self._blocks: list[NDArray[np.float32]] = []
        self._classes: list[NDArray[np.int32]] = []
        self._writing = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def put(self, key: Id, hardware_class: HardwareClass, vector: NDArray[np.float32]) -> None:
        """Adds a vector, or replaces it. Float32 ``[dimension]``, of length 1."""
        with self._writing:
            known = self._places.get(key)
            place = len(self._ids) if known is None else known
            block, column = divmod(place, BLOCK_VECTORS)
            self._open_block(block)
            self._blocks[block][:, column] = vector
            self._classes[block][column] = self._class_number(hardware_class)
            if known is None:
                self._places[key] = place
                self._ids.append(key)

    def put_new(
        self,
        keys: Sequence[Id],
        hardware_classes: Sequence[HardwareClass],
        vectors: NDArray[np.float32],
    ) -> None:
        """Adds vectors of what has none, many at a time. Float32 ``[vectors, dimension]``."""
        with self._writing:
            at = 0
            while at < len(keys):
                block, column = divmod(len(self._ids), BLOCK_VECTORS)
                self._open_block(block)
                end = min(len(keys), at + BLOCK_VECTORS - column)
                columns = slice(column, column + end - at)
                self._blocks[block][:, columns] = vectors[at:end].T
                self._classes[block][columns] = [self._class_number(one) for one in hardware_classes[at:end]]
                for place, key in enumerate(keys[at:end], start=len(self._ids)):
                    self._places[key] = place
                self._ids.extend(keys[at:end])
                at = end

    def _open_block(self, block: int) -> None:
        if block == len(self._blocks):
            self._classes.append(np.zeros(BLOCK_VECTORS, np.int32))
            self._blocks.append(np.zeros((self._dimension, BLOCK_VECTORS), np.float32))

    def _class_number(self, hardware_class: HardwareClass) -> int:
        return self._class_numbers.setdefault(hardware_class, len(self._class_numbers))

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        hardware_class: HardwareClass | None = None,
        accepts: Callable[[Id], bool] | None = None,
    ) -> tuple[Ranked[Id], ...]:
        """The nearest first, of one class if it is named, and of those that ``accepts`` lets through.

        What ``accepts`` lets through is looked for among the nearest ``LOOKED_AT_LIMIT``.
        """
        count = len(self._ids)
        wanted = None if hardware_class is None else self._class_numbers.get(hardware_class, _NO_CLASS)
        similarities = self._similarities(vector, count, wanted)
        looked_at = limit if accepts is None else limit * LOOKED_AT_FACTOR
        while True:
            ranked = _largest(similarities, looked_at)
            found = [
                Ranked(self._ids[place], float(similarities[place]))
                for place in ranked
                if similarities[place] > _ELSEWHERE and (accepts is None or accepts(self._ids[place]))
            ]
            if len(found) >= limit or looked_at >= min(count, LOOKED_AT_LIMIT):
                return tuple(found[:limit])
            looked_at = min(looked_at * LOOKED_AT_FACTOR, LOOKED_AT_LIMIT)

    def _similarities(
        self, vector: NDArray[np.float32], count: int, wanted: int | None
    ) -> NDArray[np.float32]:
        """The cosine of each of the first ``count`` vectors; less than any for those of other classes."""
        blocks = -(-count // BLOCK_VECTORS)
        found: NDArray[np.float32] = np.empty((blocks, BLOCK_VECTORS), np.float32)
        for row, block, classes in zip(found, self._blocks[:blocks], self._classes[:blocks], strict=True):
            # BLAS would share this among threads, which wait for each other: with a busy neighbour that takes
            # up to five times as long as one core, and two cores all that time.
            np.einsum("d,dv->v", vector, block, out=row)
            if wanted is not None:
                row[classes != wanted] = _ELSEWHERE
        return found.reshape(-1)[:count]


def pack_vector(vector: NDArray[np.float32]) -> bytes:
    """A vector as the store keeps it."""
    return vector.astype(STORED_TYPE).tobytes()


def unpack_vectors(packed: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    """Vectors of length 1 from their stored forms, float32 ``[vectors, dimension]``.

    What has another dimension, or no direction, comes back as zeros.
    """
    size = dimension * STORED_TYPE.itemsize
    blank = bytes(size)
    whole = b"".join(one if len(one) == size else blank for one in packed)
    vectors = np.frombuffer(whole, STORED_TYPE).reshape(len(packed), dimension).astype(np.float32)
    lengths = np.sqrt(np.einsum("vd,vd->v", vectors, vectors))
    is_vector = np.isfinite(lengths) & (lengths > 0)
    vectors[~is_vector] = 0.0
    vectors[is_vector] /= lengths[is_vector, None]
    return vectors


def _largest(values: NDArray[np.float32], count: int) -> list[int]:
    """Places of the largest values, the largest first."""
    places = np.arange(len(values)) if count >= len(values) else np.argpartition(-values, count)[:count]
    ranked: list[int] = places[np.argsort(-values[places], kind="stable")].tolist()
    return ranked
