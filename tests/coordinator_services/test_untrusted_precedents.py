"""Results of owners that nobody vouches for: they warn others of an edit, and do not keep them from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from autoresearch.errors import LeaseLost
from autoresearch.model import (
    Duplicate,
    ExperimentState,
    Granted,
    Hypothesis,
    HypothesisId,
    Intent,
    NeedsDistinction,
    Node,
    OwnerId,
    QueuedTask,
    Started,
    StartRefused,
    new_id,
)
from swarm_builders import CLASS, Rig, change, edited, make_rig, retest

from coordinator.dedup.code import CodeReader
from coordinator.domain.class_state import Trust, dump_state
from coordinator.domain.trust import with_trust
from coordinator.services.sources import hash_of
from coordinator.storage.base import ClassUpdate

WHY = "the score looks wrong for so small a change"


def once_more(hypothesis: Hypothesis) -> Hypothesis:
    return replace(hypothesis, distinction=WHY)


async def set_trust(rig: Rig, owner: str, agreed: int) -> None:
    view = await rig.one.context.classes.refresh(CLASS)
    state = with_trust(view.state, Trust(owner_id=OwnerId(owner), agreed=agreed))
    assert await rig.one.store.update_class(CLASS, view.version, ClassUpdate(state=dump_state(state))) is None
    await rig.one.context.classes.refresh(CLASS)


async def crash(rig: Rig, node: Node, hypothesis: Hypothesis, source: bytes) -> str:
    """Starts an edit and reports that its code raises."""
    started, experiment_id = await rig.begin(node, hypothesis, source)
    result = rig.result(experiment_id, hash_of(source), score=None, seed=started.seed, crash_kind="exception")
    await rig.publish(node, result, lease=started.lease)
    return experiment_id


async def run_again(rig: Rig, node: Node, score: float, value: str = "0.05") -> str:
    source = edited(LR=value)
    started, experiment_id = await rig.begin(node, once_more(change("LR", value)), source)
    await rig.publish(
        node, rig.result(experiment_id, hash_of(source), score=score, seed=started.seed), lease=started.lease
    )
    return experiment_id


async def two_owners(rig: Rig) -> tuple[Node, Node]:
    nodes = await rig.join("ann", owner="ann"), await rig.join("bob", owner="bob")
    await rig.open_class(nodes[0])
    return nodes


async def test_an_untrusted_result_warns_another_owner_and_says_how_to_go_on(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    tried, _ = await rig.explore(ann, 1.2, LR="0.05")

    asked = await rig.claim(bob, change("LR", "5e-2"))
    granted = await rig.claim(bob, once_more(change("LR", "5e-2")))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == tried
    assert asked.match.same_parent
    for word in (tried, "1.2", "not trusted", "distinction"):
        assert word in asked.question
    assert isinstance(granted, Granted)


async def test_a_forged_bad_result_does_not_keep_a_true_gain_from_becoming_a_candidate(rig: Rig) -> None:
    liar, honest = await two_owners(rig)
    forged, _ = await rig.explore(liar, 1.5, LR="0.05")
    source = edited(LR="0.05")

    started, experiment_id = await rig.begin(honest, once_more(change("LR", "0.05")), source)
    result = rig.result(experiment_id, hash_of(source), score=0.9, seed=started.seed)
    published = await rig.publish(honest, result, lease=started.lease)

    assert any(forged in flag for flag in started.flags)
    assert published.state is ExperimentState.CANDIDATE
    summary, _ = await rig.one.leaderboard.get_experiment(experiment_id)
    other, _ = await rig.one.leaderboard.get_experiment(forged)
    assert (summary.score, summary.runs) == (0.9, 1)
    assert (other.score, other.runs) == (1.5, 1)


async def test_the_owner_of_a_result_is_blocked_on_all_its_nodes_whatever_it_says(rig: Rig) -> None:
    ann, _ = await two_owners(rig)
    second = await rig.join("ann2", owner="ann")
    tried, _ = await rig.explore(ann, 1.2, LR="0.05")

    for node in (ann, second):
        verdict = await rig.claim(node, once_more(change("LR", "0.05")))

        assert isinstance(verdict, Duplicate)
        assert verdict.match.experiment_id == tried


async def test_trust_counts_as_it_stands_when_an_edit_is_judged(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    await rig.explore(ann, 1.2, LR="0.05")
    verdicts = []

    for agreed in (0, 3, 0):
        await set_trust(rig, "ann", agreed)
        verdicts.append(type(await rig.claim(bob, change("LR", "0.05"))))

    assert verdicts == [NeedsDistinction, Duplicate, NeedsDistinction]


async def test_an_owner_without_a_vote_settles_nothing_however_much_it_agreed(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    await rig.explore(node, 1.2, LR="0.05")
    await set_trust(rig, str(node.owner_id), 9)

    assert isinstance(await rig.claim(other, change("LR", "0.05")), NeedsDistinction)


async def test_a_second_voting_owner_settles_an_edit_for_everybody(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    carl, _ = await rig.join("carl", owner="carl"), await rig.explore(ann, 1.2, LR="0.05")
    again = await run_again(rig, bob, 1.19)

    verdict = await rig.claim(carl, once_more(change("LR", "0.05")))

    assert isinstance(verdict, Duplicate)
    assert verdict.match.experiment_id == again


async def test_a_repeat_by_an_owner_without_a_vote_settles_nothing(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    await rig.explore(ann, 1.2, LR="0.05")
    again = await run_again(rig, await rig.join("open"), 1.19)

    asked = await rig.claim(bob, change("LR", "0.05"))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == again


async def test_a_trusted_result_is_what_a_duplicate_names(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    carl = await rig.join("carl", owner="carl")
    tried, _ = await rig.explore(ann, 1.2, LR="0.05")
    await run_again(rig, bob, 1.19)
    await set_trust(rig, "ann", 3)

    verdict = await rig.claim(carl, change("LR", "0.05"))

    assert isinstance(verdict, Duplicate)
    assert verdict.match.experiment_id == tried


async def test_a_crash_that_an_untrusted_owner_reports_warns_and_a_second_one_settles(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    carl = await rig.join("carl", owner="carl")
    idea, source = change("LR", "0.05"), edited(LR="0.05")
    await crash(rig, ann, idea, source)

    asked = await rig.claim(bob, idea)
    own = await rig.claim(ann, once_more(idea))
    again = await crash(rig, bob, once_more(idea), source)
    settled = await rig.claim(carl, once_more(idea))

    assert isinstance(asked, NeedsDistinction)
    assert "crashed" in asked.question
    assert isinstance(own, Duplicate)
    assert isinstance(settled, Duplicate)
    assert settled.match.experiment_id == again


async def test_a_crash_and_a_completed_run_are_no_like_outcomes(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    carl = await rig.join("carl", owner="carl")
    await crash(rig, ann, change("LR", "0.05"), edited(LR="0.05"))
    await run_again(rig, bob, 1.2)

    asked = await rig.claim(carl, change("LR", "0.05"))
    await run_again(rig, carl, 1.21)
    settled = await rig.claim(await rig.join("dora", owner="dora"), once_more(change("LR", "0.05")))

    assert isinstance(asked, NeedsDistinction)
    assert isinstance(settled, Duplicate)


async def test_code_that_only_warns_is_not_started_without_a_reason(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    tried, _ = await rig.explore(ann, 1.2, LR="0.05")
    idea = Hypothesis(title="something quite different")
    granted = await rig.claim(bob, idea)
    assert isinstance(granted, Granted)

    refused = await rig.start(bob, granted.lease, edited(LR="5e-2"))
    again = await rig.claim(bob, once_more(idea))
    assert isinstance(again, Granted)
    started = await rig.start(bob, again.lease, edited(LR="5e-2"))

    assert isinstance(refused, StartRefused)
    assert refused.level == "file"
    assert refused.match.experiment_id == tried
    assert tried in refused.question
    assert isinstance(started, Started)
    assert any(tried in flag for flag in started.flags)


async def test_a_claim_whose_code_only_warns_has_ended(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    await rig.explore(ann, 1.2, LR="0.05")
    granted = await rig.claim(bob, Hypothesis(title="something quite different"))
    assert isinstance(granted, Granted)
    await rig.start(bob, granted.lease, edited(LR="0.05"))

    with pytest.raises(LeaseLost):
        await rig.start(bob, granted.lease, edited(LR="0.06"))


async def test_a_candidate_of_an_untrusted_owner_blocks(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    _, published = await rig.explore(ann, 0.9, LR="0.05")

    verdict = await rig.claim(bob, once_more(change("LR", "0.05")))

    assert published.state is ExperimentState.CANDIDATE
    assert isinstance(verdict, Duplicate)


async def test_going_back_to_the_baseline_is_no_new_edit_whatever_is_said(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    parent_id, _ = await rig.explore(ann, 1.2, LR="0.05")
    granted = await rig.claim(bob, once_more(change("LR", "0.04")), parent_id)
    assert isinstance(granted, Granted)

    refused = await rig.start(bob, granted.lease, edited())

    assert isinstance(refused, StartRefused)
    assert refused.match.experiment_id == rig.baseline_id
    assert not refused.question


async def test_of_two_owners_with_reasons_at_once_one_runs_the_edit_again(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    carl = await rig.join("carl", owner="carl")
    await rig.explore(ann, 1.2, LR="0.05")

    verdicts = await asyncio.gather(
        *(rig.claim(node, once_more(change("LR", "0.05"))) for node in (bob, carl))
    )

    assert sorted(type(verdict).__name__ for verdict in verdicts) == ["Duplicate", "Granted"]


@pytest.mark.parametrize("has_crashed", [False, True])
async def test_a_restart_that_has_not_read_the_code_yet_lets_an_answered_warning_pass(
    rig: Rig, reader: CodeReader, *, has_crashed: bool
) -> None:
    ann, bob = await two_owners(rig)
    idea, source = change("LR", "0.05"), edited(LR="0.05")
    if has_crashed:
        tried = await crash(rig, ann, idea, source)
    else:
        tried, _ = await rig.explore(ann, 1.2, LR="0.05")
    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()
    bob = await again.connect("bob", bob.node_id)

    asked = await again.claim(bob, Hypothesis(title="LR 0.04 -> 0.05"))
    own = await again.claim(await again.connect("ann", ann.node_id), once_more(idea))
    started, _ = await again.begin(bob, once_more(idea), source)

    await again.services.close()
    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == tried
    assert isinstance(own, Duplicate)
    assert any(tried in flag for flag in started.flags)


async def test_a_waiting_idea_is_run_although_one_that_nobody_vouches_for_ran_it(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    tried, _ = await rig.explore(ann, 1.2, LR="0.05")
    hypothesis = replace(change("LR", "0.05"), intent=Intent.REBASE)
    await rig.one.ideas.propose(bob, hypothesis_id=HypothesisId(new_id()), hypothesis=hypothesis)
    task = await rig.next(bob)
    assert isinstance(task, QueuedTask)

    granted = await rig.claim(bob, task.hypothesis, queued_claim_id=task.lease.claim_id)
    assert isinstance(granted, Granted)
    started = await rig.start(bob, granted.lease, edited(LR="0.05"))

    assert isinstance(started, Started)
    assert any(tried in flag for flag in started.flags)


async def test_another_nodes_lease_on_a_waiting_idea_takes_nothing_off_the_queue(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    await rig.explore(ann, 1.2, LR="0.05")
    await rig.one.ideas.propose(bob, hypothesis_id=HypothesisId(new_id()), hypothesis=change("LR", "0.06"))
    task = await rig.next(bob)
    assert isinstance(task, QueuedTask)

    verdict = await rig.claim(ann, change("LR", "0.05"), queued_claim_id=task.lease.claim_id)

    assert isinstance(verdict, Duplicate)
    assert len(await rig.one.ideas.list_ideas()) == 1


async def test_a_waiting_idea_whose_code_crashed_before_leaves_the_queue(rig: Rig) -> None:
    ann, _ = await two_owners(rig)
    await crash(rig, ann, change("LR", "0.05"), edited(LR="0.05"))
    await rig.one.ideas.propose(ann, hypothesis_id=HypothesisId(new_id()), hypothesis=change("LR", "5e-2"))
    task = await rig.next(ann)
    assert isinstance(task, QueuedTask)

    verdict = await rig.claim(ann, task.hypothesis, queued_claim_id=task.lease.claim_id)

    assert isinstance(verdict, Duplicate)
    assert await rig.one.ideas.list_ideas() == ()


async def test_a_waiting_idea_that_ran_out_of_memory_waits_for_a_larger_machine(rig: Rig) -> None:
    small, large = await two_owners(rig)
    await rig.connect("bob", large.node_id, memory_mb=2_000)
    source = edited(BATCH="2**24")
    started, experiment_id = await rig.begin(small, change("BATCH", "2**24"), source)
    crashed = rig.result(experiment_id, hash_of(source), score=None, seed=started.seed, crash_kind="oom")
    await rig.publish(small, crashed, lease=started.lease)
    await rig.one.ideas.propose(
        small, hypothesis_id=HypothesisId(new_id()), hypothesis=change("BATCH", "2**24")
    )
    task = await rig.next(small)
    assert isinstance(task, QueuedTask)

    verdict = await rig.claim(small, task.hypothesis, queued_claim_id=task.lease.claim_id)
    await rig.one.claiming.release(
        small, claim_id=task.lease.claim_id, fencing_token=task.lease.fencing_token, reason="refused"
    )

    assert isinstance(verdict, Duplicate)
    assert len(await rig.one.ideas.list_ideas()) == 1
    assert isinstance(await rig.next(large), QueuedTask)


async def test_a_stated_retest_runs_an_untrusted_result_again(rig: Rig) -> None:
    ann, bob = await two_owners(rig)
    await rig.explore(ann, 1.2, LR="0.05")

    assert isinstance(await rig.claim(bob, retest(change("LR", "0.05"))), Granted)
