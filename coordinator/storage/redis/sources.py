"""The texts of ``train.py``: content-addressed, each a zstd delta against the one that it was edited from.

A stored source is one byte of depth and then, at depth 0, a zstd frame of the text; at any other depth
the parent's packed hash after a byte of its length, and a zstd frame that uses the parent's text as its
dictionary. At the depth limit the delta is made against the root of the chain instead, or the text stands
alone if that is shorter, so reading a source takes at most ``CHAIN_LIMIT`` more.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import zstandard
from autoresearch.errors import Internal
from autoresearch.model import SOURCE_LIMIT_BYTES, SourceHash

from coordinator.storage.base import NewSource
from coordinator.storage.redis.keys import pack_hash, unpack_hash
from coordinator.storage.redis.link import ScriptRunner

CHAIN_LIMIT = 8
"""Deltas between a source and a text that stands alone."""

CHAIN_READ_LIMIT = 4 * CHAIN_LIMIT
"""Replicas that write at once may each add to a chain whose depth they saw earlier."""

CACHED_SOURCES = 256
"""Decoded texts kept in the process: 16 MiB at the largest."""

STANDALONE_LEVEL = 12
DELTA_LEVEL = 6
TEXT_LIMIT_BYTES = 4 * SOURCE_LIMIT_BYTES
WRITE_ATTEMPTS = 2
_HASH_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedSource:
    """A text with its place in its chain; ``root`` is itself at depth 0."""

    source_hash: SourceHash
    text: bytes
    depth: int
    root: SourceHash


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSource:
    """What the scripts take: packed hash, bytes to store, packed hash of the delta's parent or empty."""

    packed_hash: bytes
    blob: bytes
    parent: bytes
    decoded: DecodedSource


class SourceShelf:
    """Reads and encodes the sources of one challenge."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._key = runner.keys.named("sources")
        self._cache: OrderedDict[SourceHash, DecodedSource] = OrderedDict()

    async def get(self, source_hash: SourceHash) -> bytes | None:
        """The text, checked against its hash; None if it is not stored.

        Raises:
            Internal: what is stored does not decode to the hash.
        """
        decoded = await self._read(source_hash)
        return decoded.text if decoded else None

    async def encode(self, source: NewSource, *, alone: bool = False) -> EncodedSource:
        """The source as it should be stored: against its parent unless ``alone`` or that is unknown."""
        if not alone and source.parent_hash is not None and source.parent_hash != source.source_hash:
            base = await self._read(source.parent_hash)
            if base is not None and base.depth >= CHAIN_LIMIT:
                base = await self._read(base.root)
            if base is not None and base.source_hash != source.source_hash:
                return _shorter(_encode_delta(source, base), source)
        return _encode_alone(source)

    def remember(self, encoded: EncodedSource) -> None:
        """Keeps a text that has been stored: the next edit will likely start from it."""
        self._keep(encoded.decoded)

    def forget(self) -> None:
        """Empties the cache: the server has lost a text that this process still had."""
        self._cache.clear()

    async def put(self, source: NewSource) -> None:
        """Stores a source (idempotent)."""
        for attempt in range(WRITE_ATTEMPTS):
            encoded = await self.encode(source, alone=attempt > 0)
            args = [encoded.packed_hash, encoded.blob, encoded.parent]
            if await self._runner.run("put_source", args):
                self.remember(encoded)
                return
            self.forget()
        raise Internal(f"source {source.source_hash} could not be stored on its own")

    async def _read(self, source_hash: SourceHash) -> DecodedSource | None:
        """Walks up to a text that is cached or stands alone, then decodes downwards."""
        links: list[tuple[SourceHash, int, bytes]] = []
        wanted = source_hash
        while (base := self._cached(wanted)) is None:
            blob = await self._runner.link.command("HGET", self._key, pack_hash(wanted))
            if blob is None or len(links) >= CHAIN_READ_LIMIT:
                if not links and blob is None:
                    return None
                raise Internal(f"the chain of source {source_hash} breaks at {wanted}")
            if blob[0] == 0:
                base = DecodedSource(
                    source_hash=wanted, text=_decompress(blob[1:], None), depth=0, root=wanted
                )
                break
            end = 2 + blob[1]
            links.append((wanted, blob[0], blob[end:]))
            wanted = SourceHash(unpack_hash(blob[2:end]))
        for name, depth, frame in reversed(links):
            text = _decompress(frame, base.text)
            base = DecodedSource(source_hash=name, text=text, depth=depth, root=base.root)
        _check(base)
        self._keep(base)
        return base

    def _cached(self, source_hash: SourceHash) -> DecodedSource | None:
        decoded = self._cache.get(source_hash)
        if decoded is not None:
            self._cache.move_to_end(source_hash)
        return decoded

    def _keep(self, decoded: DecodedSource) -> None:
        self._cache[decoded.source_hash] = decoded
        self._cache.move_to_end(decoded.source_hash)
        while len(self._cache) > CACHED_SOURCES:
            self._cache.popitem(last=False)


def _check(decoded: DecodedSource) -> None:
    name = decoded.source_hash
    if not name.startswith(_HASH_PREFIX):
        return
    found = hashlib.sha256(decoded.text).hexdigest()
    if name != _HASH_PREFIX + found:
        raise Internal(f"source {name} decodes to sha256:{found}: the store's copy is damaged")


def _encode_alone(source: NewSource) -> EncodedSource:
    decoded = DecodedSource(
        source_hash=source.source_hash, text=source.text, depth=0, root=source.source_hash
    )
    return EncodedSource(
        packed_hash=pack_hash(source.source_hash),
        blob=b"\0" + _compress(source.text, None, STANDALONE_LEVEL),
        parent=b"",
        decoded=decoded,
    )


def _encode_delta(source: NewSource, base: DecodedSource) -> EncodedSource:
    parent = pack_hash(base.source_hash)
    depth = base.depth + 1
    return EncodedSource(
        packed_hash=pack_hash(source.source_hash),
        blob=bytes([depth, len(parent)]) + parent + _compress(source.text, base.text, DELTA_LEVEL),
        parent=parent,
        decoded=DecodedSource(source_hash=source.source_hash, text=source.text, depth=depth, root=base.root),
    )


def _shorter(delta: EncodedSource, source: NewSource) -> EncodedSource:
    """The delta, unless it saves so little that the text may as well stand alone."""
    # No text compresses below a tenth, so a delta under that needs no comparison.
    if len(delta.blob) * 10 <= len(source.text):
        return delta
    alone = _encode_alone(source)
    return alone if len(alone.blob) <= len(delta.blob) else delta


def _compress(text: bytes, base: bytes | None, level: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(text),
        dict_size=len(base or b""),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_checksum=0,
        write_dict_id=0,
    )
    dictionary = _dictionary(base)
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary).compress(text)


def _decompress(frame: bytes, base: bytes | None) -> bytes:
    decompressor = zstandard.ZstdDecompressor(
        dict_data=_dictionary(base), format=zstandard.FORMAT_ZSTD1_MAGICLESS
    )
    return decompressor.decompress(frame, max_output_size=TEXT_LIMIT_BYTES)


def _dictionary(base: bytes | None) -> zstandard.ZstdCompressionDict | None:
    if not base:
        return None
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
