"""The exact nearest of all vectors, in memory: one matrix, one product per search."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from autoresearch.model import ExperimentId, HardwareClass
from numpy.typing import NDArray

from coordinator.dedup.embedder import Near

ROWS_FIRST = 1_024
LOOKED_AT_FACTOR = 4
"""A search that filters looks at so many times more rows than it was asked for, and again at so many more."""

STORED_TYPE = np.dtype("<f2")
"""Half precision moves a cosine by less than 0.001 and takes half the store."""

_ELSEWHERE = -2.0
"""Below every cosine."""


class VectorIndex:
    """The unit vectors of one challenge by one model.

    Any thread may search while others put: rows are written before they are counted, and a matrix that has
    become too small is left to those who still read it.
    """

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._rows: dict[ExperimentId, int] = {}
        self._ids: list[ExperimentId] = []
        self._class_numbers: dict[HardwareClass, int] = {}
        self._matrix: NDArray[np.float32] = np.zeros((ROWS_FIRST, dimension), np.float32)
        self._classes: NDArray[np.int32] = np.zeros(ROWS_FIRST, np.int32)
        self._writing = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, experiment_id: object) -> bool:
        return experiment_id in self._rows

    def put(
        self, experiment_id: ExperimentId, hardware_class: HardwareClass, vector: NDArray[np.float32]
    ) -> None:
        """Adds a vector, or replaces it. Float32 ``[dimension]``, of length 1."""
        with self._writing:
            row = self._rows.get(experiment_id)
            is_new = row is None
            if row is None:
                row = len(self._ids)
                self._make_room(row)
            self._matrix[row] = vector
            self._classes[row] = self._class_numbers.setdefault(hardware_class, len(self._class_numbers))
            if is_new:
                self._rows[experiment_id] = row
                self._ids.append(experiment_id)

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        hardware_class: HardwareClass | None = None,
        accepts: Callable[[ExperimentId], bool] | None = None,
    ) -> tuple[Near, ...]:
        """The nearest first, of one class if it is named, and of those that ``accepts`` lets through."""
        count = len(self._ids)
        if hardware_class is not None and hardware_class not in self._class_numbers:
            return ()
        similarities = self._matrix[:count] @ vector
        if hardware_class is not None:
            elsewhere = self._classes[:count] != self._class_numbers[hardware_class]
            similarities[elsewhere] = _ELSEWHERE
        looked_at = limit if accepts is None else limit * LOOKED_AT_FACTOR
        while True:
            ranked = _largest(similarities, looked_at)
            found = [
                Near(self._ids[row], float(similarities[row]))
                for row in ranked
                if similarities[row] > _ELSEWHERE and (accepts is None or accepts(self._ids[row]))
            ]
            if len(found) >= limit or looked_at >= count:
                return tuple(found[:limit])
            looked_at *= LOOKED_AT_FACTOR

    def _make_room(self, row: int) -> None:
        size = len(self._matrix)
        if row < size:
            return
        matrix: NDArray[np.float32] = np.zeros((2 * size, self._dimension), np.float32)
        classes: NDArray[np.int32] = np.zeros(2 * size, np.int32)
        matrix[:size], classes[:size] = self._matrix, self._classes
        self._matrix, self._classes = matrix, classes


def pack_vector(vector: NDArray[np.float32]) -> bytes:
    """A vector as the store keeps it."""
    return vector.astype(STORED_TYPE).tobytes()


def unpack_vector(packed: bytes, dimension: int) -> NDArray[np.float32] | None:
    """A vector of length 1 from its stored form; None for one of another dimension, or of no direction."""
    if len(packed) != dimension * STORED_TYPE.itemsize:
        return None
    vector = np.frombuffer(packed, STORED_TYPE).astype(np.float32)
    length = float(np.sqrt(vector @ vector))
    return vector / np.float32(length) if np.isfinite(length) and length > 0 else None


def _largest(values: NDArray[np.float32], count: int) -> list[int]:
    """Places of the largest values, the largest first."""
    places = np.arange(len(values)) if count >= len(values) else np.argpartition(-values, count)[:count]
    ranked: list[int] = places[np.argsort(-values[places], kind="stable")].tolist()
    return ranked
