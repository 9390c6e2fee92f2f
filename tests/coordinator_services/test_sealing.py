"""What verifiers report of a code is nobody's to read before it is decided."""

from __future__ import annotations

from dataclasses import replace

from autoresearch.model import (
    Event,
    EventKind,
    ExperimentId,
    ExperimentOrder,
    ExperimentQuery,
    ExperimentState,
    ExploreTask,
    Level,
    Node,
    Purpose,
    ResultId,
    new_id,
)
from swarm_builders import CLASS, Rig, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.domain.class_state import Trust
from coordinator.domain.trust import with_trust
from coordinator.services.bundling import _unmarked

SCREEN, VOTE, CONTROL = 0.9, 0.93123, 1.00321
OWNERS = ("ann", "bob", "cid", "dan")


async def verifying(rig: Rig, *owners: str) -> tuple[ExperimentId, list[Node]]:
    proposer = await rig.join("p")
    nodes = [await rig.join(owner, owner=owner) for owner in owners]
    await rig.open_class(proposer)
    experiment_id, _ = await rig.explore(proposer, SCREEN, LR="0.05")
    return experiment_id, nodes


async def vote(rig: Rig, node: Node, score: float = VOTE) -> None:
    await rig.verify(node, await rig.next_pair(node), score, CONTROL)


async def trust(rig: Rig, *owners: str) -> None:
    view = await rig.one.context.classes.refresh(CLASS)
    state = view.state
    for owner in owners:
        state = with_trust(state, Trust(owner_id=owner, agreed=20, candour=8.0))
    update = rig.one.context.class_update(_unmarked(state))
    assert await rig.one.store.update_class(CLASS, view.version, update) is None
    await rig.one.context.classes.refresh(CLASS)


async def events_of(rig: Rig) -> tuple[Event, ...]:
    first = replace(await rig.one.store.position(), stream_id="0-0")
    page = await rig.one.store.read_events(first, limit=500, block_s=0.0)
    assert page.events
    return page.events


async def everything_readable(rig: Rig, asker: Node) -> str:
    """All that any reader or node is told, as text."""
    board, baseline = rig.one.leaderboard, rig.baseline_id
    listed = [await board.list_experiments(ExperimentQuery(order=order)) for order in ExperimentOrder]
    ids = [one.experiment.experiment_id for one in listed[0].experiments]
    told = [
        *listed,
        *[await board.get_experiment(one) for one in ids],
        await board.compare(ids[:2]),
        await board.get_progress(CLASS),
        await board.get_best(CLASS),
        await board.working_bests(),
        (await board.get_status()).global_best,
        [replace(one, baseline_mean=None, spread=0.0) for one in (await board.get_status()).classes],
        await rig.claim(asker, (await board.get_experiment(ids[0]))[0].experiment.hypothesis, baseline),
        await events_of(rig),
    ]
    task = await rig.next(asker)
    if isinstance(task, ExploreTask):
        told.append(task)
    return repr(told)


