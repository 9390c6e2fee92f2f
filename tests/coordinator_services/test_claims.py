from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from autoresearch.errors import Conflict, InvalidArgument, LeaseLost, LimitExceeded, NotFound
from autoresearch.model import (
    ClaimId,
    ConstantChange,
    Duplicate,
    ExperimentId,
    ExperimentState,
    Granted,
    Hypothesis,
    MechanismChange,
    MechanismOp,
    NeedsDistinction,
    Outcome,
    Started,
    StartRefused,
    new_id,
)
from structlog.testing import capture_logs
from swarm_builders import BASELINE, Rig, change, edited, retest

from coordinator.services.sources import hash_of

SPELLINGS = (
    Hypothesis(title="a", changes=(ConstantChange(name="BATCH", new="2**19", old="2**18"),)),
    Hypothesis(title="b", changes=(ConstantChange(name="BATCH", new="524288"),)),
    Hypothesis(title="c", changes=(ConstantChange(name="batch", new="BATCH * 2", old="262144"),)),
    Hypothesis(title="BATCH 2**18 -> 2**19"),
    Hypothesis(title="double BATCH"),
    Hypothesis(title="set BATCH to 524288"),
)


async def test_of_many_spellings_claimed_at_once_exactly_one_is_granted(rig: Rig) -> None:
    nodes = [await rig.join(f"n{index}") for index in range(4)]
    await rig.open_class(nodes[0])

    verdicts = await asyncio.gather(
        *(rig.claim(node, hypothesis) for node in nodes for hypothesis in SPELLINGS)
    )

    granted = [verdict for verdict in verdicts if isinstance(verdict, Granted)]
    assert len(granted) == 1
    assert all(isinstance(verdict, Granted | Duplicate) for verdict in verdicts)


async def test_opposite_directions_and_other_values_are_different_ideas(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)

    verdicts = [await rig.claim(node, change("LR", value)) for value in ("0.045", "0.035", "0.05")]

    assert all(isinstance(verdict, Granted) for verdict in verdicts)


async def test_repeating_a_claim_gives_the_same_lease(rig: Rig) -> None:
    node = await rig.join("n")
    claim_id = ClaimId(new_id())

    first = await rig.claim(node, change("LR", "0.05"), claim_id=claim_id)
    second = await rig.claim(node, change("LR", "0.05"), claim_id=claim_id)

    assert isinstance(first, Granted)
    assert isinstance(second, Granted)
    assert first.lease.fencing_token == second.lease.fencing_token


async def test_a_claim_id_used_for_something_else_is_refused(rig: Rig) -> None:
    node = await rig.join("n")
    claim_id = ClaimId(new_id())
    await rig.claim(node, change("LR", "0.05"), claim_id=claim_id)

    with pytest.raises(Conflict):
        await rig.claim(node, change("LR", "0.06"), claim_id=claim_id)


async def test_too_many_claims_are_refused_with_a_time_to_come_back(rig: Rig) -> None:
    node = await rig.join("n")
    for index in range(32):
        await rig.claim(node, change("LR", f"0.1{index:02}"))

    with pytest.raises(LimitExceeded) as refused:
        await rig.claim(node, change("LR", "0.5"))

    assert refused.value.retry_after_s is not None


async def test_an_unknown_parent_is_refused(rig: Rig) -> None:
    node = await rig.join("n")

    with pytest.raises(NotFound):
        await rig.claim(node, change("LR", "0.05"), ExperimentId(new_id()))


async def test_an_idea_that_changes_nothing_is_a_duplicate_of_its_parent(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)

    verdict = await rig.claim(node, change("LR", "4e-2"))

    assert isinstance(verdict, Duplicate)
    assert verdict.match.experiment_id == rig.baseline_id


async def test_changes_that_contradict_each_other_are_refused(rig: Rig) -> None:
    node = await rig.join("n")
    hypothesis = Hypothesis(
        title="both",
        changes=(ConstantChange(name="LR", new="1"), ConstantChange(name="LR", new="2")),
    )

    with pytest.raises(InvalidArgument):
        await rig.claim(node, hypothesis)


async def test_a_node_that_has_not_connected_gets_no_claim(rig: Rig) -> None:
    node = await rig.join("n")

    with pytest.raises(InvalidArgument, match="Connect"):
        await rig.claim(replace(node, hardware_class=""), change("LR", "0.05"))


async def test_what_was_tried_is_a_duplicate_with_its_outcome(rig: Rig) -> None:
    node, other = await rig.join("n", owner="one"), await rig.join("o", owner="one")
    await rig.open_class(node)
    tried, _ = await rig.explore(node, 1.2, LR="0.05")

    verdict = await rig.claim(other, Hypothesis(title="LR 0.04 -> 5e-2"))

    assert isinstance(verdict, Duplicate)
    assert verdict.match.experiment_id == tried
    assert verdict.match.state is ExperimentState.COMPLETED
    assert verdict.match.score == 1.2
    assert verdict.level == "words"


