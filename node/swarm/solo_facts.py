"""Who works alone, on what, and by which clock; fixed for the life of a ``SoloSwarm``."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from autoresearch.challenge import Challenge
from autoresearch.model import Experiment, ExperimentId, HardwareClass, Hypothesis, NodeId, OwnerId

from node.library import source_hash

SEED_BITS = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloFacts:
    """``rng`` draws the seeds of runs; nobody else here wants them to be lucky."""

    challenge: Challenge
    node_id: NodeId
    owner_id: OwnerId
    now: Callable[[], datetime]
    rng: random.Random

    def draw_seed(self) -> int:
        """The seed of a run, or of its validation text."""
        return self.rng.getrandbits(SEED_BITS)

    def experiment(
        self,
        experiment_id: ExperimentId,
        hypothesis: Hypothesis,
        source: bytes,
        hardware_class: HardwareClass,
        *,
        parents: tuple[ExperimentId, ...] = (),
        flags: tuple[str, ...] = (),
    ) -> Experiment:
        """An experiment of this node, made now."""
        return Experiment(
            experiment_id=experiment_id,
            challenge_id=self.challenge.challenge_id,
            hypothesis=hypothesis,
            source_hash=source_hash(source),
            parents=parents,
            node_id=self.node_id,
            owner_id=self.owner_id,
            hardware_class=hardware_class,
            created_at=self.now(),
            flags=flags,
        )
