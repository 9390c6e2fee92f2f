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
from datetime import UTC, datetime
from pathlib import Path

from autoresearch import codec, limits
from autoresearch.challenge import Challenge
from autoresearch.errors import Conflict, InvalidArgument, LeaseLost, NotFound, UnknownChallenge
from autoresearch.model import (
    PRIORITY_MAX,
    PROTOCOL_MAX,
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
    Granted,
    Hardware,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    Insight,
    InsightQuery,
    Lease,
    NodeId,
    OwnerId,
    Position,
    Program,
    Published,
    Session,
    SourceHash,
    Started,
    StartRefused,
    StartVerdict,
    Task,
    WorkingBest,
)
from autoresearch.v1 import ideas_pb2, types_pb2

from node.library import source_hash
from node.program import program_of_challenge
from node.swarm.protocol import BestSource, Publication
from node.swarm.solo_best import SoloBest, SoloRules
from node.swarm.solo_facts import SoloFacts
from node.swarm.solo_insights import SoloInsights
from node.swarm.solo_keys import EditKeys, keys_of_code, keys_of_words, level_of
from node.swarm.solo_leases import LEASE_TTL_S, SoloLeases, lease_of
from node.swarm.solo_listing import SoloListing
from node.swarm.solo_results import STATE_OF, SoloResults, blocks
from node.swarm.solo_store import SoloStore
from node.swarm.solo_tasks import SoloTasks

HEARTBEAT_S = 30.0
EPOCH = 0
"""There are no failovers here, and a coordinator's epochs begin at 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloWin:
    """A best that was found alone; ``hypothesis_id`` is the idea's, should it have to be proposed anew."""

    experiment: Experiment
    hypothesis_id: HypothesisId
    is_outdated: bool