async def test_the_same_edit_on_another_parent_is_asked_about_and_a_distinction_lets_it_pass(
    rig: Rig,
) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    await rig.explore(node, 1.2, LR="0.05")
    other_parent, _ = await rig.explore(node, 1.01, DEPTH="5")

    asked = await rig.claim(node, change("LR", "0.05"), other_parent)
    answered = await rig.claim(
        node, replace(change("LR", "0.05"), distinction="deeper models want more"), other_parent
    )

    assert isinstance(asked, NeedsDistinction)
    assert not asked.match.same_parent
    assert isinstance(answered, Granted)


async def test_a_stated_retest_on_another_parent_is_granted(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    await rig.explore(node, 1.2, LR="0.05")
    other_parent, _ = await rig.explore(node, 1.01, DEPTH="5")

    verdict = await rig.claim(node, retest(change("LR", "0.05")), other_parent)

    assert isinstance(verdict, Granted)


async def test_a_retest_on_the_same_parent_is_still_a_duplicate(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    await rig.explore(node, 1.2, LR="0.05")

    verdict = await rig.claim(node, retest(change("LR", "0.05")))

    assert isinstance(verdict, Duplicate)


async def test_free_words_in_use_are_held_and_tried_ones_are_asked_about(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    idea = Hypothesis(title="A cleverer optimizer")
    started, experiment_id = await rig.begin(node, idea, edited(LR="0.3"))

    held = await rig.claim(other, Hypothesis(title="a  CLEVERER optimizer"))
    result = rig.result(experiment_id, hash_of(edited(LR="0.3")), seed=started.seed)
    await rig.publish(node, result, lease=started.lease)
    asked = await rig.claim(other, idea)

    assert isinstance(held, Duplicate)
    assert isinstance(asked, NeedsDistinction)


async def test_every_answer_brings_the_nearest_tried_and_the_history_of_its_knobs(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    far, _ = await rig.explore(node, 1.2, LR="0.4")
    near, _ = await rig.explore(node, 0.999, LR="0.05")

    verdict = await rig.claim(node, change("LR", "0.055"))

    assert isinstance(verdict, Granted)
    assert [match.experiment_id for match in verdict.advice.nearest] == [near, far]
    trials = {trial.value: trial for trial in verdict.advice.knobs}
    assert set(trials) == {"0.05", "0.4"}
    assert trials["0.4"].trials == 1
    assert trials["0.4"].best_delta == pytest.approx(0.2, abs=0.01)


async def test_an_expired_claim_can_be_claimed_by_another_node(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.claim(node, change("LR", "0.05"))

    rig.clock.advance(seconds=121)
    verdict = await rig.claim(other, change("LR", "0.05"))

    assert isinstance(verdict, Granted)


async def test_a_released_claim_is_free_and_releasing_twice_is_no_error(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    granted = await rig.claim(node, change("LR", "0.05"))
    assert isinstance(granted, Granted)
    lease = granted.lease

    was_held = [
        await rig.one.claiming.release(
            node, claim_id=lease.claim_id, fencing_token=lease.fencing_token, reason="changed my mind"
        )
        for _ in range(2)
    ]

    assert was_held == [True, False]
    assert isinstance(await rig.claim(other, change("LR", "0.05")), Granted)


async def test_repeating_start_gives_the_same_seeds(rig: Rig) -> None:
    node = await rig.join("n")
    granted = await rig.claim(node, change("LR", "0.05"))
    experiment_id = new_id()

    first = await rig.start(node, granted.lease, edited(LR="0.05"), experiment_id)
    second = await rig.start(node, granted.lease, edited(LR="0.05"), experiment_id)

    assert isinstance(first, Started)
    assert isinstance(second, Started)
    assert (first.seed, first.val_seed) == (second.seed, second.val_seed)
    assert first.flags == ()


async def test_a_claim_is_started_once(rig: Rig) -> None:
    node = await rig.join("n")
    granted = await rig.claim(node, change("LR", "0.05"))
    await rig.start(node, granted.lease, edited(LR="0.05"))

    with pytest.raises(Conflict):
        await rig.start(node, granted.lease, edited(LR="0.06"))


async def test_of_two_claims_in_other_words_one_starts_the_same_code(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    one = await rig.claim(node, Hypothesis(title="faster learning"))
    two = await rig.claim(other, Hypothesis(title="a bolder step"))

    verdicts = await asyncio.gather(
        rig.start(node, one.lease, edited(LR="0.05")),
        rig.start(other, two.lease, edited(LR="5e-2  # bolder")),
    )

    assert sorted(type(verdict).__name__ for verdict in verdicts) == ["StartRefused", "Started"]


async def test_code_does_not_start_while_a_claim_in_words_holds_its_edit(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.claim(node, change("LR", "0.05"))
    granted = await rig.claim(other, Hypothesis(title="something quite different"))

    verdict = await rig.start(other, granted.lease, edited(LR="0.05"))

    assert isinstance(verdict, StartRefused)
    assert verdict.level == "words"


async def test_code_that_was_tried_is_refused_and_its_claim_ends(rig: Rig) -> None:
    node, other = await rig.join("n", owner="one"), await rig.join("o", owner="one")
    await rig.open_class(node)
    tried, _ = await rig.explore(node, 1.2, LR="0.05")
    granted = await rig.claim(other, Hypothesis(title="something quite different"))

    verdict = await rig.start(other, granted.lease, edited(LR="5e-2"))

    assert isinstance(verdict, StartRefused)
    assert verdict.level == "file"
    assert verdict.match.experiment_id == tried
    with pytest.raises(LeaseLost):
        await rig.start(other, granted.lease, edited(LR="0.9"))


async def test_code_that_changes_nothing_is_refused(rig: Rig) -> None:
    node = await rig.join("n")
    granted = await rig.claim(node, Hypothesis(title="a comment"))

    verdict = await rig.start(node, granted.lease, ("# better now\n" + BASELINE).encode())

    assert isinstance(verdict, StartRefused)


async def test_words_that_do_not_match_the_code_are_flagged(rig: Rig) -> None:
    node = await rig.join("n")
    granted = await rig.claim(node, change("LR", "0.05"))

    started = await rig.start(node, granted.lease, edited(LR="0.07", DEPTH="6"))

    assert isinstance(started, Started)
    assert len(started.flags) == 2


@pytest.mark.parametrize(
    "source",
    [b"def broken(:\n", b"\xff\xfe", b"", b"LR = 1\0", b"#" * 70_000, b"x = " + b"(" * 5_000],
    ids=["syntax", "utf-8", "empty", "nul", "large", "deep"],
)
async def test_code_that_cannot_be_judged_is_refused_and_the_claim_is_kept(rig: Rig, source: bytes) -> None:
    node = await rig.join("n")
    granted = await rig.claim(node, change("LR", "0.05"))

    with pytest.raises(InvalidArgument):
        await rig.start(node, granted.lease, source)

    assert isinstance(await rig.start(node, granted.lease, edited(LR="0.05")), Started)


async def test_another_nodes_claim_cannot_be_started(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    granted = await rig.claim(node, change("LR", "0.05"))

    with pytest.raises(LeaseLost):
        await rig.start(other, granted.lease, edited(LR="0.05"))


async def test_a_crash_of_the_code_blocks_and_one_of_the_machine_does_not(rig: Rig) -> None:
    node = await rig.join("n")
    for value, kind in (("0.05", "exception"), ("0.06", "killed")):
        started, experiment_id = await rig.begin(node, change("LR", value), edited(LR=value))
        result = rig.result(
            experiment_id,
            hash_of(edited(LR=value)),
            score=None,
            seed=started.seed,
            outcome=Outcome.CRASHED,
            crash_kind=kind,
        )
        await rig.publish(node, result, lease=started.lease)

    assert isinstance(await rig.claim(node, change("LR", "0.05")), Duplicate)
    assert isinstance(await rig.claim(node, change("LR", "0.06")), Granted)


async def test_running_out_of_memory_blocks_equal_or_smaller_memory_only(rig: Rig) -> None:
    small, large = await rig.join("small"), await rig.join("large")
    await rig.connect("large", large.node_id, memory_mb=2_000)
    started, experiment_id = await rig.begin(small, change("BATCH", "2**24"), edited(BATCH="2**24"))
    result = rig.result(
        experiment_id,
        hash_of(edited(BATCH="2**24")),
        score=None,
        seed=started.seed,
        crash_kind="oom",
        memory_mb=1_000,
    )
    await rig.publish(small, result, lease=started.lease)

    assert isinstance(await rig.claim(small, change("BATCH", "2**24")), Duplicate)
    verdict = await rig.claim(large, change("BATCH", "2**24"))
    assert isinstance(verdict, Granted), (verdict.match, verdict.level)


async def test_mechanisms_in_the_same_words_are_asked_about(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    idea = Hypothesis(
        title="norm", changes=(MechanismChange(op=MechanismOp.ADD, what="QK norm", where="attention"),)
    )
    source = (BASELINE + "\n\ndef norm(x):\n    return x\n").encode()
    started, experiment_id = await rig.begin(node, idea, source)
    result = rig.result(experiment_id, hash_of(source), score=1.3, seed=started.seed)
    await rig.publish(node, result, lease=started.lease)

    verdict = await rig.claim(node, replace(idea, title="another title"))

    assert isinstance(verdict, NeedsDistinction)


async def test_duplicates_that_were_stopped_are_counted(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.claim(node, change("LR", "0.05"))
    await rig.claim(node, change("LR", "5e-2"))

    status = await rig.one.leaderboard.get_status()

    assert status.duplicates_stopped == 1


async def test_the_reason_of_a_release_is_logged(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    granted = await rig.claim(node, change("LR", "0.05"))
    assert isinstance(granted, Granted)

    with capture_logs() as lines:
        await rig.one.claiming.release(
            node,
            claim_id=granted.lease.claim_id,
            fencing_token=granted.lease.fencing_token,
            reason="the agent gave up",
        )

    assert [line["why"] for line in lines if line["event"] == "claim released"] == ["the agent gave up"]
