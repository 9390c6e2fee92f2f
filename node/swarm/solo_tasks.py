"""What a node alone does next: the baseline, a verification, a waiting idea, or something new."""

from __future__ import annotations

from collections import OrderedDict

from autoresearch import codec
from autoresearch.baseline import baseline_id
from autoresearch.evidence import BASELINE_RUNS
from autoresearch.model import (
    BaselineTask,
    ClaimId,
    ExperimentState,
    ExploreTask,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    IdleTask,
    Outcome,
    QueuedTask,
    ReplicateTask,
    Task,
    WorkingBest,
    new_id,
)
from autoresearch.v1 import ideas_pb2

from node.library import source_hash
from node.swarm.solo_best import SoloBest
from node.swarm.solo_facts import SoloFacts
from node.swarm.solo_leases import SoloLeases
from node.swarm.solo_store import SoloStore

IDLE_RETRY_S = 5.0
BASELINE_FAILURES_LIMIT = 5
PASSED_OVER_LIMIT = 1_000


class SoloTasks:
    """Chooses within its caller's transaction."""

    def __init__(self, store: SoloStore, best: SoloBest, leases: SoloLeases, facts: SoloFacts) -> None:
        self._store = store
        self._best = best
        self._leases = leases
        self._facts = facts
        self._passed_over: OrderedDict[HypothesisId, None] = OrderedDict()

    def pass_over(self, hypothesis_id: HypothesisId) -> None:
        """An idea that was handed back: alone there is nobody else, so it waits for the swarm."""
        self._passed_over[hypothesis_id] = None
        while len(self._passed_over) > PASSED_OVER_LIMIT:
            self._passed_over.popitem(last=False)

    def next(self, hardware_class: HardwareClass, *, can_propose: bool, can_train: bool) -> Task:
        """What needs a run comes before what needs an idea."""
        if not can_train:
            return IdleTask(retry_after_s=IDLE_RETRY_S, reason="alone, only runs move things on")
        task = self._baseline(hardware_class) or self._verification(hardware_class)
        if task is not None:
            return task
        working = self._store.working(hardware_class)
        if working is None:
            return IdleTask(retry_after_s=IDLE_RETRY_S, reason=self._why_no_best(hardware_class))
        queued = self._queued(hardware_class, working, can_code=can_propose)
        if queued is None and not can_propose:
            return IdleTask(retry_after_s=IDLE_RETRY_S, reason="no agent proposes, and no code waits")
        return queued or ExploreTask(parent=working)

    def _baseline(self, hardware_class: HardwareClass) -> BaselineTask | None:
        working = self._store.working(hardware_class)
        first = baseline_id(self._facts.challenge.challenge_id, hardware_class)
        if working is not None and working.experiment_id != first:
            return None
        if self._store.class_row(hardware_class)["swarm_spread"] is not None:
            return None  # the swarm has measured it
        runs = self._store.runs(hardware_class, experiment_id=first)
        completed = sum(run.outcome is Outcome.COMPLETED for run in runs)
        under_way = self._store.live_claims(hardware_class, "baseline")
        wanted = max(BASELINE_RUNS, self._facts.challenge.min_baseline_runs)
        if completed + under_way >= wanted or len(runs) - completed >= BASELINE_FAILURES_LIMIT:
            return None
        source = self._facts.challenge.baseline_source.encode()
        self._store.put_source(source_hash(source), source)
        experiment = self._facts.experiment(first, Hypothesis(title="baseline"), source, hardware_class)
        self._store.put_experiment(experiment, ExperimentState.RUNNING)
        lease = self._leases.grant(hardware_class, ClaimId(new_id()), "baseline", "")
        return BaselineTask(
            lease=lease, experiment_id=first, seed=self._facts.draw_seed(), val_seed=self._facts.draw_seed()
        )

    def _verification(self, hardware_class: HardwareClass) -> ReplicateTask | None:
        open_one = self._store.open_verification(hardware_class)
        if open_one is None:
            return None
        under_way = self._store.live_claims(hardware_class, "verification", open_one.verification_id)
        if not self._best.wants_pair(hardware_class, under_way):
            return None
        self._store.count_pair(open_one.verification_id)
        lease = self._leases.grant(
            hardware_class, ClaimId(new_id()), "verification", "", subject=open_one.verification_id
        )
        return ReplicateTask(
            lease=lease,
            verification_id=open_one.verification_id,
            candidate_id=open_one.candidate_id,
            control_id=open_one.previous.experiment_id,
            seed=self._facts.draw_seed(),
            val_seed=self._facts.draw_seed(),
        )

    def _queued(
        self, hardware_class: HardwareClass, working: WorkingBest, *, can_code: bool
    ) -> QueuedTask | None:
        """Of the highest priority the oldest; where no agent writes code, of those that bring their own."""
        waiting = (
            codec.idea_from_message(ideas_pb2.Idea.FromString(row["message"]))
            for row in self._store.waiting_idea_rows(hardware_class)
        )
        fitting = (
            idea
            for idea in waiting
            if (can_code or idea.source_hash is not None) and idea.hypothesis_id not in self._passed_over
        )
        idea = max(fitting, key=lambda one: one.priority, default=None)
        if idea is None:
            return None
        lease = self._leases.grant(
            hardware_class, ClaimId(new_id()), "queued", "", subject=idea.hypothesis_id
        )
        return QueuedTask(
            lease=lease,
            hypothesis_id=idea.hypothesis_id,
            hypothesis=idea.hypothesis,
            parent=working,
            source_hash=idea.source_hash,
            kind=idea.kind,
            material_ids=idea.material_ids,
        )

    def _why_no_best(self, hardware_class: HardwareClass) -> str:
        if self._store.live_claims(hardware_class, "baseline"):
            return "the baseline is being measured"
        return f"the baseline failed {BASELINE_FAILURES_LIMIT} times here; run: autoresearch-node doctor"
