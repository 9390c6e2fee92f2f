"""Every experiment of a challenge as readers see it, in memory: no listing asks the store.

Rebuilt from the store at the start, then kept current by this process's own writes and by the events of
the others'.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from autoresearch.errors import InvalidArgument, NotFound
from autoresearch.limits import PAGE_LIMIT
from autoresearch.model import (
    Experiment,
    ExperimentId,
    ExperimentOrder,
    ExperimentPage,
    ExperimentQuery,
    ExperimentState,
    ExperimentSummary,
    HardwareClass,
    Idea,
    Position,
    ProgramHash,
    Purpose,
    Result,
    ResultId,
    Usage,
)

from coordinator.domain.claims import Blocking, blocking_of
from coordinator.domain.class_state import ClassState, Rules, Standing
from coordinator.domain.lineage import Step
from coordinator.domain.ordered import OrderedKeys
from coordinator.domain.ranking import Run, Score, best_first, mean_of, run_of, score_of
from coordinator.services.sealing import NOTHING_SEALED, SealedClass, sealed_of
from coordinator.storage.base import ExperimentRecord

REFERENCE_CHARS_MIN = 6
OWN_WRITES_KEPT = 20_000
"""Own writes whose events are still to come; an event of one that was dropped is read again."""

_NOT_OWN = object()
REPLICATES = "replicates:"
"""Flag of an experiment whose file does the same as another's. It changes no best, and its runs, which
anybody can bring, stay out of the other's score."""

ABLATES = "ablates:"
"""Flag of an experiment that is its parent without the edit of another: what its lineage is reckoned by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One experiment with the runs that its score is made of.

    ``result_ids`` are of all its results, ``usage`` is what the agents of its proposer and of its own node
    spent. Its outcome blocks the same edit on machines with up to ``blocks_mb`` of memory; None for one
    that blocks nobody.
    """

    experiment: Experiment
    state: ExperimentState
    reason: str = ""
    runs: tuple[Run, ...] = ()
    result_ids: frozenset[ResultId] = frozenset()
    blocks_mb: float | None = None
    usage: Usage | None = None


