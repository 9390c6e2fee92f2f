"""What the services of one challenge share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from autoresearch.challenge import Challenge
from autoresearch.errors import InvalidArgument, LimitExceeded, NotFound
from autoresearch.model import (
    ClaimId,
    Experiment,
    ExperimentId,
    Hardware,
    HardwareClass,
    NodeId,
    Position,
    SourceHash,
)

from coordinator.dedup.code import CodeReader, SourceText
from coordinator.dedup.embedding_queue import EmbeddingQueue
from coordinator.dedup.index import EditIndex, TriedEdit
from coordinator.dedup.insights import InsightIndex
from coordinator.dedup.judge import Judge
from coordinator.domain.baseline import baseline_experiment, is_baseline_of, is_reserved_id
from coordinator.domain.class_state import ClassState, Rules, dump_state, working_best
from coordinator.domain.draft import Context, Decision
from coordinator.services.catalog import Catalog
from coordinator.services.classes import Activity, Classes
from coordinator.services.embedding import experiment_embeddings, insight_embeddings
from coordinator.services.handed_back import HandedBack
from coordinator.services.leases import Leases
from coordinator.services.programs import Programs
from coordinator.services.progress import Progress
from coordinator.services.reading import StatedChanges, tried_edit
from coordinator.services.settings import ServiceSettings
from coordinator.services.sources import Sources
from coordinator.storage.base import (
    ClassUpdate,
    ExperimentRecord,
    IdentityStore,
    IndexBehind,
    NewSource,
    Store,
)

SESSIONS_CACHED = 100_000
INDEX_RETRY_S = 5.0


@dataclass(slots=True)
class Sessions:
    """The hardware that nodes connected with, as far as this process has seen it."""

    _memory_mb: dict[NodeId, float] = field(default_factory=dict)

    def put(self, node_id: NodeId, hardware: Hardware) -> None:
        """Remembers a session's hardware."""
        if len(self._memory_mb) >= SESSIONS_CACHED:
            self._memory_mb.clear()
        self._memory_mb[node_id] = hardware.memory_mb

    def memory_mb(self, node_id: NodeId) -> float:
        """The node's memory; 0 if it is not known here, which is blocked by every out-of-memory run."""
        return self._memory_mb.get(node_id, 0.0)


@dataclass(slots=True)
class Tally:
    """What is counted since this process started."""

    duplicates_stopped: int = 0


@dataclass(frozen=True, slots=True)
class Indexes:
    """Every experiment of one history of a store: as readers see it, and as the judge does."""

    catalog: Catalog
    edits: EditIndex


