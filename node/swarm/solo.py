"""A swarm of one: the same Protocol answered from local SQLite, with its own claims, dedup and best.

Workers of one machine share it. What it learned of the swarm while there was one (the best, what was
tried) counts here too, so that going on alone repeats nothing.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autoresearch import codec, limits
from autoresearch.baseline import baseline_id
from autoresearch.challenge import Challenge
from autoresearch.errors import Conflict, InvalidArgument, LeaseLost, NotFound, UnknownChallenge
from autoresearch.evidence import BASELINE_RUNS
from autoresearch.model import (
    PROTOCOL_MAX,
    BaselineTask,
    Beat,
    ChallengeText,
    ClaimId,
    ClaimVerdict,
    Duplicate,
    Experiment,
    ExperimentId,
    ExperimentPage,
    ExperimentQuery,
    ExperimentState,
    ExperimentSummary,
    ExploreTask,
    Granted,
    Hardware,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    IdleTask,
    Intent,
    Lease,
    NodeId,
    Outcome,
    OwnerId,
    Position,
    Published,
    Purpose,
    QueuedTask,
    ReplicateTask,
    Result,
    Session,
    SourceHash,
    Started,
    StartRefused,
    StartVerdict,
    Task,
    WorkingBest,
    new_id,
)
from autoresearch.v1 import ideas_pb2, types_pb2

from node.library import source_hash
from node.swarm.protocol import BestSource, Publication
from node.swarm.solo_best import SoloBest, SoloRules
from node.swarm.solo_keys import EditKeys, keys_of_code, keys_of_words, level_of
from node.swarm.solo_listing import SoloListing
from node.swarm.solo_store import SoloStore

LEASE_TTL_S = 300.0
HEARTBEAT_S = 30.0
EPOCH = 0
"""There are no failovers here, and a coordinator's epochs begin at 1."""
IDLE_RETRY_S = 5.0
BASELINE_FAILURES_LIMIT = 5
SEED_BITS = 31
REPEATABLE_CRASHES = frozenset({"", "killed", "no_report", "cancelled", "start"})
"""Crashes that say nothing about the code: trying it again is not repeating."""

