"""The experiment that stands for a challenge's own ``train.py`` in one hardware class.

Its id follows from challenge and class, so that coordinators and nodes alone name it alike without asking.
It has the form of a UUIDv7 from the first days of 1970: every listing by time ends with it.
"""

from __future__ import annotations

import hashlib
import uuid

from autoresearch.model import ChallengeId, ExperimentId, HardwareClass

_STAMP_BITS = 34
"""Of the 48 bits of milliseconds: 200 days."""


def baseline_id(challenge_id: ChallengeId, hardware_class: HardwareClass) -> ExperimentId:
    """The id of a class's baseline."""
    stamp = _digest(challenge_id) >> (256 - _STAMP_BITS)
    tail = _digest(f"{challenge_id}\0{hardware_class}")
    value = stamp << 80 | 0x7 << 76 | (tail & 0xFFF) << 64 | 0b10 << 62 | tail >> 12 & (1 << 62) - 1
    return ExperimentId(str(uuid.UUID(int=value)))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest())
