"""The experiment that stands for a challenge's own ``train.py`` in one hardware class.

Its id follows from challenge and class, so that every replica names it alike without asking, and tells
by itself that it is a baseline. It has the form of a UUIDv7 from the first days of 1970: every listing by
time ends with it.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime

from autoresearch.model import (
    ChallengeId,
    Experiment,
    ExperimentId,
    HardwareClass,
    Hypothesis,
    NodeId,
    OwnerId,
    SourceHash,
)

BASELINE_TITLE = "baseline"
BASELINE_OWNER = OwnerId("challenge")
BASELINE_NODE = NodeId("challenge")
_STAMP_BITS = 34
"""Of the 48 bits of milliseconds: 200 days."""


def baseline_id(challenge_id: ChallengeId, hardware_class: HardwareClass) -> ExperimentId:
    """The id of a class's baseline."""
    stamp = _digest(challenge_id) >> (256 - _STAMP_BITS)
    tail = _digest(f"{challenge_id}\0{hardware_class}")
    value = stamp << 80 | 0x7 << 76 | (tail & 0xFFF) << 64 | 0b10 << 62 | tail >> 12 & (1 << 62) - 1
    return ExperimentId(str(uuid.UUID(int=value)))


def is_baseline_id(challenge_id: ChallengeId, experiment_id: ExperimentId) -> bool:
    """True for the baseline of any class of the challenge."""
    stamp = _digest(challenge_id) >> (256 - _STAMP_BITS)
    try:
        return uuid.UUID(experiment_id).int >> 80 == stamp
    except ValueError:
        return False


def baseline_experiment(
    challenge_id: ChallengeId, hardware_class: HardwareClass, source_hash: SourceHash
) -> Experiment:
    """The baseline as an experiment without parents, made by nobody."""
    return Experiment(
        experiment_id=baseline_id(challenge_id, hardware_class),
        challenge_id=challenge_id,
        hypothesis=Hypothesis(title=BASELINE_TITLE),
        source_hash=source_hash,
        parents=(),
        node_id=BASELINE_NODE,
        owner_id=BASELINE_OWNER,
        hardware_class=hardware_class,
        created_at=datetime.fromtimestamp(0, UTC),
    )


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest())
