"""A whole coordinator over the memory store, and nodes that act on it without training anything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from autoresearch.challenge import Challenge, parse_challenge
from autoresearch.model import (
    BaselineTask,
    ClaimId,
    ConstantChange,
    Experiment,
    ExperimentId,
    Granted,
    Hardware,
    HardwareClass,
    Hypothesis,
    Intent,
    Lease,
    Node,
    NodeId,
    Outcome,
    OwnerId,
    Published,
    Purpose,
    ReplicateTask,
    Result,
    ResultId,
    SourceHash,
    Started,
    Task,
    new_id,
)
from autoresearch.signing import SigningKey

from coordinator.dedup.code import CodeReader
from coordinator.domain.baseline import baseline_id
from coordinator.services.settings import ServiceSettings
from coordinator.services.sources import hash_of
from coordinator.services.swarm import SwarmServices
from coordinator.storage.memory.server import MemoryStoreServer

ASKED_LIMIT = 60
"""Asks for a task that half of the asks are given."""

CLASS = HardwareClass("cpu-test/torch-2.13")
BASELINE = """\
LR = 0.04
BATCH = 2**18
DEPTH = 4


def train(ctx):
    while ctx.running():
        ctx.step(LR, BATCH, DEPTH)
"""
MANIFEST = """\
schema = 1
[identity]
name = "{name}"
title = "a test"
evaluator = "bits-per-byte/1"
sequence_len = 128
vocab_size = 1024
device_kinds = ["cpu"]
frozen = {frozen}
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
[identity.holdout]
kind = "seeded"
metric = "holdout_bpb"
[policy]
version = 1
prior_sd = 0.01
min_baseline_runs = 3
harness_versions = ["1"]
contribution_licence = "MIT"
[policy.limits]
[policy.hidden_gap]
metric = "hidden_gap_bpb"
pair_sd = 0.02
run_sd = 0.05
[policy.audit]
"""


def make_challenge(name: str = "test", *, frozen: bool = True) -> Challenge:
    return parse_challenge(
        MANIFEST.format(name=name, frozen="true" if frozen else "false"), BASELINE, "Make it better."
    )


def edited(**constants: str) -> bytes:
    """The baseline with other values of its constants."""
    lines = []
    for line in BASELINE.splitlines(keepends=True):
        name = line.partition(" = ")[0]
        lines.append(f"{name} = {constants[name]}\n" if name in constants else line)
    return "".join(lines).encode()


def change(name: str, new: str, old: str = "") -> Hypothesis:
    return Hypothesis(
        title=f"{name} to {new}", changes=(ConstantChange(name=name, new=new, old=old),), agent="test"
    )


@dataclass
class FakeClock:
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@dataclass
class Rig:
    """One coordinator. ``nodes`` are those that joined, by name."""

    services: SwarmServices
    server: MemoryStoreServer
    clock: FakeClock
    nodes: dict[str, Node] = field(default_factory=dict)

    @property
    def one(self):
        return self.services.challenges[0]

    @property
    def challenge(self) -> Challenge:
        return self.one.challenge

    @property
    def baseline_id(self) -> ExperimentId:
        return baseline_id(self.challenge.challenge_id, CLASS)

    async def join(self, name: str, *, owner: str | None = None, hardware_class: str = CLASS) -> Node:
        token = ""
        if owner is not None:
            _, token = await self.services.admin.create_token(
                owner_id=OwnerId(owner), uses=1, expires_in_s=None
            )
        key = SigningKey.generate()
        await self.services.membership.enrol(key.public_key, token=token, name=name, has_consented=True)
        return await self.connect(name, key.node_id, hardware_class=hardware_class)

    async def connect(
        self, name: str, node_id: NodeId, *, hardware_class: str = CLASS, memory_mb: float = 1_000
    ) -> Node:
        identity = self.server.identity_store()
        node = await identity.get_node(node_id)
        assert node is not None
        await self.services.membership.connect(
            node,
            protocol_min=1,
            protocol_max=1,
            challenge="",
            hardware=make_hardware(hardware_class, memory_mb=memory_mb),
            node_version="0",
        )
        node = await identity.get_node(node_id)
        assert node is not None
        self.nodes[name] = node
        return node

    async def next(self, node: Node, *, can_propose: bool = True, can_train: bool = True) -> Task:
        return await self.one.claiming.next_task(node, can_propose=can_propose, can_train=can_train)

    async def next_pair(self, node: Node) -> ReplicateTask:
        """A verification, which a node without an agent is given soon where one is wanted."""
        for _ in range(ASKED_LIMIT):
            task = await self.next(node, can_propose=False)
            if isinstance(task, ReplicateTask):
                return task
        raise AssertionError(task)

    async def open_class(self, node: Node, scores: tuple[float, ...] = (1.0, 1.004, 0.996)) -> None:
        for score in scores:
            task = await self.next(node)
            assert isinstance(task, BaselineTask)
            await self.publish_baseline(node, task, score)

    async def publish_baseline(self, node: Node, task: BaselineTask, score: float) -> Published:
        source_hash = SourceHash(self.challenge.baseline_hash)
        result = self.result(
            task.experiment_id, source_hash, score=score, seed=task.seed, purpose=Purpose.BASELINE
        )
        return await self.publish(node, result, lease=task.lease)

    async def claim(self, node: Node, hypothesis: Hypothesis, parent_id: ExperimentId | None = None, **more):
        return await self.one.claiming.claim(
            node,
            claim_id=more.pop("claim_id", ClaimId(new_id())),
            hypothesis=hypothesis,
            parent_id=parent_id or self.baseline_id,
            **more,
        )

    async def start(self, node: Node, lease: Lease, source: bytes, experiment_id: str | None = None):
        return await self.one.starting.start(
            node,
            claim_id=lease.claim_id,
            fencing_token=lease.fencing_token,
            experiment_id=ExperimentId(experiment_id or new_id()),
            source=source,
        )

    async def publish(self, node: Node, result: Result, *, lease: Lease | None = None, **more) -> Published:
        return await self.one.publishing.publish(
            node,
            result=result,
            claim_id=lease.claim_id if lease else None,
            fencing_token=lease.fencing_token if lease else 0,
            **more,
        )

    async def begin(self, node: Node, hypothesis: Hypothesis, source: bytes, parent_id=None):
        """Claim and start; the lease, the experiment id and the seed."""
        granted = await self.claim(node, hypothesis, parent_id)
        assert isinstance(granted, Granted), granted
        experiment_id = new_id()
        started = await self.start(node, granted.lease, source, experiment_id)
        assert isinstance(started, Started), started
        return started, ExperimentId(experiment_id)

    async def explore(
        self, node: Node, score: float, parent_id: ExperimentId | None = None, **constants: str
    ) -> tuple[ExperimentId, Published]:
        """Claims, starts and publishes an edit of the baseline's constants."""
        hypothesis = Hypothesis(
            title=", ".join(f"{name} = {value}" for name, value in constants.items()),
            changes=tuple(ConstantChange(name=name, new=value) for name, value in constants.items()),
        )
        source = edited(**constants)
        started, experiment_id = await self.begin(node, hypothesis, source, parent_id)
        result = self.result(experiment_id, hash_of(source), score=score, seed=started.seed)
        return experiment_id, await self.publish(node, result, lease=started.lease)

    async def verify(self, node: Node, task: ReplicateTask, candidate: float | None, control: float | None):
        """Publishes both runs of a pair; None is a crash."""
        published = None
        for experiment_id, purpose, score in (
            (task.candidate_id, Purpose.VERIFY_CANDIDATE, candidate),
            (task.control_id, Purpose.VERIFY_CONTROL, control),
        ):
            result = self.verification(task, experiment_id, purpose, score)
            published = await self.publish(node, result, lease=task.lease)
        assert published is not None
        return published

    def verification(
        self, task: ReplicateTask, experiment_id: ExperimentId, purpose: Purpose, score: float | None
    ) -> Result:
        entry = self.one.context.catalog.entry(experiment_id)
        assert entry is not None
        return self.result(
            experiment_id,
            entry.experiment.source_hash,
            score=score,
            seed=task.seed,
            purpose=purpose,
            verification_id=task.verification_id,
            crash_kind="exception" if score is None else "",
        )

    def result(
        self,
        experiment_id: ExperimentId,
        code_hash: SourceHash,
        *,
        score: float | None = 1.0,
        seed: int = 0,
        outcome: Outcome | None = None,
        purpose: Purpose = Purpose.EXPLORE,
        hardware_class: str = CLASS,
        **more,
    ) -> Result:
        outcome = outcome or (Outcome.CRASHED if score is None else Outcome.COMPLETED)
        return Result(
            result_id=ResultId(new_id()),
            experiment_id=experiment_id,
            challenge_id=self.challenge.challenge_id,
            node_id=NodeId(""),
            owner_id=OwnerId(""),
            outcome=outcome,
            purpose=purpose,
            metrics={} if score is None else {"val_bpb": score},
            seed=seed,
            hardware=make_hardware(hardware_class, memory_mb=more.pop("memory_mb", 1_000)),
            code_hash=code_hash,
            harness_version=more.pop("harness_version", "1"),
            started_at=self.clock() - timedelta(seconds=10),
            finished_at=self.clock(),
            **more,
        )

    def solo(
        self, source: bytes, score: float, *, parent_id: ExperimentId | None = None, title: str = "alone"
    ) -> tuple[Experiment, Result]:
        """An experiment that was made without the coordinator."""
        experiment = Experiment(
            experiment_id=ExperimentId(new_id()),
            challenge_id=self.challenge.challenge_id,
            hypothesis=Hypothesis(title=title),
            source_hash=hash_of(source),
            parents=(parent_id or self.baseline_id,),
            node_id=NodeId("somebody"),
            owner_id=OwnerId("somebody"),
            hardware_class=CLASS,
            created_at=self.clock(),
        )
        return experiment, self.result(experiment.experiment_id, experiment.source_hash, score=score)


def make_hardware(hardware_class: str = CLASS, *, memory_mb: float = 1_000) -> Hardware:
    return Hardware(
        hardware_class=HardwareClass(hardware_class),
        device_kind="cpu",
        device_name="a test's CPU",
        memory_mb=memory_mb,
        torch_version="2.13.0",
    )


def make_rig(
    reader: CodeReader, *, server: MemoryStoreServer | None = None, clock=None, embedder=None, **settings
) -> Rig:
    clock = clock or FakeClock()
    server = server or MemoryStoreServer(clock=clock)
    chosen = replace(
        ServiceSettings(version="0", view_refresh_s=0.0, claims_per_node=32, reap_interval_s=3600.0),
        **settings,
    )
    services = SwarmServices(
        server, [make_challenge()], chosen, clock=clock, reader=reader, embedder=embedder
    )
    return Rig(services=services, server=server, clock=clock)


def retest(hypothesis: Hypothesis) -> Hypothesis:
    return replace(hypothesis, intent=Intent.RETEST)