class Catalog:
    """The read index of one challenge. What it tells of scores leaves out the runs that are sealed."""

    def __init__(self, rules: Rules, metric_name: str) -> None:
        self._rules = rules
        self._metric_name = metric_name
        self._entries: dict[ExperimentId, Entry] = {}
        self._best: OrderedKeys[tuple[float, ExperimentId]] = OrderedKeys()
        self._best_key: dict[ExperimentId, tuple[float, ExperimentId]] = {}
        self._oldest: OrderedKeys[ExperimentId] = OrderedKeys()
        self._classes: dict[HardwareClass, ClassState] = {}
        self._standings: dict[ExperimentId, Standing] = {}
        self._per_class: Counter[HardwareClass] = Counter()
        self._spreads: dict[HardwareClass, float] = {}
        self._sealed: dict[HardwareClass, SealedClass] = {}
        self._deltas: dict[ExperimentId, float | None] = {}
        self._children: defaultdict[ExperimentId, list[ExperimentId]] = defaultdict(list)
        self._by_program: defaultdict[ProgramHash, list[ExperimentId]] = defaultdict(list)
        self._own_writes: OrderedDict[Position, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put_record(self, record: ExperimentRecord) -> None:
        """What the store says of an experiment; a reading that an own write has overtaken is dropped."""
        experiment, results = record.experiment, record.results
        known = self._entries.get(experiment.experiment_id)
        if known is not None and len(results) < len(known.result_ids):
            return
        scored = [result for result in results if result.result_id not in record.unscored]
        runs = [run_of(result, self._metric_name) for result in scored]
        self._put(
            Entry(
                experiment=experiment,
                state=record.state,
                reason=record.reason,
                runs=tuple([run for run in runs if run is not None]),
                result_ids=frozenset([result.result_id for result in results]),
                blocks_mb=_widest([_blocks_mb(experiment, result) for result in results]),
                usage=_sum_of(
                    [_idea_spent(record), *[_spent(experiment, result) for result in results]],
                ),
            )
        )

    def put_started(self, experiment: Experiment) -> None:
        """An experiment that has begun; nothing if it is known."""
        if experiment.experiment_id not in self._entries:
            self._put(_begun(experiment))

    def add_result(
        self,
        experiment: Experiment,
        result: Result,
        *,
        state: ExperimentState | None,
        reason: str,
        position: Position,
        is_scored: bool = True,
    ) -> None:
        """A result that the store has just taken; nothing if it is counted already."""
        entry = self._entries.get(experiment.experiment_id) or _begun(experiment)
        if result.result_id in entry.result_ids:
            return
        self._own_writes[position] = None
        while len(self._own_writes) > OWN_WRITES_KEPT:
            self._own_writes.popitem(last=False)
        run = run_of(result, self._metric_name) if is_scored else None
        self._put(
            replace(
                entry,
                state=state or entry.state,
                reason=reason if state else entry.reason,
                runs=(*entry.runs, run) if run else entry.runs,
                result_ids=entry.result_ids | {result.result_id},
                blocks_mb=_widest((entry.blocks_mb, _blocks_mb(experiment, result))),
                usage=_sum_of((entry.usage, _spent(experiment, result))),
            )
        )

    def is_own_write(self, position: Position) -> bool:
        """True once for the position of a result that this process has written itself."""
        return self._own_writes.pop(position, _NOT_OWN) is not _NOT_OWN

    def mark(self, experiment_id: ExperimentId, state: ExperimentState, reason: str) -> None:
        """A state that a class update has set."""
        entry = self._entries.get(experiment_id)
        if entry is not None:
            self._put(replace(entry, state=state, reason=reason))

    def set_class(self, state: ClassState) -> None:
        """What is known of a class's bests: levels and spread."""
        before = self._classes.get(state.hardware_class)
        if before is not None:
            for experiment_id in before.standings:
                self._standings.pop(experiment_id, None)
        self._classes[state.hardware_class] = state
        self._spreads[state.hardware_class] = state.spread(self._rules)
        self._standings.update(state.standings)
        self._seal(state.hardware_class, sealed_of(state))

    def classes(self) -> tuple[ClassState, ...]:
        """Every class that is known."""
        return tuple(self._classes.values())

    def count(self, hardware_class: HardwareClass) -> int:
        """How many experiments a class has."""
        return self._per_class[hardware_class]

    def entry(self, experiment_id: ExperimentId) -> Entry | None:
        """One experiment as it is kept."""
        return self._entries.get(experiment_id)

    def state_of(self, experiment_id: ExperimentId) -> ExperimentState | None:
        """How an experiment stands; None if it is unknown."""
        entry = self._entries.get(experiment_id)
        return entry.state if entry else None

    def score_of(self, experiment_id: ExperimentId) -> Score | None:
        """An experiment's score as readers see it."""
        entry = self._entries.get(experiment_id)
        return self._score(entry) if entry else None

    def judged_score_of(self, experiment_id: ExperimentId) -> Score | None:
        """An experiment's score with the runs that are sealed: for the coordinator's own decisions."""
        entry = self._entries.get(experiment_id)
        return score_of(entry.runs, self.spread_of(entry.experiment.hardware_class)) if entry else None

    def sealed_in(self, hardware_class: HardwareClass) -> SealedClass:
        """What is sealed in a class."""
        return self._sealed.get(hardware_class, NOTHING_SEALED)

    def delta_of(self, experiment_id: ExperimentId) -> float | None:
        """Its score minus its parent's, as both are known now; None without either."""
        if experiment_id not in self._deltas:
            entry = self._entries.get(experiment_id)
            self._deltas[experiment_id] = self._delta(entry, self._score(entry)) if entry else None
        return self._deltas[experiment_id]

    def summary(self, experiment_id: ExperimentId) -> ExperimentSummary:
        """One experiment. Raises NotFound."""
        entry = self._entries.get(experiment_id)
        if entry is None:
            raise NotFound(f"there is no experiment {experiment_id}")
        score = self._score(entry)
        standing = self._standings.get(experiment_id)
        return ExperimentSummary(
            experiment=entry.experiment,
            state=entry.state,
            score=score.mean if score else None,
            interval=score.interval if score else None,
            runs=score.runs if score else 0,
            delta=self.delta_of(experiment_id),
            level=standing.level if standing else None,
            confirmed_by=standing.confirmed_by if standing else (),
            reason=entry.reason,
            sealed_runs=len(entry.runs) - len(self._shown(entry)),
            usage=entry.usage,
        )

    def resolve(self, reference: str) -> ExperimentId:
        """The id that a reference means: itself, its start or its end.

        Raises:
            NotFound: no experiment has it.
            InvalidArgument: it is too short, or several experiments have it.
        """
        if ExperimentId(reference) in self._entries:
            return ExperimentId(reference)
        if len(reference) < REFERENCE_CHARS_MIN:
            raise InvalidArgument(
                f"{reference!r} is too short for an experiment; give {REFERENCE_CHARS_MIN} characters or more"
            )
        found = [key for key in self._entries if key.startswith(reference) or key.endswith(reference)]
        if not found:
            raise NotFound(f"there is no experiment {reference[:80]!r}; list them to find its id")
        if len(found) > 1:
            raise InvalidArgument(f"{len(found)} experiments match {reference!r}; give more of the id")
        return found[0]

    def page(self, query: ExperimentQuery) -> ExperimentPage:
        """A page of a listing. Raises InvalidArgument for a bad limit or cursor."""
        if not 1 <= query.limit <= PAGE_LIMIT:
            raise InvalidArgument(f"limit is {query.limit}; give 1 to {PAGE_LIMIT}")
        is_after = not query.cursor
        if query.cursor and ExperimentId(query.cursor) not in self._entries:
            raise InvalidArgument(f"cursor {query.cursor[:80]!r} is not one of this listing; start again")
        shown: list[ExperimentId] = []
        total = 0
        for experiment_id in self._ordered(query.order):
            if self._fits(self._entries[experiment_id], query):
                total += 1
                # One more than the page holds, to know whether there is a next one.
                if is_after and len(shown) <= query.limit:
                    shown.append(experiment_id)
            is_after = is_after or experiment_id == query.cursor
        page = shown[: query.limit]
        return ExperimentPage(
            experiments=tuple(self.summary(experiment_id) for experiment_id in page),
            next_cursor=page[-1] if len(shown) > query.limit else "",
            total=total,
        )

    def in_states(
        self, hardware_class: HardwareClass, states: frozenset[ExperimentState]
    ) -> tuple[ExperimentId, ...]:
        """Experiments of a class that stand in one of some states."""
        return tuple(
            key
            for key, entry in self._entries.items()
            if entry.state in states and entry.experiment.hardware_class == hardware_class
        )

    def children(self, parent_id: ExperimentId) -> tuple[Entry, ...]:
        """Experiments that start from one."""
        return tuple(self._entries[key] for key in self._children.get(parent_id, ()))

    def step(self, experiment_id: ExperimentId) -> Step | None:
        """An experiment as a step of lineages."""
        entry = self._entries.get(experiment_id)
        if entry is None:
            return None
        experiment = entry.experiment
        ablated = next((flag for flag in experiment.flags if flag.startswith(ABLATES)), None)
        return Step(
            experiment_id=experiment_id,
            parents=experiment.parents,
            takes_out=ExperimentId(ablated.removeprefix(ABLATES)) if ablated else None,
        )

    def is_idea_of(self, idea: Idea, hardware_class: HardwareClass) -> bool:
        """True for an idea that says nothing of experiments, or of this class's."""
        about = (*idea.parents[:1], *idea.material_ids[:1])
        entries = [self._entries.get(one) for one in about]
        return all(
            entry is not None and entry.experiment.hardware_class == hardware_class for entry in entries
        )

    def by_program(self) -> Mapping[ProgramHash, Sequence[ExperimentId]]:
        """The experiments that went by each program."""
        return self._by_program

    def _ordered(self, order: ExperimentOrder) -> Iterator[ExperimentId]:
        if order is ExperimentOrder.NEWEST:
            yield from reversed(self._oldest.all())
        else:
            for _, experiment_id in self._best.all():
                yield experiment_id

    def _put(self, entry: Entry) -> None:
        experiment = entry.experiment
        key = experiment.experiment_id
        if key not in self._entries:
            self._oldest.add(key)
            self._per_class[experiment.hardware_class] += 1
            if experiment.parent is not None:
                self._children[experiment.parent].append(key)
            if experiment.hypothesis.program_hash is not None:
                self._by_program[experiment.hypothesis.program_hash].append(key)
        self._entries[key] = entry
        self._rank(key)
        for changed in (key, *self._children.get(key, ())):
            self._deltas.pop(changed, None)

    def _rank(self, key: ExperimentId) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        old = self._best_key.pop(key, None)
        if old is not None:
            self._best.remove(old)
        place = best_first(mean_of(self._shown(entry)), entry.state, key, self._rules)
        self._best_key[key] = place
        self._best.add(place)

    def _seal(self, hardware_class: HardwareClass, sealed: SealedClass) -> None:
        """Places anew what a change of the seal moves: what was sealed, and what is."""
        before = self.sealed_in(hardware_class)
        if before == sealed:
            return
        self._sealed[hardware_class] = sealed
        self._deltas.clear()
        for experiment_id in before.touched | sealed.touched:
            self._rank(experiment_id)

    def _shown(self, entry: Entry) -> tuple[Run, ...]:
        """The runs that readers may see."""
        sealed = self.sealed_in(entry.experiment.hardware_class)
        key = entry.experiment.experiment_id
        if key not in sealed.touched:
            return entry.runs
        return tuple(run for run in entry.runs if not sealed.hides(key, run.purpose, run.verification_id))

    def _score(self, entry: Entry) -> Score | None:
        return score_of(self._shown(entry), self.spread_of(entry.experiment.hardware_class))

    def spread_of(self, hardware_class: HardwareClass) -> float:
        """The standard deviation of a rerun in a class."""
        return self._spreads.get(hardware_class, self._rules.prior_sd)

    def _delta(self, entry: Entry, score: Score | None) -> float | None:
        parent = self._entries.get(entry.experiment.parent) if entry.experiment.parent else None
        if score is None or parent is None or not entry.runs:
            return None
        before = self._score(parent)
        return score.mean - before.mean if before else None

    @staticmethod
    def _fits(entry: Entry, query: ExperimentQuery) -> bool:
        experiment = entry.experiment
        return (
            (query.hardware_class is None or experiment.hardware_class == query.hardware_class)
            and (query.state is None or entry.state is query.state)
            and (query.node_id is None or experiment.node_id == query.node_id)
            and (not query.text or query.text.casefold() in experiment.hypothesis.title.casefold())
        )


def _blocks_mb(experiment: Experiment, result: Result) -> float | None:
    """The memory up to which a result blocks; only its own node's can."""
    if result.purpose is not Purpose.EXPLORE or result.node_id != experiment.node_id:
        return None
    match blocking_of(result.outcome, result.crash_kind):
        case Blocking.ALWAYS:
            return math.inf
        case Blocking.UP_TO_MEMORY:
            return result.hardware.memory_mb
        case Blocking.NEVER:
            return None


def _widest(limits: Iterable[float | None]) -> float | None:
    return max((limit for limit in limits if limit is not None), default=None)


def _begun(experiment: Experiment) -> Entry:
    return Entry(experiment=experiment, state=ExperimentState.RUNNING, usage=experiment.idea_usage)


def _idea_spent(record: ExperimentRecord) -> Usage | None:
    """What was spent on the idea, once: where a run was lost it is still to be run, and counts there."""
    return None if record.state is ExperimentState.LOST else record.experiment.idea_usage


def _spent(experiment: Experiment, result: Result) -> Usage | None:
    """What an agent spent on an experiment; others who run it cannot add to its bill."""
    return result.usage if result.node_id == experiment.node_id else None


def _sum_of(usages: Iterable[Usage | None]) -> Usage | None:
    """All of it together; None where nothing is told."""
    told = [usage for usage in usages if usage is not None]
    return sum(told[1:], told[0]) if told else None
