"""What a node can publish about the experiments of others, and about tasks that it was never given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from autoresearch.errors import InvalidArgument
from autoresearch.model import (
    ExperimentId,
    ExperimentState,
    Granted,
    HardwareClass,
    Hypothesis,
    Level,
    Outcome,
    Purpose,
)
from swarm_builders import BASELINE, CLASS, Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.domain.baseline import baseline_id
from coordinator.services.sources import hash_of


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.REJECTED, Outcome.CRASHED])
async def test_another_nodes_result_does_not_spoil_a_running_experiment(rig: Rig, outcome: Outcome) -> None:
    node, spoiler = await rig.join("n"), await rig.join("s")
    await rig.open_class(node)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), source)
    kind = "exception" if outcome is Outcome.CRASHED else ""
    score = 9.0 if outcome is Outcome.COMPLETED else None
    bad = rig.result(experiment_id, hash_of(source), score=score, outcome=outcome, crash_kind=kind)

    spoilt = await rig.publish(spoiler, bad)
    honest = rig.result(experiment_id, hash_of(source), score=0.9, seed=started.seed)
    published = await rig.publish(node, honest, lease=started.lease)

    assert spoilt.state is ExperimentState.RUNNING
    assert published.state is ExperimentState.CANDIDATE
    assert published.best is not None
    assert published.best.experiment_id == experiment_id
    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    assert (summary.score, summary.runs) == (0.9, 1)
    assert bad.result_id in [result.result_id for result in results]


async def test_another_nodes_crash_blocks_nothing(rig: Rig) -> None:
    node, spoiler = await rig.join("n"), await rig.join("s")
    await rig.open_class(node)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), source)
    crash = rig.result(experiment_id, hash_of(source), score=None, crash_kind="exception")

    await rig.publish(spoiler, crash)
    await rig.one.claiming.release(
        node, claim_id=started.lease.claim_id, fencing_token=started.lease.fencing_token, reason=""
    )

    record = await rig.one.store.get_experiment(experiment_id)
    assert record is not None
    assert record.state is ExperimentState.LOST
    assert isinstance(await rig.claim(node, change("LR", "0.05")), Granted)


async def test_a_claim_of_ones_own_idea_covers_no_experiment_of_another(rig: Rig) -> None:
    node, spoiler = await rig.join("n"), await rig.join("s")
    await rig.open_class(node)
    source = edited(LR="0.05")
    _, experiment_id = await rig.begin(node, change("LR", "0.05"), source)
    granted = await rig.claim(spoiler, change("DEPTH", "9"))
    assert isinstance(granted, Granted)

    with pytest.raises(InvalidArgument):
        await rig.publish(spoiler, rig.result(experiment_id, hash_of(source), score=9.0), lease=granted.lease)


@pytest.mark.parametrize("purpose", [Purpose.EXPLORE, Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL])
async def test_no_run_without_a_claim_moves_the_score_of_an_experiment(
    rig: Rig, reader: CodeReader, purpose: Purpose
) -> None:
    node, forger = await rig.join("n"), await rig.join("f")
    await rig.open_class(node)
    experiment_id, _ = await rig.explore(node, 1.2, LR="0.05")
    code = hash_of(edited(LR="0.05"))
    theirs = rig.result(experiment_id, code, score=99.0, purpose=purpose)
    own = rig.result(experiment_id, code, score=1e-9, purpose=purpose)

    await rig.publish(forger, theirs)
    await rig.publish(node, own)

    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()
    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    restarted, _ = await again.one.leaderboard.get_experiment(experiment_id)
    await again.services.close()
    assert (summary.score, summary.runs) == (1.2, 1)
    assert restarted == summary
    assert {theirs.result_id, own.result_id} < {result.result_id for result in results}


async def test_a_baseline_run_without_a_claim_is_kept_and_not_scored(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node, (1.0, 1.0, 1.0))
    forged = rig.result(rig.baseline_id, hash_of(BASELINE.encode()), score=0.5, purpose=Purpose.BASELINE)

    await rig.publish(node, forged)

    summary, results = await rig.one.leaderboard.get_experiment(rig.baseline_id)
    assert (summary.score, summary.runs) == (1.0, 3)
    assert forged.result_id in [result.result_id for result in results]


async def test_equal_code_of_another_experiment_does_not_move_a_score(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    tried, _ = await rig.explore(node, 1.2, LR="0.05")
    source = edited(LR="5e-2")
    experiment, result = rig.solo(source, 0.5)

    await rig.publish(other, result, experiment=experiment, source=source)

    summary, _ = await rig.one.leaderboard.get_experiment(tried)
    assert (summary.score, summary.runs) == (1.2, 1)


async def test_an_unknown_experiment_keeps_its_own_source_whatever_its_purpose_says(rig: Rig) -> None:
    node = await rig.join("n")
    source = edited(LR="0.05")
    experiment, result = rig.solo(source, 0.9)
    result = replace(result, purpose=Purpose.BASELINE)

    await rig.publish(node, result, experiment=experiment, source=source)

    assert await rig.one.store.get_source(hash_of(source)) == source


async def test_no_experiment_is_started_under_the_id_of_a_baseline(rig: Rig) -> None:
    node = await rig.join("n")
    other_class = baseline_id(rig.challenge.challenge_id, HardwareClass("victim/torch-2.13"))
    for experiment_id in (rig.baseline_id, other_class):
        granted = await rig.claim(node, Hypothesis(title=f"idea {experiment_id[-8:]}"))
        assert isinstance(granted, Granted)

        with pytest.raises(InvalidArgument):
            await rig.start(node, granted.lease, edited(LR="0.666"), experiment_id)


async def test_no_experiment_is_brought_under_the_id_of_a_baseline(rig: Rig) -> None:
    node = await rig.join("n")
    source = edited(LR="0.666")
    experiment, result = rig.solo(source, 0.5)
    other_class = baseline_id(rig.challenge.challenge_id, HardwareClass("victim/torch-2.13"))
    for experiment_id in (rig.baseline_id, other_class):
        with pytest.raises(InvalidArgument):
            await rig.publish(
                node,
                replace(result, experiment_id=experiment_id),
                experiment=replace(experiment, experiment_id=experiment_id),
                source=source,
            )


async def test_a_released_verification_decides_nothing(rig: Rig) -> None:
    proposer, other = await rig.join("p"), await rig.join("o")
    await rig.open_class(proposer)
    experiment_id, _ = await rig.explore(proposer, 0.9, LR="0.05")
    tasks = []
    for _ in range(3):
        task = await rig.next_pair(other)
        await rig.one.claiming.release(
            other, claim_id=task.lease.claim_id, fencing_token=task.lease.fencing_token, reason=""
        )
        tasks.append(task)

    published = [await rig.verify(other, task, 1.5, 1.0) for task in tasks]

    assert all(one.is_late for one in published)
    assert published[-1].best is not None
    assert published[-1].best.experiment_id == experiment_id
    assert published[-1].best.level is Level.PROVISIONAL
    view = await rig.one.context.classes.refresh(CLASS)
    assert view.state.halves == ()
    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.runs == 1
    assert (len(results), summary.sealed_runs) == (1, len(tasks))


async def test_a_late_baseline_run_opens_no_class(rig: Rig) -> None:
    node = await rig.join("n")
    task = await rig.next(node)
    await rig.one.claiming.release(
        node, claim_id=task.lease.claim_id, fencing_token=task.lease.fencing_token, reason=""
    )

    published = await rig.publish_baseline(node, task, 0.1)
    await rig.open_class(node, (1.0, 1.0, 1.0))

    assert published.is_late
    best = await rig.one.leaderboard.get_best(CLASS)
    assert (best.mean, best.runs) == (1.0, 3)
    summary, _ = await rig.one.leaderboard.get_experiment(rig.baseline_id)
    assert summary.state is ExperimentState.COMPLETED
    assert (summary.score, summary.runs) == (1.0, 3)


async def test_a_solo_baseline_is_taken_before_its_class_has_run(rig: Rig) -> None:
    node = await rig.join("n")
    result = rig.result(rig.baseline_id, hash_of(BASELINE.encode()), score=1.0, purpose=Purpose.BASELINE)
    experiment = replace(
        rig.one.context.baseline_of(HardwareClass(CLASS)), experiment_id=ExperimentId(rig.baseline_id)
    )

    await rig.publish(node, result, experiment=experiment, source=BASELINE.encode())

    _, results = await rig.one.leaderboard.get_experiment(rig.baseline_id)
    assert [one.result_id for one in results] == [result.result_id]
