"""Which verified gains to put together, and which edits to take out of a best: pure choices from lineages.

Two gains can sit on different branches: a best is superseded by a code that was not built on it, and its
edits are lost unless somebody merges them. A best can carry dead weight: an edit that helped on an older
parent, or was lucky, and does nothing now. Neither needs a new idea, only runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from autoresearch.edits.merge import PARTS_LIMIT
from autoresearch.evidence import NOT_WORSE, margin
from autoresearch.model import ExperimentId, HypothesisId, Idea, IdeaKind, Level

from coordinator.domain.class_state import ClassState
from coordinator.domain.lineage import (
    Steps,
    edits_of,
    id_of_ablation,
    id_of_edits,
    line_of,
    own_edits,
    taken_out_of,
)

GAINS_LIMIT = 16
"""Verified gains on other branches that are looked at, the newest first."""

COMBINATIONS_WAITING_LIMIT = 4
ABLATIONS_WAITING_LIMIT = 2
WORDS_WAITING_LIMIT = 2
"""Ideas of a kind that wait with their code in a class, and in words alone; more of them would only be
outdated by the next best."""

ABLATIONS_PER_BEST = 8
"""Edits of one best that are taken out, the newest first: the oldest have been built upon most."""

WORDS_PATIENCE = timedelta(days=7)
"""So long an idea without code waits for a node whose agent can carry it out."""

Tried = tuple[ExperimentId, frozenset[ExperimentId]]
"""A base with the experiments whose edits were merged onto it, or wait to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A base and the edits to put in, the oldest first. ``edits`` is all that the result is made of."""

    base_id: ExperimentId
    material_ids: tuple[ExperimentId, ...]
    edits: frozenset[ExperimentId]

    @property
    def hypothesis_id(self) -> HypothesisId:
        """The same for the same set of edits, whatever the base."""
        return id_of_edits(self.edits)

    @property
    def parents(self) -> tuple[ExperimentId, ...]:
        """The base first, then the others: whoever proposed one has a part in what comes of it."""
        return (self.base_id, *self.material_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """A best and the edit to take out of it."""

    best_id: ExperimentId
    edit_id: ExperimentId

    @property
    def hypothesis_id(self) -> HypothesisId:
        """One for each best and edit."""
        return id_of_ablation(self.best_id, self.edit_id)


def combination(base_id: ExperimentId, material_ids: Sequence[ExperimentId], steps: Steps) -> Combination:
    """A base with the own edits of some experiments put in."""
    added = [edit for one in material_ids for edit in own_edits(one, steps)]
    return Combination(
        base_id=base_id,
        material_ids=tuple(material_ids),
        edits=frozenset((*edits_of(base_id, steps), *added)),
    )


def combinations(
    base_id: ExperimentId,
    gains: Iterable[ExperimentId],
    steps: Steps,
    tried: Callable[[Sequence[ExperimentId]], Collection[Tried]],
) -> tuple[Combination, ...]:
    """What to put onto a base: of each verified gain the edits that the base lacks.

    Edits that were taken out on the way to the base stay out. What was merged onto the base, or onto what it
    was built on, is not merged again: it did not pass there.

    Args:
        base_id: The best whose evidence is in.
        gains: Experiments that were verified to be gains, in the order in which they are looked at.
        steps: Looks up lineages.
        tried: Tells what was merged onto the experiments of a line.
    """
    line, known = line_of(base_id, steps), frozenset(edits_of(base_id, steps))
    left_out, done = taken_out_of(base_id, steps), set(tried(line))
    found: dict[frozenset[ExperimentId], Combination] = {}
    looked_at = 0
    for gain_id in gains:
        if gain_id in line or looked_at == GAINS_LIMIT:
            continue
        looked_at += 1
        lacking = [one for one in edits_of(gain_id, steps) if one not in known and one not in left_out]
        material_ids = tuple(lacking[:PARTS_LIMIT])
        if not material_ids or any((one, frozenset(material_ids)) in done for one in line):
            continue
        made = combination(base_id, material_ids, steps)
        found.setdefault(made.edits, made)
    return tuple(found.values())


def ablations(best_id: ExperimentId, steps: Steps) -> tuple[Ablation, ...]:
    """The edits to take out of a best, one at a time, the newest first.

    Not the best's own edit, because what is left is its parent, with which it was compared; and no ablation,
    because taking one back would put the dead weight in again.
    """
    found = []
    for edit_id in reversed(edits_of(best_id, steps)):
        step = steps(edit_id)
        if edit_id != best_id and step is not None and step.takes_out is None:
            found.append(Ablation(best_id=best_id, edit_id=edit_id))
    return tuple(found[:ABLATIONS_PER_BEST])


def is_quiet(state: ClassState) -> bool:
    """True while a class has a confirmed best and nothing to verify: then there is time for dead weight."""
    return state.confirmed_id is not None and state.confirmed_id == state.working_id and not state.waiting


def verified_gains(state: ClassState, superseded: Iterable[ExperimentId]) -> tuple[ExperimentId, ...]:
    """What has passed verification in a class, the newest first; ids are times.

    Args:
        state: With the codes that have a role now.
        superseded: Those that a better one has displaced.
    """
    standing = (one for one in (*state.standings.values(), *state.former) if one.level is not Level.BASELINE)
    passed = [one.experiment_id for one in standing if one.has_passed or one.has_passed_votes]
    return tuple(sorted({*passed, *superseded}, reverse=True))


def is_outdated(idea: Idea, state: ClassState, now: datetime) -> bool:
    """True for an idea of the coordinator's own that is not worth a run any more.

    Dead weight is looked for in the present best alone; and what nobody carried out in ``WORDS_PATIENCE``
    makes room.
    """
    if idea.kind is IdeaKind.FREE:
        return False
    if idea.kind is IdeaKind.ABLATE and idea.parents[:1] != (state.confirmed_id,):
        return True
    return idea.source_hash is None and now - idea.proposed_at > WORDS_PATIENCE


def told_of_ablation(gain: float, spread: float) -> str:
    """What one run without an edit says of that edit; ``gain`` is over the code that still has it."""
    allowed = margin(NOT_WORSE, spread)
    if gain >= 0:
        return f"one run gains {gain:.6g} without it: it looks like dead weight"
    if gain >= -allowed:
        return f"one run loses {-gain:.6g} without it, within half a spread: it looks like dead weight"
    return f"one run loses {-gain:.6g} without it, more than half a spread: it carries weight"
