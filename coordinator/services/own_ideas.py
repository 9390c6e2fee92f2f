"""What the coordinator's own ideas are made of: merged code, words that describe it, a place in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.edits import EditSignature
from autoresearch.errors import Conflict, InvalidArgument
from autoresearch.limits import check_hypothesis
from autoresearch.model import (
    CHANGE_TEXT_LIMIT_CHARS,
    CHANGES_LIMIT,
    RATIONALE_LIMIT_CHARS,
    TITLE_LIMIT_CHARS,
    Change,
    ExperimentId,
    HardwareClass,
    Hypothesis,
    Idea,
    MechanismChange,
    MechanismOp,
)

from coordinator.dedup.code import SourceText
from coordinator.domain.baseline import BASELINE_NODE
from coordinator.services.context import ChallengeContext
from coordinator.services.precedents import Precedents
from coordinator.services.sources import hash_of
from coordinator.storage.base import NewSource

OWN_IDEAS_LIMIT = 64
"""Combinations, bundles and ablations of all classes that wait at once."""

OWN_NODE = BASELINE_NODE
"""Who proposed them."""

AGENT = "coordinator"
ID_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The difference between two experiments' codes, which may go either way."""

    before_id: ExperimentId
    after_id: ExperimentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Code with patches put in, and what that does to the code it was put into."""

    code: SourceText
    base: SourceText
    edit: EditSignature

    @property
    def source(self) -> NewSource:
        """The code for the store."""
        text = self.code.text.encode()
        return NewSource(source_hash=self.code.source_hash, text=text, parent_hash=self.base.source_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touching:
    """A patch touches what is there already: whoever puts it in has to understand both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The result was tried or does nothing new: there is nothing to queue. Says which."""

    reason: str


class OwnIdeas:
    """Merges in the reader's worker processes; nothing here decides what is worth a run."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._precedents = Precedents(context)

    async def merge(
        self, base_id: ExperimentId, patches: Sequence[Patch], hardware_class: HardwareClass
    ) -> Merged | Touching | Settled:
        """All patches put into a code, if none of them touches what is there.

        Raises:
            InvalidArgument: a code cannot be read.
            NotFound: a code is not there.
            LimitExceeded: too many sources wait for a worker; nothing was decided.
        """
        base = await self._c.source_of(base_id, hardware_class)
        parts = []
        for patch in patches:
            before = await self._c.source_of(patch.before_id, hardware_class)
            after = await self._c.source_of(patch.after_id, hardware_class)
            parts.append((before.text, after.text))
        text, places = await self._c.reader.merge(tuple(parts), base.text)
        if len(places) < len(patches):
            return Touching()
        code = SourceText(source_hash=hash_of(text.encode()), text=text)
        reading = await self._c.reader.read(code, base)
        if reading.edit is None or reading.edit.is_empty:
            return Settled(reason="the merged code does what it did before")
        if await self._precedents.is_settled(hardware_class, reading.file_signature):
            return Settled(reason="the merged code was tried")
        return Merged(code=code, base=base, edit=reading.edit)

    def title_of(self, experiment_id: ExperimentId) -> str:
        """What an experiment was called."""
        entry = self._c.catalog.entry(experiment_id)
        return entry.experiment.hypothesis.title if entry else experiment_id

    async def enqueue(self, idea: Idea, source: NewSource | None, *, share: int = OWN_IDEAS_LIMIT) -> bool:
        """Queues an idea, in the share of its node; False while that is full.

        What was queued before, now or once, is queued no second time, by whatever way it came about.
        """
        try:
            return await self._c.store.enqueue(idea, source, max_per_node=share) is not None
        except Conflict:
            return True


def own_hypothesis(title: str, rationale: str, changes: Sequence[Change]) -> Hypothesis:
    """A hypothesis of the coordinator's own, cut to what the contract takes."""
    return Hypothesis(
        title=shortened(title, TITLE_LIMIT_CHARS),
        rationale=shortened(rationale, RATIONALE_LIMIT_CHARS),
        changes=tuple(changes),
        agent=AGENT,
    )


def changes_of(edit: EditSignature, what: str) -> tuple[Change, ...]:
    """What merged code does, exactly as far as it sets constants; ``what`` tells the rest.

    Stated, because a title that quotes other titles would be read as one of them.
    """
    constants = [change for change in edit.changes if change.new]
    is_all = bool(constants) and len(constants) == len(edit.changes) and not edit.patch
    where = ", ".join(place for place in edit.touched if place)
    rest = mechanism(MechanismOp.REPLACE, what, where)
    changes = (*constants, *(() if is_all else (rest,)))
    try:
        check_hypothesis(Hypothesis(title="merged code", changes=changes[:CHANGES_LIMIT]))
    except InvalidArgument:
        return (rest,)
    return changes if len(changes) <= CHANGES_LIMIT else (rest,)


def mechanism(op: MechanismOp, what: str, where: str = "") -> MechanismChange:
    """A change in words, cut to what the contract takes."""
    limit = CHANGE_TEXT_LIMIT_CHARS
    return MechanismChange(op=op, what=shortened(what, limit), where=shortened(where, limit))


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"


def short_id(experiment_id: ExperimentId) -> str:
    """The end of an id, by which readers know it."""
    return experiment_id[-ID_SHOWN:]