_STATE_OF = {
    Outcome.COMPLETED: ExperimentState.COMPLETED,
    Outcome.CRASHED: ExperimentState.CRASHED,
    Outcome.TIMED_OUT: ExperimentState.TIMED_OUT,
    Outcome.REJECTED: ExperimentState.REJECTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloWin:
    """A best that was found alone; ``hypothesis_id`` is the idea's, should it have to be proposed anew."""

    experiment: Experiment
    hypothesis_id: HypothesisId
    is_outdated: bool


class SoloSwarm:
    """``Swarm`` without a coordinator. Raises SwarmError; a full disk is sqlite3's error."""

    def __init__(
        self,
        path: Path,
        challenge: Challenge,
        node_id: NodeId,
        *,
        owner_id: OwnerId | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> None:
        """Opens or makes the file at ``path``, which belongs to this challenge alone."""
        self._store = SoloStore(path)
        self._challenge = challenge
        self._node_id = node_id
        self._owner_id = owner_id or OwnerId(node_id)
        self._now = now
        self._rng = rng or random.SystemRandom()
        rules = SoloRules(direction=challenge.direction, prior_sd=challenge.prior_sd)
        self._best = SoloBest(self._store, rules, now=now)
        self._listing = SoloListing(self._store, self._best, rules)
        self._hardware: Hardware | None = None

    # The Protocol

    async def connect(self, hardware: Hardware, challenge: str = "") -> Session:
        if challenge not in ("", self._challenge.name, self._challenge.challenge_id):
            raise UnknownChallenge(f"alone this node works on {self._challenge.name}, not on {challenge}")
        limits.check_hardware(hardware)
        self._hardware = hardware
        return Session(
            protocol=PROTOCOL_MAX,
            challenge=ChallengeText(
                challenge_id=self._challenge.challenge_id,
                name=self._challenge.name,
                manifest_toml=self._challenge.manifest_toml,
                baseline_source=self._challenge.baseline_source,
                program_md=self._challenge.program_md,
            ),
            position=self._position(),
            lease_ttl_s=LEASE_TTL_S,
            heartbeat_interval_s=HEARTBEAT_S,
            owner_id=self._owner_id,
            best=self._store.working(self._class),
        )

    async def next_task(self, *, can_propose: bool, can_train: bool) -> Task:
        if not can_train:
            return IdleTask(retry_after_s=IDLE_RETRY_S, reason="alone, only runs move things on")
        with self._store.transaction():
            self._store.end_expired(self._now())
            task = self._baseline_task() or self._verification_task()
            if task is not None:
                return task
            working = self._store.working(self._class)
            if working is None:
                return IdleTask(retry_after_s=IDLE_RETRY_S, reason=self._why_no_best())
            queued = self._queued_task(working) if can_propose else None
            if queued is not None:
                return queued
        if can_propose:
            return ExploreTask(parent=working)
        return IdleTask(retry_after_s=IDLE_RETRY_S, reason="no agent proposes, and nothing waits")

    async def claim(
        self,
        claim_id: ClaimId,
        hypothesis: Hypothesis,
        parent_id: ExperimentId,
        *,
        queued_claim_id: ClaimId | None = None,
    ) -> ClaimVerdict:
        limits.check_uuid(claim_id, "claim_id")
        limits.check_hypothesis(hypothesis)
        parent_source = await self.source(parent_id)
        stated = await asyncio.to_thread(keys_of_words, hypothesis, parent_id, parent_source)
        raw = codec.hypothesis_to_message(hypothesis).SerializeToString(deterministic=True)
        fingerprint = f"{parent_id}:{raw.hex()}"
        with self._store.transaction():
            self._store.end_expired(self._now())
            known = self._store.claim_row(claim_id)
            advice = self._listing.advice(self._class, stated)
            if known is not None:
                if known["fingerprint"] != fingerprint:
                    raise Conflict(f"the claim id {claim_id} was used for something else; make a new one")
                return Granted(lease=_lease_of(known), advice=advice)
            found = self._find_duplicate(stated, claim_id, hypothesis.intent)
            if found is not None:
                match = self._listing.near_match(found[1], parent_id)
                return Duplicate(match=match, level=level_of(found[0]), advice=advice)
            subject = None
            if queued_claim_id is not None:
                queued = self._store.claim_row(queued_claim_id)
                if queued is None or queued["kind"] != "queued":
                    raise LeaseLost(
                        f"the waiting idea's lease {queued_claim_id} is gone; ask for another task"
                    )
                subject = queued["subject"]
                self._store.end_claim(queued_claim_id)
            lease = self._grant(
                claim_id, "hypothesis", fingerprint, parent_id=parent_id, hypothesis=raw, subject=subject
            )
            self._store.hold_keys(self._class, claim_id, stated.keys)
            return Granted(lease=lease, advice=advice)

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        limits.check_uuid(experiment_id, "experiment_id")
        limits.check_source(source)
        row = self._held(lease)
        hypothesis = codec.hypothesis_from_message(types_pb2.Hypothesis.FromString(row["hypothesis"]))
        parent_id = ExperimentId(row["parent_id"])
        parent_source = await self.source(parent_id)
        done = await asyncio.to_thread(keys_of_code, source, hypothesis, parent_id, parent_source)
        with self._store.transaction():
            self._store.end_expired(self._now())
            row = self._held(lease)
            if row["experiment_id"] is not None:
                return self._started_before(row, experiment_id, source, done)
            if self._store.experiment_row(experiment_id) is not None:
                raise Conflict(f"the experiment id {experiment_id} was used before; make a new one")
            found = self._find_duplicate(done, lease.claim_id, hypothesis.intent)
            if found is not None:
                self._store.end_claim(lease.claim_id)
                match = self._listing.near_match(found[1], parent_id)
                return StartRefused(match=match, level=level_of(found[0]))
            self._store.hold_keys(self._class, lease.claim_id, done.keys)
            self._store.put_source(source_hash(source), source)
            experiment = self._experiment(
                experiment_id, hypothesis, source, parents=(parent_id,), flags=done.flags
            )
            self._store.put_experiment(experiment, ExperimentState.RUNNING)
            self._store.put_knobs(self._class, done.knobs, experiment_id)
            seed, val_seed = self._draw(), self._draw()
            self._store.connection.execute(
                "UPDATE claims SET experiment_id = ?, seed = ?, val_seed = ? WHERE claim_id = ?",
                (experiment_id, seed, val_seed, lease.claim_id),
            )
            return Started(lease=self._renew(lease.claim_id), seed=seed, val_seed=val_seed, flags=done.flags)

    async def release(self, lease: Lease, reason: str) -> None:
        del reason
        with self._store.transaction():
            row = self._store.claim_row(lease.claim_id)
            if row is not None and row["token"] == lease.fencing_token:
                self._store.end_claim(lease.claim_id)

    async def publish(self, publication: Publication) -> Published:
        result = publication.result
        limits.check_experiment(publication.experiment)
        limits.check_source(publication.source)
        limits.check_result(result, metric=self._challenge.metric_name)
        self._check_same(publication)
        raw = codec.result_to_message(result).SerializeToString(deterministic=True)
        done = await self._keys_of(publication)
        with self._store.transaction():
            known = self._store.result_bytes(result.result_id)
            if known is not None and known != raw:
                raise Conflict(
                    f"the result id {result.result_id} was used for another result; make a new one"
                )
            if known is None:
                self._record(publication, done, raw)
                self._decide(result)
                self._end_lease(publication)
            row = self._store.experiment_row(result.experiment_id)
            state = ExperimentState(row["state"]) if row is not None else _STATE_OF[result.outcome]
            return Published(
                result_id=result.result_id,
                position=self._position(),
                is_repeat=known is not None,
                is_late=False,
                state=state,
                best=self._store.working(result.hardware.hardware_class),
            )

    async def heartbeat(self, claim_ids: Sequence[ClaimId], activity: str) -> Beat:
        del activity
        with self._store.transaction():
            self._store.end_expired(self._now())
            live = [claim_id for claim_id in claim_ids if self._store.claim_row(claim_id) is not None]
            renewed = tuple(self._renew(claim_id) for claim_id in live)
        working = self._store.working(self._class)
        return Beat(
            position=self._position(),
            renewed=renewed,
            lost=tuple(claim_id for claim_id in claim_ids if claim_id not in live),
            best_experiment_id=working.experiment_id if working else None,
        )

    async def best(self) -> BestSource | None:
        working = self._store.working(self._class)
        if working is None:
            return None
        return BestSource(best=working, source=await self.source(working.experiment_id))

    async def source(self, experiment_id: ExperimentId) -> bytes:
        source = self._store.source_of(experiment_id)
        if source is None:
            raise NotFound(f"the code of {experiment_id} is not on this machine")
        return source

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        return self._listing.page(query)

    async def propose(
        self,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None,
        origin: ExperimentId | None,
    ) -> None:
        limits.check_uuid(hypothesis_id, "hypothesis_id")
        limits.check_hypothesis(hypothesis)
        if source is not None:
            limits.check_source(source)
        call = codec.hypothesis_to_message(hypothesis).SerializeToString(deterministic=True)
        fingerprint = f"{origin}:{source_hash(source) if source else None}:{call.hex()}"
        idea = Idea(
            hypothesis_id=hypothesis_id,
            hypothesis=hypothesis,
            node_id=self._node_id,
            proposed_at=self._now(),
            origin_experiment_id=origin,
            source_hash=source_hash(source) if source else None,
        )
        with self._store.transaction():
            known = self._store.connection.execute(
                "SELECT fingerprint FROM ideas WHERE hypothesis_id = ?", (hypothesis_id,)
            ).fetchone()
            if known is not None:
                if known["fingerprint"] != fingerprint:
                    raise Conflict(f"the hypothesis id {hypothesis_id} was used for another idea")
                return
            if source is not None:
                self._store.put_source(source_hash(source), source)
            self._store.connection.execute(
                "INSERT INTO ideas (hypothesis_id, seq, message, fingerprint) VALUES (?, ?, ?, ?)",
                (
                    hypothesis_id,
                    self._store.next_number(),
                    codec.idea_to_message(idea).SerializeToString(),
                    fingerprint,
                ),
            )

    async def close(self) -> None:
        self._store.close()

    # What the swarm told while there was one

    async def adopt_best(self, known: BestSource) -> None:
        """The swarm's best is what this node builds on, from now on and when it is alone."""
        best = known.best
        keys = await asyncio.to_thread(keys_of_code, known.source, Hypothesis(title=best.title), None, None)
        with self._store.transaction():
            self._store.put_source(best.source_hash, known.source)
            experiment = self._experiment(
                best.experiment_id, Hypothesis(title=best.title or "best"), known.source
            )
            experiment = replace(
                experiment, hardware_class=best.hardware_class, node_id=best.node_id or self._node_id
            )
            self._store.put_experiment(experiment, ExperimentState.BEST)
            self._store.put_tried(best.hardware_class, keys.keys, best.experiment_id)
            self._best.adopt(best)

    async def learn(self, summaries: Sequence[ExperimentSummary]) -> None:
        """What the swarm has tried is not tried again here, as far as its words say what it was."""
        stated = [await self._stated(summary.experiment) for summary in summaries]
        with self._store.transaction():
            for summary, words in zip(summaries, stated, strict=True):
                experiment = summary.experiment
                self._store.put_experiment(experiment, summary.state)
                self._store.set_summary(summary)
                self._store.put_tried(experiment.hardware_class, words.keys, experiment.experiment_id)
                self._store.put_knobs(experiment.hardware_class, words.knobs, experiment.experiment_id)

    async def learn_run(self, publication: Publication) -> None:
        """A run of this node that the swarm has taken: its code is known here too, and decides nothing."""
        done = await self._keys_of(publication)
        experiment = publication.experiment
        with self._store.transaction():
            self._keep_experiment(publication, done)
            if _blocks(publication.result):
                self._store.put_tried(experiment.hardware_class, done.keys, experiment.experiment_id)

    def unforwarded_ideas(self) -> tuple[tuple[Idea, bytes | None], ...]:
        """Ideas proposed here that no coordinator has heard, with their code."""
        rows = self._store.connection.execute("SELECT message FROM ideas WHERE is_forwarded = 0 ORDER BY seq")
        ideas = [codec.idea_from_message(ideas_pb2.Idea.FromString(row["message"])) for row in rows]
        return tuple((idea, self._code(idea.source_hash)) for idea in ideas)

    def mark_forwarded(self, hypothesis_id: HypothesisId) -> None:
        """The coordinator has the idea; it is its queue's now."""
        self._store.connection.execute(
            "UPDATE ideas SET is_forwarded = 1, is_done = 1 WHERE hypothesis_id = ?", (hypothesis_id,)
        )

    def unsettled_wins(self, best: WorkingBest | None) -> tuple[SoloWin, ...]:
        """Bests that were found alone and not settled since, oldest first; refuted ones are none.

        A win is outdated unless it, or the win that it builds on, starts from the code of ``best``.
        """
        rows = self._store.win_rows()
        base_of = {row["experiment_id"]: _experiment_of(row).parent for row in rows}
        wins = []
        for row in rows:
            base = base_of[row["experiment_id"]]
            while base in base_of:
                base = base_of[base]
            base_row = self._store.experiment_row(base) if base is not None else None
            is_current = (
                best is not None and base_row is not None and base_row["source_hash"] == best.source_hash
            )
            wins.append(
                SoloWin(
                    experiment=_experiment_of(row),
                    hypothesis_id=HypothesisId(row["hypothesis_id"]),
                    is_outdated=best is not None and not is_current,
                )
            )
        return tuple(wins)

    def settle_win(self, win: SoloWin) -> None:
        """The swarm knows of it."""
        self._store.connection.execute(
            "UPDATE wins SET is_settled = 1 WHERE experiment_id = ?", (win.experiment.experiment_id,)
        )

    # Tasks

    def _baseline_task(self) -> BaselineTask | None:
        working = self._store.working(self._class)
        first = baseline_id(self._challenge.challenge_id, self._class)
        if working is not None and working.experiment_id != first:
            return None
        if self._store.class_row(self._class)["swarm_spread"] is not None:
            return None  # the swarm has measured it
        runs = self._store.runs(self._class, experiment_id=first)
        completed = sum(run.outcome is Outcome.COMPLETED for run in runs)
        under_way = self._store.live_claims(self._class, "baseline")
        wanted = max(BASELINE_RUNS, self._challenge.min_baseline_runs)
        if completed + under_way >= wanted or len(runs) - completed >= BASELINE_FAILURES_LIMIT:
            return None
        source = self._challenge.baseline_source.encode()
        self._store.put_source(source_hash(source), source)
        experiment = self._experiment(first, Hypothesis(title="baseline"), source)
        self._store.put_experiment(experiment, ExperimentState.RUNNING)
        lease = self._grant(ClaimId(new_id()), "baseline", "")
        return BaselineTask(lease=lease, experiment_id=first, seed=self._draw(), val_seed=self._draw())

    def _verification_task(self) -> ReplicateTask | None:
        open_one = self._store.open_verification(self._class)
        if open_one is None:
            return None
        under_way = self._store.live_claims(self._class, "verification", open_one.verification_id)
        if not self._best.wants_pair(self._class, under_way):
            return None
        self._store.count_pair(open_one.verification_id)
        lease = self._grant(ClaimId(new_id()), "verification", "", subject=open_one.verification_id)
        return ReplicateTask(
            lease=lease,
            verification_id=open_one.verification_id,
            candidate_id=open_one.candidate_id,
            control_id=open_one.previous.experiment_id,
            seed=self._draw(),
            val_seed=self._draw(),
        )

    def _queued_task(self, working: WorkingBest) -> QueuedTask | None:
        row = self._store.next_idea_row(self._class)
        if row is None:
            return None
        idea = codec.idea_from_message(ideas_pb2.Idea.FromString(row["message"]))
        lease = self._grant(ClaimId(new_id()), "queued", "", subject=idea.hypothesis_id)
        return QueuedTask(
            lease=lease,
            hypothesis_id=idea.hypothesis_id,
            hypothesis=idea.hypothesis,
            parent=working,
            source_hash=idea.source_hash,
        )

    def _why_no_best(self) -> str:
        if self._store.live_claims(self._class, "baseline"):
            return "the baseline is being measured"
        return f"the baseline failed {BASELINE_FAILURES_LIMIT} times here; run: autoresearch-node doctor"

    # Claims

    def _grant(
        self,
        claim_id: ClaimId,
        kind: str,
        fingerprint: str,
        *,
        parent_id: ExperimentId | None = None,
        hypothesis: bytes | None = None,
        subject: str | None = None,
    ) -> Lease:
        token = self._store.next_number()
        self._store.connection.execute(
            "INSERT INTO claims (claim_id, hardware_class, kind, token, expires_at, fingerprint, parent_id,"
            " hypothesis, subject) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (claim_id, self._class, kind, token, 0.0, fingerprint, parent_id, hypothesis, subject),
        )
        return self._renew(claim_id)

    def _renew(self, claim_id: ClaimId) -> Lease:
        expires_at = self._now() + timedelta(seconds=LEASE_TTL_S)
        self._store.connection.execute(
            "UPDATE claims SET expires_at = ? WHERE claim_id = ?", (expires_at.timestamp(), claim_id)
        )
        row = self._store.claim_row(claim_id)
        if row is None:
            raise LeaseLost(f"the claim {claim_id} is gone; claim again")
        return _lease_of(row)

    def _held(self, lease: Lease) -> sqlite3.Row:
        row = self._store.claim_row(lease.claim_id)
        if (
            row is None
            or row["token"] != lease.fencing_token
            or row["kind"] != "hypothesis"
            or row["expires_at"] <= self._now().timestamp()
        ):
            raise LeaseLost(f"the claim {lease.claim_id} expired or was given back; claim again")
        return row

    def _find_duplicate(
        self, edit: EditKeys, claim_id: ClaimId, intent: Intent
    ) -> tuple[str, ExperimentId | sqlite3.Row] | None:
        held = self._store.holder_of(self._class, edit.keys, claim_id)
        if held is not None:
            return held
        return None if intent is Intent.RETEST else self._store.tried_by(self._class, edit.keys)

    def _started_before(
        self, row: sqlite3.Row, experiment_id: ExperimentId, source: bytes, done: EditKeys
    ) -> Started:
        known = self._store.experiment_row(experiment_id)
        is_same = row["experiment_id"] == experiment_id
        if not is_same or known is None or known["source_hash"] != source_hash(source):
            raise Conflict(f"the claim {row['claim_id']} has started other code; claim again")
        lease = self._renew(ClaimId(row["claim_id"]))
        return Started(lease=lease, seed=row["seed"], val_seed=row["val_seed"], flags=done.flags)

    # Results

    async def _stated(self, experiment: Experiment) -> EditKeys:
        parent_source = self._store.source_of(experiment.parent) if experiment.parent else None
        if experiment.parent is None or parent_source is None:
            return EditKeys()
        return await asyncio.to_thread(keys_of_words, experiment.hypothesis, experiment.parent, parent_source)

    async def _keys_of(self, publication: Publication) -> EditKeys:
        experiment = publication.experiment
        parent_source = self._store.source_of(experiment.parent) if experiment.parent else None
        return await asyncio.to_thread(
            keys_of_code, publication.source, experiment.hypothesis, experiment.parent, parent_source
        )

    def _check_same(self, publication: Publication) -> None:
        result, experiment = publication.result, publication.experiment
        if {result.challenge_id, experiment.challenge_id} != {self._challenge.challenge_id}:
            raise UnknownChallenge(f"this is {self._challenge.challenge_id}, not {result.challenge_id}")
        if experiment.experiment_id != result.experiment_id:
            raise InvalidArgument("the publication's experiment is not the one of its result")
        if not source_hash(publication.source) == experiment.source_hash == result.code_hash:
            raise InvalidArgument("the publication's code does not have the hash that its result names")

    def _keep_experiment(self, publication: Publication, done: EditKeys) -> None:
        experiment = publication.experiment
        self._store.put_source(experiment.source_hash, publication.source)
        self._store.put_experiment(experiment, _STATE_OF[publication.result.outcome])
        self._store.put_knobs(experiment.hardware_class, done.knobs, experiment.experiment_id)

    def _record(self, publication: Publication, done: EditKeys, raw: bytes) -> None:
        result, experiment = publication.result, publication.experiment
        score = None
        if result.outcome is Outcome.COMPLETED:
            score = result.metrics[self._challenge.metric_name]
        self._keep_experiment(publication, done)
        self._store.put_result(result, score, raw)
        row = self._store.experiment_row(result.experiment_id)
        if row is not None and row["state"] in (ExperimentState.RUNNING, ExperimentState.LOST):
            self._store.mark(result.experiment_id, _STATE_OF[result.outcome], result.reason)
        if _blocks(result):
            self._store.put_tried(experiment.hardware_class, done.keys, experiment.experiment_id)
        if score is not None and experiment.parent is not None and result.purpose is Purpose.EXPLORE:
            reference = self._listing.mean(experiment.hardware_class, experiment.parent)
            if reference is not None:
                self._store.set_delta(experiment.experiment_id, score - reference)

    def _decide(self, result: Result) -> None:
        hardware_class = result.hardware.hardware_class
        if result.purpose is Purpose.BASELINE:
            if result.experiment_id == baseline_id(self._challenge.challenge_id, hardware_class):
                self._best.take_baseline(hardware_class, result.experiment_id)
        elif result.purpose is Purpose.EXPLORE:
            if result.outcome is Outcome.COMPLETED:
                score = result.metrics[self._challenge.metric_name]
                self._best.take_exploration(hardware_class, result.experiment_id, score)
        else:
            self._best.take_verification(hardware_class)

    def _end_lease(self, publication: Publication) -> None:
        """The run's claim is done; a pair's only with its second run."""
        if publication.lease is None:
            return
        row = self._store.claim_row(publication.lease.claim_id)
        if row is None or row["token"] != publication.lease.fencing_token:
            return
        result = publication.result
        if row["kind"] == "verification":
            runs = self._store.runs(result.hardware.hardware_class, verification=result.verification_id)
            if len({run.purpose for run in runs if run.seed == result.seed}) < 2:  # noqa: PLR2004
                return
        if row["kind"] == "hypothesis" and row["subject"] is not None:
            self._store.finish_idea(row["subject"])
        self._store.end_claim(publication.lease.claim_id)

    # Small things

    @property
    def _class(self) -> HardwareClass:
        if self._hardware is None:
            raise InvalidArgument("no session is open; connect first")
        return self._hardware.hardware_class

    def _position(self) -> Position:
        return Position(epoch=EPOCH, stream_id=f"{self._store.last_number()}-0")

    def _draw(self) -> int:
        return self._rng.getrandbits(SEED_BITS)

    def _code(self, wanted: SourceHash | None) -> bytes | None:
        return None if wanted is None else self._store.source(wanted)

    def _experiment(
        self,
        experiment_id: ExperimentId,
        hypothesis: Hypothesis,
        source: bytes,
        *,
        parents: tuple[ExperimentId, ...] = (),
        flags: tuple[str, ...] = (),
    ) -> Experiment:
        return Experiment(
            experiment_id=experiment_id,
            challenge_id=self._challenge.challenge_id,
            hypothesis=hypothesis,
            source_hash=source_hash(source),
            parents=parents,
            node_id=self._node_id,
            owner_id=self._owner_id,
            hardware_class=self._class,
            created_at=self._now(),
            flags=flags,
        )


def _blocks(result: Result) -> bool:
    """Does this outcome make a repeat on this machine pointless?"""
    return not (result.outcome is Outcome.CRASHED and result.crash_kind in REPEATABLE_CRASHES)


def _lease_of(row: sqlite3.Row) -> Lease:
    return Lease(
        claim_id=ClaimId(row["claim_id"]),
        fencing_token=row["token"],
        expires_at=datetime.fromtimestamp(row["expires_at"], UTC),
        ttl_s=LEASE_TTL_S,
    )


def _experiment_of(row: sqlite3.Row) -> Experiment:
    return codec.experiment_from_message(types_pb2.Experiment.FromString(row["message"]))
