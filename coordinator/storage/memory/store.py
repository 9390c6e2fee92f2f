"""One challenge's store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from autoresearch.errors import NotFound
from autoresearch.model import (
    BestChange,
    ClaimId,
    Event,
    EventKind,
    Experiment,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    NodeId,
    Position,
    Result,
    ResultId,
    SourceHash,
    WorkingBest,
)

from coordinator.storage.base import (
    SUBJECTS_HELD_LIMIT,
    Accepted,
    Blocks,
    ClaimGone,
    ClaimIdTaken,
    ClaimKind,
    ClaimOutcome,
    ClaimRecord,
    ClaimRequest,
    ClassUpdate,
    Counts,
    Credit,
    EditKey,
    EventPage,
    ExperimentIdTaken,
    ExperimentRecord,
    IndexBehind,
    NewSource,
    Publication,
    PublishOutcome,
    Renewal,
    ResultIdTaken,
    StaleClass,
    StartOutcome,
    StoredClass,
    StoredReading,
    SubjectsHeld,
    TooManyClaims,
    UnknownExperiment,
    stream_order,
)
from coordinator.storage.fingerprints import result_fingerprint
from coordinator.storage.memory.insights import MemoryInsights
from coordinator.storage.memory.programs import MemoryPrograms
from coordinator.storage.memory.queue import MemoryQueue
from coordinator.storage.memory.tables import (
    BEGINNING,
    ChallengeTables,
    ClaimEntry,
    ExperimentEntry,
    TriedEntry,
)


class MemoryClaims:
    """Leases and what they hold."""

    def __init__(self, tables: ChallengeTables) -> None:
        self._t = tables

    async def claim(
        self,
        request: ClaimRequest,
        *,
        ttl_s: float,
        max_live: int,
        memory_mb: float = 0.0,
        waived: Collection[ExperimentId] = (),
        seen: Position | None = None,
        compared: Collection[ClaimId] | None = (),
    ) -> ClaimOutcome:
        t = self._t
        present = t.claims.get(request.claim_id)
        if present is not None and t.is_live(present):
            is_repeat = (present.request.fingerprint, present.request.node_id) == (
                request.fingerprint,
                request.node_id,
            )
            return present.lease() if is_repeat else ClaimIdTaken()
        if present is not None:
            t.end_claim(present, EventKind.EXPIRED)
        mine = self._end_expired_of(request.node_id)
        taken_over = self._taken_over(request)
        live = sum(entry is not taken_over for entry in mine)
        if live >= max_live:
            return TooManyClaims(live=live)
        behind = t.behind(request.hardware_class, seen)
        if behind is not None:
            return behind
        own = [taken_over.request.claim_id] if taken_over else []
        block = t.find_block(
            request.hardware_class, request.keys, own=own, memory_mb=memory_mb, waived=waived
        )
        if block is not None:
            return block
        sharing = self._sharing(request, own, compared) if compared is not None else []
        if sharing:
            return SubjectsHeld(holders=tuple(entry.record() for entry in sharing[:SUBJECTS_HELD_LIMIT]))
        passed_on = set(taken_over.held) if taken_over else set()
        if taken_over is not None:
            t.end_claim(taken_over, None)
        entry = ClaimEntry(request=request, token=t.next_token(), ttl_s=ttl_s, expires_at=t.now(), held=set())
        t.claims[request.claim_id] = entry
        t.hold(entry, passed_on.union(request.keys, request.subjects))
        lease = t.renew(entry, ttl_s)
        t.append_claim_event(entry, EventKind.CLAIMED)
        return lease

    def _sharing(
        self, request: ClaimRequest, own: Collection[ClaimId], compared: Collection[ClaimId]
    ) -> list[ClaimEntry]:
        """The live claims about a subject of this one, each once, but for its own and the ``compared``."""
        found = {
            entry.request.claim_id: entry
            for subject in request.subjects
            for entry in self._t.holders(request.hardware_class, subject, own=own)
            if entry.request.claim_id not in {*own, *compared}
        }
        return list(found.values())

    def _end_expired_of(self, node_id: NodeId) -> list[ClaimEntry]:
        """The node's live claims, after its expired ones were ended."""
        mine = [entry for entry in self._t.claims.values() if entry.request.node_id == node_id]
        for entry in mine:
            if not self._t.is_live(entry):
                self._t.end_claim(entry, EventKind.EXPIRED)
        return [entry for entry in mine if entry.request.claim_id in self._t.claims]

    def _taken_over(self, request: ClaimRequest) -> ClaimEntry | None:
        entry = self._t.claims.get(request.takes_over) if request.takes_over else None
        if entry is None:
            return None
        theirs = entry.request
        is_own_queued = (
            theirs.kind is ClaimKind.QUEUED
            and theirs.node_id == request.node_id
            and theirs.hardware_class == request.hardware_class
        )
        return entry if is_own_queued else None

    async def start(
        self,
        claim_id: ClaimId,
        fencing_token: int,
        *,
        keys: Sequence[EditKey],
        experiment: Experiment,
        source: NewSource,
        ttl_s: float,
        memory_mb: float = 0.0,
        waived: Collection[ExperimentId] = (),
        reading: StoredReading | None = None,
    ) -> StartOutcome:
        t = self._t
        entry = t.live_claim(claim_id, fencing_token)
        if entry is None:
            return ClaimGone()
        known = t.experiments.get(experiment.experiment_id)
        if entry.experiment_id is not None or known is not None:
            is_repeat = (
                known is not None
                and entry.experiment_id == experiment.experiment_id
                and known.experiment.source_hash == experiment.source_hash
            )
            return t.renew(entry, ttl_s) if is_repeat else ExperimentIdTaken()
        blocked = t.find_block(
            entry.request.hardware_class, keys, own=[claim_id], memory_mb=memory_mb, waived=waived
        )
        if blocked is not None:
            t.end_claim(entry, EventKind.RELEASED)
            return blocked
        t.keep_source(source)
        t.experiments[experiment.experiment_id] = ExperimentEntry(
            experiment=experiment, state=ExperimentState.RUNNING, reading=reading
        )
        entry.experiment_id = experiment.experiment_id
        t.hold(entry, keys)
        lease = t.renew(entry, ttl_s)
        t.append_claim_event(entry, EventKind.STARTED)
        t.note_begun(entry.request.hardware_class)
        return lease

    async def get_claim(self, claim_id: ClaimId) -> ClaimRecord | None:
        entry = self._t.claims.get(claim_id)
        return entry.record() if entry else None

    async def release(self, claim_id: ClaimId, node_id: NodeId, fencing_token: int) -> bool:
        entry = self._t.live_claim(claim_id, fencing_token)
        if entry is None or entry.request.node_id != node_id:
            return False
        self._t.end_claim(entry, EventKind.RELEASED)
        return True

    async def renew(self, node_id: NodeId, claim_ids: Sequence[ClaimId], *, ttl_s: float) -> Renewal:
        renewed, lost = [], []
        for claim_id in claim_ids:
            entry = self._t.claims.get(claim_id)
            if entry is None or entry.request.node_id != node_id or not self._t.is_live(entry):
                lost.append(claim_id)
            else:
                renewed.append(self._t.renew(entry, ttl_s))
        return Renewal(renewed=tuple(renewed), lost=tuple(lost))

    async def reap(self, *, limit: int) -> tuple[ClaimRecord, ...]:
        expired = sorted(
            (entry for entry in self._t.claims.values() if not self._t.is_live(entry)),
            key=lambda entry: (entry.expires_at, entry.request.claim_id),
        )[:limit]
        for entry in expired:
            self._t.end_claim(entry, EventKind.EXPIRED)
        return tuple(entry.record() for entry in expired)


