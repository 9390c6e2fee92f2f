"""The agent without a key and without a network: turns the numeric constants of ``train.py``.

Which constant: Thompson sampling over the knobs, each with a Beta posterior of "turning it helped" from the
swarm's history, so that knobs that pay are turned more and none is forgotten. Which value: a step on the
scale that suits the constant, along the direction that has paid before; once enough whole settings are
scored, every other proposal asks Optuna's tree-structured Parzen estimator (Bergstra et al. 2011, NeurIPS)
instead, with the constants that stay fixed held at the parent's values.

Nodes diverge because each draws from its own seed, unless it is given one, and no node repeats what the
history holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoresearch.model import ConstantChange, ExperimentId, Hypothesis, IdeaKind, Intent, Result

from node.agent.base import AgentContext, AgentError, CannotDo, Failure, Proposal, UnsuitableParent
from node.agent.knobs import (
    Knob,
    KnobError,
    KnobKind,
    format_value,
    read_knobs,
    round_value,
    searchable,
    set_knobs,
    value_of,
)
from node.agent.parzen import MIN_SCORED_TRIALS, suggest
from node.agent.trials import Setting, Trial, trials_of

ATTEMPTS_LIMIT = 200
CHANGES_MAX = 3
CHANGE_COUNT_WEIGHTS = (0.7, 0.2, 0.1)
"""One change at a time tells what helped; two or three at times find what only works together."""
SINGLE_UNTIL_SCORED = 8

RATIOS = (0.5, 0.7, 0.7, 0.8, 0.8, 1.25, 1.25, 1.4, 1.4, 2.0)
NEAR_ONE_RATIOS = (0.5, 0.7, 1.4, 2.0)
FRACTION_STEPS = (0.3, 0.3, 0.5, 0.8)
"""Of the logarithm of the odds: 0.6 becomes 0.67, 0.72 or 0.78, and 0.02 becomes 0.04, 0.05 or 0.08."""

COUNT_STEPS = (1, 1, 2)
FROM_ZERO = (0.01, 0.02, 0.05, 0.1)
CAPS_FROM_ZERO = (10.0, 15.0, 30.0)
KEEP_DIRECTION_SHARE = 0.75
PARZEN_SHARE = 0.5
REFUSALS_KEPT = 2_000

SettingKey = tuple[tuple[str, float], ...]


class SearchAgent:
    """Proposes changes of one to three constants."""

    name = "search"
    can_propose = True
    thinks_for_free = True
    reads_program = False

    def __init__(self, *, node_id: str, seed: int | None = None) -> None:
        """Draws by the node's id, or by ``seed``: two with the same one draw alike in the same context."""
        self._draws = node_id if seed is None else f"seed {seed}"
        self._round = 0
        self._refused: OrderedDict[tuple[ExperimentId, SettingKey], None] = OrderedDict()

    async def propose(self, context: AgentContext) -> Proposal:
        self._round += 1
        return await asyncio.to_thread(self._propose, context, self._round, self._refused_on(context))

    async def edit(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        """Carries out the constant changes of any hypothesis, its own or a queued one.

        A win whose edit is all constants it can move onto another parent; what touches it cannot combine.
        """
        texts = {c.name: c.new for c in hypothesis.changes if isinstance(c, ConstantChange)}
        is_merge = context.kind in (IdeaKind.COMBINE, IdeaKind.ABLATE)
        if is_merge or not texts or len(texts) != len(hypothesis.changes):
            raise CannotDo(
                f"agent 'search' changes numeric constants only; {hypothesis.title!r} needs another agent"
            )
        try:
            return set_knobs(context.parent_source, texts)
        except KnobError as error:
            raise AgentError(str(error)) from error

    async def repair(self, context: AgentContext, source: str, failure: Failure) -> str | None:
        del context, source, failure
        return None

    async def reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str | None:
        del context, hypothesis, result
        return None

    def _propose(self, context: AgentContext, round_number: int, refused: frozenset[SettingKey]) -> Proposal:
        view = _View.of(context, refused)
        if not view.knobs:
            raise UnsuitableParent(
                "the parent's train.py has no numeric UPPERCASE constant; use --agent command"
            )
        rng = self._random(context, round_number)
        for attempt in range(ATTEMPTS_LIMIT):
            names = _choose_knobs(view, rng, alone=view.is_young and attempt < ATTEMPTS_LIMIT // 2)
            values = _choose_values(view, names, rng)
            changes = _changes(view.knobs, values)
            if changes and not view.has_tried(changes):
                return Proposal(hypothesis=_hypothesis(changes, view))
        raise AgentError(
            f"{ATTEMPTS_LIMIT} draws over {len(view.knobs)} constants gave nothing that is new on this parent"
        )

    def _refused_on(self, context: AgentContext) -> frozenset[SettingKey]:
        """What was refused on this parent, in earlier rounds too: the history may never tell of it."""
        parent_id = context.parent.experiment_id
        for refusal in context.refusals:
            self._refused[parent_id, _key(_stated(refusal.hypothesis))] = None
        while len(self._refused) > REFUSALS_KEPT:
            self._refused.popitem(last=False)
        return frozenset(key for parent, key in self._refused if parent == parent_id)

    def _random(self, context: AgentContext, round_number: int) -> random.Random:
        text = f"{self._draws}/{context.parent.experiment_id}/{len(context.history)}/{round_number}"
        return random.Random(hashlib.sha256(text.encode()).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """The context as numbers."""

    knobs: Mapping[str, Knob]
    here: Setting
    trials: Sequence[Trial]
    tried: frozenset[SettingKey]
    tried_here: frozenset[SettingKey]

    @classmethod
    def of(cls, context: AgentContext, refused: frozenset[SettingKey]) -> _View:
        try:
            every = read_knobs(context.parent_source)
        except KnobError as error:
            raise UnsuitableParent(str(error)) from error
        try:
            baseline = {k: v.value for k, v in read_knobs(context.challenge.baseline_source).items()}
        except KnobError:
            baseline = {}
        here = {name: knob.value for name, knob in every.items()}
        trials = trials_of(
            context.history,
            known={context.parent.experiment_id: here},
            baseline=baseline,
            lower_is_better=context.challenge.direction == "lower",
        )
        settings = {_key(trial.setting) for trial in trials if trial.setting is not None} | {_key(here)}
        on_parent = {
            _key(trial.changed) for trial in trials if trial.parent_id == context.parent.experiment_id
        }
        return cls(
            knobs=searchable(every),
            here=here,
            trials=trials,
            tried=frozenset(settings),
            tried_here=refused | on_parent,
        )

    @property
    def scored(self) -> int:
        """Trials whose setting and score are known."""
        return sum(1 for trial in self.trials if trial.setting is not None and trial.loss is not None)

    @property
    def is_young(self) -> bool:
        """True while so little is scored that a change in company would teach nothing."""
        return self.scored < SINGLE_UNTIL_SCORED

    def has_tried(self, changes: Sequence[ConstantChange]) -> bool:
        values = {change.name: _value(change.new) for change in changes}
        return _key(values) in self.tried_here or _key({**self.here, **values}) in self.tried


def _choose_knobs(view: _View, rng: random.Random, *, alone: bool) -> list[str]:
    """One to three knobs by Thompson sampling."""
    count = 1
    if not alone:
        (count,) = rng.choices(range(1, CHANGES_MAX + 1), weights=CHANGE_COUNT_WEIGHTS)
    drawn = {}
    for name in view.knobs:
        helped = sum(1.0 / len(t.changed) for t in view.trials if name in t.changed and (t.gain or 0.0) > 0.0)
        harmed = sum(
            1.0 / len(t.changed)
            for t in view.trials
            if name in t.changed and (t.has_failed or (t.gain is not None and t.gain <= 0.0))
        )
        # Prior Beta(1, 2): most edits of a tuned file do not help.
        drawn[name] = rng.betavariate(1.0 + helped, 2.0 + harmed)
    return sorted(drawn, key=lambda name: drawn[name], reverse=True)[:count]


def _choose_values(view: _View, names: Sequence[str], rng: random.Random) -> dict[str, float]:
    if view.scored >= MIN_SCORED_TRIALS and rng.random() < PARZEN_SHARE:
        learned = suggest(view.knobs, view.here, view.trials, names, seed=rng.getrandbits(31))
        if learned:
            return learned
    return {name: _step(view.knobs[name], _direction(view, name, rng), rng) for name in names}


def _direction(view: _View, name: str, rng: random.Random) -> int:
    """+1 or -1: most of the time the way that has paid, else either."""
    lean = sum(
        trial.directions[name] * (1 if trial.gain > 0 else -1)
        for trial in view.trials
        if trial.gain is not None and name in trial.directions
    )
    if lean and rng.random() < KEEP_DIRECTION_SHARE:
        return 1 if lean > 0 else -1
    return rng.choice((-1, 1))


def _step(knob: Knob, direction: int, rng: random.Random) -> float:
    """A value a step away on the scale that suits the knob."""
    value = knob.value
    match knob.kind:
        case KnobKind.POWER_OF_TWO:
            return value * 2.0**direction
        case KnobKind.COUNT if abs(value) < 16:  # noqa: PLR2004 - beyond that, one more changes nothing
            return value + direction * rng.choice(COUNT_STEPS)
        case KnobKind.NEAR_ONE:
            # Closer to one is more: momentum 0.9 -> 0.95 halves what is left.
            ratio = rng.choice([r for r in NEAR_ONE_RATIOS if (r < 1) == (direction > 0)])
            return 1.0 - (1.0 - value) * ratio
        case _ if value == 0:
            return rng.choice(CAPS_FROM_ZERO if knob.is_cap else FROM_ZERO)
        case KnobKind.FRACTION:
            return knob.value_at(knob.place(value) + direction * rng.choice(FRACTION_STEPS))
        case _:
            grows = (direction > 0) == (value > 0)
            return value * rng.choice([r for r in RATIOS if (r > 1) == grows])


def _changes(knobs: Mapping[str, Knob], values: Mapping[str, float]) -> tuple[ConstantChange, ...]:
    changes = []
    for name, value in values.items():
        knob = knobs[name]
        rounded = round_value(knob, value)
        if math.isclose(rounded, knob.value, rel_tol=1e-9, abs_tol=1e-12):
            continue
        changes.append(ConstantChange(name=name, old=knob.text, new=format_value(knob, rounded)))
    return tuple(sorted(changes, key=lambda change: change.name))


def _hypothesis(changes: Sequence[ConstantChange], view: _View) -> Hypothesis:
    notes = []
    for change in changes:
        gains = [t.gain for t in view.trials if change.name in t.changed and t.gain is not None]
        helped = sum(1 for gain in gains if gain > 0)
        seen = (
            f"tried {len(gains)} times in this class, {helped} helped"
            if gains
            else "not tried in this class before"
        )
        notes.append(f"{change.name}: {seen}.")
    return Hypothesis(
        title=", ".join(f"{change.name} {change.old} -> {change.new}" for change in changes),
        rationale=" ".join(notes),
        changes=tuple(changes),
        intent=Intent.NEW,
        agent=SearchAgent.name,
    )


def _stated(hypothesis: Hypothesis) -> dict[str, float]:
    return {c.name: _value(c.new) for c in hypothesis.changes if isinstance(c, ConstantChange)}


def _value(text: str) -> float:
    value = value_of(text)
    return math.nan if value is None else value


def _key(setting: Setting) -> SettingKey:
    return tuple(sorted((name, float(f"{value:.9g}")) for name, value in setting.items()))
