"""The tables of one challenge and the transitions that several methods share.

Nothing here awaits, so each call is one atomic transition under asyncio.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from autoresearch.model import (
    BestChange,
    ClaimId,
    Event,
    EventKind,
    Experiment,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    HypothesisId,
    Idea,
    InsightId,
    Lease,
    Level,
    NodeId,
    Position,
    Program,
    Result,
    ResultId,
    SourceHash,
    WorkingBest,
)

from coordinator.storage.base import (
    ClaimRecord,
    ClaimRequest,
    ClassUpdate,
    Credit,
    Direction,
    EditKey,
    IndexBehind,
    KeyHeld,
    KeyTried,
    NewSource,
    NumberedInsight,
    StoredClass,
    StoredReading,
    stream_order,
)

EVENTS_KEPT = 40_000
"""Entries of the event stream before the oldest are dropped."""

BEGINNING = (0, 0)
"""Before the first event of a stream."""

COUNTER_BITS = 32
"""A fencing token is ``epoch << COUNTER_BITS | counter``."""


@dataclass(slots=True, kw_only=True)
class ClaimEntry:
    """A claim that has not been ended yet."""

    request: ClaimRequest
    token: int
    ttl_s: float
    expires_at: datetime
    held: set[EditKey]
    experiment_id: ExperimentId | None = None

    def lease(self) -> Lease:
        return Lease(
            claim_id=self.request.claim_id,
            fencing_token=self.token,
            expires_at=self.expires_at,
            ttl_s=self.ttl_s,
        )

    def record(self) -> ClaimRecord:
        return ClaimRecord(request=self.request, lease=self.lease(), experiment_id=self.experiment_id)


@dataclass(slots=True, kw_only=True)
class ExperimentEntry:
    """An experiment with what changes about it."""

    experiment: Experiment
    state: ExperimentState
    reason: str = ""
    result_ids: list[ResultId] = field(default_factory=list)
    unscored: set[ResultId] = field(default_factory=set)
    reading: StoredReading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedEntry:
    """An outcome that blocks; ``memory_mb`` limits it to claimants with no more than that."""

    experiment_id: ExperimentId
    memory_mb: float | None

    def blocks(self, memory_mb: float) -> bool:
        return self.memory_mb is None or memory_mb <= self.memory_mb

    def outranks(self, other: TriedEntry | None) -> bool:
        """The widest block stays, and of two alike the first."""
        if other is None:
            return True
        if other.memory_mb is None:
            return False
        return self.memory_mb is None or self.memory_mb > other.memory_mb


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingIdea:
    """An idea in its place."""

    idea: Idea
    turn: int

    @property
    def owner(self) -> str:
        """Whose share it takes up; that of its node where nobody said."""
        return self.idea.owner_id or self.idea.node_id

    @property
    def place(self) -> tuple[int, int]:
        """Sorts the next first, beside its age."""
        return self.turn, -self.idea.priority


@dataclass(slots=True, kw_only=True)
class ClassEntry:
    """A hardware class's state as the domain wrote it."""

    version: int = 0
    state: str = ""
    confirmed: WorkingBest | None = None


ClassKey = tuple[HardwareClass, EditKey]


