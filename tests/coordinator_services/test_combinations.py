"""Gains of other branches are put together, edits of a best are taken out; who cannot do it hands it back."""

from __future__ import annotations

import pytest
from autoresearch.model import (
    ExperimentId,
    ExperimentState,
    Granted,
    Hypothesis,
    IdeaKind,
    IdleTask,
    Level,
    Node,
    QueuedTask,
    Started,
    new_id,
)
from swarm_builders import CLASS, Rig, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.catalog import ABLATES
from coordinator.services.handed_back import PATIENCE
from coordinator.services.sources import hash_of

PAIRS_LIMIT = 12


async def confirm(
    rig: Rig,
    proposer: Node,
    score: float,
    control: float,
    parent: ExperimentId | None = None,
    **constants: str,
) -> ExperimentId:
    """An edit that two owners confirm against what is the best."""
    experiment_id, _ = await rig.explore(proposer, score, parent, **constants)
    return await confirmed(rig, experiment_id, score, control)


async def confirm_code(
    rig: Rig, score: float, control: float, parent: ExperimentId | None, *, before: str, after: str
) -> ExperimentId:
    """The same for an edit of any kind."""
    parent_id = parent or rig.baseline_id
    text = (await rig.one.context.source_of(parent_id, CLASS)).text
    assert before in text
    source, proposer = text.replace(before, after).encode(), rig.nodes["p"]
    started, experiment_id = await rig.begin(
        proposer, Hypothesis(title=f"more than {before.strip()}"), source, parent_id
    )
    result = rig.result(experiment_id, hash_of(source), score=score, seed=started.seed)
    await rig.publish(proposer, result, lease=started.lease)
    return await confirmed(rig, experiment_id, score, control)


async def confirmed(rig: Rig, experiment_id: ExperimentId, score: float, control: float) -> ExperimentId:
    for turn in range(PAIRS_LIMIT):
        verifier = rig.nodes[("ann", "bob")[turn % 2]]
        published = await rig.verify(verifier, await rig.next_pair(verifier), score, control)
        assert published.best is not None
        if published.best.experiment_id == experiment_id and published.best.level is Level.CONFIRMED:
            return experiment_id
    raise AssertionError(published)


async def opened(rig: Rig) -> Node:
    proposer = await rig.join("p", owner="pat")
    await rig.join("ann", owner="ann")
    await rig.join("bob", owner="bob")
    await rig.open_class(proposer)
    return proposer


async def two_branches(rig: Rig, **second: str) -> tuple[ExperimentId, ExperimentId]:
    """A confirmed best, and the one before it whose edit it has not."""
    proposer = await opened(rig)
    first = await confirm(rig, proposer, 0.9, 1.0, LR="0.05")
    return first, await confirm(rig, proposer, 0.8, 0.9, **second)


async def three_in_line(rig: Rig) -> list[ExperimentId]:
    """A confirmed best that was built on two others."""
    proposer = await opened(rig)
    line: list[ExperimentId] = []
    sets = ({"LR": "0.05"}, {"LR": "0.05", "DEPTH": "5"}, {"LR": "0.05", "DEPTH": "5", "BATCH": "2**19"})
    for number, constants in enumerate(sets):
        parent = line[-1] if line else None
        line.append(await confirm(rig, proposer, 0.9 - 0.1 * number, 1.0 - 0.1 * number, parent, **constants))
    return line


async def run(rig: Rig, node: Node, task: QueuedTask, source: bytes, score: float) -> ExperimentId:
    """Claims, starts and publishes a waiting idea."""
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


async def hand_back(rig: Rig, node: Node, task: QueuedTask) -> None:
    await rig.one.claiming.release(
        node, claim_id=task.lease.claim_id, fencing_token=task.lease.fencing_token, reason="cannot"
    )


async def test_a_gain_of_another_branch_is_put_onto_the_best(rig: Rig) -> None:
    first, second = await two_branches(rig, DEPTH="5")

    await rig.one.caretaker.combining.look()

    (idea,) = await rig.one.ideas.list_ideas()
    assert (idea.kind, idea.parents, idea.material_ids) == (IdeaKind.COMBINE, (second, first), (first,))
    assert idea.source_hash == hash_of(edited(LR="0.05", DEPTH="5"))
    assert [(one.name, one.new) for one in idea.hypothesis.changes] == [("LR", "0.05")]


