"""Logs and curves: compressed, under a quota, apart from the records that listings read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import zstandard
from autoresearch.model import Outcome, Result

QUOTA_BYTES = 504
"""Compressed bytes of curve and log that a completed run keeps: with its header a block of 512, after which
the server's allocator gives out 640."""

LOG_LEAST_BYTES = 192
"""What the log may take of them however long the curve is."""

FAILURE_LOG_QUOTA_BYTES = 3072
"""Of a run that did not complete: its log says why, and such runs are few."""

SIGNIFICANT_DIGITS = 4
"""Of the largest value of a curve's axis: a thousandth of its height is more than a plot shows."""

LOG_LEVEL = 9
CUTS_MAX = 6
TEXT_LIMIT_BYTES = 1 << 20
_EXPONENT_ZERO = 128
_LENGTH_BYTES = 2

Curve = Sequence[tuple[float, float]]


def pack_evidence(result: Result) -> bytes:
    """The log's end and the curve as bytes; empty if there is neither.

    Layout: length of the packed curve (2 bytes), the curve, the log as a zstd frame.
    """
    if not result.log_tail and not result.curve:
        return b""
    is_complete = result.outcome is Outcome.COMPLETED
    curve = _compress(_pack_curve(result.curve)) if result.curve else b""
    rest = max(LOG_LEAST_BYTES, QUOTA_BYTES - _LENGTH_BYTES - len(curve))
    quota = rest if is_complete else FAILURE_LOG_QUOTA_BYTES
    return len(curve).to_bytes(_LENGTH_BYTES) + curve + _pack_log(result.log_tail, quota)


def unpack_evidence(packed: bytes) -> tuple[str, tuple[tuple[float, float], ...]]:
    """Log and curve of ``pack_evidence``."""
    if not packed:
        return "", ()
    end = _LENGTH_BYTES + int.from_bytes(packed[:_LENGTH_BYTES])
    curve = _unpack_curve(_decompress(packed[_LENGTH_BYTES:end])) if end > _LENGTH_BYTES else ()
    return _decompress(packed[end:]).decode(errors="replace") if packed[end:] else "", curve


def _pack_log(log: str, quota: int) -> bytes:
    """The longest end of the log, about, that fits the quota."""
    if not log:
        return b""
    text = log.encode()
    packed = _compress(text)
    for _ in range(CUTS_MAX):
        if len(packed) <= quota:
            return packed
        text = text[-max(1, int(len(text) * quota / len(packed) * 0.97)) :]
        # A cut never begins inside a character.
        text = text.decode(errors="ignore").encode()
        packed = _compress(text)
    return packed if len(packed) <= quota else b""


def _compress(raw: bytes) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LOG_LEVEL, source_size=len(raw), format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_checksum=0
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(raw)


def _decompress(packed: bytes) -> bytes:
    decompressor = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    return decompressor.decompress(packed, max_output_size=TEXT_LIMIT_BYTES)


def _pack_curve(curve: Curve) -> bytes:
    """Each axis as decimals of one exponent, by differences.

    Equal steps on the first axis become equal bytes, and a loss that wanders takes about two bytes a point.
    """
    packed = bytearray(_varint(len(curve)))
    for axis in (0, 1):
        values = [point[axis] for point in curve]
        exponent = _exponent_of(values)
        packed.append(exponent + _EXPONENT_ZERO)
        last = last_step = 0
        for value in values:
            scaled = round(value * 10**exponent) if exponent >= 0 else round(value / 10**-exponent)
            step = scaled - last
            # The first axis is mostly a straight line, the second is not.
            coded = step - last_step if axis == 0 else step
            packed += _varint(coded << 1 if coded >= 0 else (-coded << 1) - 1)
            last, last_step = scaled, step
    return bytes(packed)


def _unpack_curve(packed: bytes) -> tuple[tuple[float, float], ...]:
    reader = iter(packed)
    count = _read_varint(reader)
    axes: list[list[float]] = []
    for axis in (0, 1):
        exponent = next(reader) - _EXPONENT_ZERO
        values: list[float] = []
        last = last_step = 0
        for _ in range(count):
            zigzag = _read_varint(reader)
            coded = -(zigzag + 1 >> 1) if zigzag & 1 else zigzag >> 1
            step = coded + last_step if axis == 0 else coded
            last, last_step = last + step, step
            values.append(last / 10**exponent if exponent >= 0 else float(last * 10**-exponent))
        axes.append(values)
    return tuple(zip(*axes, strict=True))


def _exponent_of(values: Sequence[float]) -> int:
    """How many decimals keep the significant digits of the largest value, and no more than are used."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0.0:
        return 0
    most = min(max(SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(largest)), -100), 100)
    for exponent in range(most):
        if all(round(value, exponent) == round(value, most) for value in values):
            return exponent
    return most


def _varint(value: int) -> bytes:
    packed = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


def _read_varint(reader: Iterator[int]) -> int:
    value = shift = 0
    while True:
        byte = next(reader)
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004
            return value
