"""An embedder for tests: texts that share words are near, and nothing has to be loaded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coordinator.dedup.embedder import EmbedderUnavailable, EmbeddingModel

DIMENSION = 64


class HashingEmbedder:
    """``failures`` are what the next loads end with; ``batches`` is what was embedded, call by call."""

    def __init__(self, name: str = "hashing", *failures: Exception) -> None:
        self.name = name
        self.failures = list(failures)
        self.breaks = False
        self.loads = 0
        self.batches: list[list[str]] = []

    async def load(self) -> EmbeddingModel:
        self.loads += 1
        if self.failures:
            raise self.failures.pop(0)
        return EmbeddingModel(name=self.name, revision="1", dimension=DIMENSION)

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.breaks:
            self.breaks = False
            raise EmbedderUnavailable("its process has ended")
        self.batches.append(list(texts))
        return np.stack([self.vector(text) for text in texts])

    async def close(self) -> None:
        pass

    def vector(self, text: str) -> NDArray[np.float32]:
        vector = np.full(DIMENSION, 0.01, np.float32)
        for word in re.findall(r"[^\W_]+", text.casefold()):
            digest = hashlib.sha256(f"{self.name} {word}".encode()).digest()
            vector[digest[0] % DIMENSION] += 1.0 if digest[1] % 2 else -1.0
        return vector / np.float32(np.sqrt(vector @ vector))
