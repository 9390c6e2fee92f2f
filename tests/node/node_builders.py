"""Small makers of the values that node tests speak about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from autoresearch.challenge import Challenge, parse_challenge
from autoresearch.model import (
    ChallengeId,
    ConstantChange,
    Experiment,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    Hardware,
    HardwareClass,
    Hypothesis,
    Insight,
    InsightId,
    Level,
    NodeId,
    OwnerId,
    SourceHash,
    WorkingBest,
    new_id,
)

from node.agent.base import AgentContext

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

BASELINE = '''"""A tiny train.py for tests."""

DEPTH = 4            # layers
WIDTH = 64           # channels
MATRIX_LR = 0.04     # for matrices
BATCH_TOKENS = 2**12 # tokens a step
MOMENTUM = 0.95
WEIGHT_DECAY = 0.0
BETAS = (0.8, 0.95)
SEED = 1


def train(ctx):
    return None
'''

MANIFEST = """
schema = 1

[identity]
name = "toy"
title = "A toy"
evaluator = "language"
sequence_len = 16
vocab_size = 64
device_kinds = ["cpu"]
frozen = true

[identity.metric]
name = "val_bpb"
direction = "lower"
unit = "bits per byte"

[identity.budget]
kind = "steps"
steps = 3

[identity.corpus]
kind = "toy"

[identity.tokenizer]
kind = "toy"

[identity.validation]
kind = "toy"

[policy]
version = 1
prior_sd = 0.01
min_baseline_runs = 3
harness_versions = ["1"]
contribution_licence = "MIT"

[policy.limits]
launch_s = 5
setup_s = 5
train_wall_s = 5
eval_s = 5

[policy.audit]
"""


def make_challenge(baseline: str = BASELINE, manifest: str = MANIFEST) -> Challenge:
    return parse_challenge(manifest, baseline, "# Toy\nMake the number small.\n")


def make_hardware() -> Hardware:
    return Hardware(
        hardware_class=HardwareClass("cpu-toy/torch-2.13"),
        device_kind="cpu",
        device_name="Toy CPU",
        memory_mb=1024.0,
        torch_version="2.13.0",
    )


def make_best(experiment_id: str = "parent", *, mean: float = 2.0, title: str = "baseline") -> WorkingBest:
    return WorkingBest(
        experiment_id=ExperimentId(experiment_id),
        hardware_class=HardwareClass("cpu-toy/torch-2.13"),
        source_hash=SourceHash("sha256:" + "0" * 64),
        level=Level.BASELINE,
        mean=mean,
        runs=3,
        spread=0.01,
        since=NOW,
        title=title,
    )


def make_summary(
    *,
    changes: dict[str, tuple[str, str]] | None = None,
    parent: str | None = "parent",
    score: float | None = None,
    delta: float | None = None,
    state: ExperimentState = ExperimentState.COMPLETED,
    experiment_id: str | None = None,
) -> ExperimentSummary:
    constant_changes = tuple(
        ConstantChange(name=name, old=old, new=new) for name, (old, new) in (changes or {}).items()
    )
    experiment = Experiment(
        experiment_id=ExperimentId(experiment_id or new_id()),
        challenge_id=ChallengeId("ch_toy"),
        hypothesis=Hypothesis(
            title=", ".join(f"{c.name} {c.old} -> {c.new}" for c in constant_changes) or "baseline",
            changes=constant_changes,
        ),
        source_hash=SourceHash("sha256:" + "1" * 64),
        parents=(ExperimentId(parent),) if parent else (),
        node_id=NodeId("n"),
        owner_id=OwnerId("o"),
        hardware_class=HardwareClass("cpu-toy/torch-2.13"),
        created_at=NOW,
    )
    return ExperimentSummary(
        experiment=experiment, state=state, score=score, interval=None, runs=1, delta=delta, level=None
    )


def make_insight(*evidence: str, text: str = "deeper is slower") -> Insight:
    return Insight(
        insight_id=InsightId(new_id()),
        challenge_id=ChallengeId("ch_toy"),
        text=text,
        experiment_ids=tuple(map(ExperimentId, evidence)) or (ExperimentId(new_id()),),
        node_id=NodeId("n"),
        owner_id=OwnerId("o"),
        hardware_class=HardwareClass("cpu-toy/torch-2.13"),
        agent="command",
        created_at=NOW,
    )


def make_context(source: str = BASELINE, **changes) -> AgentContext:
    challenge = make_challenge()
    fields = {
        "challenge": challenge,
        "program": challenge.program_md,
        "parent": make_best(),
        "parent_source": source,
        **changes,
    }
    return AgentContext(**fields)


def is_alive(pid) -> bool:
    """True for a process that runs; one that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
