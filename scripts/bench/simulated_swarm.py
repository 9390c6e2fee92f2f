"""A swarm whose owners may lie: real services over the in-memory store, and members that act on them.

Only the scores are drawn, normal with a true mean per code that the coordinator does not know, and the
hidden gaps (``simulated_gaps``). What the strategies are is told in ``liars``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

from autoresearch.challenge import Challenge, parse_challenge
from autoresearch.errors import SwarmError
from autoresearch.model import (
    BaselineTask,
    ClaimId,
    ConstantChange,
    ExperimentId,
    ExperimentState,
    ExploreTask,
    Granted,
    Hardware,
    HardwareClass,
    Hypothesis,
    Lease,
    NeedsDistinction,
    Node,
    NodeId,
    Outcome,
    OwnerId,
    Published,
    Purpose,
    QueuedTask,
    ReplicateTask,
    Result,
    ResultId,
    SourceHash,
    Started,
    new_id,
)
from autoresearch.signing import SigningKey
from promotion_odds import drawn_gain
from simulated_gaps import HiddenGaps

from coordinator.dedup.code import CodeReader
from coordinator.domain.trust import is_trusted
from coordinator.services.settings import ServiceSettings
from coordinator.services.sources import hash_of
from coordinator.services.swarm import SwarmServices
from coordinator.storage.memory.server import MemoryStoreServer

SPREAD = 0.01
START_MEAN = 100.0
"""Far from zero, which no score may reach however long the swarm goes on."""

CLASS = HardwareClass("cpu-sim/torch-2.13")
TASK_S = 300
READ_LIMIT_S = 600.0
RETRY_CHANCE = 0.05
"""An honest owner has the idea that a blocker has spoilt with this chance, when it looks for one."""

SOURCE = """\
LR = 0.04
EDIT = {edit}


def train(ctx):
    while ctx.running():
        ctx.step(LR, EDIT)
"""
MANIFEST = """\
schema = 1
[identity]
name = "liars"
title = "a simulation"
evaluator = "bits-per-byte/1"
sequence_len = 128
vocab_size = 1024
device_kinds = ["cpu"]
frozen = true
[identity.metric]
name = "val_bpb"
direction = "lower"
unit = "bits per byte"
[identity.budget]
kind = "steps"
steps = 10
[identity.corpus]
kind = "none/1"
[identity.tokenizer]
kind = "none/1"
[identity.validation]
kind = "seeded"
[policy]
version = 1
prior_sd = 0.01
min_baseline_runs = 3
harness_versions = ["1"]
contribution_licence = "MIT"
[policy.limits]
[policy.audit]
[policy.hidden_gap]
metric = "hidden_gap_bpb"
pair_sd = 0.025
run_sd = 0.035
"""

NO_GAP = 0.0
"""What those say of the hidden gap who want a code to pass, or have run nothing."""

Inputs = TypeVarTuple("Inputs")
Output = TypeVar("Output")


class ReaderHere(CodeReader):
    """Reads code in this process: what a swarm of members proposes here is harmless."""

    def __init__(self) -> None:
        super().__init__(limit_s=READ_LIMIT_S)

    async def _in_worker(self, work: Callable[[*Inputs, float], Output], *inputs: *Inputs) -> Output:
        return work(*inputs, READ_LIMIT_S)


@dataclass
class Clock:
    """The time of the simulation."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Member:
    """An owner with its node and its strategy."""

    node: Node
    strategy: str

    @property
    def owner(self) -> str:
        return str(self.node.owner_id)


@dataclass(frozen=True, slots=True)
class Told:
    """What a node reports of one run."""

    score: float
    gap: float


