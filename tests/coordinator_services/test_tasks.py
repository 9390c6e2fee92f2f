from __future__ import annotations

import asyncio

import pytest
from autoresearch.errors import Conflict, InvalidArgument, LimitExceeded
from autoresearch.model import (
    BaselineTask,
    Duplicate,
    ExploreTask,
    Granted,
    HypothesisId,
    IdleTask,
    Level,
    QueuedTask,
    ReplicateTask,
    new_id,
)
from swarm_builders import CLASS, Rig, change, edited

from coordinator.services.sources import hash_of


async def test_baseline_slots_come_first_and_no_more_than_needed(rig: Rig) -> None:
    nodes = [await rig.join(f"n{index}") for index in range(4)]

    tasks = await asyncio.gather(*(rig.next(node) for node in nodes))

    kinds = sorted(type(task).__name__ for task in tasks)
    assert kinds == ["BaselineTask", "BaselineTask", "BaselineTask", "IdleTask"]
    seeds = {task.seed for task in tasks if isinstance(task, BaselineTask)}
    assert len(seeds) == 3


async def test_nodes_explore_from_the_first_baseline_run_on(rig: Rig) -> None:
    nodes = [await rig.join(f"n{index}") for index in range(4)]
    tasks = [await rig.next(node) for node in nodes[:3]]
    await rig.publish_baseline(nodes[0], tasks[0], 1.0)

    task = await rig.next(nodes[3])

    assert isinstance(task, ExploreTask)
    assert task.parent.experiment_id == rig.baseline_id


async def test_an_expired_baseline_slot_is_handed_out_again(rig: Rig) -> None:
    node = await rig.join("n")
    for _ in range(3):
        await rig.next(node)
    full = await rig.next(node)

    rig.clock.advance(seconds=121)
    again = await rig.next(node)

    assert isinstance(full, IdleTask)
    assert isinstance(again, BaselineTask)


async def test_a_node_that_cannot_train_only_proposes(rig: Rig) -> None:
    node, thinker = await rig.join("n"), await rig.join("t")
    before = await rig.next(thinker, can_train=False)
    await rig.open_class(node)

    after = await rig.next(thinker, can_train=False)
    neither = await rig.next(thinker, can_train=False, can_propose=False)

    assert isinstance(before, IdleTask)
    assert isinstance(after, ExploreTask)
    assert isinstance(neither, IdleTask)
    assert neither.retry_after_s > 0


async def test_at_most_half_of_the_active_nodes_verify_and_the_rest_explores(rig: Rig) -> None:
    nodes = [await rig.join(f"n{index}") for index in range(6)]
    await rig.open_class(nodes[0])
    await rig.explore(nodes[0], 0.9, LR="0.05")

    tasks = [await rig.next(node, can_propose=False) for node in nodes]
    explorer = await rig.next(nodes[-1])

    assert isinstance(tasks[0], IdleTask)
    assert sum(isinstance(task, ReplicateTask) for task in tasks) == 3
    assert all(isinstance(task, ReplicateTask | IdleTask) for task in tasks)
    assert isinstance(explorer, ExploreTask)


async def test_pairs_of_one_candidate_are_no_more_than_the_rule_needs(rig: Rig) -> None:
    nodes = [await rig.join(f"n{index}") for index in range(12)]
    await rig.open_class(nodes[0])
    await rig.explore(nodes[0], 0.9, LR="0.05")

    tasks = await asyncio.gather(*(rig.next(node, can_propose=False) for node in nodes[1:]))

    pairs = [task for task in tasks if isinstance(task, ReplicateTask)]
    assert len(pairs) == 3
    assert len({pair.verification_id for pair in pairs}) == 3
    assert len({pair.seed for pair in pairs}) == 3


