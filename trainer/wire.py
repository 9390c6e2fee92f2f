"""The private language between harness and worker: short binary frames over one socket pair, never pickle.

A frame is ``b"AR"``, its kind (1 byte), a zero, the payload's length (uint32, little-endian) and the payload.
The harness believes nothing it reads: each kind has a size limit, JSON is parsed into checked plain values,
and whatever does not fit is a ``WireError``, which ends the run as a recorded outcome.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

MAGIC = b"AR"
HEADER = struct.Struct("<2sBxI")
FORWARD_HEADER = struct.Struct("<III")
LOGITS_BODY = struct.Struct("<IIII")
TRUSTED_LIMIT_BYTES = 64 * 1024 * 1024
FDS_PER_FRAME = 64
TEXT_LIMIT_CHARS = 4_000


class Kind(IntEnum):
    """What a frame is; the comment says who sends it."""

    CONFIG = 1  # harness: JSON, once, first
    SOURCE = 2  # harness: train.py as UTF-8, once
    READY = 3  # worker: JSON, imports are done and the device is known
    START = 4  # worker: empty, ctx.start() was called
    SHARDS = 5  # harness: file descriptors of training shards; "last" ends them, "more" does not
    LOG = 6  # worker: JSON, one point of the curve
    TRAINED = 7  # worker: JSON, train() returned
    BUFFER = 8  # harness: JSON (and a file descriptor): where logits are to be written
    FORWARD = 9  # harness: slot, B, T and the int32 tokens of one batch
    LOGITS = 10  # worker: slot, B, T, V of the logits now in the buffer
    FAILED = 11  # worker: JSON with the kind and the reason


WORKER_LIMITS_BYTES = {
    Kind.READY: 4096,
    Kind.START: 0,
    Kind.LOG: 4096,
    Kind.TRAINED: 4096,
    Kind.LOGITS: LOGITS_BODY.size,
    Kind.FAILED: 32 * 1024,
}
"""What a worker may send, and the largest payload of each."""


class WireError(Exception):
    """The other side broke the protocol; the message says how."""


class WireClosed(Exception):
    """The other side hung up."""

    def __init__(self, *, in_frame: bool) -> None:
        super().__init__("in the middle of a frame" if in_frame else "between frames")
        self.in_frame = in_frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One whole frame."""

    kind: Kind
    payload: bytes


class FrameReader:
    """Turns whatever bytes arrive into frames, as the harness reads them: distrustful, never blocking."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def in_frame(self) -> bool:
        """True when a frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, arrived: bytes) -> None:
        """Take bytes as they come."""
        self._buffer += arrived

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None until more bytes arrive.

        Raises:
            WireError: the bytes are no frame that a worker may send.
        """
        if len(self._buffer) < HEADER.size:
            if not MAGIC.startswith(bytes(self._buffer[:2])):
                raise WireError("bytes that are no frame")
            return None
        magic, number, length = HEADER.unpack_from(self._buffer)
        if magic != MAGIC:
            raise WireError("bytes that are no frame")
        limit = WORKER_LIMITS_BYTES.get(number)
        if limit is None:
            raise WireError(f"a frame of kind {number}, which a worker may not send")
        if length > limit:
            raise WireError(f"a {Kind(number).name} frame of {length} bytes; {limit} are allowed")
        end = HEADER.size + length
        if len(self._buffer) < end:
            return None
        frame = Frame(kind=Kind(number), payload=bytes(self._buffer[HEADER.size : end]))
        del self._buffer[:end]
        return frame


def pack(kind: Kind, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    return HEADER.pack(MAGIC, kind, len(payload)) + payload


def pack_json(kind: Kind, fields: dict[str, Any]) -> bytes:
    """The bytes of a frame with JSON in it; non-finite numbers become null."""
    clean = {key: None if _is_wild(value) else value for key, value in fields.items()}
    return pack(kind, json.dumps(clean, separators=(",", ":")).encode("utf-8"))


def parse_json(frame: Frame) -> dict[str, Any]:
    """The object in a frame.

    Raises:
        WireError: it is not one JSON object of finite numbers.
    """
    try:
        value = json.loads(frame.payload.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a {frame.kind.name} frame that is not JSON") from error
    if not isinstance(value, dict):
        raise WireError(f"a {frame.kind.name} frame that is not a JSON object")
    return value


def text_field(fields: dict[str, Any], key: str, default: str = "") -> str:
    """A short text of an untrusted object; anything else gives the default."""
    value = fields.get(key)
    return value[:TEXT_LIMIT_CHARS] if isinstance(value, str) else default


def number_field(fields: dict[str, Any], key: str) -> float | None:
    """A finite number of an untrusted object; anything else gives None."""
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def pack_batch(slot: int, tokens: npt.NDArray[np.int64]) -> bytes:
    """A FORWARD frame for int64 tokens [B, T]."""
    rows, length = tokens.shape
    return pack(Kind.FORWARD, FORWARD_HEADER.pack(slot, rows, length) + tokens.astype("<i4").tobytes())


def unpack_batch(payload: bytes) -> tuple[int, npt.NDArray[np.int64]]:
    """Slot and int64 tokens [B, T] of a FORWARD frame."""
    slot, rows, length = FORWARD_HEADER.unpack_from(payload)
    tokens = np.frombuffer(payload, dtype="<i4", offset=FORWARD_HEADER.size).reshape(rows, length)
    return slot, tokens.astype(np.int64)


def read_frame(channel: socket.socket) -> tuple[Frame, list[int]]:
    """The worker's side: block until the harness has sent a frame; gives its file descriptors too.

    Raises:
        WireClosed: the harness is gone.
    """
    head, fds = b"", []
    while len(head) < HEADER.size:
        piece, received, _flags, _address = socket.recv_fds(channel, HEADER.size - len(head), FDS_PER_FRAME)
        if not piece:
            raise WireClosed(in_frame=bool(head))
        head += piece
        fds += received
    _magic, number, length = HEADER.unpack(head)
    if length > TRUSTED_LIMIT_BYTES:
        raise WireError(f"a frame of {length} bytes")
    payload = bytearray()
    while len(payload) < length:
        piece = channel.recv(min(length - len(payload), 1 << 20))
        if not piece:
            raise WireClosed(in_frame=True)
        payload += piece
    return Frame(kind=Kind(number), payload=bytes(payload)), fds


def _is_wild(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
