from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from autoresearch.attestation import Attestation
from autoresearch.errors import Conflict, InvalidArgument, NotFound
from autoresearch.model import (
    BaselineTask,
    ExperimentId,
    ExperimentState,
    Granted,
    HardwareClass,
    Intent,
    Level,
    Purpose,
    Result,
    ResultId,
    new_id,
)
from swarm_builders import BASELINE, CLASS, Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.sources import hash_of


async def ledger(rig: Rig) -> list[ResultId]:
    return [result_id async for result_id in rig.one.store.get_result_ids()]


async def test_three_baseline_runs_open_a_class(rig: Rig) -> None:
    node = await rig.join("n")

    await rig.open_class(node, (1.0, 1.1, 0.9))

    best = await rig.one.leaderboard.get_best(CLASS)
    assert best.experiment_id == rig.baseline_id
    assert best.level is Level.BASELINE
    assert best.runs == 3
    assert math.isclose(best.mean, 1.0)


async def test_a_screened_run_is_adopted_as_provisional(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)

    experiment_id, published = await rig.explore(node, 0.9, LR="0.05")

    assert published.state is ExperimentState.CANDIDATE
    assert published.best is not None
    assert published.best.experiment_id == experiment_id
    assert published.best.level is Level.PROVISIONAL


async def test_a_lower_number_within_the_noise_is_no_best(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)

    _, published = await rig.explore(node, 0.999, LR="0.05")

    assert published.state is ExperimentState.COMPLETED
    assert published.best is not None
    assert published.best.experiment_id == rig.baseline_id


async def test_two_other_voting_owners_confirm_a_best(rig: Rig) -> None:
    proposer = await rig.join("p", owner="pam")
    ann, bob = await rig.join("a", owner="ann"), await rig.join("b", owner="bob")
    await rig.open_class(proposer)
    experiment_id, _ = await rig.explore(proposer, 0.9, LR="0.05")

    for node in (ann, bob, ann, ann):
        task = await rig.next_pair(node)
        published = await rig.verify(node, task, 0.93, 1.0)

    assert published.best is not None
    assert published.best.level is Level.CONFIRMED
    assert published.best.confirmed_by == ("ann", "bob")
    assert math.isclose(published.best.mean, 0.93)
    assert published.best.runs == 4
    status = await rig.one.leaderboard.get_status()
    assert status.global_best is not None
    assert status.global_best.experiment_id == experiment_id
    summary, results = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.state is ExperimentState.BEST
    assert summary.level is Level.CONFIRMED
    assert math.isclose(summary.score or 0, 0.93)
    assert len(results) == 5


async def test_a_refuted_candidate_gives_the_best_before_it_back(rig: Rig) -> None:
    proposer, other = await rig.join("p"), await rig.join("o")
    await rig.open_class(proposer)
    experiment_id, _ = await rig.explore(proposer, 0.9, LR="0.05")

    for _ in range(3):
        task = await rig.next_pair(other)
        published = await rig.verify(other, task, 1.01, 1.0)

    assert published.best is not None
    assert published.best.experiment_id == rig.baseline_id
    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.state is ExperimentState.REFUTED
    history = await rig.one.leaderboard.get_progress(CLASS)
    assert "refuted" in history[-1].reason


async def test_publishing_twice_counts_once(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), edited(LR="0.05"))
    result = rig.result(experiment_id, hash_of(edited(LR="0.05")), score=0.9, seed=started.seed)

    first = await rig.publish(node, result, lease=started.lease)
    second = await rig.publish(node, result, lease=started.lease)

    assert (first.is_repeat, second.is_repeat) == (False, True)
    assert (await ledger(rig)).count(result.result_id) == 1
    assert second.state is first.state
    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    assert summary.runs == 1


async def test_a_result_id_used_for_another_result_is_refused(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), edited(LR="0.05"))
    result = rig.result(experiment_id, hash_of(edited(LR="0.05")), score=1.2, seed=started.seed)
    await rig.publish(node, result, lease=started.lease)

    with pytest.raises(Conflict):
        await rig.publish(node, replace(result, metrics={"val_bpb": 0.5}), lease=started.lease)


async def test_a_result_of_a_lost_lease_is_kept_as_late(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), edited(LR="0.05"))
    rig.clock.advance(seconds=200)
    await rig.one.caretaker.reap()
    lost = rig.one.context.catalog.state_of(experiment_id)

    result = rig.result(experiment_id, hash_of(edited(LR="0.05")), score=1.2, seed=started.seed)
    published = await rig.publish(node, result, lease=started.lease)

    assert lost is ExperimentState.LOST
    assert published.is_late
    assert published.state is ExperimentState.COMPLETED
    assert result.result_id in await ledger(rig)


