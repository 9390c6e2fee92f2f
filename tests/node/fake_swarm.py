"""A swarm in memory that a test scripts: tasks are handed out in order, everything asked is written down."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta

from autoresearch.errors import NotFound
from autoresearch.model import (
    Beat,
    Duplicate,
    Experiment,
    ExperimentId,
    ExperimentPage,
    ExperimentState,
    ExploreTask,
    Granted,
    IdleTask,
    Lease,
    NearMatch,
    Outcome,
    Position,
    Published,
    Started,
    WorkingBest,
)
from node_builders import BASELINE, NOW, make_best, make_summary

from node.library import source_hash
from node.swarm.protocol import BestSource

POSITION = Position(epoch=1, stream_id="1-0")


def make_lease(claim_id, token=1):
    return Lease(claim_id=claim_id, fencing_token=token, expires_at=NOW + timedelta(seconds=60), ttl_s=60.0)


def near_match(title="something tried"):
    return NearMatch(
        experiment_id=ExperimentId("e"),
        title=title,
        state=ExperimentState.COMPLETED,
        score=2.0,
        delta=0.1,
        same_parent=True,
        reason="",
    )


class FakeSwarm:
    """Hands out ``tasks``, then explore tasks on the working best for ever."""

    def __init__(self, *, source=BASELINE, tasks=(), verdicts=(), start_verdicts=(), publish_errors=()):
        self.sources = {ExperimentId("parent"): source.encode()}
        self.working_best = make_best("parent")
        self.tasks = deque(tasks)
        self.verdicts = deque(verdicts)
        self.start_verdicts = deque(start_verdicts)
        self.publish_errors = deque(publish_errors)
        self.claims, self.started, self.released, self.published = [], [], [], []
        self.queued_claims, self.proposed = [], []
        self.history = []
        self.swarm_program, self.programs_fetched = None, 0
        self.shared, self.insight_queries, self.share_errors = [], [], deque()
        self.has_published = asyncio.Event()

    async def next_task(self, *, can_propose, can_train):
        if self.tasks:
            task = self.tasks.popleft()
            if isinstance(task, Exception):
                raise task
            return task
        if not can_propose:
            return IdleTask(retry_after_s=30.0, reason="nothing queued")
        return ExploreTask(parent=self._best())

    async def claim(self, claim_id, hypothesis, parent_id, *, queued_claim_id=None):
        self.claims.append((hypothesis, parent_id))
        self.queued_claims.append(queued_claim_id)
        if self.verdicts:
            verdict = self.verdicts.popleft()
            if isinstance(verdict, Exception):
                raise verdict
            if verdict is not None:
                return verdict
        return Granted(lease=make_lease(claim_id))

    async def start(self, lease, experiment_id, source):
        if self.start_verdicts:
            verdict = self.start_verdicts.popleft()
            if isinstance(verdict, Exception):
                raise verdict
            if verdict is not None:
                return verdict
        self.started.append((lease, experiment_id, source))
        self.sources[experiment_id] = source
        return Started(lease=lease, seed=len(self.started), val_seed=100 + len(self.started))

    async def release(self, lease, reason):
        self.released.append((lease.claim_id, reason))

    async def publish(self, publication):
        if self.publish_errors:
            error = self.publish_errors.popleft()
            if error is not None:
                raise error
        self.published.append(publication)
        result, experiment = publication.result, publication.experiment
        score = result.metrics.get("val_bpb")
        state = {
            Outcome.CRASHED: ExperimentState.CRASHED,
            Outcome.TIMED_OUT: ExperimentState.TIMED_OUT,
            Outcome.REJECTED: ExperimentState.REJECTED,
        }.get(result.outcome, ExperimentState.COMPLETED)
        if result.outcome is Outcome.COMPLETED and score < self.working_best.mean:
            self._promote(experiment, score)
            state = ExperimentState.BEST
        self.history.append(
            make_summary(
                experiment_id=experiment.experiment_id,
                parent=experiment.parent,
                changes={c.name: (c.old, c.new) for c in experiment.hypothesis.changes},
                score=score,
                state=state,
            )
        )
        self.has_published.set()
        return Published(
            result_id=result.result_id,
            position=POSITION,
            is_repeat=False,
            is_late=False,
            state=state,
            best=self._best(),
        )

    def _promote(self, experiment: Experiment, score: float) -> None:
        self.working_best = make_best(experiment.experiment_id, mean=score, title=experiment.hypothesis.title)

    def _best(self) -> WorkingBest:
        from dataclasses import replace

        return replace(
            self.working_best, source_hash=source_hash(self.sources[self.working_best.experiment_id])
        )

    async def heartbeat(self, claim_ids, activity):
        return Beat(position=POSITION, renewed=(), lost=(), best_experiment_id=None)

    async def best(self):
        best = self._best()
        return BestSource(best=best, source=self.sources[best.experiment_id])

    async def source(self, experiment_id):
        if experiment_id not in self.sources:
            raise NotFound(f"no experiment {experiment_id}")
        return self.sources[experiment_id]

    async def source_by_hash(self, wanted):
        for source in self.sources.values():
            if source_hash(source) == wanted:
                return source
        raise NotFound(f"no code {wanted}")

    async def experiments(self, query):
        newest = list(reversed(self.history))
        begin = int(query.cursor or 0)
        end = begin + query.limit
        return ExperimentPage(
            experiments=tuple(newest[begin:end]),
            next_cursor=str(end) if end < len(newest) else "",
            total=len(newest),
        )

    async def experiment(self, experiment_id):
        for summary in self.history:
            if summary.experiment.experiment_id == experiment_id:
                return summary
        raise NotFound(f"no experiment {experiment_id}")

    async def propose(self, hypothesis_id, hypothesis, source, origin, *, priority=0, parent=None):
        self.history.append(hypothesis_id)
        self.proposed.append((hypothesis, source, parent))

    async def program(self):
        self.programs_fetched += 1
        return self.swarm_program

    async def share(self, insight):
        self.shared.append(insight)
        if self.share_errors:
            raise self.share_errors.popleft()

    async def insights(self, query):
        self.insight_queries.append(query)
        return tuple(reversed(self.shared))[: query.limit]

    async def close(self):
        pass


def duplicate(title="something tried"):
    return Duplicate(match=near_match(title), level="edit")


class FakeLeases:
    """Remembers what is held; a test may lose claims."""

    def __init__(self):
        self.held, self.lost = set(), set()

    def hold(self, lease):
        self.held.add(lease.claim_id)

    def drop(self, claim_id):
        self.held.discard(claim_id)

    def is_lost(self, claim_id):
        return claim_id in self.lost


class FakeNotebook:
    def __init__(self):
        self.pages = []

    def record(self, page):
        self.pages.append(page)
