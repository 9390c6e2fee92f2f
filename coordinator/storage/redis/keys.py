"""Names of keys, and ids in as few bytes as they need.

All keys of a challenge share one hash tag, so that a cluster keeps them together and one script may
touch them all. Nodes and tokens have a tag of their own.
"""

from __future__ import annotations

import hashlib
import uuid

from autoresearch.model import HardwareClass

from coordinator.storage.base import EditKey

TRIED_BUCKETS = 512
"""Tried keys are spread over this many small hashes: up to about 15,000 experiments each stays a
listpack of Redis 7.0's default size (128 entries; the embedded server takes 512), at a third of the memory
of a hash table."""

UUID_BYTES = 16
ID_LIMIT_BYTES = 255
"""A packed id is stored after one byte of its length."""


class KeySpace:
    """The keys of one hash tag."""

    def __init__(self, tag: str) -> None:
        self._prefix = f"{{{tag}}}:"

    def named(self, name: str) -> str:
        """The full name of a key."""
        return self._prefix + name

    def tried(self, key_id: bytes) -> str:
        """The bucket of a tried key."""
        return f"{self._prefix}t:{int.from_bytes(key_id[:4]) % TRIED_BUCKETS}"

    def vectors(self, model: str) -> str:
        """The list of one model's vectors."""
        return f"{self._prefix}v:{hashlib.blake2b(model.encode(), digest_size=6).hexdigest()}"


def edit_key_id(hardware_class: HardwareClass, key: EditKey) -> bytes:
    """An edit key of a class as 16 bytes."""
    text = f"{hardware_class}\n{key.kind}\n{key.digest}"
    return hashlib.blake2b(text.encode(), digest_size=UUID_BYTES).digest()


def pack_id(text: str) -> bytes:
    """An id in its shortest form: a canonical UUID as its 16 bytes, any other text as UTF-8 after 0xff."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        value = None
    if value is not None and str(value) == text:
        return value.bytes
    packed = b"\xff" + text.encode()
    # Sixteen bytes always mean a UUID, so a text of that length gets one byte more.
    packed = b"\xff" + packed if len(packed) == UUID_BYTES else packed
    if len(packed) > ID_LIMIT_BYTES:
        raise ValueError(f"id of {len(text)} characters is longer than a store keeps: {text[:40]!r}...")
    return packed


def unpack_id(packed: bytes) -> str:
    """The id that ``pack_id`` was given."""
    if len(packed) == UUID_BYTES:
        digits = packed.hex()  # several times as fast as a UUID's own text
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return packed.lstrip(b"\xff").decode()


_HASH_PREFIX = "sha256:"
_HASH_BYTES = hashlib.sha256().digest_size


def pack_hash(text: str) -> bytes:
    """A source hash in its shortest form: ``sha256:`` and 64 hex digits as 32 bytes."""
    digits = text.removeprefix(_HASH_PREFIX)
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if len(digest) == _HASH_BYTES and _HASH_PREFIX + digest.hex() == text:
        return digest
    packed = pack_id(text)
    # Thirty-two bytes always mean a digest, whatever they begin with.
    return b"\xff" + packed if len(packed) == _HASH_BYTES else packed


def unpack_hash(packed: bytes) -> str:
    """The hash that ``pack_hash`` was given."""
    return _HASH_PREFIX + packed.hex() if len(packed) == _HASH_BYTES else unpack_id(packed)
