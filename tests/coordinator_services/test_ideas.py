"""Whose turn it is, whose idea it was, and who may take one back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from autoresearch.errors import InvalidArgument, PermissionDenied
from autoresearch.model import (
    ExperimentId,
    Granted,
    Hypothesis,
    HypothesisId,
    IdleTask,
    Intent,
    Node,
    NodeId,
    OwnerId,
    QueuedTask,
    Started,
    new_id,
)
from swarm_builders import Rig, change, edited, make_rig

from coordinator.services.sources import hash_of

ASKS = 8
"""Tasks that a node asks for where a coin decides what it gets."""


async def propose(rig: Rig, node: Node, hypothesis: Hypothesis, **more) -> HypothesisId:
    hypothesis_id = HypothesisId(new_id())
    await rig.one.ideas.propose(node, hypothesis_id=hypothesis_id, hypothesis=hypothesis, **more)
    return hypothesis_id


async def run_queued(rig: Rig, node: Node, source: bytes, *, score: float = 1.2) -> ExperimentId:
    task = await rig.next(node, can_propose=False)
    assert isinstance(task, QueuedTask), task
    granted = await rig.claim(node, task.hypothesis, queued_claim_id=task.lease.claim_id)
    assert isinstance(granted, Granted), granted
    experiment_id = ExperimentId(new_id())
    started = await rig.start(node, granted.lease, source, experiment_id)
    assert isinstance(started, Started), started
    await rig.publish(
        node, rig.result(experiment_id, hash_of(source), score=score, seed=started.seed), lease=started.lease
    )
    return experiment_id


async def proposer_of(rig: Rig, experiment_id: ExperimentId) -> tuple[NodeId | None, OwnerId | None]:
    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    return summary.experiment.proposer_id, summary.experiment.proposer_owner_id


async def ideas_run(rig: Rig) -> dict[str, int]:
    return {node.name: node.ideas_run for node in await rig.one.leaderboard.list_nodes()}


async def test_node_that_runs_anothers_idea_names_whose_it_was(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    source = edited(LR="0.05")
    await propose(rig, ada, change("LR", "0.05"), source=source)

    experiment_id = await run_queued(rig, bob, source)

    assert await proposer_of(rig, experiment_id) == (ada.node_id, OwnerId("ada"))
    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.experiment.node_id == bob.node_id
    assert await ideas_run(rig) == {"ada": 1, "bob": 0}


async def test_nobody_vouches_for_an_idea_of_their_own(rig: Rig) -> None:
    ada, bob, cid = [await rig.join(name, owner=name) for name in ("ada", "bob", "cid")]
    await rig.open_class(bob)
    source = edited(LR="0.05")
    await propose(rig, ada, change("LR", "0.05"), source=source)

    experiment_id = await run_queued(rig, bob, source, score=0.9)
    tasks = [await rig.next(one, can_propose=False) for one in (ada, bob) for _ in range(ASKS)]

    assert all(isinstance(task, IdleTask) for task in tasks), tasks
    assert (await rig.next_pair(cid)).candidate_id == experiment_id


async def test_nobody_puts_their_own_code_down_to_another_by_naming_its_origin(rig: Rig) -> None:
    ada, bob, eve = [await rig.join(name, owner=name) for name in ("ada", "bob", "eve")]
    await rig.open_class(ada)
    origin, _ = await rig.explore(ada, 1.2, LR="0.05")
    again = replace(change("LR", "0.06"), intent=Intent.REBASE)
    source = edited(LR="0.06")
    await propose(rig, eve, again, source=source, origin_experiment_id=origin)

    experiment_id = await run_queued(rig, bob, source)

    assert await proposer_of(rig, experiment_id) == (eve.node_id, OwnerId("eve"))


async def test_own_idea_is_nobody_elses(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    source = edited(LR="0.05")
    await propose(rig, ada, change("LR", "0.05"), source=source)

    experiment_id = await run_queued(rig, ada, source)

    assert await proposer_of(rig, experiment_id) == (None, None)
    assert await ideas_run(rig) == {"ada": 0}


async def test_another_coordinator_on_the_store_knows_whose_idea_it_is(rig: Rig, reader) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    source = edited(LR="0.05")
    await propose(rig, ada, change("LR", "0.05"), source=source)
    task = await rig.next(bob, can_propose=False)
    assert isinstance(task, QueuedTask)

    other = make_rig(reader, server=rig.server, clock=rig.clock)
    await other.services.start()
    granted = await other.claim(bob, task.hypothesis, queued_claim_id=task.lease.claim_id)
    assert isinstance(granted, Granted)
    experiment_id = ExperimentId(new_id())
    started = await other.start(bob, granted.lease, source, experiment_id)
    result = other.result(experiment_id, hash_of(source), seed=started.seed)
    await other.publish(bob, result, lease=started.lease)
    await other.services.close()

    assert await proposer_of(rig, experiment_id) == (ada.node_id, OwnerId("ada"))
    assert (await ideas_run(rig))["ada"] == 1


async def test_what_is_tried_again_is_the_idea_of_whoever_had_it(rig: Rig) -> None:
    ada, bob, eve = [await rig.join(name, owner=name) for name in ("ada", "bob", "eve")]
    await rig.open_class(ada)
    origin, _ = await rig.explore(ada, 1.2, LR="0.05")
    again = replace(change("LR", "0.05"), intent=Intent.REBASE, distinction="on another parent")
    await propose(rig, eve, again, origin_experiment_id=origin)

    task = await rig.next(bob)
    assert isinstance(task, QueuedTask)
    held = await rig.one.context.leases.find(task.lease.claim_id)

    assert held is not None
    assert (held.note.proposer_id, held.note.proposer_owner_id) == (ada.node_id, OwnerId("ada"))


async def test_what_is_claimed_under_anothers_idea_in_other_words_is_ones_own(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    await propose(rig, ada, change("LR", "0.05"))
    task = await rig.next(bob)
    assert isinstance(task, QueuedTask)
    source = edited(LR="0.07")

    granted = await rig.claim(bob, change("LR", "0.07"), queued_claim_id=task.lease.claim_id)
    assert isinstance(granted, Granted), granted
    experiment_id = ExperimentId(new_id())
    started = await rig.start(bob, granted.lease, source, experiment_id)
    assert isinstance(started, Started), started
    result = rig.result(experiment_id, hash_of(source), seed=started.seed)
    await rig.publish(bob, result, lease=started.lease)

    assert await proposer_of(rig, experiment_id) == (None, None)
    assert await ideas_run(rig) == {"ada": 0, "bob": 0}


async def test_nobody_names_a_proposer_themselves_in_a_replay(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    source = edited(LR="0.05")
    made, result = rig.solo(source, 1.2)
    claimed = replace(made, proposer_id=bob.node_id, proposer_owner_id=OwnerId("bob"))

    await rig.publish(ada, result, experiment=claimed, source=source)

    assert await proposer_of(rig, made.experiment_id) == (None, None)
    assert (await ideas_run(rig))["bob"] == 0


async def test_nobody_names_a_proposer_themselves_with_a_claimed_result(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(ada, change("LR", "0.05"), source)
    entry = rig.one.context.catalog.entry(experiment_id)
    assert entry is not None
    claimed = replace(entry.experiment, proposer_id=bob.node_id, proposer_owner_id=OwnerId("bob"))

    result = rig.result(experiment_id, hash_of(source), seed=started.seed)
    await rig.publish(ada, result, lease=started.lease, experiment=claimed, source=source)

    assert await proposer_of(rig, experiment_id) == (None, None)


async def test_idea_brings_its_owner_and_priority(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")

    await propose(rig, ada, change("LR", "0.05"), priority=9)

    (idea,) = await rig.one.ideas.list_ideas()
    assert (idea.owner_id, idea.priority) == (OwnerId("ada"), 9)


async def test_open_nodes_have_no_priority_above_four(rig: Rig) -> None:
    stranger = await rig.join("stranger")

    await propose(rig, stranger, change("LR", "0.05"), priority=4)
    with pytest.raises(PermissionDenied, match="at most 4"):
        await propose(rig, stranger, change("LR", "0.06"), priority=5)
    with pytest.raises(InvalidArgument):
        await propose(rig, stranger, change("LR", "0.06"), priority=10)


async def test_nodes_are_handed_the_next_idea_by_priority(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    await propose(rig, ada, change("LR", "0.05"), source=edited(LR="0.05"))
    urgent = await propose(rig, ada, change("LR", "0.06"), source=edited(LR="0.06"), priority=2)

    task = await rig.next(bob, can_propose=False)

    assert isinstance(task, QueuedTask)
    assert task.hypothesis_id == urgent


async def test_owner_takes_an_idea_back_and_nobody_else_can(rig: Rig) -> None:
    ada, eve = await rig.join("ada", owner="ada"), await rig.join("eve", owner="eve")
    other = await rig.join("ada-2", owner="ada")
    hypothesis_id = await propose(rig, ada, change("LR", "0.05"))

    with pytest.raises(PermissionDenied):
        await rig.one.ideas.withdraw(eve, hypothesis_id)
    was_waiting = [await rig.one.ideas.withdraw(other, hypothesis_id) for _ in range(2)]

    assert was_waiting == [True, False]
    assert await rig.one.ideas.list_ideas() == ()