class ChallengeContext:
    """One challenge's store, indexes and caches. Holds no rules of its own.

    ``catalog``, ``index`` and ``judge`` are others after ``adopt``: ask for them each time. ``generation``
    counts how often that was.
    """

    catalog: Catalog
    index: EditIndex
    judge: Judge

    def __init__(
        self,
        challenge: Challenge,
        store: Store,
        identity: IdentityStore,
        settings: ServiceSettings,
        *,
        reader: CodeReader,
        sessions: Sessions,
        clock: Callable[[], datetime],
        embedding_queue: EmbeddingQueue | None = None,
    ) -> None:
        self.challenge = challenge
        self.store = store
        self.settings = settings
        self.reader = reader
        self.sessions = sessions
        self.clock = clock
        self.tally = Tally()
        self.rules = Rules(
            direction=challenge.direction,
            prior_sd=challenge.prior_sd,
            baseline_runs=challenge.min_baseline_runs,
            hidden_gap=challenge.hidden_gap,
        )
        self.baseline = SourceText(
            source_hash=SourceHash(challenge.baseline_hash), text=challenge.baseline_source
        )
        self.embeddings = experiment_embeddings(embedding_queue, lambda: self.index, store)
        self.programs = Programs(
            store, lambda: self.catalog, challenge, self.rules, refresh_s=settings.view_refresh_s
        )
        self.insights = InsightIndex()
        self.insight_embeddings = insight_embeddings(embedding_queue, self.insights, store)
        self.sources = Sources(store, self.baseline)
        self.classes = Classes(store, self._see_class)
        self.progress = Progress()
        self.handed_back = HandedBack(clock)
        self.leases = Leases(store, store, refresh_s=settings.view_refresh_s)
        self.activity = Activity(identity, clock, refresh_s=settings.view_refresh_s)
        self.generation = 0
        self.adopt(self.new_indexes())

    def new_indexes(self) -> Indexes:
        """Indexes that know nothing yet, to be filled beside those that serve."""
        return Indexes(catalog=Catalog(self.rules, self.challenge.metric_name), edits=EditIndex())

    def adopt(self, indexes: Indexes) -> None:
        """Puts indexes in the place of those before, which know of experiments that a store may have lost."""
        for view in self.classes.known():
            indexes.catalog.set_class(view.state)
        self.catalog, self.index = indexes.catalog, indexes.edits
        self.judge = Judge(indexes.edits)
        self.embeddings.forget()
        self.generation += 1

    def forget_views(self) -> None:
        """Drops what is read from the store whenever it is asked for: it may be of another history."""
        self.classes.forget()
        self.leases.forget_all()
        self.insights.clear()
        self.insight_embeddings.forget()

    async def forget_lease(self, claim_id: ClaimId) -> None:
        """Takes note that a lease is over, and of what became of its experiment."""
        self.leases.end(claim_id)
        held = self.leases.known(claim_id)
        if held is not None and held.experiment_id is not None:
            await self.find_record(held.experiment_id)

    async def behind(self, seen: Position) -> IndexBehind | None:
        """Where the store stands if ``seen`` is of a history that it does not have (any more); else None."""
        page = await self.store.read_events(seen, limit=1, block_s=0.0)
        return IndexBehind(position=await self.store.position()) if page.is_gap else None

    async def reach(self, position: Position, *, beyond: Position) -> None:
        """Waits a moment until the indexes have come as far as the store, and away from where it turned them
        back. Raises LimitExceeded.
        """
        limit_s = self.settings.index_wait_s
        if not await self.progress.reach(position, limit_s=limit_s, beyond=beyond):
            raise LimitExceeded(
                "this coordinator has not heard yet of all that the store knows; try again",
                retry_after_s=INDEX_RETRY_S,
            )

    def baseline_of(self, hardware_class: HardwareClass) -> Experiment:
        """The class's baseline as an experiment."""
        return baseline_experiment(self.challenge.challenge_id, hardware_class, self.baseline.source_hash)

    def baseline_source(self) -> NewSource:
        """The baseline's bytes for the store."""
        return NewSource(
            source_hash=self.baseline.source_hash, text=self.baseline.text.encode(), parent_hash=None
        )

    async def see_class(self, hardware_class: HardwareClass) -> None:
        """Makes a class's baseline known to the judge, so that doing nothing counts as tried."""
        baseline = self.baseline_of(hardware_class)
        if self.index.get(baseline.experiment_id) is None:
            edit = await self.baseline_edit(hardware_class)
            self.index.put(edit)

    async def baseline_edit(self, hardware_class: HardwareClass) -> TriedEdit:
        """A class's baseline as the judge knows it."""
        reading = await self.reader.read(self.baseline)
        return tried_edit(self.baseline_of(hardware_class), StatedChanges(canonical=None), reading)

    async def find_experiment(self, experiment_id: ExperimentId, hardware_class: HardwareClass) -> Experiment:
        """An experiment from the index or the store, or the class's baseline. Raises NotFound."""
        entry = self.catalog.entry(experiment_id)
        if entry is not None:
            return entry.experiment
        baseline = self.baseline_of(hardware_class)
        if experiment_id == baseline.experiment_id:
            return baseline
        record = await self.find_record(experiment_id)
        if record is None:
            raise NotFound(f"there is no experiment {experiment_id}; start from one that the swarm knows")
        return record.experiment

    def check_new_id(self, experiment_id: ExperimentId) -> None:
        """Refuses an id that only a baseline may have. Raises InvalidArgument."""
        if is_reserved_id(self.challenge.challenge_id, experiment_id):
            raise InvalidArgument(
                f"experiment id {experiment_id} is kept for a baseline of this challenge; make a new UUIDv7"
            )

    async def find_record(self, experiment_id: ExperimentId) -> ExperimentRecord | None:
        """What the store has of an experiment; the read index learns it too."""
        record = await self.store.get_experiment(experiment_id, with_logs=False)
        if record is not None:
            self.catalog.put_record(record)
        return record

    async def source_of(self, experiment_id: ExperimentId, hardware_class: HardwareClass) -> SourceText:
        """The code of an experiment. Raises NotFound."""
        if is_baseline_of(self.challenge.challenge_id, hardware_class, experiment_id):
            return self.baseline
        experiment = await self.find_experiment(experiment_id, hardware_class)
        return await self.sources.get(experiment.source_hash)

    async def promotion_context(self, hardware_class: HardwareClass) -> Context:
        """What the domain decides by, now."""
        voters = await self.activity.voters(hardware_class)
        return Context(rules=self.rules, now=self.clock(), voters=voters)

    def class_update(self, decision: Decision) -> ClassUpdate:
        """A decision as the store takes it."""
        state, rules = decision.state, self.rules
        return ClassUpdate(
            state=dump_state(state),
            marks=decision.marks,
            changes=decision.changes,
            working=working_best(state.working, state, rules) if state.working else None,
            confirmed=working_best(state.confirmed, state, rules) if state.confirmed else None,
        )

    def _see_class(self, state: ClassState) -> None:
        self.catalog.set_class(state)
