from __future__ import annotations

import asyncio

import pytest
from autoresearch.errors import InvalidArgument, NotFound
from autoresearch.model import (
    Duplicate,
    ExperimentOrder,
    ExperimentQuery,
    ExperimentState,
    Granted,
    HardwareClass,
)
from swarm_builders import CLASS, Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader


async def three(rig: Rig):
    node = await rig.join("n")
    await rig.open_class(node)
    found = []
    for value, score in (("0.05", 1.3), ("0.06", 1.1), ("0.07", 1.2)):
        rig.clock.advance(seconds=1)
        experiment_id, _ = await rig.explore(node, score, LR=value)
        found.append(experiment_id)
    return node, found


async def test_experiments_are_listed_best_first_and_newest_first(rig: Rig) -> None:
    _, (one, two, third) = await three(rig)
    listing = rig.one.leaderboard.list_experiments

    best = await listing(ExperimentQuery())
    newest = await listing(ExperimentQuery(order=ExperimentOrder.NEWEST))

    assert [entry.experiment.experiment_id for entry in best.experiments] == [
        rig.baseline_id,
        two,
        third,
        one,
    ]
    assert [entry.experiment.experiment_id for entry in newest.experiments] == [
        third,
        two,
        one,
        rig.baseline_id,
    ]
    assert best.total == 4


async def test_pages_follow_each_other_by_cursor_without_loss_or_repeat(rig: Rig) -> None:
    await three(rig)
    seen, cursor = [], ""

    for _ in range(4):
        page = await rig.one.leaderboard.list_experiments(ExperimentQuery(limit=1, cursor=cursor))
        seen += [entry.experiment.experiment_id for entry in page.experiments]
        cursor = page.next_cursor

    assert len(set(seen)) == 4
    assert cursor == ""


async def test_listings_are_filtered(rig: Rig) -> None:
    node, (one, _, _) = await three(rig)
    listing = rig.one.leaderboard.list_experiments

    by_text = await listing(ExperimentQuery(text="lr = 0.05"))
    by_state = await listing(ExperimentQuery(state=ExperimentState.RUNNING))
    by_node = await listing(ExperimentQuery(node_id=node.node_id))
    by_class = await listing(ExperimentQuery(hardware_class=HardwareClass("cpu-none/torch-2.13")))

    assert [entry.experiment.experiment_id for entry in by_text.experiments] == [one]
    assert by_state.total == 0
    assert by_node.total == 3
    assert by_class.total == 0


@pytest.mark.parametrize(
    "query", [ExperimentQuery(limit=0), ExperimentQuery(limit=501), ExperimentQuery(cursor="x")]
)
async def test_bad_limits_and_cursors_are_refused(rig: Rig, query: ExperimentQuery) -> None:
    with pytest.raises(InvalidArgument):
        await rig.one.leaderboard.list_experiments(query)


async def test_an_experiment_is_found_by_its_start_or_its_end(rig: Rig) -> None:
    _, (one, _, _) = await three(rig)
    board = rig.one.leaderboard

    by_end, _ = await board.get_experiment(one[-8:])
    by_start, _ = await board.get_experiment(rig.baseline_id[:8])

    assert by_end.experiment.experiment_id == one
    assert by_start.experiment.experiment_id == rig.baseline_id
    with pytest.raises(InvalidArgument, match="too short"):
        await board.get_experiment(one[:5])
    with pytest.raises(InvalidArgument, match="match"):
        await board.get_experiment(one[:8])
    with pytest.raises(NotFound):
        await board.get_experiment("zzzzzzzz")


async def test_a_summary_tells_score_interval_and_gain_over_its_parent(rig: Rig) -> None:
    _, (one, _, _) = await three(rig)

    summary, results = await rig.one.leaderboard.get_experiment(one)

    assert summary.score == 1.3
    assert summary.interval is not None
    assert summary.interval > 0
    assert summary.delta == pytest.approx(0.3)
    assert len(results) == 1


async def test_sources_are_given_by_experiment_and_by_hash(rig: Rig) -> None:
    _, (one, _, _) = await three(rig)
    board = rig.one.leaderboard

    source_hash, source = await board.get_source(reference=one)
    again = await board.get_source(source_hash=source_hash)
    baseline = await board.get_source(reference=rig.baseline_id)

    assert source == edited(LR="0.05")
    assert again == (source_hash, source)
    assert baseline[0] == rig.challenge.baseline_hash
    with pytest.raises(NotFound):
        await board.get_source(source_hash="sha256:" + "0" * 64)
    with pytest.raises(InvalidArgument):
        await board.get_source()


