"""Verifications that come late, twice, in contradiction, or invented."""

from __future__ import annotations

from dataclasses import replace

import pytest
from autoresearch.errors import Conflict, InvalidArgument
from autoresearch.model import ExperimentState, Level, Purpose, ReplicateTask, ResultId, new_id
from swarm_builders import CLASS, Rig

from coordinator.domain.class_state import Trust
from coordinator.domain.trust import trust_of, with_trust
from coordinator.services.bundling import _unmarked


async def state_of(rig: Rig):
    return (await rig.one.context.classes.refresh(CLASS)).state


async def swarm_of(rig: Rig, *owners: str):
    proposer = await rig.join("p")
    nodes = [await rig.join(owner, owner=owner) for owner in owners]
    await rig.open_class(proposer)
    experiment_id, _ = await rig.explore(proposer, 0.9, LR="0.05")
    return experiment_id, nodes


async def trust(rig: Rig, *owners: str) -> None:
    """As if these owners had agreed with others for a long time."""
    view = await rig.one.context.classes.refresh(CLASS)
    state = view.state
    for owner in owners:
        state = with_trust(state, Trust(owner_id=owner, agreed=20, candour=5.0))
    update = rig.one.context.class_update(_unmarked(state))
    assert await rig.one.store.update_class(CLASS, view.version, update) is None
    await rig.one.context.classes.refresh(CLASS)


async def test_a_half_that_comes_twice_counts_once(rig: Rig) -> None:
    experiment_id, (ann,) = await swarm_of(rig, "ann")
    task = await rig.next_pair(ann)
    half = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, 0.93)

    await rig.publish(ann, half, lease=task.lease)
    again = await rig.publish(ann, half, lease=task.lease)

    assert again.is_repeat
    assert (await state_of(rig)).verification_runs == 1


async def test_a_half_that_contradicts_itself_is_refused_under_its_id(rig: Rig) -> None:
    experiment_id, (ann,) = await swarm_of(rig, "ann")
    task = await rig.next_pair(ann)
    half = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, 0.93)
    await rig.publish(ann, half, lease=task.lease)

    with pytest.raises(Conflict):
        await rig.publish(ann, replace(half, metrics={"val_bpb": 0.5}), lease=task.lease)


async def test_a_second_half_under_another_id_is_kept_and_decides_nothing(rig: Rig) -> None:
    experiment_id, (ann,) = await swarm_of(rig, "ann")
    task = await rig.next_pair(ann)
    half = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, 0.93)
    await rig.publish(ann, half, lease=task.lease)
    before = await state_of(rig)

    flipped = replace(half, result_id=ResultId(new_id()), metrics={"val_bpb": 0.5})
    await rig.publish(ann, flipped, lease=task.lease)

    assert await state_of(rig) == before
    record = await rig.one.store.get_experiment(experiment_id)
    judged = rig.one.context.catalog.judged_score_of(experiment_id)
    assert judged is not None
    assert judged.mean == 0.93
    assert flipped.result_id in {one.result_id for one in record.results}


async def test_a_flip_after_the_pair_is_whole_decides_nothing(rig: Rig) -> None:
    experiment_id, (ann,) = await swarm_of(rig, "ann")
    task = await rig.next_pair(ann)
    await rig.verify(ann, task, 0.93, 1.0)
    before = await state_of(rig)

    flipped = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, 0.5)
    late = await rig.publish(ann, flipped, lease=task.lease)

    assert late.is_late
    assert await state_of(rig) == before


async def test_a_pair_whose_lease_ran_out_decides_nothing(rig: Rig) -> None:
    experiment_id, (ann,) = await swarm_of(rig, "ann")
    task = await rig.next_pair(ann)
    rig.clock.advance(seconds=3600)

    published = await rig.verify(ann, task, 0.5, 1.0)

    assert published.is_late
    standing = (await state_of(rig)).standings[experiment_id]
    assert standing.pairs == ()


async def test_a_late_half_of_a_refuted_candidate_is_evidence_alone(rig: Rig) -> None:
    experiment_id, (ann, bob) = await swarm_of(rig, "ann", "bob")
    late = await rig.next_pair(bob)
    for _ in range(2):
        await rig.verify(ann, await rig.next_pair(ann), 1.1, 1.0)
    rig.clock.advance(seconds=121)
    await rig.connect("ann", ann.node_id)
    await rig.connect("bob", bob.node_id)
    await rig.verify(bob, await rig.next_pair(bob), 1.1, 1.0)
    refuted, _ = await rig.one.leaderboard.get_experiment(experiment_id)

    await rig.verify(bob, late, 0.5, 1.0)

    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    assert refuted.state is ExperimentState.REFUTED
    assert summary.state is ExperimentState.REFUTED
    assert len(results) == len((await rig.one.store.get_experiment(experiment_id)).results)