class MemoryPublishing:
    """Results and what they decide."""

    _t: ChallengeTables

    async def publish(self, publication: Publication) -> PublishOutcome:
        t, result = self._t, publication.result
        if (known := t.fingerprints.get(result.result_id)) is not None:
            if known != result_fingerprint(result):
                return ResultIdTaken()
            is_late = t.results[result.result_id].is_late
            return Accepted(position=t.position(), is_repeat=True, is_late=is_late)
        experiment = self._known(publication)
        if not isinstance(experiment, ExperimentEntry):
            return experiment
        hardware_class = result.hardware.hardware_class
        current = t.stored_class(hardware_class)
        if current.version != publication.seen_version:
            return StaleClass(current=current)
        claim = t.live_claim(publication.claim_id, publication.fencing_token)
        is_late = publication.claim_id is not None and claim is None
        if publication.needs_claim and claim is None:
            publication = replace(publication, is_scored=False, state=None, blocks=None, update=None)
        t.keep_source(publication.source)
        is_new = result.experiment_id not in t.experiments
        t.experiments[result.experiment_id] = experiment
        self._write_result(experiment, publication, is_late=is_late)
        self._end_work(publication, claim)
        t.append(
            EventKind.PUBLISHED,
            hardware_class=hardware_class,
            node_id=result.node_id,
            experiment_id=result.experiment_id,
            text=result.outcome,
        )
        if is_new:
            t.note_begun(hardware_class)
        if publication.update is not None:
            t.apply_update(hardware_class, publication.update)
        return Accepted(position=t.position(), is_repeat=False, is_late=is_late)

    def _end_work(self, publication: Publication, claim: ClaimEntry | None) -> None:
        """The claim, if it lives, and the idea that it was about."""
        t = self._t
        if claim is not None and publication.ends_claim:
            t.end_claim(claim, None)
            if publication.proposer is not None:
                t.add_credit(publication.proposer, ideas_run=1)
        if publication.settles is not None:
            t.take_off(publication.settles, is_settled=True)

    def _known(self, publication: Publication) -> ExperimentEntry | IndexBehind | UnknownExperiment:
        """The experiment as the store has it, or else as the publication brings it."""
        if publication.seen is not None and not self._t.is_ours(publication.seen):
            return IndexBehind(position=self._t.position())
        known = self._t.experiments.get(publication.result.experiment_id)
        if known is None and publication.experiment is not None:
            return ExperimentEntry(
                experiment=publication.experiment,
                state=ExperimentState.RUNNING,
                reading=publication.reading,
            )
        return known or UnknownExperiment()

    def _write_result(self, entry: ExperimentEntry, publication: Publication, *, is_late: bool) -> None:
        t, result = self._t, publication.result
        t.results[result.result_id] = replace(result, is_late=is_late, published_at=t.now())
        t.fingerprints[result.result_id] = result_fingerprint(result)
        entry.result_ids.append(result.result_id)
        if not publication.is_scored:
            entry.unscored.add(result.result_id)
        if publication.state is not None:
            entry.state, entry.reason = publication.state, publication.reason
        if (blocks := publication.blocks) is not None:
            tried = TriedEntry(experiment_id=result.experiment_id, memory_mb=blocks.memory_mb)
            t.block(result.hardware.hardware_class, blocks.keys, tried)
        t.add_credit(result.node_id, results=1, train_s=publication.train_s)

    async def get_class(self, hardware_class: HardwareClass) -> StoredClass:
        return self._t.stored_class(hardware_class)

    async def list_classes(self) -> tuple[StoredClass, ...]:
        return tuple(self._t.stored_class(name) for name in sorted(self._t.classes))

    async def update_class(
        self, hardware_class: HardwareClass, seen_version: int, update: ClassUpdate
    ) -> StoredClass | None:
        current = self._t.stored_class(hardware_class)
        if current.version != seen_version:
            return current
        self._t.apply_update(hardware_class, update)
        return None