async def test_a_combination_is_run_with_everybody_it_came_from_as_a_parent(rig: Rig) -> None:
    first, second = await two_branches(rig, DEPTH="5")
    await rig.one.caretaker.combining.look()
    ann = rig.nodes["ann"]
    task = await rig.next(ann, can_propose=False)
    assert isinstance(task, QueuedTask)

    made = await run(rig, ann, task, edited(LR="0.05", DEPTH="5"), 0.7)
    await rig.one.caretaker.combining.look()

    entry = rig.one.context.catalog.entry(made)
    assert entry is not None
    assert entry.experiment.parents == (second, first)
    assert entry.state is ExperimentState.CANDIDATE
    assert entry.experiment.flags == ()
    assert await rig.one.ideas.list_ideas() == ()


async def test_what_was_queued_once_is_not_queued_again_after_a_restart(rig: Rig, reader: CodeReader) -> None:
    await two_branches(rig, DEPTH="5")
    await rig.one.caretaker.combining.look()
    (idea,) = await rig.one.ideas.list_ideas()
    await rig.one.store.remove_idea(idea.hypothesis_id)
    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()

    await again.one.caretaker.combining.look()

    ideas = await again.one.ideas.list_ideas()
    await again.services.close()
    assert ideas == ()


async def test_two_replicas_queue_one_combination(rig: Rig, reader: CodeReader) -> None:
    await two_branches(rig, DEPTH="5")
    other = make_rig(reader, server=rig.server, clock=rig.clock)
    await other.services.start()

    for one in (rig, other, rig):
        await one.one.caretaker.combining.look()

    ideas = await rig.one.ideas.list_ideas()
    await other.services.close()
    assert len(ideas) == 1


async def test_code_that_was_refuted_already_is_not_queued(rig: Rig) -> None:
    proposer = await opened(rig)
    await confirm(rig, proposer, 0.9, 1.0, LR="0.05")
    both, _ = await rig.explore(proposer, 0.85, LR="0.05", DEPTH="5")
    for name in ("ann", "bob", "ann"):
        await rig.verify(rig.nodes[name], await rig.next_pair(rig.nodes[name]), 0.95, 0.9)
    await confirm(rig, proposer, 0.8, 0.9, DEPTH="5")

    await rig.one.caretaker.combining.look()

    assert rig.one.context.catalog.state_of(both) is ExperimentState.REFUTED
    assert await rig.one.ideas.list_ideas() == ()


async def test_edits_that_touch_wait_for_an_agent_with_what_they_are_made_of(rig: Rig) -> None:
    first, second = await two_branches(rig, LR="0.06")

    await rig.one.caretaker.combining.look()

    (idea,) = await rig.one.ideas.list_ideas()
    assert idea.source_hash is None
    assert isinstance(await rig.next(rig.nodes["ann"], can_propose=False), IdleTask)
    task = await rig.next(rig.nodes["ann"])
    assert isinstance(task, QueuedTask)
    assert (task.kind, task.material_ids) == (IdeaKind.COMBINE, (first,))
    assert task.parent.experiment_id == second


async def test_what_an_agent_makes_of_edits_that_touch_has_both_as_parents(rig: Rig) -> None:
    first, second = await two_branches(rig, LR="0.06")
    await rig.one.caretaker.combining.look()
    ann = rig.nodes["ann"]
    task = await rig.next(ann)
    assert isinstance(task, QueuedTask)

    made = await run(rig, ann, task, edited(LR="0.055"), 0.85)

    entry = rig.one.context.catalog.entry(made)
    assert entry is not None
    assert entry.experiment.parents == (second, first)


async def test_an_idea_that_was_handed_back_is_for_other_nodes(rig: Rig) -> None:
    await two_branches(rig, LR="0.06")
    await rig.one.caretaker.combining.look()
    ann, bob = rig.nodes["ann"], rig.nodes["bob"]
    task = await rig.next(ann)
    assert isinstance(task, QueuedTask)

    await hand_back(rig, ann, task)

    again = [await rig.next(ann) for _ in range(5)]
    other = await rig.next(bob)
    assert not any(isinstance(one, QueuedTask) for one in again)
    assert isinstance(other, QueuedTask)
    assert other.hypothesis_id == task.hypothesis_id
    await hand_back(rig, bob, other)
    rig.clock.advance(seconds=PATIENCE.total_seconds() + 1)
    assert isinstance(await rig.next(ann), QueuedTask)