class ChallengeTables:
    """All state of one challenge.

    Args:
        direction: which way the metric is better.
        clock: the store's time; what it returns may go back, ``now`` does not.
        epoch: the high bits of this store's fencing tokens.
    """

    def __init__(self, *, direction: Direction, clock: Callable[[], datetime], epoch: int) -> None:
        self.direction = direction
        self.epoch = epoch
        self.claims: dict[ClaimId, ClaimEntry] = {}
        self.held: dict[ClassKey, list[ClaimId]] = {}
        self.tried: dict[ClassKey, TriedEntry] = {}
        self.experiments: dict[ExperimentId, ExperimentEntry] = {}
        self.results: dict[ResultId, Result] = {}
        self.fingerprints: dict[ResultId, bytes] = {}
        self.sources: dict[SourceHash, bytes] = {}
        self.classes: dict[HardwareClass, ClassEntry] = {}
        self.history: list[BestChange] = []
        self.global_best: WorkingBest | None = None
        self.global_history: list[BestChange] = []
        self.made_best: set[ExperimentId] = set()
        self.credit: dict[NodeId, Credit] = {}
        self.ideas: dict[HypothesisId, WaitingIdea] = {}
        self.turn = 0
        self.next_slots: dict[tuple[str, int], int] = {}
        self.proposed: dict[HypothesisId, bytes] = {}
        self.programs: list[Program] = []
        self.insights: dict[InsightId, NumberedInsight] = {}
        self.insights_shared: dict[NodeId, tuple[date, int]] = {}
        self.insight_vectors: dict[InsightId, tuple[str, bytes]] = {}
        self.vectors: dict[str, dict[ExperimentId, bytes]] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self.dropped_events = 0
        self.last_stream_id = BEGINNING
        self.begun: dict[HardwareClass, tuple[int, int]] = {}
        self.appended = asyncio.Event()
        self._clock = clock
        self._last_now: datetime | None = None
        self._counter = 0
        self._insight_number = 0

    def now(self) -> datetime:
        """The clock in whole milliseconds, never earlier than before."""
        now = self._clock()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        if self._last_now is not None and now < self._last_now:
            return self._last_now
        self._last_now = now
        return now

    def next_token(self) -> int:
        self._counter += 1
        return self.epoch << COUNTER_BITS | self._counter

    def next_insight_number(self) -> int:
        self._insight_number += 1
        return self._insight_number

    def position(self) -> Position:
        millis, sequence = self.last_stream_id
        return Position(epoch=self.epoch, stream_id=f"{millis}-{sequence}")

    def is_ours(self, position: Position) -> bool:
        """True for the beginning of the stream and for an event that it has."""
        order = stream_order(position.stream_id)
        if position.epoch != self.epoch or order > self.last_stream_id:
            return False
        newest_first = (stream_order(event.position.stream_id) for event in reversed(self.events))
        return order == BEGINNING or order == next((one for one in newest_first if one <= order), None)

    def note_begun(self, hardware_class: HardwareClass) -> None:
        """Remembers the last event as the newest by which an experiment of the class became known."""
        self.begun[hardware_class] = self.last_stream_id

    def behind(self, hardware_class: HardwareClass, seen: Position | None) -> IndexBehind | None:
        """The newest of those events, if it is later than ``seen`` or that is of another history."""
        begun = self.begun.get(hardware_class, BEGINNING)
        if seen is None or (self.is_ours(seen) and begun <= stream_order(seen.stream_id)):
            return None
        return IndexBehind(position=Position(epoch=self.epoch, stream_id=f"{begun[0]}-{begun[1]}"))

    def append(
        self,
        kind: EventKind,
        *,
        hardware_class: HardwareClass,
        node_id: NodeId,
        experiment_id: ExperimentId | None = None,
        text: str = "",
        best: WorkingBest | None = None,
    ) -> None:
        """Adds an event to the stream and wakes its readers."""
        at = self.now()
        millis = int(at.timestamp() * 1000)
        last_millis, last_sequence = self.last_stream_id
        self.last_stream_id = (millis, 0) if millis > last_millis else (last_millis, last_sequence + 1)
        if len(self.events) == EVENTS_KEPT:
            self.dropped_events += 1
        self.events.append(
            Event(
                position=self.position(),
                kind=kind,
                at=at,
                hardware_class=hardware_class,
                experiment_id=experiment_id,
                node_id=node_id,
                text=text,
                best=best,
            )
        )
        self.appended.set()
        self.appended = asyncio.Event()

    def is_live(self, entry: ClaimEntry) -> bool:
        return entry.expires_at > self.now()

    def live_claim(self, claim_id: ClaimId | None, token: int) -> ClaimEntry | None:
        """The claim if it lives under this token; an expired one is ended on the way."""
        entry = self.claims.get(claim_id) if claim_id is not None else None
        if entry is None:
            return None
        if not self.is_live(entry):
            self.end_claim(entry, EventKind.EXPIRED)
            return None
        return entry if entry.token == token else None

    def end_claim(self, entry: ClaimEntry, kind: EventKind | None) -> None:
        """Frees what the claim holds; a started experiment that is unfinished becomes LOST."""
        request = entry.request
        del self.claims[request.claim_id]
        for key in entry.held:
            holders = self.held[request.hardware_class, key]
            holders.remove(request.claim_id)
            if not holders:
                del self.held[request.hardware_class, key]
        if entry.experiment_id is not None:
            experiment = self.experiments[entry.experiment_id]
            if experiment.state is ExperimentState.RUNNING:
                experiment.state = ExperimentState.LOST
        if kind is not None:
            self.append_claim_event(entry, kind)

    def append_claim_event(self, entry: ClaimEntry, kind: EventKind) -> None:
        request = entry.request
        self.append(
            kind,
            hardware_class=request.hardware_class,
            node_id=request.node_id,
            experiment_id=entry.experiment_id,
            text=request.hypothesis.title if request.hypothesis else "",
        )

    def find_block(
        self,
        hardware_class: HardwareClass,
        keys: Iterable[EditKey],
        *,
        own: Sequence[ClaimId],
        memory_mb: float,
        waived: Collection[ExperimentId],
    ) -> KeyHeld | KeyTried | None:
        """The first key that blocks, in the order given; one that ``own`` holds is not judged again."""
        for key in keys:
            holders = self.holders(hardware_class, key, own=own)
            if any(holder.request.claim_id in own for holder in holders):
                continue
            if holders:
                request = holders[0].request
                return KeyHeld(
                    key=key,
                    claim_id=request.claim_id,
                    node_id=request.node_id,
                    title=request.hypothesis.title if request.hypothesis else "",
                    experiment_id=holders[0].experiment_id,
                )
            tried = self.tried.get((hardware_class, key))
            if tried is None or tried.experiment_id in waived:
                continue
            if tried.blocks(memory_mb):
                return KeyTried(key=key, experiment_id=tried.experiment_id)
        return None

    def holders(
        self, hardware_class: HardwareClass, key: EditKey, *, own: Collection[ClaimId]
    ) -> list[ClaimEntry]:
        """The live claims that hold a key; expired ones but for ``own`` are ended on the way."""
        entries = [self.claims[claim_id] for claim_id in self.held.get((hardware_class, key), [])]
        for entry in entries:
            if entry.request.claim_id not in own and not self.is_live(entry):
                self.end_claim(entry, EventKind.EXPIRED)
        return [entry for entry in entries if entry.request.claim_id in self.claims]

    def hold(self, entry: ClaimEntry, keys: Iterable[EditKey]) -> None:
        """Adds what it does not hold yet, beside the others that share the key."""
        for key in set(keys) - entry.held:
            self.held.setdefault((entry.request.hardware_class, key), []).append(entry.request.claim_id)
            entry.held.add(key)

    def renew(self, entry: ClaimEntry, ttl_s: float) -> Lease:
        entry.ttl_s = ttl_s
        entry.expires_at = self.now() + timedelta(seconds=ttl_s)
        return entry.lease()

    def keep_source(self, source: NewSource | None) -> None:
        if source is not None:
            self.sources.setdefault(source.source_hash, source.text)

    def stored_class(self, hardware_class: HardwareClass) -> StoredClass:
        entry = self.classes.get(hardware_class, ClassEntry())
        return StoredClass(hardware_class=hardware_class, version=entry.version, state=entry.state)

    def apply_update(self, hardware_class: HardwareClass, update: ClassUpdate) -> None:
        """Writes a class's next state with all that follows from it."""
        entry = self.classes.setdefault(hardware_class, ClassEntry())
        entry.version += 1
        entry.state = update.state
        entry.confirmed = update.confirmed
        for experiment_id, (state, reason) in update.marks.items():
            if (experiment := self.experiments.get(experiment_id)) is not None:
                experiment.state = state
                experiment.reason = reason
        for change in update.changes:
            self._record_change(change)
        self._choose_global_best(update.changes[-1].reason if update.changes else "")

    def _record_change(self, change: BestChange) -> None:
        best = change.best
        self.history.append(change)
        if best.level is not Level.BASELINE and best.experiment_id not in self.made_best:
            self.made_best.add(best.experiment_id)
            self.add_credit(best.node_id, bests=1)
        self.append(
            EventKind.BEST_CHANGED,
            hardware_class=best.hardware_class,
            node_id=best.node_id,
            experiment_id=best.experiment_id,
            text=change.reason,
            best=best,
        )

    def _choose_global_best(self, reason: str) -> None:
        sign = 1 if self.direction == "lower" else -1
        confirmed = [entry.confirmed for entry in self.classes.values() if entry.confirmed is not None]
        # Of equal means the one that stands stays, then the class's name decides.
        standing = self.global_best.experiment_id if self.global_best else None
        best = min(
            confirmed,
            key=lambda one: (sign * one.mean, one.experiment_id != standing, one.hardware_class),
            default=None,
        )
        previous, self.global_best = self.global_best, best
        if best is None or (previous is not None and previous.experiment_id == best.experiment_id):
            return
        self.global_history.append(
            BestChange(
                best=best,
                previous=previous.experiment_id if previous else None,
                reason=reason,
                at=self.now(),
            )
        )

    def add_credit(
        self,
        node_id: NodeId,
        *,
        results: int = 0,
        train_s: float = 0.0,
        bests: int = 0,
        ideas_run: int = 0,
    ) -> None:
        had = self.credit.get(node_id, Credit())
        self.credit[node_id] = Credit(
            results=had.results + results,
            train_s=had.train_s + train_s,
            bests=had.bests + bests,
            ideas_run=had.ideas_run + ideas_run,
        )

    def take_off(self, hypothesis_id: HypothesisId, *, is_settled: bool) -> bool:
        """Removes a waiting idea; one that is settled has had its turn."""
        waiting = self.ideas.pop(hypothesis_id, None)
        if waiting is not None and is_settled:
            self.turn = max(self.turn, waiting.turn)
        return waiting is not None

    def block(self, hardware_class: HardwareClass, keys: Iterable[EditKey], tried: TriedEntry) -> None:
        for key in keys:
            if tried.outranks(self.tried.get((hardware_class, key))):
                self.tried[hardware_class, key] = tried

    def credits(self) -> Mapping[NodeId, Credit]:
        return dict(self.credit)