class MemoryReading:
    """What is there."""

    _t: ChallengeTables

    async def get_experiment(
        self, experiment_id: ExperimentId, *, with_logs: bool = True
    ) -> ExperimentRecord | None:
        entry = self._t.experiments.get(experiment_id)
        return self._record(entry, with_logs=with_logs) if entry else None

    def _record(self, entry: ExperimentEntry, *, with_logs: bool) -> ExperimentRecord:
        results = [self._t.results[result_id] for result_id in entry.result_ids]
        return ExperimentRecord(
            experiment=entry.experiment,
            state=entry.state,
            reason=entry.reason,
            results=tuple(results if with_logs else map(_without_logs, results)),
            unscored=frozenset(entry.unscored),
            reading=entry.reading,
        )

    async def scan_experiments(self, *, batch: int = 500) -> AsyncIterator[ExperimentRecord]:
        start = 0
        while page := tuple(islice(self._t.experiments.values(), start, start + batch)):
            start += len(page)
            for entry in page:
                yield self._record(entry, with_logs=False)

    async def get_result_ids(self) -> AsyncIterator[ResultId]:
        for result_id in tuple(self._t.results):
            yield result_id

    async def get_source(self, source_hash: SourceHash) -> bytes | None:
        return self._t.sources.get(source_hash)

    async def put_source(self, source: NewSource) -> None:
        self._t.keep_source(source)

    async def put_reading(
        self, experiment_id: ExperimentId, reading: StoredReading | None, *, blocks: Blocks | None = None
    ) -> None:
        entry = self._t.experiments.get(experiment_id)
        if entry is None:
            raise NotFound(f"experiment {experiment_id} is not in the store, so no reading of it is kept")
        entry.reading = reading or entry.reading
        if blocks is not None:
            tried = TriedEntry(experiment_id=experiment_id, memory_mb=blocks.memory_mb)
            self._t.block(entry.experiment.hardware_class, blocks.keys, tried)

    async def put_vector(self, experiment_id: ExperimentId, model: str, vector: bytes) -> None:
        if experiment_id not in self._t.experiments:
            raise NotFound(f"experiment {experiment_id} is not in the store, so it can have no vector")
        self._t.vectors.setdefault(model, {}).setdefault(experiment_id, vector)

    async def get_vectors(self, model: str, *, after: int = 0) -> AsyncIterator[tuple[ExperimentId, bytes]]:
        for entry in tuple(self._t.vectors.get(model, {}).items())[after:]:
            yield entry

    async def get_vector_models(self) -> tuple[str, ...]:
        return tuple(self._t.vectors)

    async def drop_vectors(self, model: str) -> None:
        self._t.vectors.pop(model, None)


