"""What readers see, from an in-memory index; no listing queries the store."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from autoresearch.edits import EditError, constants_of
from autoresearch.edits.values import canonical_text
from autoresearch.errors import InvalidArgument, NotFound
from autoresearch.limits import COMPARE_LIMIT, check_source_hash
from autoresearch.model import (
    BestChange,
    ClassStatus,
    Comparison,
    ExperimentId,
    ExperimentPage,
    ExperimentQuery,
    ExperimentSummary,
    HardwareClass,
    KnobRow,
    Level,
    Node,
    Result,
    SourceHash,
    SwarmStatus,
    WorkingBest,
)

from coordinator.domain.baseline import is_reserved_id
from coordinator.domain.class_state import ClassState, working_best
from coordinator.services.classes import ACTIVE_WINDOW
from coordinator.services.context import ChallengeContext
from coordinator.storage.base import Credit, StoreHealth

COMPARE_MIN = 2
KNOBS_LIMIT = 200
HEALTH_REFRESH_S = 5.0


class Leaderboard:
    """Read only."""

    def __init__(self, context: ChallengeContext, health: Callable[[], Awaitable[StoreHealth]]) -> None:
        self._c = context
        self._ask_health = health
        self._health: StoreHealth | None = None
        self._health_at = 0.0
        self._started = time.monotonic()

    async def get_status(self) -> SwarmStatus:
        """The challenge at a glance."""
        challenge, store = self._c.challenge, self._c.store
        health = await self._store_health()
        counts = await store.counts()
        nodes = await self._c.activity.nodes()
        oldest = self._c.clock() - ACTIVE_WINDOW
        return SwarmStatus(
            challenge_id=challenge.challenge_id,
            challenge_name=challenge.name,
            metric_name=challenge.metric_name,
            direction=challenge.direction,
            classes=tuple(self._class_status(state) for state in self._c.catalog.classes()),
            global_best=await store.get_global_best(),
            experiments=counts.experiments,
            results=counts.results,
            live_claims=counts.live_claims,
            queued=counts.queued,
            nodes_live=sum(node.is_active(oldest) for node in nodes),
            nodes=len(nodes),
            duplicates_stopped=self._c.tally.duplicates_stopped,
            position=await store.position(),
            store=health.description,
            is_read_only=not health.is_writable,
            version=self._c.settings.version,
            uptime_s=time.monotonic() - self._started,
        )

    async def list_experiments(self, query: ExperimentQuery) -> ExperimentPage:
        """A page of experiments. Raises InvalidArgument for a bad limit or cursor."""
        return self._c.catalog.page(query)

    async def get_experiment(self, reference: str) -> tuple[ExperimentSummary, tuple[Result, ...]]:
        """One experiment with its runs, by id or by a start or end of 6 characters that only one id has.

        Runs that are sealed are counted and left out.

        Raises:
            NotFound: no id has it.
            InvalidArgument: it is too short, or several ids have it.
        """
        experiment_id = await self._resolve(reference)
        record = await self._c.store.get_experiment(experiment_id)
        if record is None:
            raise NotFound(f"there is no experiment {reference[:80]!r}; list them to find its id")
        self._c.catalog.put_record(record)
        # Another replica may have taken a run in whose pair this one has not heard of.
        await self._c.classes.refresh(record.experiment.hardware_class)
        sealed = self._c.catalog.sealed_in(record.experiment.hardware_class)
        shown = tuple(
            result
            for result in record.results
            if not sealed.hides(experiment_id, result.purpose, result.verification_id)
        )
        summary = self._c.catalog.summary(experiment_id)
        return replace(summary, sealed_runs=len(record.results) - len(shown)), shown

    async def get_source(self, *, reference: str = "", source_hash: str = "") -> tuple[SourceHash, bytes]:
        """The bytes of a train.py by experiment or by hash.

        Raises:
            NotFound: there is no such experiment or source.
            InvalidArgument: neither is given, or the reference fits several experiments.
        """
        if source_hash:
            check_source_hash(source_hash, "source_hash")
            text = await self._c.sources.get(SourceHash(source_hash))
            return text.source_hash, text.text.encode()
        if not reference:
            raise InvalidArgument("give an experiment or a source hash")
        if is_reserved_id(self._c.challenge.challenge_id, ExperimentId(reference)):
            return self._c.baseline.source_hash, self._c.baseline.text.encode()
        experiment_id = await self._resolve(reference)
        experiment = self._c.catalog.summary(experiment_id).experiment
        text = await self._c.sources.get(experiment.source_hash)
        return text.source_hash, text.text.encode()

    async def list_nodes(self) -> tuple[Node, ...]:
        """Who takes part, with credit."""
        credit = await self._c.store.get_credit()
        nodes = []
        for node in await self._c.activity.nodes():
            given = credit.get(node.node_id, Credit())
            nodes.append(
                replace(
                    node,
                    results=given.results,
                    train_s=given.train_s,
                    bests=given.bests,
                    ideas_run=given.ideas_run,
                )
            )
        return tuple(sorted(nodes, key=lambda node: (-node.results, node.enrolled_at)))

    async def get_progress(self, hardware_class: HardwareClass | None = None) -> tuple[BestChange, ...]:
        """Changes of working bests, oldest first."""
        return await self._c.store.get_history(hardware_class or None)

    async def compare(self, references: Sequence[str]) -> Comparison:
        """2 to 8 experiments side by side.

        Raises:
            InvalidArgument: too few, too many, or the same one twice.
            NotFound: one is unknown.
        """
        if not COMPARE_MIN <= len(references) <= COMPARE_LIMIT:
            raise InvalidArgument(
                f"{len(references)} experiments are named; give {COMPARE_MIN} to {COMPARE_LIMIT}"
            )
        ids = [await self._resolve(reference) for reference in references]
        if len(set(ids)) != len(ids):
            raise InvalidArgument("the same experiment is named twice; name different ones")
        summaries = tuple(self._c.catalog.summary(experiment_id) for experiment_id in ids)
        tables = [await self._constants(summary) for summary in summaries]
        names = dict.fromkeys(name for table in tables for name in table)
        rows = (KnobRow(name=name, values=tuple(table.get(name) for table in tables)) for name in names)
        differing = [row for row in rows if len(set(row.values)) > 1]
        return Comparison(experiments=summaries, knobs=tuple(differing[:KNOBS_LIMIT]))

    async def get_best(self, hardware_class: HardwareClass) -> WorkingBest:
        """What the class builds on. Raises NotFound while it has none."""
        view = await self._c.classes.get(hardware_class)
        if view.state.working is None:
            raise NotFound(f"class {hardware_class or '(unnamed)'} has no baseline yet; ask again later")
        return working_best(view.state.working, view.state, self._c.rules)

    async def working_bests(self) -> tuple[WorkingBest, ...]:
        """What each class builds on (for a watcher's snapshot)."""
        return tuple(
            working_best(state.working, state, self._c.rules)
            for state in self._c.catalog.classes()
            if state.working is not None
        )

    async def _resolve(self, reference: str) -> ExperimentId:
        """As the catalog does; an id that another replica has just made is looked up in the store."""
        try:
            return self._c.catalog.resolve(reference)
        except NotFound:
            if await self._c.find_record(ExperimentId(reference)) is None:
                raise
            return ExperimentId(reference)

    async def _constants(self, summary: ExperimentSummary) -> dict[str, str]:
        text = await self._c.sources.get(summary.experiment.source_hash)
        try:
            # Parsed when it came in by the same rules, so it is known to be bounded.
            table = constants_of(text.text)
        except EditError:
            return {}
        return {constant.name: canonical_text(constant.value) for constant in table.constants}

    async def _store_health(self) -> StoreHealth:
        now = time.monotonic()
        if self._health is None or now - self._health_at >= HEALTH_REFRESH_S:
            self._health = await self._ask_health()
            self._health_at = now
        return self._health

    def _class_status(self, state: ClassState) -> ClassStatus:
        rules, working, confirmed = self._c.rules, state.working, state.confirmed
        is_verifying = working is not None and working.level not in (Level.BASELINE, Level.CONFIRMED)
        return ClassStatus(
            hardware_class=state.hardware_class,
            best=working_best(working, state, rules) if working else None,
            confirmed=working_best(confirmed, state, rules) if confirmed else None,
            baseline_mean=state.baseline.mean if state.baseline else None,
            baseline_runs=len(state.baseline.control_runs) if state.baseline else 0,
            spread=state.spread(rules),
            experiments=self._c.catalog.count(state.hardware_class),
            verifying=working.experiment_id if working is not None and is_verifying else None,
        )
