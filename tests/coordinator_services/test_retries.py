"""Edits that were built on a code that fell: what they gain over it is not lost with it."""

from __future__ import annotations

import pytest
from autoresearch.model import ExperimentId, ExperimentState, Granted, Intent, Node, Started, new_id
from swarm_builders import Rig, change, edited

from coordinator.services.sources import hash_of

FORGED, TRUE = 0.8, 1.3
"""What the liar says of its code, and what others measure."""


async def lied(rig: Rig) -> tuple[ExperimentId, Node, Node]:
    """A class that builds on an invented score, and the two honest owners in it."""
    honest, other = await rig.join("h", owner="honest"), await rig.join("o", owner="other")
    liar = await rig.join("l", owner="liar")
    await rig.open_class(honest)
    lie, _ = await rig.explore(liar, FORGED, LR="0.4")
    return lie, honest, other


async def refute(rig: Rig, lie: ExperimentId, *verifiers: Node) -> None:
    for turn in range(3):
        verifier = verifiers[turn % len(verifiers)]
        await rig.verify(verifier, await rig.next_pair(verifier), TRUE, 1.0)
    assert rig.one.context.catalog.state_of(lie) is ExperimentState.REFUTED


@pytest.mark.parametrize(("score", "queued"), [(1.1, 1), (1.3, 0)])
async def test_an_edit_that_beats_the_refuted_code_below_it_is_queued_for_the_present_best(
    rig: Rig, score: float, queued: int
) -> None:
    lie, honest, other = await lied(rig)
    built, _ = await rig.explore(honest, score, lie, LR="0.4", DEPTH="6")

    await refute(rig, lie, other, honest)

    ideas = await rig.one.store.list_ideas(limit=10)
    reason = rig.one.context.catalog.summary(built).reason
    assert [idea.origin_experiment_id for idea in ideas] == [built] * queued
    assert reason.count(lie) == queued
    assert rig.one.context.catalog.state_of(built) is ExperimentState.COMPLETED


async def test_an_edit_that_ends_after_its_parent_was_refuted_is_queued_too(rig: Rig) -> None:
    lie, honest, other = await lied(rig)
    source = edited(LR="0.4", DEPTH="6")
    granted = await rig.claim(honest, change("DEPTH", "6"), lie)
    assert isinstance(granted, Granted)
    built = ExperimentId(new_id())
    started = await rig.start(honest, granted.lease, source, built)
    assert isinstance(started, Started)
    await refute(rig, lie, other, honest)

    result = rig.result(built, hash_of(source), score=1.1, seed=started.seed)
    await rig.publish(honest, result, lease=started.lease)

    (idea,) = await rig.one.store.list_ideas(limit=10)
    assert idea.origin_experiment_id == built
    assert idea.hypothesis.intent is Intent.REBASE
