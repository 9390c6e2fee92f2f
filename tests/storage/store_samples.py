"""Claims, experiments and results as tests need them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from autoresearch.attestation import Attestation
from autoresearch.model import (
    BestChange,
    ChallengeId,
    ClaimId,
    ConstantChange,
    Experiment,
    ExperimentId,
    ExperimentState,
    Hardware,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    IdeaKind,
    Insight,
    InsightId,
    Lease,
    Level,
    MechanismChange,
    MechanismOp,
    Node,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    SourceHash,
    Token,
    Usage,
    WorkingBest,
    new_id,
)
from autoresearch.program import program_hash

from coordinator.storage.base import (
    ClaimKind,
    ClaimRequest,
    ClassUpdate,
    EditKey,
    KeyKind,
    NewSource,
    Publication,
    Store,
    StoredReading,
)

CHALLENGE = ChallengeId("ch_" + "5c" * 16)
H100 = HardwareClass("nvidia-h100-sxm-80gb/torch-2.13")
A100 = HardwareClass("nvidia-a100-sxm-40gb/torch-2.13")
ANN, BOB, EVE = NodeId("node-ann"), NodeId("node-bob"), NodeId("node-eve")
TTL_S = 60.0
MAX_LIVE = 4
START = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def make_key(text: str, kind: KeyKind = KeyKind.EDIT) -> EditKey:
    return EditKey(kind=kind, digest=hashlib.sha256(text.encode()).hexdigest()[:32])


def make_hypothesis(title: str = "Raise MATRIX_LR to 0.05") -> Hypothesis:
    return Hypothesis(
        title=title,
        rationale='The loss still falls at the end; so "higher" may help.\n\u00e9\u4e2d\U0001f600',
        changes=(
            ConstantChange(name="MATRIX_LR", old="0.04", new="0.05"),
            MechanismChange(op=MechanismOp.ADD, what="warmup", where="schedule"),
        ),
        agent="search",
        program_hash=program_hash("Make it better."),
    )


def make_request(
    *keys: EditKey,
    node: NodeId = ANN,
    claim_id: str = "",
    hardware_class: HardwareClass = H100,
    kind: ClaimKind = ClaimKind.HYPOTHESIS,
    fingerprint: str = "f1",
    takes_over: ClaimId | None = None,
    subjects: tuple[EditKey, ...] = (),
) -> ClaimRequest:
    return ClaimRequest(
        claim_id=ClaimId(claim_id or new_id()),
        node_id=node,
        owner_id=OwnerId(f"owner-{node}"),
        hardware_class=hardware_class,
        kind=kind,
        keys=keys,
        subjects=subjects,
        fingerprint=fingerprint,
        hypothesis=make_hypothesis(),
        parent_id=None,
        takes_over=takes_over,
        note='{"seed":1}',
    )


def make_source(text: str = "DEPTH = 8\n", parent: NewSource | None = None) -> NewSource:
    raw = text.encode()
    return NewSource(
        source_hash=SourceHash("sha256:" + hashlib.sha256(raw).hexdigest()),
        text=raw,
        parent_hash=parent.source_hash if parent else None,
    )


def make_experiment(
    source: NewSource | None = None,
    *,
    node: NodeId = ANN,
    hardware_class: HardwareClass = H100,
    experiment_id: str = "",
    title: str = "Raise MATRIX_LR to 0.05",
) -> Experiment:
    return Experiment(
        experiment_id=ExperimentId(experiment_id or new_id()),
        challenge_id=CHALLENGE,
        hypothesis=make_hypothesis(title),
        source_hash=(source or make_source()).source_hash,
        parents=(ExperimentId(new_id()),),
        node_id=node,
        owner_id=OwnerId(f"owner-{node}"),
        hardware_class=hardware_class,
        created_at=START,
        flags=("words do not match",),
        proposer_id=NodeId("n_proposer"),
        proposer_owner_id=OwnerId("o_proposer"),
        idea_usage=make_usage(),
    )


def make_hardware(hardware_class: HardwareClass = H100) -> Hardware:
    return Hardware(
        hardware_class=hardware_class,
        device_kind="cuda",
        device_name="NVIDIA H100 80GB HBM3",
        memory_mb=81559.0,
        torch_version="2.13.0+cu130",
    )


def make_result(
    experiment: Experiment, *, node: NodeId = ANN, score: float = 0.9979, result_id: str = ""
) -> Result:
    return Result(
        result_id=ResultId(result_id or new_id()),
        experiment_id=experiment.experiment_id,
        challenge_id=CHALLENGE,
        node_id=node,
        owner_id=OwnerId(f"owner-{node}"),
        outcome=Outcome.COMPLETED,
        purpose=Purpose.EXPLORE,
        metrics={"val_bpb": score, "steps": 1234.0, "tiny": 1e-17 / 3},
        seed=2**62 + 1,
        hardware=make_hardware(experiment.hardware_class),
        code_hash=experiment.source_hash,
        harness_version="1.0.0",
        started_at=START,
        finished_at=START + timedelta(seconds=300.5),
        log_tail="step 1 loss 3.1\nstep 2 loss 3.0 \u00e9\n",
        curve=((0.0, 11.03), (10.0, 7.25), (20.0, 3.12)),
        attestation=make_attestation(experiment),
        usage=make_usage(),
    )


def make_usage() -> Usage:
    return Usage(
        model="claude-test",
        calls=3,
        input_tokens=1_200,
        cache_read_tokens=34_000,
        cache_write_tokens=5_600,
        output_tokens=780,
        cost_usd=0.0123,
        is_estimate=True,
        seconds=41.5,
    )


def make_attestation(experiment: Experiment) -> Attestation:
    return Attestation(
        manifest_hash="sha256:" + "12" * 32,
        code_hash=experiment.source_hash,
        seed=2**62 + 1,
        val_seed=2**63 - 1,
        harness_version="1.0.0",
        rows_digest="sha256:" + "34" * 32,
        losses_digest="sha256:" + "56" * 32,
        device_kind="cuda",
        device_name="NVIDIA H100 80GB HBM3 \u00e9",
        memory_mb=81559,
        torch_version="2.13.0+cu130",
        sandbox=("landlock", "own-session"),
        timings_s={"train_s": 300.25, "wall_s": 1 / 3},
    )


def make_publication(
    experiment: Experiment,
    *,
    result: Result | None = None,
    lease: Lease | None = None,
    seen_version: int = 0,
    update: ClassUpdate | None = None,
    source: NewSource | None = None,
) -> Publication:
    return Publication(
        result=result or make_result(experiment),
        seen_version=seen_version,
        claim_id=lease.claim_id if lease else None,
        fencing_token=lease.fencing_token if lease else 0,
        experiment=experiment,
        source=source or make_source(),
        state=ExperimentState.COMPLETED,
        update=update,
        train_s=300.25,
    )


def make_stored_reading(name: str = "read", *, rules: int = 1) -> StoredReading:
    """Digests with every byte that there is, and texts like those of the experiment and unlike them."""
    return StoredReading(
        rules=rules, digests=name.encode() + bytes(range(240)), texts=("MATRIX_LR", "0.05", name, "", "a\nÿ")
    )


def make_best(
    experiment: Experiment,
    mean: float = 0.99,
    *,
    level: Level = Level.PROVISIONAL,
    node: NodeId | None = None,
) -> WorkingBest:
    return WorkingBest(
        experiment_id=experiment.experiment_id,
        hardware_class=experiment.hardware_class,
        source_hash=experiment.source_hash,
        level=level,
        mean=mean,
        runs=3,
        spread=0.0005,
        since=START,
        confirmed_by=(OwnerId("owner-x"),),
        title='Higher "LR" / \u00e9',
        node_id=experiment.node_id,
    )


def make_change(best: WorkingBest, previous: ExperimentId | None = None) -> BestChange:
    return BestChange(best=best, previous=previous, reason="passed the screen", at=START, holdout_gap=0.0125)


def make_update(
    best: WorkingBest,
    *,
    state: str = '{"n":1}',
    previous: ExperimentId | None = None,
    is_confirmed: bool = False,
) -> ClassUpdate:
    return ClassUpdate(
        state=state,
        marks={best.experiment_id: (ExperimentState.BEST, "now best")},
        changes=(make_change(best, previous),),
        working=best,
        confirmed=best if is_confirmed else None,
    )


def make_idea(title: str = "Try SwiGLU", *, node: NodeId = ANN, source: NewSource | None = None) -> Idea:
    return Idea(
        hypothesis_id=HypothesisId(new_id()),
        hypothesis=make_hypothesis(title),
        node_id=node,
        proposed_at=START,
        origin_experiment_id=ExperimentId(new_id()),
        source_hash=source.source_hash if source else None,
        parents=(ExperimentId(new_id()), ExperimentId(new_id())) if source else (),
        kind=IdeaKind.COMBINE,
        priority=3,
        material_ids=(ExperimentId(new_id()),),
        owner_id=OwnerId(f"owner-{node}"),
        usage=make_usage(),
    )


def make_insight(
    *experiments: Experiment, text: str = 'Higher "LR" helps \u00e9\n', node: NodeId = ANN
) -> Insight:
    return Insight(
        insight_id=InsightId(new_id()),
        challenge_id=CHALLENGE,
        text=text,
        experiment_ids=tuple(one.experiment_id for one in experiments),
        node_id=node,
        owner_id=OwnerId(f"owner-{node}"),
        hardware_class=H100,
        agent="command",
        created_at=START,
    )


def make_node(node_id: NodeId = ANN, *, has_vote: bool = False, key: bytes = b"\x01" * 32) -> Node:
    return Node(
        node_id=node_id,
        owner_id=OwnerId("open"),
        name="Ann's box",
        public_key=key,
        hardware_class=HardwareClass(""),
        enrolled_at=START,
        last_seen_at=START,
        has_vote=has_vote,
    )


def make_token(*, uses_left: int | None = None, expires_at: datetime | None = None) -> Token:
    return Token(
        token_id=new_id(),
        owner_id=OwnerId("lab"),
        uses_left=uses_left,
        created_at=START,
        expires_at=expires_at,
    )


async def start_experiment(
    store: Store, *keys: EditKey, node: NodeId = ANN, ttl_s: float = TTL_S
) -> tuple[Lease, Experiment]:
    """A claim that has started."""
    lease = await store.claim(make_request(*keys, node=node), ttl_s=ttl_s, max_live=MAX_LIVE)
    assert isinstance(lease, Lease)
    experiment = make_experiment(node=node)
    started = await store.start(
        lease.claim_id, lease.fencing_token, keys=(), experiment=experiment, source=make_source(), ttl_s=ttl_s
    )
    assert isinstance(started, Lease)
    return started, experiment


def with_late(result: Result, *, is_late: bool) -> Result:
    return replace(result, is_late=is_late)