@dataclass
class Code:
    """What is true of a code, and who said what.

    ``forged_votes`` are the owners who forged a verification of it, ``bad_votes`` those of them who made it
    look worse than it is, ``forged_gaps`` those of these who did so by the hidden gap. ``relied_on`` are the
    trusted pairs that confirmed it: owner, gain in spreads, whether it was invented.
    """

    true_mean: float
    owner: str
    gain_in_spreads: float
    at: datetime
    is_forged: bool = False
    is_blocked: bool = False
    forged_votes: set[str] = field(default_factory=set)
    bad_votes: set[str] = field(default_factory=set)
    forged_gaps: set[str] = field(default_factory=set)
    relied_on: list[tuple[str, float, bool]] = field(default_factory=list)


@dataclass
class Spoilt:
    """An edit with a true gain whose blocker reported a bad score, and the first honest run of it."""

    edit: int
    parent_id: ExperimentId
    experiment_id: ExperimentId
    honest_id: ExperimentId | None = None


@dataclass
class Swarm:
    """One coordinator with its members; ``codes`` is the truth that it does not know."""

    services: SwarmServices
    clock: Clock
    rng: random.Random
    challenge: Challenge
    gaps: HiddenGaps
    members: list[Member] = field(default_factory=list)
    codes: dict[ExperimentId, Code] = field(default_factory=dict)
    retry_chance: float = RETRY_CHANCE
    publishes: int = 0
    edits: int = 0
    spoilt: list[Spoilt] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)

    @property
    def one(self) -> Any:
        return self.services.challenges[0]

    async def state(self) -> Any:
        """What the coordinator knows of the class."""
        return (await self.one.context.classes.get(CLASS)).state

    def voters(self) -> frozenset[OwnerId]:
        return frozenset(one.node.owner_id for one in self.members)

    async def join(self, owner: str, strategy: str) -> None:
        _, token = await self.services.admin.create_token(owner_id=OwnerId(owner), uses=1, expires_in_s=None)
        key = SigningKey.generate()
        await self.services.membership.enrol(key.public_key, token=token, name=owner, has_consented=True)
        node = Node(
            node_id=key.node_id,
            owner_id=OwnerId(owner),
            name=owner,
            public_key=key.public_key,
            hardware_class=CLASS,
            enrolled_at=self.clock(),
            last_seen_at=self.clock(),
            has_vote=True,
        )
        member = Member(node=node, strategy=strategy)
        self.members.append(member)
        await self.connect(member)

    async def connect(self, member: Member) -> None:
        await self.services.membership.connect(
            member.node,
            protocol_min=1,
            protocol_max=1,
            challenge="",
            hardware=_hardware(),
            node_version="0",
        )

    async def step(self) -> None:
        """One task of one node; a task lasts ``TASK_S``, and all nodes work at once."""
        member = self.rng.choice(self.members)
        self.clock.now += timedelta(seconds=TASK_S / len(self.members))
        await self.connect(member)
        task = await self.one.claiming.next_task(member.node, can_propose=True, can_train=True)
        match task:
            case BaselineTask():
                await self._baseline(member, task)
            case ReplicateTask():
                await self._verify(member, task)
            case ExploreTask():
                await self._look_for_ideas(member, task.parent.experiment_id)
            case QueuedTask():
                # An idea that comes back after its base has changed: a new edit of the present best.
                await self._explore(member, task.parent.experiment_id, queued=task.lease)
            case _:
                pass

    async def _baseline(self, member: Member, task: BaselineTask) -> None:
        self.codes.setdefault(
            task.experiment_id, Code(true_mean=START_MEAN, owner="", gain_in_spreads=0.0, at=self.clock())
        )
        told = Told(self._measured(task.experiment_id), self.gaps.of_run())
        source_hash = SourceHash(self.challenge.baseline_hash)
        result = self._result(task.experiment_id, source_hash, told, task.seed, Purpose.BASELINE)
        await self._publish(member, result, task.lease)

    async def _look_for_ideas(self, member: Member, parent_id: ExperimentId) -> None:
        here = [one for one in self.spoilt if one.parent_id == parent_id]
        if here and member.strategy == "honest" and self.rng.random() < self.retry_chance:
            await self._try_again(member, self.rng.choice(here))
        else:
            await self._explore(member, parent_id)

    async def _try_again(self, member: Member, spoilt: Spoilt) -> None:
        """The same idea as a blocker's, by an owner who answers what it is asked and runs what is granted."""
        verdict = await self._claim(member, spoilt.parent_id, spoilt.edit)
        if isinstance(verdict, NeedsDistinction):
            self.retries["asked"] += 1
            verdict = await self._claim(member, spoilt.parent_id, spoilt.edit, distinction="worth a run")
        if not isinstance(verdict, Granted):
            self.retries[await self._refusal(spoilt)] += 1
            return
        self.retries["granted"] += 1
        truth = self.codes[spoilt.experiment_id]

        def measured(experiment_id: ExperimentId) -> float:
            self.codes[experiment_id] = Code(
                true_mean=truth.true_mean,
                owner=member.owner,
                gain_in_spreads=truth.gain_in_spreads,
                at=self.clock(),
            )
            return self._measured(experiment_id)

        run_id = await self._run(member, verdict.lease, spoilt.edit, measured)
        spoilt.honest_id = spoilt.honest_id or run_id

    async def _refusal(self, spoilt: Spoilt) -> str:
        """On what ground a retry was refused."""
        if spoilt.honest_id is not None:
            return "refused_after_an_honest_run"
        blocker = OwnerId(self.codes[spoilt.experiment_id].owner)
        is_believed = is_trusted(await self.state(), blocker, self.voters())
        return "refused_on_a_trusted_word" if is_believed else "refused"

    async def _claim(
        self,
        member: Member,
        parent_id: ExperimentId,
        edit: int,
        *,
        queued: Lease | None = None,
        distinction: str = "",
    ) -> Any:
        hypothesis = Hypothesis(
            title=f"EDIT to {edit}",
            changes=(ConstantChange(name="EDIT", new=str(edit)),),
            distinction=distinction,
            agent="sim",
        )
        return await self.one.claiming.claim(
            member.node,
            claim_id=ClaimId(new_id()),
            hypothesis=hypothesis,
            parent_id=parent_id,
            queued_claim_id=queued.claim_id if queued else None,
        )

    async def _explore(self, member: Member, parent_id: ExperimentId, *, queued: Lease | None = None) -> None:
        self.edits += 1
        edit = self.edits
        granted = await self._claim(member, parent_id, edit, queued=queued)
        if not isinstance(granted, Granted):
            self.refusals[type(granted).__name__] += 1
            return
        is_lying = await self._lies_now(member)
        experiment_id = await self._run(
            member,
            granted.lease,
            edit,
            lambda own_id: self._explored(member, own_id, parent_id, is_lying=is_lying),
        )
        if experiment_id is not None and self.codes[experiment_id].is_blocked:
            self.spoilt.append(Spoilt(edit=edit, parent_id=parent_id, experiment_id=experiment_id))

    async def _run(
        self, member: Member, lease: Lease, edit: int, report: Callable[[ExperimentId], float]
    ) -> ExperimentId | None:
        """Starts a claimed edit and publishes the score that ``report`` gives for it; None if refused."""
        source = SOURCE.format(edit=edit).encode()
        experiment_id = ExperimentId(new_id())
        started = await self.one.starting.start(
            member.node,
            claim_id=lease.claim_id,
            fencing_token=lease.fencing_token,
            experiment_id=experiment_id,
            source=source,
        )
        if not isinstance(started, Started):
            self.refusals[type(started).__name__] += 1
            return None
        score = report(experiment_id)
        told = Told(score, NO_GAP if self.codes[experiment_id].is_forged else self.gaps.of_run())
        result = self._result(experiment_id, hash_of(source), told, started.seed, Purpose.EXPLORE)
        await self._publish(member, result, started.lease)
        return experiment_id

    async def _lies_now(self, member: Member) -> bool:
        """A sleeper lies while it is trusted, which it is told here: at best it could guess."""
        if member.strategy != "sleeper":
            return member.strategy != "honest"
        return is_trusted(await self.state(), member.node.owner_id, self.voters())

    def _explored(
        self, member: Member, experiment_id: ExperimentId, parent_id: ExperimentId, *, is_lying: bool
    ) -> float:
        """The score of a new edit as its node reports it."""
        gain, _ = drawn_gain(self.rng)
        is_forger = member.strategy in ("forger", "colluder", "sleeper") and is_lying
        if is_forger:
            gain = self.rng.uniform(-1.0, 0.0)
        parent = self.codes[parent_id].true_mean
        code = Code(
            true_mean=parent - gain * SPREAD,
            owner=member.owner,
            gain_in_spreads=gain,
            at=self.clock(),
            is_forged=is_forger,
        )
        self.codes[experiment_id] = code
        if is_forger:
            return parent - self.rng.uniform(2.0, 6.0) * SPREAD
        if member.strategy in ("copier", "guesser"):
            return parent + self.rng.gauss(0.0, SPREAD)
        if member.strategy == "blocker" and gain > 0:
            code.is_blocked = True
            return parent + self.rng.uniform(1.0, 4.0) * SPREAD
        return self._measured(experiment_id)

    async def _verify(self, member: Member, task: ReplicateTask) -> None:
        candidate, control = self._verified(member, task, is_lying=await self._lies_now(member))
        for experiment_id, purpose, told in (
            (task.candidate_id, Purpose.VERIFY_CANDIDATE, candidate),
            (task.control_id, Purpose.VERIFY_CONTROL, control),
        ):
            result = replace(
                self._result(experiment_id, self._hash_of(experiment_id), told, task.seed, purpose),
                verification_id=task.verification_id,
            )
            await self._publish(member, result, task.lease)
            if member.strategy == "flipper":
                await self._flip(member, result, task)

    def _verified(self, member: Member, task: ReplicateTask, *, is_lying: bool) -> tuple[Told, Told]:
        """Candidate and control as a node reports them."""
        control = self._measured(task.control_id)
        measured = self._measured(task.candidate_id)
        gaps = self.gaps.of_pair()
        code = self.codes[task.candidate_id]
        is_open = self.one.context.catalog.state_of(task.candidate_id) is ExperimentState.CANDIDATE
        better = control - self.rng.uniform(2.0, 6.0) * SPREAD
        is_own_group = member.strategy == "colluder" and code.is_forged
        is_boosting = member.strategy in ("booster", "sleeper") and is_lying and is_open
        if is_own_group or is_boosting:
            code.forged_votes.add(member.owner)
            return Told(better, NO_GAP), Told(control, NO_GAP)
        if member.strategy == "killer" and is_open:
            code.bad_votes.add(member.owner)
            invented = self.gaps.invented(task.candidate_id)
            if invented is not None:
                code.forged_gaps.add(member.owner)
                return Told(measured, gaps[0] + invented[0]), Told(control, gaps[1] + invented[1])
            return Told(control + self.rng.uniform(1.0, 4.0) * SPREAD, gaps[0]), Told(control, gaps[1])
        if member.strategy in ("copier", "guesser"):
            code.forged_votes.add(member.owner)
            copied, against = self._read(task.candidate_id), self._read(task.control_id)
            if member.strategy == "guesser":
                copied = against + GUESSED_SHARE * (copied - against)
            noise = self.rng.gauss(0.0, SPREAD), self.rng.gauss(0.0, SPREAD)
            return Told(copied + noise[0], NO_GAP), Told(against + noise[1], NO_GAP)
        return Told(measured, gaps[0]), Told(control, gaps[1])

    async def _flip(self, member: Member, result: Result, task: ReplicateTask) -> None:
        """The same run again, better: under its id, under another id, and without the claim."""
        is_candidate = result.purpose is Purpose.VERIFY_CANDIDATE
        better = result.metrics["val_bpb"] - (0.05 if is_candidate else -0.05)
        metrics = {**result.metrics, "val_bpb": better}
        again = replace(result, metrics=metrics)
        other = replace(again, result_id=ResultId(new_id()))
        for flipped, lease in ((again, task.lease), (other, task.lease), (other, None)):
            try:
                await self._publish(member, flipped, lease)
            except SwarmError as error:
                self.refusals[f"flip: {type(error).__name__}"] += 1

    def _measured(self, experiment_id: ExperimentId) -> float:
        return self.rng.gauss(self.codes[experiment_id].true_mean, SPREAD)

    def _read(self, experiment_id: ExperimentId) -> float:
        """What anybody is told of a code's score."""
        score = self.one.context.catalog.score_of(experiment_id)
        return score.mean if score else START_MEAN

    def _hash_of(self, experiment_id: ExperimentId) -> SourceHash:
        entry = self.one.context.catalog.entry(experiment_id)
        return SourceHash(entry.experiment.source_hash)

    def _result(
        self, experiment_id: ExperimentId, code_hash: SourceHash, told: Told, seed: int, purpose: Purpose
    ) -> Result:
        return Result(
            result_id=ResultId(new_id()),
            experiment_id=experiment_id,
            challenge_id=self.challenge.challenge_id,
            node_id=NodeId(""),
            owner_id=OwnerId(""),
            outcome=Outcome.COMPLETED,
            purpose=purpose,
            metrics={"val_bpb": told.score, self.gaps.policy.metric: told.gap},
            seed=seed,
            hardware=_hardware(),
            code_hash=code_hash,
            harness_version="1",
            started_at=self.clock() - timedelta(seconds=TASK_S),
            finished_at=self.clock(),
        )

    async def _publish(self, member: Member, result: Result, lease: Lease | None) -> Published:
        published: Published = await self.one.publishing.publish(
            member.node,
            result=result,
            claim_id=lease.claim_id if lease else None,
            fencing_token=lease.fencing_token if lease else 0,
        )
        self.publishes += 1
        await self._note_confirmation()
        return published

    async def _note_confirmation(self) -> None:
        """Keeps which pairs a confirmation relied on, as long as the coordinator still has them."""
        state = await self.state()
        best = state.confirmed
        if best is None or self.codes[best.experiment_id].relied_on:
            return
        code, voters = self.codes[best.experiment_id], self.voters()
        code.relied_on = [
            (
                str(pair.owner_id),
                round((pair.control_score - pair.candidate_score) / SPREAD, 2),
                str(pair.owner_id) in code.forged_votes,
            )
            for pair in best.pairs
            if pair.slot.is_vote
            and pair.owner_id not in best.left_out
            and is_trusted(state, pair.owner_id, voters)
        ]


