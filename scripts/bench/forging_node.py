"""A node that lies: it speaks to the coordinator as every node does, and invents the result."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from autoresearch.challenge import Challenge
from autoresearch.edits import edit_signature
from autoresearch.model import (
    ClaimId,
    Experiment,
    ExperimentId,
    ExploreTask,
    Granted,
    Hypothesis,
    Published,
    Purpose,
    Result,
    ResultId,
    Started,
    new_id,
    utc_now,
)
from bench.planned_agent import edited

from node.assignment import NodeFacts, experiment_of
from node.hardware import detect_hardware
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcSwarm, JoinTerms
from node.swarm.identity import load_identity
from node.swarm.protocol import Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """An edit with how much better than the present best its one run is said to be.

    ``model`` is an honest run of the same machine, which this one is made to look like.
    """

    title: str
    rationale: str
    constants: dict[str, str]
    gain: float
    model: Result


async def publish_lie(address: str, node_dir: Path, token: str, challenge: Challenge, lie: Lie) -> Published:
    """Claims and starts the edit on the present best, trains nothing and publishes what was invented.

    Uses the key in ``node_dir``, whose node must not run at the same time.
    """
    key, where = load_identity(node_dir), parse_address(address)
    terms = JoinTerms(token=token, name=node_dir.name, has_consented=True)
    swarm = GrpcSwarm(open_channel(where), where.target, key, terms)
    try:
        hardware = detect_hardware(challenge.device_kinds)
        session = await swarm.connect(hardware, challenge.challenge_id)
        task = await swarm.next_task(can_propose=True, can_train=False)
        best = await swarm.best()
        if not isinstance(task, ExploreTask) or best is None:
            raise SystemExit(f"the forger was given no parent to edit: {task}")
        before = best.source.decode()
        after = edited(before, {"constants": lie.constants, "lines": ""})
        changes = edit_signature(before, after).changes
        hypothesis = Hypothesis(title=lie.title, rationale=lie.rationale, changes=changes, agent="command")
        parent_id = best.best.experiment_id
        granted = await swarm.claim(ClaimId(new_id()), hypothesis, parent_id)
        if not isinstance(granted, Granted):
            raise SystemExit(f"the forger's claim was refused: {granted}")
        experiment_id = ExperimentId(new_id())
        started = await swarm.start(granted.lease, experiment_id, after.encode())
        if not isinstance(started, Started):
            raise SystemExit(f"the forger's code was refused: {started}")
        facts = NodeFacts(
            node_id=key.node_id, owner_id=session.owner_id, hardware=hardware, challenge=challenge
        )
        experiment = experiment_of(
            facts, experiment_id, hypothesis, after.encode(), parents=(parent_id,), now=utc_now()
        )
        score = best.best.mean - lie.gain if challenge.direction == "lower" else best.best.mean + lie.gain
        result = invented(challenge, experiment, started, lie.model, score)
        return await swarm.publish(
            Publication(result=result, experiment=experiment, source=after.encode(), lease=started.lease)
        )
    finally:
        await swarm.close()


def invented(
    challenge: Challenge, experiment: Experiment, started: Started, model: Result, score: float
) -> Result:
    """A result that agrees with its task in all that a coordinator can check without running the code."""
    if model.attestation is None:
        raise SystemExit("the forger's model is not attested")
    attestation = replace(
        model.attestation,
        code_hash=experiment.source_hash,
        seed=started.seed,
        val_seed=started.val_seed,
        rows_digest=f"sha256:{secrets.token_hex(32)}",
        losses_digest=f"sha256:{secrets.token_hex(32)}",
    )
    lasted = model.finished_at - model.started_at
    return replace(
        model,
        result_id=ResultId(new_id()),
        experiment_id=experiment.experiment_id,
        node_id=experiment.node_id,
        owner_id=experiment.owner_id,
        purpose=Purpose.EXPLORE,
        metrics={**model.metrics, challenge.metric_name: score},
        seed=started.seed,
        code_hash=experiment.source_hash,
        started_at=utc_now() - lasted,
        finished_at=utc_now(),
        attestation=attestation,
        published_at=None,
    )
