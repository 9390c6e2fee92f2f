"""Queues combinations of verified gains, and bests without one of their edits, as the domain chooses them.

Run by the caretaker, never in the path of a call. Nothing but the queue is written: the id of an idea follows
from what it is about, so that what was queued once is not queued again, by whichever replica.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from autoresearch.errors import InvalidArgument, LimitExceeded, NotFound, SwarmError
from autoresearch.model import (
    ExperimentId,
    ExperimentState,
    HardwareClass,
    Idea,
    IdeaKind,
    MechanismOp,
    OwnerId,
)

from coordinator.domain.class_state import ClassState
from coordinator.domain.combining import (
    ABLATIONS_WAITING_LIMIT,
    COMBINATIONS_WAITING_LIMIT,
    WORDS_WAITING_LIMIT,
    Ablation,
    Combination,
    Tried,
    ablations,
    combinations,
    is_outdated,
    is_quiet,
    verified_gains,
)
from coordinator.domain.draft import proven_best
from coordinator.services.context import ChallengeContext
from coordinator.services.own_ideas import (
    OWN_NODE,
    Merged,
    OwnIdeas,
    Patch,
    Settled,
    Touching,
    changes_of,
    mechanism,
    own_hypothesis,
    short_id,
)
from coordinator.services.waiting import waiting_ideas

IDEAS_SEEN_LIMIT = 100
_DISPLACED = frozenset({ExperimentState.SUPERSEDED})
_log = structlog.get_logger("coordinator.combining")


@dataclass(slots=True)
class _Plan:
    """What is left to queue of what was chosen for a best; ``in_words`` needs an agent.

    ``generation`` is that of the indexes which it was chosen by.
    """

    generation: int
    base_id: ExperimentId
    confirmed_id: ExperimentId | None
    combinations: deque[Combination] = field(default_factory=deque)
    ablations: deque[Ablation] = field(default_factory=deque)
    in_words: deque[Idea] = field(default_factory=deque)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """An idea in words, and the patches that make its code if they touch nothing."""

    idea: Idea
    patches: tuple[Patch, ...]


class Combining:
    """Looks at the classes of one challenge."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._own = OwnIdeas(context)
        self._plans: dict[HardwareClass, _Plan] = {}

    async def look(self) -> None:
        """One round over all classes; what cannot be queued now is tried in the next one."""
        views = self._c.classes.known()
        for view in views:
            hardware_class = view.state.hardware_class
            fits = partial(self._c.catalog.is_idea_of, hardware_class=hardware_class)
            try:
                mine = await waiting_ideas(self._c.store, fits, limit=IDEAS_SEEN_LIMIT)
                await self._look_at(view.state, mine)
            except SwarmError as error:
                _log.warning("class not looked at", hardware_class=hardware_class, why=error.message)

    async def _look_at(self, state: ClassState, ideas: Sequence[Idea]) -> None:
        context = await self._c.promotion_context(state.hardware_class)
        base = proven_best(state, context)
        if base is None or not state.is_open(self._c.rules):
            return
        ideas = await self._without_outdated(ideas, state)
        plan = self._plan(state, base.experiment_id, ideas)
        for _ in range(min(_room(ideas, IdeaKind.COMBINE), len(plan.combinations))):
            await self._queue(self._combined(plan.combinations[0]), plan, state.hardware_class)
            plan.combinations.popleft()
        for _ in range(min(_room(ideas, IdeaKind.ABLATE), len(plan.ablations)) if is_quiet(state) else 0):
            await self._queue(self._ablated(plan.ablations[0]), plan, state.hardware_class)
            plan.ablations.popleft()
        in_words = sum(one.node_id == OWN_NODE and one.source_hash is None for one in ideas)
        for _ in range(min(WORDS_WAITING_LIMIT - in_words, len(plan.in_words))):
            if not await self._own.enqueue(plan.in_words[0], None):
                return
            plan.in_words.popleft()

    async def _without_outdated(self, ideas: Sequence[Idea], state: ClassState) -> tuple[Idea, ...]:
        """Takes off the queue what is not worth a run; whoever runs it already goes on."""
        kept = []
        for idea in ideas:
            if is_outdated(idea, state, self._c.clock()):
                # It has not had its turn, and must not bring the next ones on.
                await self._c.store.withdraw_idea(
                    idea.hypothesis_id, node_id=idea.node_id, owner_id=idea.owner_id or OwnerId("")
                )
                _log.info("idea outdated", idea=idea.hypothesis_id, kind=idea.kind)
            else:
                kept.append(idea)
        return tuple(kept)

    def _plan(self, state: ClassState, base_id: ExperimentId, ideas: Sequence[Idea]) -> _Plan:
        """Chosen once for each best. After a restart, and with other indexes, it is chosen anew, which queues
        nothing twice.
        """
        known = self._plans.get(state.hardware_class)
        basis = (self._c.generation, base_id, state.confirmed_id)
        if known is not None and (known.generation, known.base_id, known.confirmed_id) == basis:
            return known
        catalog = self._c.catalog
        waiting = [(one.parents[0], frozenset(one.parents[1:])) for one in ideas if len(one.parents) > 1]

        def tried(line: Sequence[ExperimentId]) -> Collection[Tried]:
            made = (entry.experiment.parents for one in line for entry in catalog.children(one))
            return [*waiting, *((parents[0], frozenset(parents[1:])) for parents in made if len(parents) > 1)]

        gains = verified_gains(state, catalog.in_states(state.hardware_class, _DISPLACED))
        plan = _Plan(
            generation=self._c.generation,
            base_id=base_id,
            confirmed_id=state.confirmed_id,
            combinations=deque(combinations(base_id, gains, catalog.step, tried)),
            ablations=deque(ablations(state.confirmed_id, catalog.step) if state.confirmed_id else ()),
        )
        self._plans[state.hardware_class] = plan
        return plan

    def _combined(self, one: Combination) -> _Made:
        titles = [self._own.title_of(material_id) for material_id in one.material_ids]
        hypothesis = own_hypothesis(
            f"combine: {' + '.join(titles)}",
            f"Verified gains of other branches, put onto {self._own.title_of(one.base_id)!r}:\n"
            + "\n".join(f"- {title}" for title in titles),
            [mechanism(MechanismOp.ADD, title) for title in titles],
        )
        return _Made(
            idea=Idea(
                hypothesis_id=one.hypothesis_id,
                hypothesis=hypothesis,
                node_id=OWN_NODE,
                proposed_at=self._c.clock(),
                parents=one.parents,
                kind=IdeaKind.COMBINE,
                material_ids=one.material_ids,
            ),
            patches=tuple(self._edit(material_id) for material_id in one.material_ids),
        )

    def _ablated(self, one: Ablation) -> _Made:
        title = self._own.title_of(one.edit_id)
        hypothesis = own_hypothesis(
            f"without {short_id(one.edit_id)}: {title}",
            f"Is {title!r} dead weight in {self._own.title_of(one.best_id)!r}? The same code without it.",
            [mechanism(MechanismOp.REMOVE, title)],
        )
        edit = self._edit(one.edit_id)
        return _Made(
            idea=Idea(
                hypothesis_id=one.hypothesis_id,
                hypothesis=hypothesis,
                node_id=OWN_NODE,
                proposed_at=self._c.clock(),
                parents=(one.best_id,),
                kind=IdeaKind.ABLATE,
                material_ids=(one.edit_id,),
            ),
            patches=(Patch(before_id=edit.after_id, after_id=edit.before_id),),
        )

    def _edit(self, experiment_id: ExperimentId) -> Patch:
        """What an edit does. The domain chose it by its step, which so is known."""
        step = self._c.catalog.step(experiment_id)
        if step is None or not step.parents:
            raise NotFound(f"there is no edit {experiment_id}")
        return Patch(before_id=step.parents[0], after_id=experiment_id)

    async def _queue(self, made: _Made, plan: _Plan, hardware_class: HardwareClass) -> None:
        """Queues an idea with its code; one that needs an agent is put aside.

        Raises:
            LimitExceeded: workers or the queue have no room now.
        """
        idea = made.idea
        try:
            merged = await self._own.merge(idea.parents[0], made.patches, hardware_class)
        except (InvalidArgument, NotFound) as error:
            _log.warning("code not merged", title=idea.hypothesis.title, why=error.message)
            return
        match merged:
            case Settled(reason=reason):
                _log.info("nothing to queue", title=idea.hypothesis.title, why=reason)
            case Touching():
                plan.in_words.append(idea)
            case Merged():
                words = replace(idea.hypothesis, changes=changes_of(merged.edit, idea.hypothesis.title))
                idea = replace(idea, hypothesis=words, source_hash=merged.code.source_hash)
                if not await self._own.enqueue(idea, merged.source):
                    raise LimitExceeded("the queue has no room for ideas of the coordinator's own")


def _room(ideas: Sequence[Idea], kind: IdeaKind) -> int:
    """How many ideas of a kind that bring their code may still be queued in a class."""
    limit = ABLATIONS_WAITING_LIMIT if kind is IdeaKind.ABLATE else COMBINATIONS_WAITING_LIMIT
    waiting = sum(one.kind is kind and one.source_hash is not None for one in ideas)
    return max(0, limit - waiting)
