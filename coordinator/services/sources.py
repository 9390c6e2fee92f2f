"""The train.py texts that are asked for again and again: parents, bests, the baseline."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from autoresearch.errors import NotFound
from autoresearch.model import SourceHash

from coordinator.dedup.code import SourceText
from coordinator.storage.base import ReadStore

SOURCES_CACHED = 512
"""Of 64 KiB at most: 32 MiB in all."""


def hash_of(source: bytes) -> SourceHash:
    """``sha256:`` and the hex digest of a source's bytes."""
    return SourceHash("sha256:" + hashlib.sha256(source).hexdigest())


class Sources:
    """Reads through a bounded cache; what is content-addressed never goes stale."""

    def __init__(self, store: ReadStore, baseline: SourceText) -> None:
        self._store = store
        self._baseline = baseline
        self._texts: OrderedDict[SourceHash, SourceText] = OrderedDict()

    async def get(self, source_hash: SourceHash) -> SourceText:
        """The text of a hash. Raises NotFound."""
        if source_hash == self._baseline.source_hash:
            return self._baseline
        known = self._texts.get(source_hash)
        if known is not None:
            self._texts.move_to_end(source_hash)
            return known
        raw = await self._store.get_source(source_hash)
        if raw is None:
            raise NotFound(f"there is no source {source_hash}")
        return self.keep(SourceText(source_hash=source_hash, text=raw.decode()))

    def keep(self, source: SourceText) -> SourceText:
        """Remembers a text that is likely to be asked for."""
        self._texts[source.source_hash] = source
        while len(self._texts) > SOURCES_CACHED:
            self._texts.popitem(last=False)
        return source