async def test_comparing_shows_only_the_constants_that_differ(rig: Rig) -> None:
    _, (one, two, _) = await three(rig)

    comparison = await rig.one.leaderboard.compare([one, two, rig.baseline_id])

    assert [(row.name, row.values) for row in comparison.knobs] == [("LR", ("0.05", "0.06", "0.04"))]
    for references in ([one], [one, one], [one] * 9):
        with pytest.raises(InvalidArgument):
            await rig.one.leaderboard.compare(references)


async def test_nodes_are_listed_with_what_they_gave(rig: Rig) -> None:
    node, _ = await three(rig)

    (listed,) = await rig.one.leaderboard.list_nodes()

    assert listed.node_id == node.node_id
    assert listed.results == 6
    assert listed.train_s == pytest.approx(60)


async def test_the_status_counts_what_there_is(rig: Rig) -> None:
    await three(rig)

    status = await rig.one.leaderboard.get_status()

    assert (status.experiments, status.results, status.nodes, status.nodes_live) == (4, 6, 1, 1)
    assert status.direction == "lower"
    (row,) = status.classes
    assert row.hardware_class == CLASS
    assert row.baseline_runs == 3
    assert row.confirmed is None
    assert row.verifying is None


async def test_a_class_without_a_baseline_has_no_best(rig: Rig) -> None:
    with pytest.raises(NotFound):
        await rig.one.leaderboard.get_best(CLASS)


async def test_a_second_replica_follows_what_the_first_one_writes(rig: Rig, reader: CodeReader) -> None:
    replica = make_rig(reader, server=rig.server, clock=rig.clock)
    await replica.one.follower.rebuild()

    node, (one, _, _) = await three(rig)
    best, _ = await rig.explore(node, 0.9, LR="0.01")
    await replica.one.follower.catch_up()
    seen = (await replica.one.leaderboard.get_experiment(one))[0]
    working = await replica.one.leaderboard.get_best(CLASS)
    (row,) = (await replica.one.leaderboard.get_status()).classes

    assert seen == (await rig.one.leaderboard.get_experiment(one))[0]
    assert working.experiment_id == row.verifying == best
    assert replica.one.context.catalog.state_of(best) is ExperimentState.CANDIDATE


async def test_two_replicas_never_grant_the_same_edit(rig: Rig, reader: CodeReader) -> None:
    replica = make_rig(reader, server=rig.server, clock=rig.clock)
    node = await rig.join("n")

    verdicts = await asyncio.gather(
        *(one.claim(node, change("LR", spelling)) for one in (rig, replica) for spelling in ("0.05", "5e-2"))
    )

    assert sum(isinstance(verdict, Granted) for verdict in verdicts) == 1
    assert sum(isinstance(verdict, Duplicate) for verdict in verdicts) == 3


async def test_after_a_restart_code_is_read_again_for_the_judge(rig: Rig, reader: CodeReader) -> None:
    _, (one, _, _) = await three(rig)
    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()

    await again.one.follower.read_code()

    edit = again.one.context.index.get(one)
    await again.services.close()
    assert edit == rig.one.context.index.get(one)
    assert edit is not None
    assert edit.is_read


async def test_a_node_that_said_it_left_is_not_live_until_it_beats_again(rig: Rig) -> None:
    node, _ = await three(rig)
    challenge_id = rig.challenge.challenge_id

    async def live_after(activity: str) -> int:
        await rig.services.membership.heartbeat(
            node, challenge_id=challenge_id, claim_ids=(), activity=activity
        )
        return (await rig.one.leaderboard.get_status()).nodes_live

    assert [await live_after(activity) for activity in ("training", "stopped", "exploring")] == [1, 0, 1]


async def test_what_was_built_on_a_lie_is_compared_with_what_that_turned_out_to_be(rig: Rig) -> None:
    liar, child = await rig.join("l", owner="l"), await rig.join("c", owner="c")
    await rig.open_class(child)
    lie, _ = await rig.explore(liar, 0.3, LR="0.05")
    built, _ = await rig.explore(child, 1.1, lie, LR="0.05", DEPTH="9")
    before, _ = await rig.one.leaderboard.get_experiment(built)

    for name in ("v", "w", "x"):
        verifier = await rig.join(name, owner=name)
        await rig.verify(verifier, await rig.next_pair(verifier), 1.5, 1.0)

    after, _ = await rig.one.leaderboard.get_experiment(built)
    refuted, _ = await rig.one.leaderboard.get_experiment(lie)
    assert refuted.state is ExperimentState.REFUTED
    assert (before.delta, after.delta) == (pytest.approx(0.8), pytest.approx(-0.4))