GUESSED_SHARE = 0.3
"""A guesser takes this much of a screening run's gain for true: what such gains come to, on the mix."""


async def open_swarm(reader: CodeReader, *, seed: int) -> Swarm:
    """A swarm without members. Its services are the caller's to close."""
    clock, rng = Clock(), random.Random(seed)
    random.seed(seed)  # the coordinator draws its coins from the global generator
    challenge = parse_challenge(MANIFEST, SOURCE.format(edit=0), "Make it better.")
    if challenge.hidden_gap is None:
        raise ValueError("the manifest of the simulation has no hidden gap")
    gaps = HiddenGaps(challenge.hidden_gap, random.Random(f"hidden gaps {seed}"))
    settings = ServiceSettings(
        version="0", view_refresh_s=0.0, claims_per_node=32, reap_interval_s=3600.0, lease_ttl_s=3600.0
    )
    services = SwarmServices(
        MemoryStoreServer(clock=clock), [challenge], settings, clock=clock, reader=reader
    )
    await services.start()
    return Swarm(services=services, clock=clock, rng=rng, challenge=challenge, gaps=gaps)


def _hardware() -> Hardware:
    return Hardware(
        hardware_class=CLASS,
        device_kind="cpu",
        device_name="simulated",
        memory_mb=1_000,
        torch_version="2.13.0",
    )
