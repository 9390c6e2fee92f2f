"""What can lying owners do to a swarm? Real services over the in-memory store; prints JSON.

Every owner has a token, a vote and one node; a step is one task of a node drawn at random. Scores are normal
with a true mean per code; the edits of honest owners are drawn from the mix of ``promotion_odds``. A share of
the owners lies, each by one strategy:

- ``forger``: its own edits, worse than their parent or equal, come with an invented good score;
- ``killer``: candidates of others come with an invented bad score, to kill true gains;
- ``blocker``: true gains that it finds come with an invented bad score, so that the idea counts as tried;
- ``booster``: whatever is being verified comes with an invented good score; what is decided already, and
  might be an audit, is measured honestly (it lies only where it thinks that nobody knows);
- ``copier``: runs nothing and reports what anybody can read of a code, with noise;
- ``flipper``: reports honestly and then again, better, under the same and under new ids, with and without
  its claim;
- ``colluder`` (another swarm): forges its own edits, vouches for those of its fellows, is honest otherwise.

Colluders cannot be told from honest owners before they lie, so what protects is who is drawn. A forged
candidate is confirmed at most if, at some point of its verification, three colluders or more have voted and
at least twice as many as honest owners: ``bound`` is the chance of that when owners are drawn at random
without return.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import structlog
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
    Level,
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

from coordinator.dedup.code import CodeReader
from coordinator.domain.baseline import baseline_id
from coordinator.domain.trust import is_trusted, trust_of
from coordinator.services.claiming import hash_of
from coordinator.services.settings import ServiceSettings
from coordinator.services.swarm import SwarmServices
from coordinator.storage.memory.server import MemoryStoreServer

OWNERS = 20
SPREAD = 0.01
START_MEAN = 100.0
"""Far from zero, which no score may reach however long the swarm goes on."""

CLASS = HardwareClass("cpu-sim/torch-2.13")
INDEPENDENT = ("forger", "killer", "blocker", "booster", "copier", "flipper")
STEP = timedelta(seconds=300 / OWNERS)
"""Twenty nodes, a task of five minutes each."""

LARGE_GAIN = 2.0
PUBLISHES = 10_000
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
"""


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


@dataclass
class Code:
    """What is true of a code, and who said what."""

    true_mean: float
    owner: str
    gain_in_spreads: float
    at: datetime
    is_forged: bool = False
    forged_votes: set[str] = field(default_factory=set)
    relied_on: list[tuple[str, float, bool]] = field(default_factory=list)
    """The trusted pairs that confirmed it: owner, gain in spreads, whether it was invented."""