class MemoryOverview:
    """The challenge at a glance."""

    _t: ChallengeTables

    async def get_history(self, hardware_class: HardwareClass | None = None) -> tuple[BestChange, ...]:
        return tuple(
            change for change in self._t.history if hardware_class in (None, change.best.hardware_class)
        )

    async def get_global_best(self) -> WorkingBest | None:
        return self._t.global_best

    async def get_global_history(self) -> tuple[BestChange, ...]:
        return tuple(self._t.global_history)

    async def get_credit(self) -> Mapping[NodeId, Credit]:
        return self._t.credits()

    async def get_live_claims(self) -> tuple[ClaimRecord, ...]:
        live = (entry for entry in self._t.claims.values() if self._t.is_live(entry))
        return tuple(entry.record() for entry in live)

    async def counts(self) -> Counts:
        return Counts(
            experiments=len(self._t.experiments),
            results=len(self._t.results),
            live_claims=len(await self.get_live_claims()),
            queued=len(self._t.ideas),
        )

    async def position(self) -> Position:
        return self._t.position()


class MemoryEvents:
    """The stream of what happened."""

    _t: ChallengeTables

    async def read_events(self, after: Position | None, *, limit: int, block_s: float) -> EventPage:
        t = self._t
        start = after or t.position()
        since = stream_order(start.stream_id)
        if not t.is_ours(start) or (since == BEGINNING and t.dropped_events > 0):
            return EventPage(events=(), is_gap=True)
        if since == t.last_stream_id and block_s > 0:
            try:
                await asyncio.wait_for(t.appended.wait(), block_s)
            except TimeoutError:
                return EventPage(events=(), is_gap=False)
        return EventPage(events=self._after(since, limit), is_gap=False)

    def _after(self, since: tuple[int, int], limit: int) -> tuple[Event, ...]:
        newer: list[Event] = []
        for event in reversed(self._t.events):
            if stream_order(event.position.stream_id) <= since:
                break
            newer.append(event)
        return tuple(islice(reversed(newer), limit))


class MemoryStore(
    MemoryClaims,
    MemoryPublishing,
    MemoryReading,
    MemoryOverview,
    MemoryEvents,
    MemoryQueue,
    MemoryInsights,
    MemoryPrograms,
):
    """All of one challenge's state, in the process's memory."""

    async def close(self) -> None:
        """Nothing to end."""


def _without_logs(result: Result) -> Result:
    return replace(result, log_tail="", curve=()) if result.log_tail or result.curve else result
