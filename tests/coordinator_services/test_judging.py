from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from autoresearch.edits import canonical_changes
from autoresearch.errors import InvalidArgument
from autoresearch.model import (
    ConstantChange,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    Hypothesis,
    Intent,
    OwnerId,
    SourceHash,
)
from swarm_builders import BASELINE, CLASS

from coordinator.dedup.code import CodeReader, SourceText
from coordinator.dedup.index import EditIndex, TriedEdit
from coordinator.dedup.judge import Judge, Question, Ruling
from coordinator.dedup.keys import words_key
from coordinator.dedup.precedents import Belief, Precedent

OTHER_CLASS = HardwareClass("cpu-other/torch-2.13")


def text(name: str, source: str) -> SourceText:
    return SourceText(source_hash=SourceHash(name), text=source)


def tried(number: int, **fields: object) -> TriedEdit:
    return TriedEdit(
        experiment_id=ExperimentId(f"00000000-0000-7000-8000-{number:012}"),
        **({"hardware_class": CLASS, "parent_id": ExperimentId("p"), "title": f"t{number}"} | fields),
    )


def question(parent: str = "p", hardware_class: HardwareClass = CLASS, **words: object) -> Question:
    return Question(
        hardware_class=hardware_class,
        parent_id=ExperimentId(parent),
        hypothesis=Hypothesis(title="x", **words),
    )


def precedent(number: int, owner: str, state: ExperimentState = ExperimentState.COMPLETED) -> Precedent:
    return Precedent(experiment_id=ExperimentId(f"{number}"), owner_id=OwnerId(owner), state=state)


def belief(*, trusted: str = "", voting: str = "abc") -> Belief:
    """Of owner "o"; owners are letters."""
    return Belief(
        is_running=lambda _: False,
        owner_id=OwnerId("o"),
        find=lambda experiment_id: Precedent(
            experiment_id=experiment_id, owner_id=OwnerId("o"), state=ExperimentState.COMPLETED
        ),
        is_trusted=lambda owner_id: owner_id in set(trusted),
        voting={OwnerId(one) for one in voting},
    )


OWN = belief()
"""To which every experiment is the asker's own, and completed."""


@pytest.fixture
async def hasty() -> AsyncIterator[CodeReader]:
    reader = CodeReader(limit_s=1e-6)
    yield reader
    await reader.close()


async def test_code_that_takes_too_long_costs_a_worker_and_is_refused(hasty: CodeReader) -> None:
    slow = "\n".join(f"X{number} = {number}" for number in range(3_000))

    with pytest.raises(InvalidArgument, match="could not be read"):
        await hasty.read(text("a", slow))


async def test_readings_are_remembered_by_hash(reader: CodeReader) -> None:
    one = await reader.read(text("one", BASELINE), text("parent", "LR = 1\n"))
    again = await reader.read(text("one", "nonsense ("), text("parent", ""))

    assert again is one
    assert one.edit is not None


def test_neighbours_are_ranked_by_the_distance_of_shared_knobs_then_by_time() -> None:
    index = EditIndex()
    for number, knobs in enumerate(
        ({"LR": "0.4"}, {"LR": "0.05"}, {"LR": "0.05"}, {"DEPTH": "8"}, {"LR": "0.05", "DEPTH": "8"})
    ):
        index.put(tried(number, knobs=knobs))
    index.put(tried(9, knobs={"LR": "0.05"}, hardware_class=OTHER_CLASS))

    found = index.nearest(CLASS, {"LR": "0.06"}, "", limit=3)

    assert [int(key[-3:]) for key in found] == [2, 1, 4]


def test_without_knobs_neighbours_share_words_of_the_title() -> None:
    index = EditIndex()
    index.put(tried(1, title="warm up the learning rate"))
    index.put(tried(2, title="a deeper model"))

    assert index.nearest(CLASS, {}, "longer WARM learning", limit=5) == (tried(1).experiment_id,)


