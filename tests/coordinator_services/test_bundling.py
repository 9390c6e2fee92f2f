"""Gains too small alone come back as one candidate, with every experiment that it is made of as a parent."""

from __future__ import annotations

from autoresearch.model import ExperimentId, Granted, IdeaKind, QueuedTask, ReplicateTask, new_id
from swarm_builders import CLASS, Rig, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.sources import hash_of


async def drop_with_a_small_gain(rig: Rig, proposer, verifier, **constants: str) -> ExperimentId:
    experiment_id, _ = await rig.explore(proposer, 0.97, **constants)
    for index in range(8):
        task = await rig.next(verifier, can_propose=False)
        assert isinstance(task, ReplicateTask)
        control = 1.0 + (0.01 if index % 2 else -0.01)
        await rig.verify(verifier, task, control - 0.008, control)
    return experiment_id


async def two_small_gains(rig: Rig):
    proposer, verifier = await rig.join("p"), await rig.join("v")
    await rig.open_class(proposer)
    first = await drop_with_a_small_gain(rig, proposer, verifier, LR="0.05")
    second = await drop_with_a_small_gain(rig, proposer, verifier, DEPTH="5")
    return proposer, verifier, first, second


async def test_two_small_gains_become_one_queued_candidate(rig: Rig) -> None:
    _, _, first, second = await two_small_gains(rig)

    (idea,) = await rig.one.ideas.list_ideas()

    assert idea.parents[0] == rig.baseline_id
    assert set(idea.parents[1:]) == {first, second}
    assert idea.kind is IdeaKind.COMBINE
    assert idea.material_ids == idea.parents[1:]
    assert idea.source_hash == hash_of(edited(LR="0.05", DEPTH="5"))
    assert idea.hypothesis.title.startswith("bundle: ")
    state = (await rig.one.context.classes.get(CLASS)).state
    assert state.small_gains == ()


async def test_a_bundle_is_run_on_its_base_and_has_several_parents(rig: Rig) -> None:
    _, verifier, first, second = await two_small_gains(rig)
    task = await rig.next(verifier, can_propose=False)
    assert isinstance(task, QueuedTask)

    granted = await rig.claim(
        verifier, task.hypothesis, task.parent.experiment_id, queued_claim_id=task.lease.claim_id
    )
    assert isinstance(granted, Granted)
    source = edited(LR="0.05", DEPTH="5")
    experiment_id = ExperimentId(new_id())
    started = await rig.start(verifier, granted.lease, source, experiment_id)
    result = rig.result(experiment_id, hash_of(source), score=0.95, seed=started.seed)
    published = await rig.publish(verifier, result, lease=started.lease)

    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.experiment.parents[0] == rig.baseline_id
    assert set(summary.experiment.parents[1:]) == {first, second}
    assert published.best is not None
    assert published.best.experiment_id == experiment_id
    assert await rig.one.ideas.list_ideas() == ()


async def test_other_code_under_a_bundles_claim_is_an_ordinary_edit(rig: Rig) -> None:
    _, verifier, *_ = await two_small_gains(rig)
    task = await rig.next(verifier, can_propose=False)
    assert isinstance(task, QueuedTask)
    granted = await rig.claim(
        verifier, task.hypothesis, task.parent.experiment_id, queued_claim_id=task.lease.claim_id
    )
    experiment_id = ExperimentId(new_id())

    await rig.start(verifier, granted.lease, edited(LR="0.9"), experiment_id)

    record = await rig.one.store.get_experiment(experiment_id)
    assert record is not None
    assert record.experiment.parents == (rig.baseline_id,)


async def test_edits_that_touch_are_left_alone(rig: Rig) -> None:
    proposer, verifier = await rig.join("p"), await rig.join("v")
    await rig.open_class(proposer)

    await drop_with_a_small_gain(rig, proposer, verifier, LR="0.05")
    await drop_with_a_small_gain(rig, proposer, verifier, LR="0.06")

    assert await rig.one.ideas.list_ideas() == ()
    state = (await rig.one.context.classes.get(CLASS)).state
    assert len(state.small_gains) == 2


async def test_a_restart_does_not_make_a_bundle_again(rig: Rig, reader: CodeReader) -> None:
    await two_small_gains(rig)
    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()

    await again.one.publishing._bundling.bundle(CLASS)

    ideas = await again.one.ideas.list_ideas()
    await again.services.close()
    assert len(ideas) == 1
