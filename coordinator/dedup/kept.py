"""What the index knows of an experiment as the store keeps it, so that a start parses nothing.

Digests: flags (1), how many constants (1), file and edit (16 each), what the code and what the words state
(16 each where they are there and differ), the code's length (3), checksum (2). Texts: name and value of each
constant, then the packed reading of the hypothesis. The checksum covers the hash of the code too, so that
nothing is taken for the reading of another.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from collections.abc import Sequence

from autoresearch.edits import RULES
from autoresearch.model import Experiment, SourceHash

from coordinator.dedup.index import TriedEdit
from coordinator.storage.base import StoredReading

KNOBS_LIMIT = 255
"""Constants of an edit that is kept; their number is one byte."""

TEXTS_LIMIT_CHARS = 2_000
"""Names and values of a kept edit. Some real edits have 500; one made to fill the store is read anew at each
start instead."""

_DIGEST_BYTES = 16
_FILE, _EDIT, _CHANGES = "fs_", "es_", "cs_"
_HAS_EDIT, _HAS_CODE, _HAS_STATED, _STATED_IS_CODE = 1, 2, 4, 8
_HEAD = struct.Struct(">BB")
_TAIL = struct.Struct(">BHH")
_SIZE_LIMIT = 1 << 24


def keep(edit: TriedEdit, source_hash: SourceHash) -> StoredReading | None:
    """What was read of an experiment with this code, for the store; None for what is too long to be kept."""
    flags, digests = 0, [_digest(edit.file_signature, _FILE)]
    if edit.edit_key:
        flags |= _HAS_EDIT
        digests.append(_digest(edit.edit_key, _EDIT))
    if edit.code_key:
        flags |= _HAS_CODE
        digests.append(_digest(edit.code_key, _CHANGES))
    if edit.stated_key and edit.stated_key == edit.code_key:
        flags |= _STATED_IS_CODE
    elif edit.stated_key:
        flags |= _HAS_STATED
        digests.append(_digest(edit.stated_key, _CHANGES))
    knobs = [text for knob in edit.knobs.items() for text in knob]
    texts = (*knobs, *edit.said)
    is_long = len(edit.knobs) > KNOBS_LIMIT or sum(map(len, texts)) > TEXTS_LIMIT_CHARS
    if is_long or edit.size >= _SIZE_LIMIT:
        return None
    body = _HEAD.pack(flags, len(edit.knobs)) + b"".join(digests)
    try:
        checksum = _checksum(body, edit.size, texts, source_hash)
    except UnicodeEncodeError:  # half a surrogate, which no store takes
        return None
    return StoredReading(
        rules=RULES, digests=body + _TAIL.pack(*divmod(edit.size, 1 << 16), checksum), texts=texts
    )


def take_over(experiment: Experiment, stored: StoredReading | None) -> TriedEdit | None:
    """An experiment as the index keeps it, from what the store kept of it.

    None where nothing was kept, or what was is damaged or made by other rules: the code has to be read.
    """
    if stored is None or stored.rules != RULES:
        return None
    try:
        return _read(experiment, stored)
    except (ValueError, IndexError, struct.error):
        return None


def _read(experiment: Experiment, stored: StoredReading) -> TriedEdit:
    body, tail = stored.digests[: -_TAIL.size], stored.digests[-_TAIL.size :]
    high, low, checksum = _TAIL.unpack(tail)
    size = high << 16 | low
    if checksum != _checksum(body, size, stored.texts, experiment.source_hash):
        raise ValueError("the checksum of a kept reading is wrong")
    flags, knobs = _HEAD.unpack_from(body)
    texts, packed = stored.texts[: 2 * knobs], stored.texts[2 * knobs :]
    begins = range(len(body) - _DIGEST_BYTES, 0, -_DIGEST_BYTES)
    digests = [body[at : at + _DIGEST_BYTES].hex() for at in begins]
    file_signature = _FILE + digests.pop()
    edit_key = _EDIT + digests.pop() if flags & _HAS_EDIT else ""
    code_key = _CHANGES + digests.pop() if flags & _HAS_CODE else ""
    stated_key = _CHANGES + digests.pop() if flags & _HAS_STATED else ""
    return TriedEdit(
        experiment_id=experiment.experiment_id,
        hardware_class=experiment.hardware_class,
        parent_id=experiment.parent,
        title=experiment.hypothesis.title,
        knobs=dict(zip(texts[::2], texts[1::2], strict=True)),
        stated_key=code_key if flags & _STATED_IS_CODE else stated_key,
        code_key=code_key,
        edit_key=edit_key,
        file_signature=file_signature,
        size=size,
        said=packed,
    )


def _digest(signature: str, prefix: str) -> bytes:
    """The bytes of a signature; one of another form is an error of the rules."""
    digest = bytes.fromhex(signature.removeprefix(prefix))
    if len(digest) != _DIGEST_BYTES:
        raise ValueError(f"{signature!r} is no signature of {_DIGEST_BYTES} bytes after {prefix!r}")
    return digest


def _checksum(body: bytes, size: int, texts: Sequence[str], source_hash: SourceHash) -> int:
    text = "\0".join((str(size), source_hash, *texts))
    return crc_hqx(text.encode(), crc_hqx(body, 0))