async def test_a_confirmed_best_is_tried_without_each_of_the_edits_below_its_own(rig: Rig) -> None:
    first, second, best = await three_in_line(rig)

    await rig.one.caretaker.combining.look()

    ideas = await rig.one.ideas.list_ideas()
    assert [(one.kind, one.parents, one.material_ids) for one in ideas] == [
        (IdeaKind.ABLATE, (best,), (second,)),
        (IdeaKind.ABLATE, (best,), (first,)),
    ]
    assert ideas[0].source_hash == hash_of(edited(LR="0.05", BATCH="2**19"))
    assert ideas[0].hypothesis.title == f"without {second[-8:]}: LR = 0.05, DEPTH = 5"


@pytest.mark.parametrize(
    ("score", "told"), [(0.701, "looks like dead weight"), (0.72, "more than half a spread")]
)
async def test_an_ablation_says_in_its_lineage_and_its_reason_what_came_of_it(
    rig: Rig, score: float, told: str
) -> None:
    _, second, best = await three_in_line(rig)
    await rig.one.caretaker.combining.look()
    ann = rig.nodes["ann"]
    task = await rig.next(ann, can_propose=False)
    assert isinstance(task, QueuedTask)

    made = await run(rig, ann, task, edited(LR="0.05", BATCH="2**19"), score)

    summary, _ = await rig.one.leaderboard.get_experiment(made)
    assert summary.experiment.parents == (best,)
    assert summary.experiment.flags == (ABLATES + second,)
    assert told in summary.reason
    record = await rig.one.store.get_experiment(made)
    assert record is not None
    assert record.reason == summary.reason


async def test_a_shorter_best_without_dead_weight_is_promoted_by_its_own_test(rig: Rig) -> None:
    await opened(rig)
    weight = "    total = sum([1, 2, 3, LR])\n    while ctx"
    first = await confirm_code(rig, 0.9, 1.0, None, before="    while ctx", after=weight)
    best = await confirm_code(rig, 0.8, 0.9, first, before="2**18", after="2**19")
    await rig.one.caretaker.combining.look()
    ann = rig.nodes["ann"]
    task = await rig.next(ann, can_propose=False)
    assert isinstance(task, QueuedTask)

    made = await run(rig, ann, task, edited(BATCH="2**19"), 0.801)

    summary, _ = await rig.one.leaderboard.get_experiment(made)
    assert task.parent.experiment_id == best
    assert summary.state is ExperimentState.CANDIDATE
    assert "shorter by" in summary.reason


async def test_ablations_of_a_best_that_was_beaten_leave_the_queue(rig: Rig) -> None:
    *_, best = await three_in_line(rig)
    await rig.one.caretaker.combining.look()
    assert len(await rig.one.ideas.list_ideas()) == 2
    await confirm(rig, rig.nodes["p"], 0.5, 0.7, best, LR="0.01", DEPTH="5", BATCH="2**19")

    await rig.one.caretaker.combining.look()

    ideas = await rig.one.ideas.list_ideas()
    assert ideas
    assert best not in {idea.parents[0] for idea in ideas}


async def test_an_edit_that_a_later_one_built_upon_is_taken_out_by_an_agent(rig: Rig) -> None:
    proposer = await opened(rig)
    first = await confirm(rig, proposer, 0.9, 1.0, LR="0.05")
    second = await confirm(rig, proposer, 0.8, 0.9, first, LR="0.06")
    best = await confirm(rig, proposer, 0.7, 0.8, second, LR="0.06", DEPTH="5")

    await rig.one.caretaker.combining.look()

    in_words = [one for one in await rig.one.ideas.list_ideas() if one.source_hash is None]
    assert [(one.kind, one.parents, one.material_ids) for one in in_words] == [
        (IdeaKind.ABLATE, (best,), (first,))
    ]