@dataclass
class Swarm:
    """One coordinator with its members; ``codes`` is the truth that it does not know."""

    services: SwarmServices
    clock: Clock
    rng: random.Random
    challenge: Challenge
    members: list[Member] = field(default_factory=list)
    codes: dict[ExperimentId, Code] = field(default_factory=dict)
    publishes: int = 0
    edits: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def one(self) -> Any:
        return self.services.challenges[0]

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
        """One task of one node."""
        member = self.rng.choice(self.members)
        self.clock.now += STEP
        await self.connect(member)
        task = await self.one.claiming.next_task(member.node, can_propose=True, can_train=True)
        match task:
            case BaselineTask():
                await self._baseline(member, task)
            case ReplicateTask():
                await self._verify(member, task)
            case ExploreTask():
                await self._explore(member, task.parent.experiment_id)
            case QueuedTask():
                await self._queued(member, task)
            case _:
                pass

    async def _baseline(self, member: Member, task: BaselineTask) -> None:
        self.codes.setdefault(
            task.experiment_id, Code(true_mean=START_MEAN, owner="", gain_in_spreads=0.0, at=self.clock())
        )
        score = self._measured(task.experiment_id)
        source_hash = SourceHash(self.challenge.baseline_hash)
        result = self._result(task.experiment_id, source_hash, score, task.seed, Purpose.BASELINE)
        await self._publish(member, result, task.lease)

    async def _queued(self, member: Member, task: QueuedTask) -> None:
        """An idea that comes back after its base has changed: a new edit of the present best."""
        await self._explore(member, task.parent.experiment_id, queued=task.lease)

    async def _explore(self, member: Member, parent_id: ExperimentId, *, queued: Lease | None = None) -> None:
        self.edits += 1
        hypothesis = Hypothesis(
            title=f"EDIT to {self.edits}",
            changes=(ConstantChange(name="EDIT", new=str(self.edits)),),
            agent="sim",
        )
        granted = await self.one.claiming.claim(
            member.node,
            claim_id=ClaimId(new_id()),
            hypothesis=hypothesis,
            parent_id=parent_id,
            queued_claim_id=queued.claim_id if queued else None,
        )
        if not isinstance(granted, Granted):
            self.refusals[type(granted).__name__] += 1
            return
        source = SOURCE.format(edit=self.edits).encode()
        experiment_id = ExperimentId(new_id())
        started = await self.one.claiming.start(
            member.node,
            claim_id=granted.lease.claim_id,
            fencing_token=granted.lease.fencing_token,
            experiment_id=experiment_id,
            source=source,
        )
        if not isinstance(started, Started):
            self.refusals[type(started).__name__] += 1
            return
        score = self._explored(member, experiment_id, parent_id)
        result = self._result(experiment_id, hash_of(source), score, started.seed, Purpose.EXPLORE)
        await self._publish(member, result, started.lease)

    def _explored(self, member: Member, experiment_id: ExperimentId, parent_id: ExperimentId) -> float:
        """The score of a new edit as its node reports it."""
        gain, _ = drawn_gain(self.rng)
        is_forger = member.strategy in ("forger", "colluder")
        if is_forger:
            gain = self.rng.uniform(-1.0, 0.0)
        parent = self.codes[parent_id].true_mean
        code = Code(
            true_mean=parent - gain * SPREAD,
            owner=str(member.node.owner_id),
            gain_in_spreads=gain,
            at=self.clock(),
            is_forged=is_forger,
        )
        self.codes[experiment_id] = code
        if is_forger:
            return parent - self.rng.uniform(2.0, 6.0) * SPREAD
        if member.strategy == "copier":
            return parent + self.rng.gauss(0.0, SPREAD)
        if member.strategy == "blocker" and gain > 0:
            return parent + self.rng.uniform(1.0, 4.0) * SPREAD
        return self._measured(experiment_id)

    async def _verify(self, member: Member, task: ReplicateTask) -> None:
        scores = self._verified(member, task)
        for experiment_id, purpose, score in (
            (task.candidate_id, Purpose.VERIFY_CANDIDATE, scores[0]),
            (task.control_id, Purpose.VERIFY_CONTROL, scores[1]),
        ):
            result = replace(
                self._result(experiment_id, self._hash_of(experiment_id), score, task.seed, purpose),
                verification_id=task.verification_id,
            )
            await self._publish(member, result, task.lease)
            if member.strategy == "flipper":
                await self._flip(member, result, task)

    def _verified(self, member: Member, task: ReplicateTask) -> tuple[float, float]:
        """Candidate and control as a node reports them."""
        control = self._measured(task.control_id)
        honest = (self._measured(task.candidate_id), control)
        code = self.codes[task.candidate_id]
        is_open = self.one.context.catalog.state_of(task.candidate_id) is ExperimentState.CANDIDATE
        better = control - self.rng.uniform(2.0, 6.0) * SPREAD
        is_own_group = member.strategy == "colluder" and code.is_forged
        if is_own_group or (member.strategy == "booster" and is_open):
            code.forged_votes.add(str(member.node.owner_id))
            return better, control
        if member.strategy == "killer" and is_open:
            return control + self.rng.uniform(1.0, 4.0) * SPREAD, control
        if member.strategy == "copier":
            code.forged_votes.add(str(member.node.owner_id))
            return self._copied(task.candidate_id), self._copied(task.control_id)
        return honest

    async def _flip(self, member: Member, result: Result, task: ReplicateTask) -> None:
        """The same run again, better: under its id, under another id, and without the claim."""
        is_candidate = result.purpose is Purpose.VERIFY_CANDIDATE
        metrics = {"val_bpb": result.metrics["val_bpb"] - (0.05 if is_candidate else -0.05)}
        again = replace(result, metrics=metrics)
        other = replace(again, result_id=ResultId(new_id()))
        for flipped, lease in ((again, task.lease), (other, task.lease), (other, None)):
            try:
                await self._publish(member, flipped, lease)
            except SwarmError as error:
                self.refusals[f"flip: {type(error).__name__}"] += 1

    def _measured(self, experiment_id: ExperimentId) -> float:
        return self.rng.gauss(self.codes[experiment_id].true_mean, SPREAD)

    def _copied(self, experiment_id: ExperimentId) -> float:
        score = self.one.context.catalog.score_of(experiment_id)
        return (score.mean if score else START_MEAN) + self.rng.gauss(0.0, SPREAD)

    def _hash_of(self, experiment_id: ExperimentId) -> SourceHash:
        entry = self.one.context.catalog.entry(experiment_id)
        return SourceHash(entry.experiment.source_hash)

    def _result(
        self, experiment_id: ExperimentId, code_hash: SourceHash, score: float, seed: int, purpose: Purpose
    ) -> Result:
        return Result(
            result_id=ResultId(new_id()),
            experiment_id=experiment_id,
            challenge_id=self.challenge.challenge_id,
            node_id=NodeId(""),
            owner_id=OwnerId(""),
            outcome=Outcome.COMPLETED,
            purpose=purpose,
            metrics={"val_bpb": score},
            seed=seed,
            hardware=_hardware(),
            code_hash=code_hash,
            harness_version="1",
            started_at=self.clock() - timedelta(seconds=300),
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
        state = (await self.one.context.classes.get(CLASS)).state
        best = state.confirmed
        if best is None or self.codes[best.experiment_id].relied_on:
            return
        code = self.codes[best.experiment_id]
        voters = frozenset(one.node.owner_id for one in self.members)
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


def _hardware() -> Hardware:
    return Hardware(
        hardware_class=CLASS,
        device_kind="cpu",
        device_name="simulated",
        memory_mb=1_000,
        torch_version="2.13.0",
    )


async def simulate(
    reader: CodeReader, *, lying: int, colluding: bool, publishes: int, seed: int, owners: int = OWNERS
) -> dict[str, Any]:
    """One swarm from its baseline on; its figures."""
    clock, rng = Clock(), random.Random(seed)
    random.seed(seed)  # the coordinator draws its coins from the global generator
    challenge = parse_challenge(MANIFEST, SOURCE.format(edit=0), "Make it better.")
    settings = ServiceSettings(
        version="0", view_refresh_s=0.0, claims_per_node=32, reap_interval_s=3600.0, lease_ttl_s=3600.0
    )
    services = SwarmServices(
        MemoryStoreServer(clock=clock), [challenge], settings, clock=clock, reader=reader
    )
    await services.start()
    swarm = Swarm(services=services, clock=clock, rng=rng, challenge=challenge)
    for index in range(owners):
        strategy = "honest"
        if index < lying:
            strategy = "colluder" if colluding else INDEPENDENT[index % len(INDEPENDENT)]
        await swarm.join(f"o{index}", strategy)
    try:
        while swarm.publishes < publishes:
            await swarm.step()
            await swarm.one.caretaker.reap()
        return await _figures(swarm, lying=lying)
    finally:
        await services.close()


async def _figures(swarm: Swarm, *, lying: int) -> dict[str, Any]:
    state = (await swarm.one.context.classes.get(CLASS)).state
    working_mean = swarm.codes[state.working.experiment_id].true_mean if state.working else START_MEAN
    history = await swarm.one.leaderboard.get_progress(CLASS)
    anchor, confirmed = baseline_id(swarm.challenge.challenge_id, CLASS), list[dict[str, Any]]()
    waits = []
    for change in history:
        best = change.best
        if best.level is not Level.CONFIRMED or "refuted" in change.reason:
            continue
        code = swarm.codes[best.experiment_id]
        true_gain = (swarm.codes[anchor].true_mean - code.true_mean) / SPREAD
        has_forged_votes = bool(set(best.confirmed_by) & code.forged_votes)
        confirmed.append(
            {
                "true_gain": true_gain,
                "has_forged_votes": has_forged_votes,
                "is_forged": code.is_forged,
                "relied_on": code.relied_on,
            }
        )
        waits.append((change.at - code.at).total_seconds() / 60)
        anchor = best.experiment_id
    voters = frozenset(member.node.owner_id for member in swarm.members)
    liars = [one for one in swarm.members if one.strategy != "honest"]
    honest = [one for one in swarm.members if one.strategy == "honest"]
    forged = sum(code.is_forged for code in swarm.codes.values())
    false_bests = [one for one in confirmed if one["true_gain"] <= 0]
    return {
        "owners": len(swarm.members),
        "lying": lying,
        "strategies": dict(Counter(one.strategy for one in swarm.members)),
        "publishes": swarm.publishes,
        "experiments": len(swarm.codes) - 1,
        "forged_experiments": forged,
        "confirmed": len(confirmed),
        "confirmed_by_forged_results": sum(one["has_forged_votes"] for one in false_bests),
        "false_by_chance_on_honest_votes": sum(not one["has_forged_votes"] for one in false_bests),
        "of_these_with_a_forged_screen": sum(
            one["is_forged"] and not one["has_forged_votes"] for one in false_bests
        ),
        "false_bests": false_bests,
        "confirmed_forged_experiments": sum(one["is_forged"] for one in confirmed),
        "false_bests_true_gain_in_spreads": [round(one["true_gain"], 2) for one in false_bests],
        "large_gains": _large_gains(swarm, history),
        "minutes_to_confirm_median": round(statistics.median(waits), 1) if waits else None,
        "true_gain_in_spreads": round((START_MEAN - swarm.codes[anchor].true_mean) / SPREAD, 1),
        "true_gain_of_working_in_spreads": round((START_MEAN - working_mean) / SPREAD, 1),
        "audit_share_of_runs": round(state.audit_runs / swarm.publishes, 4),
        "trusted_honest": sum(is_trusted(state, one.node.owner_id, voters) for one in honest),
        "honest": len(honest),
        "trusted_liars": [one.strategy for one in liars if is_trusted(state, one.node.owner_id, voters)],
        "trust_of_liars": {
            f"{one.strategy} {one.node.owner_id}": [
                (record := trust_of(state, one.node.owner_id)).agreed,
                record.strikes,
                round(record.candour, 1),
            ]
            for one in liars
        },
        "refusals": dict(swarm.refusals),
    }


def _large_gains(swarm: Swarm, history: Any) -> dict[str, Any]:
    """True gains of two spreads or more that honest owners found, and what became of them."""
    passed = {
        change.best.experiment_id
        for change in history
        if change.best.level in (Level.SELF_REPLICATED, Level.ONE_OWNER, Level.CONFIRMED)
    }
    strategies = {str(one.node.owner_id): one.strategy for one in swarm.members}
    honest = ("honest", "killer", "booster", "flipper")
    found = [
        key
        for key, code in swarm.codes.items()
        if code.gain_in_spreads >= LARGE_GAIN and strategies.get(code.owner) in honest
    ]
    lost = sum(key not in passed for key in found)
    share = round(lost / len(found), 3) if found else None
    return {"found": len(found), "lost": lost, "share_lost": share}


@lru_cache
def _reach(colluders: int, honest: int, yes: int, no: int, left: int) -> float:
    """Chance that a drawing gets to three colluders or more, and twice as many as honest owners."""
    if yes >= 3 and yes >= 2 * no:
        return 1.0
    if left == 0 or colluders + honest == 0:
        return 0.0
    total = colluders + honest
    chance = 0.0
    if colluders:
        chance += colluders / total * _reach(colluders - 1, honest, yes + 1, no, left - 1)
    if honest:
        chance += honest / total * _reach(colluders, honest - 1, yes, no + 1, left - 1)
    return chance


def bound(owners: int, colluders: int, draws: int = 8) -> float:
    """Of a colluder's forged candidates, the share that can be confirmed at most."""
    return _reach(colluders - 1, owners - colluders, 0, 0, draws) if colluders else 0.0


async def report(arguments: argparse.Namespace) -> dict[str, Any]:
    reader = CodeReader(limit_s=30.0)
    await reader.warm_up()
    try:
        lying = round(arguments.share * OWNERS)
        figures = await simulate(
            reader,
            lying=lying,
            colluding=arguments.colluding,
            publishes=arguments.publishes,
            seed=arguments.seed,
        )
    finally:
        await reader.close()
    if arguments.colluding:
        forged = figures["forged_experiments"]
        rate = figures["confirmed_forged_experiments"] / forged if forged else 0.0
        figures["measured_rate_per_forged"] = round(rate, 5)
        figures["bound_per_verified_forged"] = round(bound(OWNERS, lying), 5)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--share", type=float, default=0.3, help="of the owners, lying: 0 to 0.3")
    parser.add_argument("--colluding", action="store_true", help="one group instead of each on its own")
    parser.add_argument("--publishes", type=int, default=PUBLISHES)
    parser.add_argument("--seed", type=int, default=1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(json.dumps(asyncio.run(report(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
