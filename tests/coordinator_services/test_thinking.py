"""Nodes without hardware: what they are told, what they are never given, and what becomes of their code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from autoresearch.errors import InvalidArgument, NotFound
from autoresearch.model import (
    BaselineTask,
    ExperimentId,
    ExploreTask,
    Granted,
    HardwareClass,
    HypothesisId,
    Idea,
    IdleTask,
    InsightId,
    InsightQuery,
    Node,
    Purpose,
    QueuedTask,
    SourceHash,
    Started,
    Task,
    Usage,
    new_id,
)
from swarm_builders import CLASS, Rig, change, edited, make_rig
from test_insights import lesson

from coordinator.dedup.code import CodeReader
from coordinator.services.sources import hash_of
from coordinator.services.waiting import PAGE_IDEAS

OTHER = HardwareClass("cpu-other/torch-2.13")
SPENT = Usage(model="m", calls=3, input_tokens=100, output_tokens=20, cost_usd=0.25, seconds=9.0)


async def unplugged(rig: Rig, node: Node) -> Node:
    """The node, connected anew without hardware."""
    await rig.services.membership.connect(
        node, protocol_min=1, protocol_max=1, challenge="", hardware=None, node_version="0"
    )
    found = await rig.server.identity_store().get_node(node.node_id)
    assert found is not None
    return found


async def thinker(rig: Rig, name: str = "ada") -> Node:
    return await unplugged(rig, await rig.join(name, owner=name))


async def think(rig: Rig, node: Node, hardware_class: HardwareClass | None = None) -> Task:
    return await rig.one.claiming.next_task(
        node, can_propose=True, can_train=False, hardware_class=hardware_class
    )


async def propose(rig: Rig, node: Node, parent_id: ExperimentId | None, **more) -> HypothesisId:
    hypothesis_id = HypothesisId(new_id())
    arguments = {"hypothesis": change("LR", "0.05"), "source": edited(LR="0.05")} | more
    await rig.one.ideas.propose(node, hypothesis_id=hypothesis_id, parent_id=parent_id, **arguments)
    return hypothesis_id


async def open_other_class(rig: Rig, node: Node) -> None:
    for score in (1.0, 1.004, 0.996):
        task = await rig.next(node)
        assert isinstance(task, BaselineTask)
        result = rig.result(
            task.experiment_id,
            SourceHash(rig.challenge.baseline_hash),
            score=score,
            seed=task.seed,
            purpose=Purpose.BASELINE,
            hardware_class=OTHER,
        )
        await rig.publish(node, result, lease=task.lease)


async def take(rig: Rig, node: Node) -> QueuedTask:
    task = await rig.next(node, can_propose=False)
    assert isinstance(task, QueuedTask), task
    return task


async def run(rig: Rig, node: Node, task: QueuedTask, source: bytes, *, score: float = 1.2) -> ExperimentId:
    granted = await rig.claim(
        node, task.hypothesis, task.parent.experiment_id, queued_claim_id=task.lease.claim_id
    )
    assert isinstance(granted, Granted), granted
    experiment_id = ExperimentId(new_id())
    started = await rig.start(node, granted.lease, source, experiment_id)
    assert isinstance(started, Started), started
    result = rig.result(experiment_id, hash_of(source), score=score, seed=started.seed)
    await rig.publish(node, result, lease=started.lease)
    return experiment_id


async def test_node_without_hardware_thinks_about_the_best_of_the_busiest_class(rig: Rig) -> None:
    bob, cid, dan = [await rig.join(name, owner=name) for name in ("bob", "cid", "dan")]
    other = await rig.connect("cid", cid.node_id, hardware_class=OTHER)
    ada = await thinker(rig)
    nobody_runs = await think(rig, ada)
    await open_other_class(rig, other)
    await rig.open_class(bob)
    assert dan.hardware_class == CLASS

    tasks = [await think(rig, ada), await think(rig, ada, OTHER)]
    unheard_of = await think(rig, ada, HardwareClass("cpu-unheard-of/torch-2.13"))

    assert isinstance(nobody_runs, IdleTask)
    assert isinstance(unheard_of, IdleTask)
    assert "cpu-unheard-of" in unheard_of.reason
    assert all(isinstance(task, ExploreTask) for task in tasks)
    assert [task.parent.hardware_class for task in tasks] == [CLASS, OTHER]


async def test_node_without_hardware_is_given_nothing_that_trains(rig: Rig) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)
    await rig.explore(bob, 0.9, LR="0.03")  # somebody has to verify this
    await propose(rig, bob, None, hypothesis=change("LR", "0.02"), source=edited(LR="0.02"))

    assert isinstance(await think(rig, ada), ExploreTask)
    with pytest.raises(InvalidArgument, match="Connect"):
        await rig.next(ada)
    with pytest.raises(InvalidArgument, match="Connect"):
        await rig.claim(ada, change("LR", "0.05"))


async def test_node_that_comes_back_without_hardware_leaves_its_class(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    assert ada.hardware_class == CLASS

    ada = await unplugged(rig, ada)

    beat = await rig.services.membership.heartbeat(
        ada, challenge_id=rig.challenge.challenge_id, claim_ids=(), activity="exploring"
    )
    assert ada.hardware_class == ""
    assert beat.best_experiment_id is None
    assert await rig.one.context.activity.voters(CLASS) == frozenset()


async def test_code_runs_on_the_parent_that_it_was_made_on(rig: Rig) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)
    await propose(rig, ada, rig.baseline_id)
    await rig.explore(bob, 0.5, DEPTH="5")  # the class builds on this now

    task = await take(rig, bob)
    experiment_id = await run(rig, bob, task, edited(LR="0.05"))

    assert task.parent.experiment_id == rig.baseline_id
    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.experiment.parents == (rig.baseline_id,)
    assert summary.experiment.proposer_id == ada.node_id


async def test_idea_on_a_parent_is_for_nodes_of_its_class(rig: Rig) -> None:
    bob, cid = await rig.join("bob", owner="bob"), await rig.join("cid", owner="cid")
    other = await rig.connect("cid", cid.node_id, hardware_class=OTHER)
    await rig.open_class(bob)
    await open_other_class(rig, other)
    await propose(rig, await thinker(rig), rig.baseline_id)

    assert isinstance(await rig.next(other, can_propose=False), IdleTask)
    assert isinstance(await rig.next(bob, can_propose=False), QueuedTask)


async def test_ideas_of_a_class_that_nobody_trains_hide_no_others(rig: Rig) -> None:
    bob, cid = await rig.join("bob", owner="bob"), await rig.join("cid", owner="cid")
    other = await rig.connect("cid", cid.node_id, hardware_class=OTHER)
    await rig.open_class(bob)
    await open_other_class(rig, other)
    ada = await thinker(rig)
    elsewhere = rig.one.context.baseline_of(OTHER).experiment_id
    for number in range(PAGE_IDEAS + 10):
        idea = Idea(
            hypothesis_id=HypothesisId(new_id()),
            hypothesis=change("LR", f"0.{number + 100}"),
            node_id=other.node_id,
            proposed_at=rig.clock(),
            parents=(elsewhere,),
            priority=4,
            owner_id=other.owner_id,
        )
        assert await rig.one.context.store.enqueue(idea, None, max_per_node=1000)

    still_thinks = await think(rig, ada, CLASS)
    await propose(rig, ada, rig.baseline_id)
    task = await rig.next(bob, can_propose=False)

    assert isinstance(still_thinks, ExploreTask)
    assert isinstance(task, QueuedTask)
    assert task.hypothesis == change("LR", "0.05")


async def test_nobody_is_asked_for_ideas_on_a_class_that_has_gone(rig: Rig) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)
    rig.clock.advance(hours=25)
    await rig.services.membership.heartbeat(
        ada, challenge_id=rig.challenge.challenge_id, claim_ids=(), activity="exploring"
    )

    by_name, any_class = await think(rig, ada, CLASS), await think(rig, ada)

    assert isinstance(by_name, IdleTask)
    assert "active" in by_name.reason
    assert isinstance(any_class, IdleTask)


async def test_code_that_came_with_an_idea_is_its_proposers_in_whatever_words(rig: Rig) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)
    await propose(rig, ada, rig.baseline_id, usage=SPENT)
    task = await take(rig, bob)
    reworded = replace(task.hypothesis, rationale="as I would put it")

    same = await run(rig, bob, replace(task, hypothesis=reworded), edited(LR="0.05"))
    await propose(rig, ada, rig.baseline_id, hypothesis=change("LR", "0.06"), source=edited(LR="0.06"))
    task = await take(rig, bob)
    other = await run(rig, bob, replace(task, hypothesis=change("LR", "0.07")), edited(LR="0.07"))

    told = [(await rig.one.leaderboard.get_experiment(one))[0].experiment for one in (same, other)]
    assert [one.proposer_id for one in told] == [ada.node_id, None]
    assert [one.idea_usage for one in told] == [SPENT, None]


async def test_what_was_spent_on_an_idea_counts_once_where_its_first_run_was_lost(rig: Rig) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)
    await propose(rig, ada, rig.baseline_id, usage=SPENT)
    task = await take(rig, bob)
    granted = await rig.claim(
        bob, task.hypothesis, task.parent.experiment_id, queued_claim_id=task.lease.claim_id
    )
    lost = ExperimentId(new_id())
    await rig.start(bob, granted.lease, edited(LR="0.05"), lost)
    rig.clock.advance(seconds=200)
    await rig.one.caretaker.reap()

    run_again = await run(rig, bob, await take(rig, bob), edited(LR="0.05"))

    told = [rig.one.context.catalog.summary(one).usage for one in (lost, run_again)]
    assert told == [None, SPENT]


async def test_what_an_idea_cost_is_on_its_experiment_also_after_a_restart(
    rig: Rig, reader: CodeReader
) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)
    await propose(rig, ada, rig.baseline_id, usage=SPENT)
    assert [idea.usage for idea in await rig.one.ideas.list_ideas()] == [SPENT]

    experiment_id = await run(rig, bob, await take(rig, bob), edited(LR="0.05"))

    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()
    told = [one.one.context.catalog.summary(experiment_id).usage for one in (rig, again)]
    await again.services.close()
    assert told == [SPENT, SPENT]


async def test_idea_with_a_parent_that_nobody_knows_is_refused(rig: Rig) -> None:
    ada = await thinker(rig)

    with pytest.raises(NotFound, match="build on"):
        await propose(rig, ada, ExperimentId(new_id()))
    with pytest.raises(InvalidArgument, match="without code"):
        await propose(rig, ada, rig.baseline_id, source=None)
    with pytest.raises(InvalidArgument, match="usage"):
        await propose(rig, ada, None, usage=replace(SPENT, cost_usd=-1.0))


async def test_idea_with_a_parent_that_has_no_score_is_refused(rig: Rig) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)
    _, running = await rig.begin(bob, change("LR", "0.03"), edited(LR="0.03"))

    with pytest.raises(NotFound, match="with a score"):
        await propose(rig, ada, running)


async def test_lesson_of_a_node_without_hardware_is_of_the_class_that_it_was_learned_in(rig: Rig) -> None:
    bob, ada = await rig.join("bob", owner="bob"), await thinker(rig)
    await rig.open_class(bob)

    await rig.one.insights.share(ada, lesson(rig, rig.baseline_id))
    with pytest.raises(NotFound):
        await rig.one.insights.share(
            ada, replace(lesson(rig, ExperimentId(new_id())), insight_id=InsightId(new_id()))
        )

    (insight,) = await rig.one.insights.list_insights(InsightQuery())
    assert (insight.hardware_class, insight.node_id) == (CLASS, ada.node_id)