class SoloSwarm:
    """``Swarm`` without a coordinator. Raises SwarmError; a full disk is a StateFileError."""

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
        self._facts = SoloFacts(
            challenge=challenge,
            node_id=node_id,
            owner_id=owner_id or OwnerId(node_id),
            now=now,
            rng=rng or random.SystemRandom(),
        )
        rules = SoloRules(direction=challenge.direction, prior_sd=challenge.prior_sd)
        self._best = SoloBest(self._store, rules, now=now)
        self._listing = SoloListing(self._store, self._best, rules)
        self._leases = SoloLeases(self._store, now=now)
        self._tasks = SoloTasks(self._store, self._best, self._leases, self._facts)
        self._results = SoloResults(self._store, self._best, self._listing, challenge)
        self._insights = SoloInsights(self._store)
        self._hardware: Hardware | None = None

    # The Protocol

    async def connect(self, hardware: Hardware, challenge: str = "") -> Session:
        if challenge not in ("", self._facts.challenge.name, self._facts.challenge.challenge_id):
            raise UnknownChallenge(
                f"alone this node works on {self._facts.challenge.name}, not on {challenge}"
            )
        limits.check_hardware(hardware)
        self._hardware = hardware
        return Session(
            protocol=PROTOCOL_MAX,
            challenge=ChallengeText(
                challenge_id=self._facts.challenge.challenge_id,
                name=self._facts.challenge.name,
                manifest_toml=self._facts.challenge.manifest_toml,
                baseline_source=self._facts.challenge.baseline_source,
                program_md=self._facts.challenge.program_md,
            ),
            position=self._position(),
            lease_ttl_s=LEASE_TTL_S,
            heartbeat_interval_s=HEARTBEAT_S,
            owner_id=self._facts.owner_id,
            best=self._store.working(self._class),
            program=await self.program(),
        )

    async def next_task(self, *, can_propose: bool, can_train: bool) -> Task:
        with self._store.transaction():
            self._store.end_expired(self._facts.now())
            return self._tasks.next(self._class, can_propose=can_propose, can_train=can_train)

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
            self._store.end_expired(self._facts.now())
            known = self._store.claim_row(claim_id)
            advice = self._listing.advice(self._class, stated)
            if known is not None:
                if known["fingerprint"] != fingerprint:
                    raise Conflict(f"the claim id {claim_id} was used for something else; make a new one")
                return Granted(lease=lease_of(known), advice=advice)
            found = self._find_duplicate(stated, claim_id)
            if found is not None:
                self._settle_idea(queued_claim_id, found[1])
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
            lease = self._leases.grant(
                self._class,
                claim_id,
                "hypothesis",
                fingerprint,
                parent_id=parent_id,
                hypothesis=raw,
                subject=subject,
            )
            self._store.hold_keys(self._class, claim_id, stated.keys)
            return Granted(lease=lease, advice=advice)

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        limits.check_uuid(experiment_id, "experiment_id")
        limits.check_source(source)
        row = self._leases.held(lease)
        hypothesis = codec.hypothesis_from_message(types_pb2.Hypothesis.FromString(row["hypothesis"]))
        parent_id = ExperimentId(row["parent_id"])
        parent_source = await self.source(parent_id)
        done = await asyncio.to_thread(keys_of_code, source, hypothesis, parent_id, parent_source)
        with self._store.transaction():
            self._store.end_expired(self._facts.now())
            row = self._leases.held(lease)
            if row["experiment_id"] is not None:
                return self._started_before(row, experiment_id, source, done)
            if self._store.experiment_row(experiment_id) is not None:
                raise Conflict(f"the experiment id {experiment_id} was used before; make a new one")
            found = self._find_duplicate(done, lease.claim_id)
            if found is not None:
                if row["subject"] is not None and self._store.code_of_idea(row["subject"]) == source:
                    self._settle_idea(lease.claim_id, found[1])
                self._store.end_claim(lease.claim_id)
                match = self._listing.near_match(found[1], parent_id)
                return StartRefused(match=match, level=level_of(found[0]))
            self._store.hold_keys(self._class, lease.claim_id, done.keys)
            self._store.put_source(source_hash(source), source)
            experiment = self._facts.experiment(
                experiment_id, hypothesis, source, self._class, parents=(parent_id,), flags=done.flags
            )
            self._store.put_experiment(experiment, ExperimentState.RUNNING)
            self._store.put_knobs(self._class, done.knobs, experiment_id)
            seed, val_seed = self._facts.draw_seed(), self._facts.draw_seed()
            self._store.connection.execute(
                "UPDATE claims SET experiment_id = ?, seed = ?, val_seed = ? WHERE claim_id = ?",
                (experiment_id, seed, val_seed, lease.claim_id),
            )
            return Started(
                lease=self._leases.renew(lease.claim_id), seed=seed, val_seed=val_seed, flags=done.flags
            )

    async def release(self, lease: Lease, reason: str) -> None:
        del reason
        with self._store.transaction():
            row = self._store.claim_row(lease.claim_id)
            if row is not None and row["token"] == lease.fencing_token:
                self._store.end_claim(lease.claim_id)
                if row["kind"] == "queued":
                    self._tasks.pass_over(HypothesisId(row["subject"]))

    async def publish(self, publication: Publication) -> Published:
        result = publication.result
        limits.check_experiment(publication.experiment)
        limits.check_source(publication.source)
        limits.check_result(result, metric=self._facts.challenge.metric_name)
        self._results.check(publication)
        raw = codec.result_to_message(result).SerializeToString(deterministic=True)
        done = await self._keys_of(publication)
        with self._store.transaction():
            known = self._store.result_bytes(result.result_id)
            if known is not None and known != raw:
                raise Conflict(
                    f"the result id {result.result_id} was used for another result; make a new one"
                )
            if known is None:
                self._results.take(publication, done, raw)
            row = self._store.experiment_row(result.experiment_id)
            state = ExperimentState(row["state"]) if row is not None else STATE_OF[result.outcome]
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
            self._store.end_expired(self._facts.now())
            live = [claim_id for claim_id in claim_ids if self._store.claim_row(claim_id) is not None]
            renewed = tuple(self._leases.renew(claim_id) for claim_id in live)
        working = self._store.working(self._class)
        return Beat(
            position=self._position(),
            renewed=renewed,
            lost=tuple(claim_id for claim_id in claim_ids if claim_id not in live),
            best_experiment_id=working.experiment_id if working else None,
            program_hash=(await self.program()).program_hash,
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

    async def source_by_hash(self, source_hash: SourceHash) -> bytes:
        source = self._store.source(source_hash)
        if source is None:
            raise NotFound(f"the code {source_hash} is not on this machine")
        return source

    async def experiments(self, query: ExperimentQuery) -> ExperimentPage:
        return self._listing.page(query)

    async def experiment(self, experiment_id: ExperimentId) -> ExperimentSummary:
        row = self._store.experiment_row(experiment_id)
        if row is None:
            raise NotFound(f"experiment {experiment_id} is not known on this machine")
        return self._listing.summary(row)

    async def propose(
        self,
        hypothesis_id: HypothesisId,
        hypothesis: Hypothesis,
        source: bytes | None,
        origin: ExperimentId | None,
        *,
        priority: int = 0,
        parent: ExperimentId | None = None,
    ) -> None:
        limits.check_uuid(hypothesis_id, "hypothesis_id")
        limits.check_hypothesis(hypothesis)
        limits.check_number(priority, "priority", low=0, high=PRIORITY_MAX)
        if source is not None:
            limits.check_source(source)
        call = codec.hypothesis_to_message(hypothesis).SerializeToString(deterministic=True)
        fingerprint = f"{origin}:{source_hash(source) if source else None}:{call.hex()}"
        fingerprint += f":{parent}" if parent else ""  # what was kept before parents has none
        idea = Idea(
            hypothesis_id=hypothesis_id,
            hypothesis=hypothesis,
            node_id=self._facts.node_id,
            proposed_at=self._facts.now(),
            origin_experiment_id=origin,
            source_hash=source_hash(source) if source else None,
            parents=(parent,) if parent else (),
            priority=priority,
            owner_id=self._facts.owner_id,
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

    async def share(self, insight: Insight) -> None:
        own = replace(
            insight,
            node_id=self._facts.node_id,
            owner_id=self._facts.owner_id,
            hardware_class=self._class,
            created_at=self._facts.now(),
        )
        with self._store.transaction():
            self._insights.share(own)

    async def insights(self, query: InsightQuery) -> tuple[Insight, ...]:
        return self._insights.find(query)

    async def program(self) -> Program:
        """The last that a swarm told of, or else the challenge's own."""
        return self._store.program() or program_of_challenge(self._facts.challenge.program_md)

    async def close(self) -> None:
        self._store.close()

    # What the swarm told while there was one

    async def adopt_best(self, known: BestSource) -> None:
        """The swarm's best is what this node builds on, from now on and when it is alone."""
        best = known.best
        keys = await asyncio.to_thread(keys_of_code, known.source, Hypothesis(title=best.title), None, None)
        with self._store.transaction():
            self._store.put_source(best.source_hash, known.source)
            experiment = self._facts.experiment(
                best.experiment_id, Hypothesis(title=best.title or "best"), known.source, best.hardware_class
            )
            experiment = replace(experiment, node_id=best.node_id or self._facts.node_id)
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
            self._results.keep_experiment(publication, done)
            if blocks(publication.result):
                self._store.put_tried(experiment.hardware_class, done.keys, experiment.experiment_id)

    async def learn_program(self, program: Program) -> None:
        """What the swarm's agents are told counts here too, and when this node is alone."""
        with self._store.transaction():
            if self._store.program() != program:
                self._store.set_program(program)

    async def learn_insights(self, insights: Sequence[Insight]) -> None:
        """What the swarm has learned, and this node with it, counts here too."""
        with self._store.transaction():
            self._insights.learn(insights)

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

    def _find_duplicate(
        self, edit: EditKeys, claim_id: ClaimId
    ) -> tuple[str, ExperimentId | sqlite3.Row] | None:
        """Whatever is intended: an edit of another parent is another edit, and reruns are verifications."""
        held = self._store.holder_of(self._class, edit.keys, claim_id)
        if held is not None:
            return held
        return self._store.tried_by(self._class, edit.keys)

    def _settle_idea(self, claim_id: ClaimId | None, match: ExperimentId | sqlite3.Row) -> None:
        """An idea that was tried already waits no longer; one that runs just now may come to nothing."""
        row = self._store.claim_row(claim_id) if claim_id is not None else None
        if row is not None and row["subject"] is not None and isinstance(match, str):
            self._store.finish_idea(row["subject"])

    def _started_before(
        self, row: sqlite3.Row, experiment_id: ExperimentId, source: bytes, done: EditKeys
    ) -> Started:
        known = self._store.experiment_row(experiment_id)
        is_same = row["experiment_id"] == experiment_id
        if not is_same or known is None or known["source_hash"] != source_hash(source):
            raise Conflict(f"the claim {row['claim_id']} has started other code; claim again")
        lease = self._leases.renew(ClaimId(row["claim_id"]))
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

    # Small things

    @property
    def _class(self) -> HardwareClass:
        if self._hardware is None:
            raise InvalidArgument("no session is open; connect first")
        return self._hardware.hardware_class

    def _position(self) -> Position:
        return Position(epoch=EPOCH, stream_id=f"{self._store.last_number()}-0")

    def _code(self, wanted: SourceHash | None) -> bytes | None:
        return None if wanted is None else self._store.source(wanted)


def _experiment_of(row: sqlite3.Row) -> Experiment:
    return codec.experiment_from_message(types_pb2.Experiment.FromString(row["message"]))
