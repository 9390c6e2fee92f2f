"""Gains too small to confirm alone: remembered per class, and put together into one candidate.

What the rule drops with a positive mean gain may be real: of gains of one spread it drops most. Several of
them together can be large enough to show. Which of them can be merged is decided by their texts, outside.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from autoresearch.model import ExperimentId

from coordinator.domain.class_state import ClassState, Rules, SmallGain

SMALL_GAINS_LIMIT = 16
"""Of the largest; more would wait longer than their base lives."""

PARTS_MIN = 2
BUNDLE_SPREADS = 1.5
"""A bundle is made once its parts' mean gains add up to this many spreads.

The means of dropped codes are too good by selection, about by half; what is left, 0.75 spreads, passes the
screen more often than not and the rule in one of five.
"""


def remembered(state: ClassState, gain: SmallGain) -> ClassState:
    """The state with a small gain in it; of one experiment the latest stays."""
    others = [one for one in state.small_gains if one.experiment_id != gain.experiment_id]
    ordered = sorted([*others, gain], key=lambda one: one.mean_gain, reverse=True)
    return replace(state, small_gains=tuple(ordered[:SMALL_GAINS_LIMIT]))


def bundle_parts(state: ClassState, rules: Rules) -> tuple[SmallGain, ...]:
    """What to merge, largest gain first; empty while there is too little."""
    if not is_enough(state.small_gains, state, rules):
        return ()
    return state.small_gains


def is_enough(parts: Collection[SmallGain], state: ClassState, rules: Rules) -> bool:
    """True if these parts together are worth a candidate."""
    total = math.fsum(part.mean_gain for part in parts)
    return len(parts) >= PARTS_MIN and total >= BUNDLE_SPREADS * state.spread(rules)


def forget_parts(state: ClassState, parts: Collection[ExperimentId]) -> ClassState:
    """The state without small gains that are in a bundle now."""
    kept = tuple(one for one in state.small_gains if one.experiment_id not in parts)
    return state if len(kept) == len(state.small_gains) else replace(state, small_gains=kept)