async def test_the_proposers_own_node_verifies_only_where_nobody_else_is_active(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    await rig.explore(node, 0.9, LR="0.05")

    kinds = set()
    for _ in range(40):
        task = await rig.next(node)
        kinds.add(type(task))
        if isinstance(task, ReplicateTask):
            await rig.one.claiming.release(
                node,
                claim_id=task.lease.claim_id,
                fencing_token=task.lease.fencing_token,
                reason="",
            )

    assert kinds == {ReplicateTask, ExploreTask}


async def test_alone_a_node_reaches_self_replicated(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    await rig.explore(node, 0.9, LR="0.05")

    for _ in range(200):
        task = await rig.next(node)
        if isinstance(task, ReplicateTask):
            published = await rig.verify(node, task, 0.93, 1.0)
            if published.best is not None and published.best.level is Level.SELF_REPLICATED:
                break

    assert published.best is not None
    assert published.best.level is Level.SELF_REPLICATED


async def test_voters_come_before_owners_without_a_vote(rig: Rig) -> None:
    proposer, novote = await rig.join("p"), await rig.join("x")
    await rig.open_class(proposer)
    voter = await rig.join("v", owner="vera")
    await rig.explore(proposer, 0.9, LR="0.05")

    assert isinstance(await rig.next(novote, can_propose=False), IdleTask)
    assert isinstance(await rig.next(voter, can_propose=False), ReplicateTask)


async def test_later_voters_upgrade_what_is_self_replicated(rig: Rig) -> None:
    proposer, novote = await rig.join("p"), await rig.join("x")
    await rig.open_class(proposer)
    await rig.explore(proposer, 0.9, LR="0.05")
    for _ in range(3):
        published = await rig.verify(novote, await rig.next_pair(novote), 0.93, 1.0)
    assert published.best.level is Level.SELF_REPLICATED

    ann, bob = await rig.join("a", owner="ann"), await rig.join("b", owner="bob")
    levels = []
    for node in (ann, ann, bob, ann):
        published = await rig.verify(node, await rig.next_pair(node), 0.93, 1.0)
        levels.append(published.best.level)

    assert levels[-1] is Level.CONFIRMED


async def test_a_queued_idea_is_leased_claimed_and_settled_by_its_result(rig: Rig) -> None:
    node, proposer = await rig.join("n"), await rig.join("p")
    await rig.open_class(node)
    hypothesis, source = change("LR", "0.05"), edited(LR="0.05")
    hypothesis_id = HypothesisId(new_id())
    await rig.one.ideas.propose(proposer, hypothesis_id=hypothesis_id, hypothesis=hypothesis, source=source)

    task = await rig.next(node, can_propose=False)
    other = await rig.next(proposer, can_propose=False)
    assert isinstance(task, QueuedTask)
    granted = await rig.claim(node, task.hypothesis, queued_claim_id=task.lease.claim_id)
    assert isinstance(granted, Granted)
    experiment_id = new_id()
    started = await rig.start(node, granted.lease, source, experiment_id)
    result = rig.result(experiment_id, hash_of(source), score=1.2, seed=started.seed)
    await rig.publish(node, result, lease=started.lease)

    assert task.source_hash == hash_of(source)
    assert isinstance(other, IdleTask)
    assert await rig.one.ideas.list_ideas() == ()


async def test_a_queued_idea_that_was_tried_meanwhile_leaves_the_queue(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    await rig.one.ideas.propose(node, hypothesis_id=HypothesisId(new_id()), hypothesis=change("LR", "0.05"))
    task = await rig.next(node)
    assert isinstance(task, QueuedTask)
    await rig.explore(node, 1.2, LR="0.05")

    verdict = await rig.claim(node, task.hypothesis, queued_claim_id=task.lease.claim_id)

    assert isinstance(verdict, Duplicate)
    assert await rig.one.ideas.list_ideas() == ()


async def test_proposing_is_idempotent_and_a_share_is_limited(rig: Rig) -> None:
    node = await rig.join("n")
    hypothesis_id = HypothesisId(new_id())
    propose = rig.one.ideas.propose

    repeats = [
        await propose(node, hypothesis_id=hypothesis_id, hypothesis=change("LR", "0.05")) for _ in range(2)
    ]
    with pytest.raises(Conflict):
        await propose(node, hypothesis_id=hypothesis_id, hypothesis=change("LR", "0.06"))
    for _ in range(15):
        await propose(node, hypothesis_id=HypothesisId(new_id()), hypothesis=change("LR", "0.05"))
    with pytest.raises(LimitExceeded):
        await propose(node, hypothesis_id=HypothesisId(new_id()), hypothesis=change("LR", "0.05"))

    assert repeats == [False, True]
    assert len(await rig.one.ideas.list_ideas()) == 16


async def test_an_idea_with_code_that_cannot_be_read_is_refused(rig: Rig) -> None:
    node = await rig.join("n")

    with pytest.raises(InvalidArgument):
        await rig.one.ideas.propose(
            node,
            hypothesis_id=HypothesisId(new_id()),
            hypothesis=change("LR", "0.05"),
            source=b"def broken(:\n",
        )


async def test_classes_have_baselines_of_their_own(rig: Rig) -> None:
    here = await rig.join("h")
    there = await rig.join("t", hardware_class="cpu-other/torch-2.13")
    await rig.open_class(here)

    task = await rig.next(there)

    assert isinstance(task, BaselineTask)
    assert task.experiment_id != rig.baseline_id
    source_hash, _ = await rig.one.leaderboard.get_source(reference=task.experiment_id)
    assert source_hash == rig.challenge.baseline_hash
    assert here.hardware_class == CLASS
