"""Which edits a code is made of, from its parents: what combining adds and what ablating takes out.

    baseline <- a <- b <- c            c is made of a, b and c
                ^
                +--- d                 c with d merged in: parents (c, d); made of a, b, c and d
    c without a: parents (c,)          made of b, c and that change itself

An experiment with one parent is an edit of its own. One with several is its first parent with the own edits
of the others put in, and adds nothing beside. So an edit has one name wherever it was merged to.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from autoresearch.model import ExperimentId, HypothesisId

LINE_LIMIT = 1_000
"""Experiments from a code back to its baseline that are looked at."""

ROLES_DEPTH_LIMIT = 8
"""Merges of merges that are looked into."""

_STAMP_HEX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One experiment of a lineage. ``takes_out`` is the edit that an ablation takes out of its parent."""

    experiment_id: ExperimentId
    parents: tuple[ExperimentId, ...]
    takes_out: ExperimentId | None = None

    @property
    def is_edit(self) -> bool:
        """True for an edit of its own, an ablation among them."""
        return len(self.parents) == 1


Steps = Callable[[ExperimentId], Step | None]
"""Looks an experiment up; None for one that is unknown."""


def line_of(experiment_id: ExperimentId, steps: Steps) -> tuple[ExperimentId, ...]:
    """The experiment and what it was built on, newest first, down to its baseline."""
    line: dict[ExperimentId, None] = {}
    following: ExperimentId | None = experiment_id
    while following is not None and following not in line and len(line) < LINE_LIMIT:
        line[following] = None
        step = steps(following)
        following = step.parents[0] if step is not None and step.parents else None
    return tuple(line)


def edits_of(experiment_id: ExperimentId, steps: Steps) -> tuple[ExperimentId, ...]:
    """The edits that a code is made of, the oldest first: each comes after those that it was made upon."""
    edits: dict[ExperimentId, None] = {}
    for one in reversed(line_of(experiment_id, steps)):
        step = steps(one)
        if step is None:
            continue
        if step.takes_out is not None:
            edits.pop(step.takes_out, None)
        edits.update(dict.fromkeys(own_edits(one, steps)))
    return tuple(edits)


def own_edits(experiment_id: ExperimentId, steps: Steps) -> tuple[ExperimentId, ...]:
    """What a code adds to its first parent: itself, or the edits that were merged."""
    return tuple(dict.fromkeys(_own_edits(experiment_id, steps, ROLES_DEPTH_LIMIT)))


def taken_out_of(experiment_id: ExperimentId, steps: Steps) -> frozenset[ExperimentId]:
    """The edits that were taken out on the way to a code."""
    line = (steps(one) for one in line_of(experiment_id, steps))
    return frozenset(step.takes_out for step in line if step is not None and step.takes_out is not None)


def id_of_edits(edits: Collection[ExperimentId]) -> HypothesisId:
    """The id of the idea to run exactly these edits together, in whatever order they are put in."""
    return _derived_id("edits", sorted(edits))


def id_of_ablation(best_id: ExperimentId, edit_id: ExperimentId) -> HypothesisId:
    """The id of the idea to run a best without one of its edits."""
    return _derived_id("ablation", [best_id, edit_id])


def _own_edits(experiment_id: ExperimentId, steps: Steps, depth: int) -> Iterator[ExperimentId]:
    step = steps(experiment_id)
    if step is None or not step.parents or depth == 0:
        return
    if step.is_edit:
        yield experiment_id
    for role in step.parents[1:]:
        yield from _own_edits(role, steps, depth - 1)


def _derived_id(purpose: str, experiment_ids: list[ExperimentId]) -> HypothesisId:
    """A UUIDv7 that follows from what it is about, of the time of the latest of them.

    So whoever comes to the same conclusion, another replica or this one after a restart, repeats itself.
    """
    digest = hashlib.sha256("\0".join([purpose, *experiment_ids]).encode()).digest()
    stamp = max(uuid.UUID(one).hex[:_STAMP_HEX] for one in experiment_ids)
    tail = int.from_bytes(digest[:10])
    value = int(stamp, 16) << 80 | 0x7 << 76 | (tail >> 62 & 0xFFF) << 64 | 0b10 << 62 | tail & (1 << 62) - 1
    return HypothesisId(str(uuid.UUID(int=value)))
