"""Claims in free words: what they say decides; constants as exactly as in any other spelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from autoresearch.model import (
    ClaimId,
    Duplicate,
    ExperimentId,
    Granted,
    Hypothesis,
    HypothesisId,
    Intent,
    MechanismChange,
    MechanismOp,
    NeedsDistinction,
    Node,
    QueuedTask,
    Started,
    new_id,
)
from hashing_embedder import HashingEmbedder
from swarm_builders import BASELINE, Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.claiming import COMPARED_LIMIT
from coordinator.services.sources import hash_of

SWIGLU = "use SwiGLU in the MLP"
PARAPHRASES = (
    "raise the learning rate from 0.04 to 0.05",
    "a learning rate of 0.05, since the steps are few",
    "a 25% higher LR",
    "LR 0.04 -> 0.05",
    "bump the learn rate up to 5e-2 (was 0.04)",
)


def built(marker: str) -> bytes:
    """The baseline with a mechanism that nobody else built this way."""
    return (BASELINE + f"\n\ndef {marker}(x):\n    return x\n").encode()


async def tried(
    rig: Rig, node: Node, title: str, source: bytes, score: float | None = 1.2, **more
) -> ExperimentId:
    """An experiment that ran: what it said and what it was."""
    started, experiment_id = await rig.begin(node, Hypothesis(title=title, **more), source)
    result = rig.result(experiment_id, hash_of(source), score=score, seed=started.seed)
    await rig.publish(node, result, lease=started.lease)
    return experiment_id


async def two_nodes(rig: Rig) -> tuple[Node, Node]:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    return ada, bob


async def test_of_paraphrases_of_one_change_claimed_at_once_exactly_one_is_granted(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)

    verdicts = await asyncio.gather(
        *(rig.claim(node, Hypothesis(title=title)) for node in (ada, bob) for title in PARAPHRASES),
        rig.claim(ada, change("LR", "0.05")),
    )

    assert sorted({type(verdict) for verdict in verdicts}, key=str) == [Duplicate, Granted]
    assert sum(isinstance(verdict, Granted) for verdict in verdicts) == 1


async def test_another_value_knob_or_direction_is_granted(rig: Rig) -> None:
    ada, _ = await two_nodes(rig)
    await tried(rig, ada, PARAPHRASES[0], edited(LR="0.05"))
    titles = (
        "raise the learning rate from 0.04 to 0.055",
        "lower the learning rate from 0.04 to 0.035",
        "raise the depth from 4 to 5",
        "raise the learning rate from 0.04 to 0.05 and the depth from 4 to 5",
        "a learning rate of 0.05 and QK norm",
    )

    verdicts = [await rig.claim(ada, Hypothesis(title=title)) for title in titles]

    assert all(isinstance(verdict, Granted) for verdict in verdicts)


@pytest.mark.parametrize("title", PARAPHRASES)
async def test_paraphrase_of_what_its_owner_has_run_is_a_duplicate_by_words(rig: Rig, title: str) -> None:
    ada, bob = await two_nodes(rig)
    first = await tried(rig, ada, "the learning rate up from 0.04 to 0.05", edited(LR="0.05"))

    own = await rig.claim(ada, Hypothesis(title=title))
    other = await rig.claim(bob, Hypothesis(title=title))

    assert isinstance(own, Duplicate)
    assert (own.level, own.match.experiment_id) == ("words", first)
    # Nobody vouches for its owner, so that another one is warned.
    assert isinstance(other, NeedsDistinction)
    assert other.match.experiment_id == first


async def test_words_of_constants_bring_the_history_of_their_knobs(rig: Rig) -> None:
    ada, _ = await two_nodes(rig)
    near = await tried(rig, ada, PARAPHRASES[0], edited(LR="0.05"))

    verdict = await rig.claim(ada, Hypothesis(title="raise the learning rate to 0.06"))

    assert isinstance(verdict, Granted)
    assert [(trial.knob, trial.value) for trial in verdict.advice.knobs] == [("LR", "0.05")]
    assert verdict.advice.nearest[0].experiment_id == near


async def test_old_value_that_is_not_the_parents_is_no_canonical_change(rig: Rig) -> None:
    ada, _ = await two_nodes(rig)
    await tried(rig, ada, PARAPHRASES[0], edited(LR="0.05"))

    verdict = await rig.claim(ada, Hypothesis(title="raise the learning rate from 0.03 to 0.05"))

    assert isinstance(verdict, Granted)
    assert verdict.advice.knobs == ()


async def test_code_that_sets_another_value_than_its_words_is_flagged(rig: Rig) -> None:
    ada, _ = await two_nodes(rig)

    started, _ = await rig.begin(ada, Hypothesis(title=PARAPHRASES[1]), edited(LR="0.06"))

    assert started.flags == ("The hypothesis sets LR to 0.05, the code sets it to 0.06.",)


async def test_code_that_does_what_its_words_say_is_not_flagged(rig: Rig) -> None:
    ada, _ = await two_nodes(rig)

    started, _ = await rig.begin(ada, Hypothesis(title=PARAPHRASES[1]), edited(LR="5e-2"))

    assert started.flags == ()


async def test_mechanism_in_other_words_is_asked_about_and_a_distinction_lets_it_pass(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    first = await tried(rig, ada, SWIGLU, built("swiglu"))
    idea = Hypothesis(title="replace the squared ReLU by a silu-gated linear unit")

    for node in (ada, bob):
        asked = await rig.claim(node, idea)

        assert isinstance(asked, NeedsDistinction)
        assert asked.match.experiment_id == first
        assert asked.match.same_parent
        assert "swiglu" in asked.question
    for other in (replace(idea, distinction="with a narrower gate"), replace(idea, intent=Intent.RETEST)):
        assert isinstance(await rig.claim(bob, other), Granted)


async def test_words_about_a_constant_that_may_be_narrowed_ask_and_never_block(rig: Rig) -> None:
    ada, _ = await two_nodes(rig)
    first = await tried(rig, ada, "LR 0.04 -> 0.05", edited(LR="0.05"))

    asked = await rig.claim(ada, Hypothesis(title="frobnicated learning rate 0.04 -> 0.05"))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == first


@pytest.mark.parametrize(
    "title",
    ["use GEGLU in the MLP", "drop the SwiGLU of the MLP", "use SwiGLU in the MLP with 6 experts", "quux it"],
)
async def test_another_mechanism_is_granted_however_alike_it_sounds(rig: Rig, title: str) -> None:
    ada, bob = await two_nodes(rig)
    await tried(rig, ada, SWIGLU, built("swiglu"))

    verdict = await rig.claim(bob, Hypothesis(title=title))

    assert isinstance(verdict, Granted)


async def test_mechanism_is_compared_with_one_that_was_structured(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    added = (MechanismChange(op=MechanismOp.ADD, what="SwiGLU", where="MLP"),)
    first = await tried(rig, ada, SWIGLU, built("swiglu"), changes=added)

    asked = await rig.claim(bob, Hypothesis(title="SwiGLU MLP"))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == first


async def test_crash_asks_nothing(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    await tried(rig, ada, SWIGLU, built("swiglu"), score=None)

    assert isinstance(await rig.claim(bob, Hypothesis(title="SwiGLU MLP")), Granted)


async def test_what_runs_now_is_asked_about_in_whatever_words(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    _, running = await rig.begin(ada, Hypothesis(title="add a z-loss"), built("z_loss"))

    asked = await rig.claim(bob, Hypothesis(title="the z loss, as others have it"))
    answered = await rig.claim(bob, Hypothesis(title="add the z loss", distinction="on the last layer only"))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == running
    assert "is being tried now on the same parent" in asked.question
    assert isinstance(answered, Granted)


async def test_of_paraphrases_of_one_mechanism_claimed_at_once_one_is_granted_and_the_others_asked(
    rig: Rig,
) -> None:
    ada, bob = await two_nodes(rig)
    titles = (SWIGLU, "SwiGLU MLP", "switch the MLP to SwiGLU", "try a SwiGLU in the MLP")

    verdicts = await asyncio.gather(
        *(rig.claim(node, Hypothesis(title=title)) for title in titles for node in (ada, bob))
    )

    granted = [verdict for verdict in verdicts if isinstance(verdict, Granted)]
    asked = [verdict for verdict in verdicts if isinstance(verdict, NeedsDistinction)]
    assert len(granted) == 1
    assert asked
    assert len(granted) + len(asked) + sum(isinstance(one, Duplicate) for one in verdicts) == len(verdicts)
    assert all("is trying it now" in verdict.question for verdict in asked)
    assert {verdict.match.title for verdict in asked} <= set(titles)


async def test_live_claims_about_one_thing_that_say_different_things_are_all_granted(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    titles = ("add a z-loss of 1e-4", "add a z-loss of 1e-3", "remove the z-loss", "add a z-loss of 1e-2")

    verdicts = [
        await rig.claim(node, Hypothesis(title=title))
        for node, title in zip((ada, bob, ada, bob), titles, strict=True)
    ]
    again = await rig.claim(bob, Hypothesis(title="a z-loss of 0.001"))

    assert [type(verdict) for verdict in verdicts] == [Granted] * len(titles)
    assert isinstance(again, NeedsDistinction)


async def test_paraphrases_meet_beside_another_live_idea_about_the_same(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    other = await rig.claim(ada, Hypothesis(title="learn a gain per head after QK normalisation"))
    first = await rig.claim(ada, Hypothesis(title="attention: drop QK-norm"))

    second = await rig.claim(bob, Hypothesis(title="remove QK norm from attention"))

    assert isinstance(other, Granted)
    assert isinstance(first, Granted)
    assert isinstance(second, NeedsDistinction)
    assert second.match.title == "attention: drop QK-norm"


async def test_distinction_is_no_answer_to_a_live_claim_that_gives_the_same_one(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    titles = (SWIGLU, "SwiGLU MLP", "switch the MLP to SwiGLU")
    same = "mine keeps the number of parameters"
    assert isinstance(await rig.claim(ada, Hypothesis(title=titles[0])), Granted)
    assert isinstance(await rig.claim(ada, Hypothesis(title=titles[1], distinction=same)), Granted)

    repeated = await rig.claim(bob, Hypothesis(title=titles[2], distinction=same))
    answered = await rig.claim(bob, Hypothesis(title=titles[2], distinction="mine gates with a bias"))

    assert isinstance(repeated, NeedsDistinction)
    assert repeated.match.title == titles[1]
    assert isinstance(answered, Granted)


async def test_distinction_that_says_the_same_in_other_words_is_no_answer_either(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    assert isinstance(await rig.claim(ada, Hypothesis(title=SWIGLU)), Granted)
    first = Hypothesis(title="SwiGLU MLP", distinction="hidden width of 8/3")
    assert isinstance(await rig.claim(ada, first), Granted)

    alike = await rig.claim(bob, Hypothesis(title="a SwiGLU MLP", distinction="a hidden width at 8/3"))
    other = await rig.claim(bob, Hypothesis(title="a SwiGLU MLP", distinction="hidden width of 4"))

    assert isinstance(alike, NeedsDistinction)
    assert alike.match.title == "SwiGLU MLP"
    assert isinstance(other, Granted)


async def test_surest_likeness_is_asked_about(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    doubtful = Hypothesis(title="put some dropout in")
    assert isinstance(await rig.claim(ada, doubtful), Granted)
    same = Hypothesis(title="add dropout 0.1", distinction="on the embeddings")
    assert isinstance(await rig.claim(ada, same), Granted)

    asked = await rig.claim(bob, Hypothesis(title="try dropout of 0.1"))

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.title == same.title


async def test_a_crowd_about_one_thing_keeps_nobody_out(reader: CodeReader) -> None:
    rig = make_rig(reader, claims_per_node=1_000)
    await rig.services.start()
    ada, bob = await two_nodes(rig)
    for number in range(COMPARED_LIMIT + 40):
        crowd = Hypothesis(
            title=f"learn a gain per head after QK-norm, number {number}", intent=Intent.RETEST
        )
        assert isinstance(await rig.claim(ada, crowd), Granted)
    title = "remove QK norm from attention"

    asked = await rig.claim(bob, Hypothesis(title=title))
    answered = await rig.claim(bob, Hypothesis(title=title, distinction="takes it out altogether"))
    again = await rig.claim(bob, Hypothesis(title="attention without QK norm", intent=Intent.RETEST))
    await rig.one.ideas.propose(
        ada, hypothesis_id=HypothesisId(new_id()), hypothesis=Hypothesis(title="drop QK-norm")
    )
    task = await rig.next(bob)
    assert isinstance(task, QueuedTask)
    queued = await rig.claim(bob, task.hypothesis, queued_claim_id=task.lease.claim_id)
    await rig.services.close()

    assert isinstance(asked, NeedsDistinction)
    assert f"{COMPARED_LIMIT} live claims are about the same" in asked.question
    assert [type(verdict) for verdict in (answered, again, queued)] == [Granted] * 3


async def test_queued_idea_is_met_by_others_while_it_is_worked_on(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    await rig.one.ideas.propose(
        ada, hypothesis_id=HypothesisId(new_id()), hypothesis=Hypothesis(title=SWIGLU)
    )
    task = await rig.next(bob)
    assert isinstance(task, QueuedTask)
    taken = await rig.claim(
        bob, task.hypothesis, claim_id=ClaimId(new_id()), queued_claim_id=task.lease.claim_id
    )

    other = await rig.claim(ada, Hypothesis(title="SwiGLU MLP"))

    assert isinstance(taken, Granted)
    assert isinstance(other, NeedsDistinction)


async def test_what_is_tried_again_on_purpose_is_not_asked_about_while_another_tries_it(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    assert isinstance(await rig.claim(ada, Hypothesis(title=SWIGLU)), Granted)

    again = await rig.claim(bob, Hypothesis(title="SwiGLU MLP", intent=Intent.RETEST))

    assert isinstance(again, Granted)


async def test_statements_of_constants_whose_names_read_alike_do_not_meet(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    source = (BASELINE + "\nADAM_EPS = 1e-8\nNORM_EPS = 1e-8\n").encode()
    parent = await tried(rig, ada, "name two constants", source)

    verdicts = [
        await rig.claim(node, change(name, "1e-6"), parent)
        for node, name in ((ada, "ADAM_EPS"), (bob, "NORM_EPS"))
    ]

    assert [type(verdict) for verdict in verdicts] == [Granted, Granted]


async def test_freed_idea_can_be_claimed_in_other_words(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    granted = await rig.claim(ada, Hypothesis(title=SWIGLU))
    assert isinstance(granted, Granted)
    lease = granted.lease
    await rig.one.claiming.release(
        ada, claim_id=lease.claim_id, fencing_token=lease.fencing_token, reason="no time"
    )

    assert isinstance(await rig.claim(bob, Hypothesis(title="SwiGLU MLP")), Granted)


async def test_same_mechanism_on_another_parent_is_asked_about(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    await tried(rig, ada, SWIGLU, built("swiglu"))
    parent, _ = await rig.explore(ada, 1.01, DEPTH="5")

    asked = await rig.claim(bob, Hypothesis(title="SwiGLU MLP"), parent)

    assert isinstance(asked, NeedsDistinction)
    assert not asked.match.same_parent
    assert "on another parent" in asked.question


async def test_queued_mechanism_goes_on(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    await tried(rig, ada, SWIGLU, built("swiglu"))
    await rig.one.ideas.propose(
        ada, hypothesis_id=HypothesisId(new_id()), hypothesis=Hypothesis(title="SwiGLU MLP")
    )
    task = await rig.next(bob)
    assert isinstance(task, QueuedTask)

    verdict = await rig.claim(
        bob, task.hypothesis, claim_id=ClaimId(new_id()), queued_claim_id=task.lease.claim_id
    )

    assert isinstance(verdict, Granted)


async def test_readings_come_back_with_the_code_after_a_restart(rig: Rig, reader) -> None:
    ada, bob = await two_nodes(rig)
    first = await tried(rig, ada, SWIGLU, built("swiglu"))

    later = make_rig(reader, server=rig.server, clock=rig.clock)
    await later.services.start()
    await later.one.follower.read_code()
    await later.connect("bob", bob.node_id)
    asked = await later.claim(later.nodes["bob"], Hypothesis(title="SwiGLU MLP"))
    await later.services.close()

    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == first


@pytest.fixture
async def meant(reader) -> AsyncIterator[Rig]:
    """With a model, for which texts that share words are near."""
    rig = make_rig(reader, embedder=HashingEmbedder())
    await rig.services.start()
    assert rig.services._queue is not None
    await rig.services._queue.loaded()
    await rig.one.context.embeddings.catch_up()
    yield rig
    await rig.services.close()


async def test_with_a_model_what_words_say_still_goes_before_how_they_sound(meant: Rig) -> None:
    ada, bob = await two_nodes(meant)
    near = "use the {} in the whole mlp and in all that follows from now on"
    first = await tried(meant, ada, near.format("squared relu"), built("relu2"))
    await meant.one.context.embeddings.catch_up()

    other = await meant.claim(bob, Hypothesis(title=near.format("leaky relu")))
    same = await meant.claim(bob, Hypothesis(title="ReLU^2 MLP"))

    assert isinstance(other, Granted)
    assert isinstance(same, NeedsDistinction)
    assert same.match.experiment_id == first
    assert isinstance(await meant.begin(bob, Hypothesis(title="LR of 0.05"), edited(LR="0.05")), tuple)


async def test_a_claim_in_words_and_its_code_hold_one_key(rig: Rig) -> None:
    ada, bob = await two_nodes(rig)
    granted = await rig.claim(ada, Hypothesis(title=PARAPHRASES[1]))
    assert isinstance(granted, Granted)

    started = await rig.start(ada, granted.lease, edited(LR="0.05"))
    held = await rig.claim(bob, change("LR", "5e-2"))

    assert isinstance(started, Started)
    assert isinstance(held, Duplicate)
