"""The challenge's own ``train.py`` as an experiment of each hardware class.

Its id tells by itself that it is a baseline, so any replica can serve its source before it has ever run.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from autoresearch.baseline import baseline_id
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

__all__ = ["baseline_experiment", "baseline_id", "is_baseline_of", "is_reserved_id"]

BASELINE_TITLE = "baseline"
BASELINE_OWNER = OwnerId("challenge")
BASELINE_NODE = NodeId("challenge")
_STAMP_SHIFT = 80
"""Above these bits of a UUIDv7 is its time: the challenge's own in a baseline's id."""


def is_baseline_of(
    challenge_id: ChallengeId, hardware_class: HardwareClass, experiment_id: ExperimentId
) -> bool:
    """True for the baseline of this class."""
    return experiment_id == baseline_id(challenge_id, hardware_class)


def is_reserved_id(challenge_id: ChallengeId, experiment_id: ExperimentId) -> bool:
    """True for what looks like a baseline of the challenge, whatever its class: nothing else may have it."""
    stamp = uuid.UUID(baseline_id(challenge_id, HardwareClass(""))).int >> _STAMP_SHIFT
    try:
        return uuid.UUID(experiment_id).int >> _STAMP_SHIFT == stamp
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
