"""Values for tests of the node's side of the swarm."""

import hashlib
from datetime import UTC, datetime, timedelta

from autoresearch import model
from autoresearch.model import new_id

START = datetime(2026, 1, 1, tzinfo=UTC)
BASELINE = "LR = 0.1\nDEPTH = 4\n\n\ndef train(ctx):\n    return ctx.model(LR, DEPTH)\n"
CLASS = model.HardwareClass("cpu-test/torch-2.13")


def hash_of(source):
    return model.SourceHash("sha256:" + hashlib.sha256(source).hexdigest())


def hardware(**parts):
    defaults = {
        "hardware_class": CLASS,
        "device_kind": "cpu",
        "device_name": "test",
        "memory_mb": 1000.0,
        "torch_version": "2.13",
    }
    return model.Hardware(**{**defaults, **parts})


def hypothesis(title="Raise the rate", **parts):
    return model.Hypothesis(title=title, **parts)


def constant(name, new, old=""):
    return model.ConstantChange(name=name, new=new, old=old)


def edited(**values):
    """The baseline with other constants."""
    return "".join(
        f"{line.split(' = ')[0]} = {values[line.split(' = ')[0]]}\n"
        if line.split(" = ")[0] in values
        else line
        for line in BASELINE.splitlines(keepends=True)
    ).encode()


def experiment(source, *, challenge_id="ch_1", experiment_id=None, parents=(), **parts):
    defaults = {
        "experiment_id": experiment_id or model.ExperimentId(new_id()),
        "challenge_id": challenge_id,
        "hypothesis": hypothesis(),
        "source_hash": hash_of(source),
        "parents": parents,
        "node_id": "n_1",
        "owner_id": "o_1",
        "hardware_class": CLASS,
        "created_at": START,
    }
    return model.Experiment(**{**defaults, **parts})


def result(of, *, score=1.5, **parts):
    defaults = {
        "result_id": model.ResultId(new_id()),
        "experiment_id": of.experiment_id,
        "challenge_id": of.challenge_id,
        "node_id": of.node_id,
        "owner_id": of.owner_id,
        "outcome": model.Outcome.COMPLETED,
        "purpose": model.Purpose.EXPLORE,
        "metrics": {"val_bpb": score},
        "seed": 1,
        "hardware": hardware(),
        "code_hash": of.source_hash,
        "harness_version": "1",
        "started_at": START,
        "finished_at": START + timedelta(seconds=20),
    }
    return model.Result(**{**defaults, **parts})


def insight(*evidence, **parts):
    defaults = {
        "insight_id": model.InsightId(new_id()),
        "challenge_id": "ch_1",
        "text": "deeper is slower",
        "experiment_ids": evidence,
        "node_id": "n_1",
        "owner_id": "o_1",
        "hardware_class": CLASS,
        "agent": "command",
        "created_at": START,
    }
    return model.Insight(**{**defaults, **parts})


def best(source=None, **parts):
    source = source or BASELINE.encode()
    defaults = {
        "experiment_id": model.ExperimentId(new_id()),
        "hardware_class": CLASS,
        "source_hash": hash_of(source),
        "level": model.Level.BASELINE,
        "mean": 1.5,
        "runs": 3,
        "spread": 0.02,
        "since": START,
        "title": "baseline",
    }
    return model.WorkingBest(**{**defaults, **parts})


def lease(**parts):
    defaults = {
        "claim_id": model.ClaimId(new_id()),
        "fencing_token": 7,
        "expires_at": START + timedelta(seconds=120),
        "ttl_s": 120.0,
    }
    return model.Lease(**{**defaults, **parts})