def test_replacing_an_edit_leaves_nothing_of_the_old_one() -> None:
    index = EditIndex()
    index.put(tried(1, knobs={"LR": "1"}, stated_key="k1"))

    index.put(tried(1, knobs={"DEPTH": "2"}, stated_key="k2", file_signature="fs"))

    assert index.with_knob(CLASS, "LR") == ()
    assert index.same_changes(CLASS, "k1") == ()
    assert len(index.same_changes(CLASS, "k2")) == 1
    assert index.unread() == ()
    assert len(index) == 1


async def test_the_same_edit_on_another_parent_is_asked_about_unless_it_is_deliberate(
    reader: CodeReader,
) -> None:
    index = EditIndex()
    judge = Judge(index)
    reading = await reader.read(text("child", BASELINE.replace("0.04", "0.05")), text("base", BASELINE))
    assert reading.edit is not None
    index.put(tried(1, edit_key=reading.edit.key, file_signature="another file"))

    def ruling(parent: str, **words: object) -> Ruling:
        return judge.judge_code(question(parent, **words), reading, OWN).ruling

    assert ruling("p") is Ruling.DUPLICATE
    assert ruling("q") is Ruling.ASK
    assert ruling("q", intent=Intent.REBASE) is Ruling.NEW
    assert ruling("q", distinction="because") is Ruling.NEW
    assert ruling("p", distinction="because") is Ruling.DUPLICATE


async def test_classes_never_meet_in_the_judge(reader: CodeReader) -> None:
    index = EditIndex()
    judge = Judge(index)
    reading = await reader.read(text("child", BASELINE.replace("0.04", "0.05")), text("base", BASELINE))
    index.put(tried(1, file_signature=reading.file_signature))

    here = judge.judge_code(question(), reading, OWN)
    there = judge.judge_code(question(hardware_class=OTHER_CLASS), reading, OWN)

    assert here.ruling is Ruling.DUPLICATE
    assert there.ruling is Ruling.NEW


def test_what_an_experiment_said_and_did_not_do_blocks_nobody() -> None:
    canonical = canonical_changes((ConstantChange(name="LR", new="0.05"),), BASELINE)
    index = EditIndex()
    index.put(tried(1, stated_key=canonical.key, code_key="other", file_signature="fs"))
    judge = Judge(index)

    assert judge.judge_words(question(), canonical, OWN).ruling is Ruling.ASK


CRASHED, REJECTED = ExperimentState.CRASHED, ExperimentState.REJECTED


@pytest.mark.parametrize(
    ("precedents", "trusted", "settling"),
    [
        ([precedent(1, "a")], "", None),
        ([precedent(1, "a")], "a", "1"),
        ([precedent(1, "a"), precedent(2, "a")], "", None),
        ([precedent(1, "a"), precedent(2, "b")], "", "2"),
        ([precedent(2, "a"), precedent(1, "b")], "", "2"),
        ([precedent(1, "a"), precedent(2, "b")], "a", "1"),
        ([precedent(1, "a"), precedent(2, "z")], "", None),
        ([precedent(1, "a"), precedent(2, "b", CRASHED)], "", None),
        ([precedent(1, "a", REJECTED), precedent(2, "b", CRASHED)], "", "2"),
        ([precedent(1, "a", ExperimentState.REFUTED), precedent(2, "b")], "", "1"),
        ([precedent(1, "z", ExperimentState.CANDIDATE)], "", "1"),
        ([precedent(1, "o"), precedent(2, "a")], "", "1"),
        ([precedent(1, "a", CRASHED)], "a", "1"),
    ],
)
def test_an_edit_is_settled_by_trust_by_two_voting_owners_or_by_its_own_owner(
    precedents: list[Precedent], trusted: str, settling: str | None
) -> None:
    found = belief(trusted=trusted).settling(precedents)

    assert (found.experiment_id if found else None) == settling


def test_keys_cover_their_parent() -> None:
    assert words_key("p", "k") != words_key("q", "k")
    assert len(words_key("p", "k").digest) == 32
