"""A win on an older parent is moved to the present best: by its code where the two do not touch."""

from __future__ import annotations

from dataclasses import replace

from autoresearch.model import (
    ConstantChange,
    ExperimentId,
    Granted,
    Hypothesis,
    HypothesisId,
    Idea,
    IdeaKind,
    Intent,
    QueuedTask,
    new_id,
)
from swarm_builders import Rig, change, edited

from coordinator.services.sources import hash_of


async def win_alone(rig: Rig, **constants: str) -> tuple[ExperimentId, ExperimentId, Idea]:
    """A best, a win on what was the best before it that was found alone, and the idea to move it."""
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    best, _ = await rig.explore(node, 0.8, LR="0.05")
    for _ in range(3):
        await rig.verify(other, await rig.next_pair(other), 0.8, 1.0)
    source = edited(**constants)
    experiment, result = rig.solo(source, 0.95)
    words = Hypothesis(
        title="alone", changes=tuple(ConstantChange(name=key, new=new) for key, new in constants.items())
    )
    await rig.publish(other, result, experiment=replace(experiment, hypothesis=words), source=source)
    (idea,) = await rig.one.ideas.list_ideas()
    return best, experiment.experiment_id, idea


async def test_a_win_that_does_not_touch_the_best_is_queued_with_its_code(rig: Rig) -> None:
    best, win, idea = await win_alone(rig, DEPTH="5")

    assert (idea.kind, idea.parents, idea.material_ids) == (IdeaKind.REBASE, (best, win), (win,))
    assert idea.source_hash == hash_of(edited(LR="0.05", DEPTH="5"))
    assert idea.hypothesis.intent is Intent.REBASE


async def test_a_node_without_an_agent_runs_it_and_the_winner_is_a_parent(rig: Rig) -> None:
    best, win, _ = await win_alone(rig, DEPTH="5")
    node = rig.nodes["n"]
    task = await rig.next(node, can_propose=False)
    assert isinstance(task, QueuedTask)
    granted = await rig.claim(
        node, task.hypothesis, task.parent.experiment_id, queued_claim_id=task.lease.claim_id
    )
    assert isinstance(granted, Granted)

    experiment_id = ExperimentId(new_id())
    await rig.start(node, granted.lease, edited(LR="0.05", DEPTH="5"), experiment_id)

    record = await rig.one.store.get_experiment(experiment_id)
    assert record is not None
    assert record.experiment.parents == (best, win)


async def test_a_win_that_touches_the_best_is_left_to_an_agent_and_its_maker_is_still_a_parent(
    rig: Rig,
) -> None:
    best, win, idea = await win_alone(rig, LR="0.06")
    node = rig.nodes["n"]
    task = await rig.next(node)
    assert isinstance(task, QueuedTask)
    granted = await rig.claim(node, task.hypothesis, best, queued_claim_id=task.lease.claim_id)
    assert isinstance(granted, Granted)
    experiment_id = ExperimentId(new_id())

    await rig.start(node, granted.lease, edited(LR="0.055"), experiment_id)

    assert (idea.source_hash, idea.parents) == (None, ())
    assert (task.kind, task.material_ids, task.parent.experiment_id) == (IdeaKind.REBASE, (win,), best)
    record = await rig.one.store.get_experiment(experiment_id)
    assert record is not None
    assert record.experiment.parents == (best, win)


async def test_a_win_that_a_node_wants_moved_is_handed_out_with_the_win_as_material(rig: Rig) -> None:
    best, win, idea = await win_alone(rig, DEPTH="5")
    await rig.one.store.remove_idea(idea.hypothesis_id)
    words = replace(change("DEPTH", "5"), intent=Intent.REBASE)

    for origin in (win, ExperimentId(new_id())):
        await rig.one.ideas.propose(
            rig.nodes["n"],
            hypothesis_id=HypothesisId(new_id()),
            hypothesis=words,
            origin_experiment_id=origin,
        )

    known, unknown = await rig.one.ideas.list_ideas()
    assert (known.kind, known.material_ids) == (IdeaKind.REBASE, (win,))
    assert (unknown.kind, unknown.material_ids) == (IdeaKind.FREE, ())
    task = await rig.next(rig.nodes["o"])
    assert isinstance(task, QueuedTask)
    assert (task.parent.experiment_id, task.material_ids) == (best, (win,))
