"""The hidden gaps of a simulated swarm: what honest runs tell, and what killers invent.

No code here looks ahead, so the honest figures are normal around zero, with the spreads that the challenge's
policy names: the two runs of a pair have a part in common, because they hide the same tokens of one text, and
each has a part of its own.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from autoresearch.challenge import HiddenGap
from autoresearch.model import ExperimentId

JUST_ENOUGH = (4.0, 5.5)
"""In spreads of a pair: against two others who are right, what is neither left out nor harmless most often,
though in 6 per cent at best, namely where those two are off the same way by chance."""

ENORMOUS = (10.0, 40.0)
"""What pays where nobody can leave the killer out: one such pair carries the mean of any number."""

Gaps = tuple[float, float]
"""A candidate's and its control's."""


@dataclass
class HiddenGaps:
    """Draws from a generator of its own, so that scores stay what they are without it."""

    policy: HiddenGap
    rng: random.Random
    _invented: dict[ExperimentId, Gaps | None] = field(default_factory=dict)

    def of_run(self) -> float:
        """What one honest run tells."""
        return self.rng.gauss(0.0, self.policy.run_sd)

    def of_pair(self) -> Gaps:
        """What the two honest runs of a pair tell."""
        own_sd = self.policy.pair_sd / math.sqrt(2)
        shared = self.rng.gauss(0.0, math.sqrt(self.policy.run_sd**2 - own_sd**2))
        return shared + self.rng.gauss(0.0, own_sd), shared + self.rng.gauss(0.0, own_sd)

    def invented(self, candidate_id: ExperimentId) -> Gaps | None:
        """What killers add to the honest figures of a candidate; None for one whose score they invent.

        Drawn once per candidate: a killer tells the same of it every time, and so do others. Either the
        candidate's gap is large or the control's very negative, which only their difference shows.
        """
        if candidate_id not in self._invented:
            self._invented[candidate_id] = self._lie() if self.rng.random() < 1 / 2 else None
        return self._invented[candidate_id]

    def _lie(self) -> Gaps:
        extra = self.rng.uniform(*self.rng.choice((JUST_ENOUGH, ENORMOUS))) * self.policy.pair_sd
        return (extra, 0.0) if self.rng.random() < 1 / 2 else (0.0, -extra)