async def test_a_late_result_after_a_restart_still_blocks_its_edit(rig: Rig, reader: CodeReader) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), edited(LR="0.05"))
    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()

    result = again.result(experiment_id, hash_of(edited(LR="0.05")), score=1.2, seed=started.seed)
    published = await again.publish(node, result, lease=started.lease)
    verdict = await again.claim(node, change("LR", "0.05"))
    await again.services.close()

    assert not published.is_late
    assert not isinstance(verdict, Granted)


async def test_a_solo_result_brings_its_experiment_and_may_become_the_working_best(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    source = edited(LR="0.05")
    experiment, result = rig.solo(source, 0.9)

    published = await rig.publish(node, result, experiment=experiment, source=source)

    assert published.state is ExperimentState.CANDIDATE
    summary, _ = await rig.one.leaderboard.get_experiment(experiment.experiment_id)
    assert summary.experiment.node_id == node.node_id
    assert summary.experiment.owner_id == node.owner_id
    assert not isinstance(await rig.claim(node, change("LR", "0.05")), Granted)


async def test_an_equal_solo_experiment_is_a_replication_and_no_new_best(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    tried, _ = await rig.explore(node, 1.2, LR="0.05")
    source = edited(LR="5e-2")
    experiment, result = rig.solo(source, 0.5)

    published = await rig.publish(other, result, experiment=experiment, source=source)

    assert published.state is ExperimentState.COMPLETED
    assert published.best is not None
    assert published.best.experiment_id == rig.baseline_id
    summary, _ = await rig.one.leaderboard.get_experiment(tried)
    assert summary.runs == 1
    replica, _ = await rig.one.leaderboard.get_experiment(experiment.experiment_id)
    assert replica.experiment.flags == (f"replicates:{tried}",)


async def test_a_second_run_of_ones_own_choice_changes_no_best(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    tried, _ = await rig.explore(node, 1.2, LR="0.05")

    lucky = rig.result(tried, hash_of(edited(LR="0.05")), score=0.5)
    published = await rig.publish(node, lucky)

    assert published.best is not None
    assert published.best.experiment_id == rig.baseline_id


async def test_a_solo_win_on_an_old_parent_is_queued_to_be_rebased(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    best, _ = await rig.explore(node, 0.8, LR="0.05")
    for _ in range(3):
        task = await rig.next_pair(other)
        await rig.verify(other, task, 0.8, 1.0)
    source = edited(DEPTH="5")
    experiment, result = rig.solo(source, 0.95)
    rig.clock.advance(seconds=1)

    await rig.publish(other, result, experiment=experiment, source=source)

    ideas = await rig.one.ideas.list_ideas()
    assert [idea.origin_experiment_id for idea in ideas] == [experiment.experiment_id]
    assert ideas[0].hypothesis.intent is Intent.REBASE
    assert best != experiment.experiment_id


async def test_a_solo_win_that_waited_behind_a_best_that_held_is_queued_to_be_rebased(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    await rig.explore(node, 0.8, LR="0.05")
    source = edited(DEPTH="5")
    experiment, result = rig.solo(source, 0.95)
    await rig.publish(other, result, experiment=experiment, source=source)
    assert await rig.one.ideas.list_ideas() == ()

    for _ in range(3):
        task = await rig.next_pair(other)
        await rig.verify(other, task, 0.8, 1.0)

    ideas = await rig.one.ideas.list_ideas()
    assert [idea.origin_experiment_id for idea in ideas] == [experiment.experiment_id]


async def test_a_solo_experiment_with_an_unknown_parent_or_broken_code_is_kept_and_flagged(rig: Rig) -> None:
    node = await rig.join("n")
    source = b"def broken(:\n"
    experiment, result = rig.solo(source, 1.0, parent_id=ExperimentId(new_id()))
    crashed = replace(result, outcome="crashed", metrics={}, crash_kind="syntax")

    await rig.publish(node, crashed, experiment=experiment, source=source)

    summary, _ = await rig.one.leaderboard.get_experiment(experiment.experiment_id)
    assert summary.state is ExperimentState.CRASHED
    assert len(summary.experiment.flags) == 2


async def test_an_unknown_experiment_without_its_source_is_refused(rig: Rig) -> None:
    node = await rig.join("n")
    experiment, result = rig.solo(edited(LR="0.05"), 0.9)

    with pytest.raises(NotFound):
        await rig.publish(node, result, experiment=experiment)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, 0.0, -1.0])
async def test_an_impossible_score_never_reaches_the_ledger(rig: Rig, score: float) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), edited(LR="0.05"))
    before = await ledger(rig)

    with pytest.raises(InvalidArgument):
        await rig.publish(
            node,
            rig.result(experiment_id, hash_of(edited(LR="0.05")), score=score, seed=started.seed),
            lease=started.lease,
        )

    assert await ledger(rig) == before


def attested(result: Result, val_seed: int) -> Attestation:
    digest = "sha256:" + "ab" * 32
    return Attestation(
        manifest_hash=digest,
        code_hash=result.code_hash,
        seed=result.seed,
        val_seed=val_seed,
        harness_version=result.harness_version,
        rows_digest=digest,
        losses_digest=digest,
    )


async def test_results_that_contradict_their_task_are_refused(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), source)
    good = rig.result(experiment_id, hash_of(source), score=1.2, seed=started.seed)
    good = replace(good, attestation=attested(good, started.val_seed))
    bad = {
        "another validation seed": replace(good, attestation=attested(good, started.val_seed + 1)),
        "another seed": replace(good, seed=started.seed + 1),
        "another code": replace(good, code_hash=hash_of(edited(LR="0.9"))),
        "another class": replace(
            good, hardware=replace(good.hardware, hardware_class=HardwareClass("cpu-other/torch-2.13"))
        ),
        "another purpose": replace(good, purpose=Purpose.BASELINE),
        "another challenge": replace(good, challenge_id="ch_other"),
        "another harness": replace(good, harness_version="0"),
        "another experiment": replace(good, experiment_id=rig.baseline_id),
        "no metric": replace(good, metrics={"loss": 1.0}),
    }

    refused = []
    for why, result in bad.items():
        try:
            await rig.publish(node, result, lease=started.lease)
        except InvalidArgument:
            refused.append(why)

    assert refused == list(bad)
    assert good.result_id not in await ledger(rig)
    assert not (await rig.publish(node, good, lease=started.lease)).is_late