async def test_one_liar_does_not_kill_a_true_gain(rig: Rig) -> None:
    experiment_id, nodes = await swarm_of(rig, "liar", "ann", "bob", "cid")
    await trust(rig, "ann", "bob", "cid")

    for node, score in zip(nodes, (1.4, 0.93, 0.93, 0.93), strict=True):
        published = await rig.verify(node, await rig.next_pair(node), score, 1.0)

    assert published.best is not None
    assert published.best.experiment_id == experiment_id
    assert published.best.level is Level.CONFIRMED
    assert abs(published.best.mean - 0.93) < 1e-9
    assert trust_of(await state_of(rig), "liar").strikes == 1


async def test_two_liars_without_trust_confirm_nothing(rig: Rig) -> None:
    experiment_id, nodes = await swarm_of(rig, "liar", "crony", "ann", "bob")
    await trust(rig, "ann", "bob")

    for node, score in zip(nodes[:3], (0.7, 0.7, 1.0), strict=True):
        await rig.verify(node, await rig.next_pair(node), score, 1.0)

    state = await state_of(rig)
    assert state.confirmed is None
    assert set(state.standings[experiment_id].left_out) == {"liar", "crony"}


async def test_an_audit_looks_like_every_verification(rig: Rig) -> None:
    _, nodes = await swarm_of(rig, "ann", "bob", "cid", "dan")
    for node in nodes[:3]:
        await rig.verify(node, await rig.next_pair(node), 0.93, 1.0)
    await trust(rig, "dan")
    real, audit = None, None
    for _ in range(400):
        task = await rig.next(nodes[3], can_propose=False)
        if not isinstance(task, ReplicateTask):
            continue
        held = await rig.one.context.leases.find(task.lease.claim_id)
        assert held is not None
        assert held.note.slot is not None
        if held.note.slot.is_audit:
            audit = task
        else:
            real = task
        await rig.one.claiming.release(
            nodes[3],
            claim_id=task.lease.claim_id,
            fencing_token=task.lease.fencing_token,
            reason="",
        )

    assert real is not None
    assert audit is not None
    assert (audit.candidate_id, audit.control_id) == (real.candidate_id, real.control_id)
    assert type(audit) is type(real)


async def test_an_audit_is_published_like_every_verification_and_moves_no_best(rig: Rig) -> None:
    _, nodes = await swarm_of(rig, "ann", "bob", "cid", "dan")
    await trust(rig, "ann", "bob", "cid")
    for node in nodes[:3]:
        await rig.verify(node, await rig.next_pair(node), 0.93, 1.0)
    before = await state_of(rig)
    task = None
    for _ in range(400):
        task = await rig.next(nodes[3], can_propose=False)
        if isinstance(task, ReplicateTask):
            break
    assert isinstance(task, ReplicateTask)

    await rig.verify(nodes[3], task, 0.93, 1.0)

    after = await state_of(rig)
    assert after.audit_runs == 2
    assert after.standings == before.standings
    assert trust_of(after, "dan") == trust_of(before, "dan")


async def test_a_verification_tells_how_far_the_held_back_validation_is_off(rig: Rig) -> None:
    experiment_id, nodes = await swarm_of(rig, "ann", "bob", "cid")
    await trust(rig, "ann", "bob", "cid")
    for node in nodes:
        task = await rig.next_pair(node)
        half = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, 0.93)
        half = replace(half, metrics={"val_bpb": 0.93, "holdout_bpb": 0.95})
        await rig.publish(node, half, lease=task.lease)
        control = rig.verification(task, rig.baseline_id, Purpose.VERIFY_CONTROL, 1.0)
        await rig.publish(node, control, lease=task.lease)

    history = await rig.one.leaderboard.get_progress(CLASS)

    assert history[-1].best.level is Level.CONFIRMED
    assert history[-1].holdout_gap is not None
    assert abs(history[-1].holdout_gap - 0.02) < 1e-9
    assert all(change.holdout_gap is None for change in history[:-1])


async def test_a_gain_that_is_not_there_where_nothing_is_shown_is_refuted_with_the_figures(rig: Rig) -> None:
    experiment_id, nodes = await swarm_of(rig, "ann", "bob", "cid")
    for node in nodes:
        task = await rig.next_pair(node)
        half = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, 0.93)
        half = replace(half, metrics={"val_bpb": 0.93, "hidden_gap_bpb": 0.08})
        await rig.publish(node, half, lease=task.lease)
        control = rig.verification(task, rig.baseline_id, Purpose.VERIFY_CONTROL, 1.0)
        control = replace(control, metrics={"val_bpb": 1.0, "hidden_gap_bpb": 0.01})
        await rig.publish(node, control, lease=task.lease)

    summary, _results = await rig.one.leaderboard.get_experiment(experiment_id)

    assert summary.state is ExperimentState.REFUTED
    assert summary.reason.startswith(
        "looks ahead: it gains 0.07 where its input shows what is to be predicted"
    )


async def test_a_verification_of_another_owners_task_is_refused(rig: Rig) -> None:
    experiment_id, (ann, bob) = await swarm_of(rig, "ann", "bob")
    task = await rig.next_pair(ann)
    half = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, 0.5)

    with pytest.raises(InvalidArgument):
        await rig.publish(bob, half, lease=task.lease)