async def test_nobody_reads_what_verifiers_report_before_the_decision(rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    for node in nodes[:2]:
        await vote(rig, node)

    told = await everything_readable(rig, nodes[3])

    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    assert str(VOTE) not in told
    assert str(CONTROL) not in told
    assert [one.purpose for one in results] == [Purpose.EXPLORE]
    assert (summary.score, summary.runs, summary.sealed_runs) == (SCREEN, 1, 2)
    best = await rig.one.leaderboard.get_best(CLASS)
    assert (best.level, best.mean, best.runs) == (Level.PROVISIONAL, SCREEN, 1)


async def test_the_control_of_an_open_pair_keeps_its_runs_to_itself(rig: Rig) -> None:
    _, nodes = await verifying(rig, *OWNERS)

    await vote(rig, nodes[0])

    summary, results = await rig.one.leaderboard.get_experiment(rig.baseline_id)
    assert {one.purpose for one in results} == {Purpose.BASELINE}
    assert (summary.runs, summary.sealed_runs) == (3, 1)


async def test_half_a_pair_is_sealed_too(rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    task = await rig.next_pair(nodes[0])

    control = rig.verification(task, task.control_id, Purpose.VERIFY_CONTROL, CONTROL)
    await rig.publish(nodes[0], control, lease=task.lease)

    _, results = await rig.one.leaderboard.get_experiment(rig.baseline_id)
    assert control.result_id not in {one.result_id for one in results}
    assert (await rig.one.leaderboard.get_experiment(experiment_id))[0].sealed_runs == 0


async def test_a_run_that_decides_nothing_is_sealed_like_the_others(rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    task = await rig.next_pair(nodes[0])
    half = rig.verification(task, experiment_id, Purpose.VERIFY_CANDIDATE, VOTE)
    await rig.publish(nodes[0], half, lease=task.lease)

    await rig.publish(nodes[0], replace(half, result_id=ResultId(new_id())), lease=None)

    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    assert len(results) == 1
    assert summary.sealed_runs == 2


async def test_a_confirmation_shows_every_run(rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    await trust(rig, *OWNERS)
    for _ in range(3):
        for node in nodes:
            if (await rig.one.leaderboard.get_best(CLASS)).level is not Level.CONFIRMED:
                await vote(rig, node)

    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)

    assert summary.state is ExperimentState.BEST
    assert summary.sealed_runs == 0
    assert summary.runs == sum(one.purpose is Purpose.VERIFY_CANDIDATE for one in results) > 2
    assert abs((summary.score or 0.0) - VOTE) < 1e-9
    assert rig.one.context.catalog.sealed_in(CLASS).codes == frozenset()


async def test_a_refutation_shows_every_run(rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    for node in nodes[:3]:
        await vote(rig, node, CONTROL + 0.05)

    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    page = await rig.one.leaderboard.list_experiments(ExperimentQuery())

    assert summary.state is ExperimentState.REFUTED
    assert (summary.runs, summary.sealed_runs, len(results)) == (3, 0, 4)
    assert page.experiments[0].experiment.experiment_id == rig.baseline_id
    assert page.experiments[0].sealed_runs == 0


async def test_a_code_that_waits_for_trusted_owners_stays_sealed(rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    for node in nodes[:3]:
        await vote(rig, node)

    told = await everything_readable(rig, nodes[3])

    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.level is Level.ONE_OWNER
    assert summary.sealed_runs == 3
    assert str(VOTE) not in told
    assert "on average" not in told


async def test_patience_that_ends_shows_what_there_is(rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    for node in nodes[:3]:
        await vote(rig, node)
    rig.clock.advance(hours=1, minutes=1)

    await rig.one.caretaker.review_classes()

    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    best = await rig.one.leaderboard.get_best(CLASS)
    events = await events_of(rig)
    assert (summary.level, summary.sealed_runs, len(results)) == (Level.ONE_OWNER, 0, 4)
    assert abs(best.mean - VOTE) < 1e-9
    assert events[-1].kind is EventKind.BEST_CHANGED
    assert events[-1].best == best


async def test_a_lone_owner_sees_its_own_replications_once_they_pass(rig: Rig) -> None:
    node = await rig.join("p", owner="p")
    await rig.open_class(node)
    experiment_id, _ = await rig.explore(node, SCREEN, LR="0.05")
    for count in range(3):
        summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
        assert summary.sealed_runs == count
        await vote(rig, node)

    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    history = await rig.one.leaderboard.get_progress(CLASS)

    assert (summary.level, summary.sealed_runs, len(results)) == (Level.SELF_REPLICATED, 0, 4)
    assert [change.best.level for change in history][-2:] == [Level.PROVISIONAL, Level.SELF_REPLICATED]
    assert abs(history[-1].best.mean - VOTE) < 1e-9


async def test_another_replica_keeps_the_seal(reader: CodeReader, rig: Rig) -> None:
    experiment_id, nodes = await verifying(rig, *OWNERS)
    other = make_rig(reader, server=rig.server, clock=rig.clock)
    await other.one.follower.rebuild()
    await vote(rig, nodes[0])
    await other.one.follower.catch_up()

    listed = await other.one.leaderboard.list_experiments(ExperimentQuery())
    summary, results = await other.one.leaderboard.get_experiment(experiment_id)
    control, control_runs = await other.one.leaderboard.get_experiment(rig.baseline_id)

    of_candidate = next(one for one in listed.experiments if one.experiment.experiment_id == experiment_id)
    assert (of_candidate.score, of_candidate.sealed_runs) == (SCREEN, 1)
    assert (summary.score, len(results)) == (SCREEN, 1)
    assert (control.sealed_runs, len(control_runs)) == (1, 3)