async def test_a_claim_of_another_node_is_no_claim(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), edited(LR="0.05"))
    result = rig.result(experiment_id, hash_of(edited(LR="0.05")), score=0.5, seed=started.seed)

    with pytest.raises(InvalidArgument):
        await rig.publish(other, result, lease=started.lease)


async def test_no_best_is_lost_or_regressed_under_contended_publishes(rig: Rig) -> None:
    nodes = [await rig.join(f"n{index}") for index in range(4)]
    await rig.open_class(nodes[0])
    runs = []
    for index in range(24):
        value = f"0.1{index:02}"
        node = nodes[index % 4]
        started, experiment_id = await rig.begin(node, change("LR", value), edited(LR=value))
        score = 0.9 - 0.01 * index
        result = rig.result(experiment_id, hash_of(edited(LR=value)), score=score, seed=started.seed)
        runs.append((node, result, started.lease))

    await asyncio.gather(*(rig.publish(node, result, lease=lease) for node, result, lease in runs))

    view = await rig.one.context.classes.get(CLASS)
    kept = [view.state.working, *view.state.waiting]
    ids = {kept[0].experiment_id} | {one.experiment_id for one in view.state.waiting}
    assert runs[-1][1].experiment_id in ids
    assert set(await ledger(rig)) >= {result.result_id for _, result, _ in runs}
    history = await rig.one.leaderboard.get_progress(CLASS)
    assert [change.best.level for change in history][-1] is Level.PROVISIONAL


async def test_a_baseline_that_fails_on_a_node_is_not_asked_of_it_forever(rig: Rig) -> None:
    node = await rig.join("n")
    for _ in range(2):
        task = await rig.next(node)
        assert isinstance(task, BaselineTask)
        result = rig.result(
            task.experiment_id,
            hash_of(BASELINE.encode()),
            score=None,
            seed=task.seed,
            purpose=Purpose.BASELINE,
            crash_kind="oom",
        )
        await rig.publish(node, result, lease=task.lease)

    task = await rig.next(node)

    assert not isinstance(task, BaselineTask)
    assert "failed on this node" in task.reason


async def test_two_crashes_in_verification_refute(rig: Rig) -> None:
    proposer, other = await rig.join("p"), await rig.join("o")
    await rig.open_class(proposer)
    experiment_id, _ = await rig.explore(proposer, 0.9, LR="0.05")

    for _ in range(2):
        task = await rig.next_pair(other)
        published = await rig.verify(other, task, None, 1.0)

    assert published.best is not None
    assert published.best.experiment_id == rig.baseline_id
    assert rig.one.context.catalog.state_of(experiment_id) is ExperimentState.REFUTED


async def test_results_of_one_challenge_survive_a_restart_of_the_services(
    rig: Rig, reader: CodeReader
) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    experiment_id, _ = await rig.explore(node, 0.9, LR="0.05")
    before = await rig.one.leaderboard.get_experiment(experiment_id)

    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()
    after = await again.one.leaderboard.get_experiment(experiment_id)
    best = await again.one.leaderboard.get_best(CLASS)
    await again.services.close()

    assert after == before
    assert best.experiment_id == experiment_id


async def test_a_verification_made_alone_is_kept_and_changes_no_best(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    source = edited(LR="0.05")
    experiment, result = rig.solo(source, 0.5)
    alone = replace(result, purpose=Purpose.VERIFY_CANDIDATE, verification_id=new_id())

    published = await rig.publish(node, alone, experiment=experiment, source=source)

    assert published.state is ExperimentState.COMPLETED
    assert published.best is not None
    assert published.best.experiment_id == rig.baseline_id
    assert alone.result_id in await ledger(rig)
