from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from autoresearch.edits.merge import PARTS_LIMIT
from autoresearch.model import (
    ExperimentId,
    Hypothesis,
    HypothesisId,
    Idea,
    IdeaKind,
    Level,
    NodeId,
    SourceHash,
)
from class_builders import NOW, candidate, explore, open_class, pair
from lineage_builders import Lineage

from coordinator.domain.class_state import ClassState
from coordinator.domain.combining import (
    ABLATIONS_PER_BEST,
    GAINS_LIMIT,
    WORDS_PATIENCE,
    Tried,
    ablations,
    combinations,
    is_outdated,
    is_quiet,
    told_of_ablation,
    verified_gains,
)

VOTERS = ("ann", "bob")


def ids(*names: str) -> tuple[ExperimentId, ...]:
    return tuple(ExperimentId(name) for name in names)


def nothing_tried(line: Sequence[ExperimentId]) -> Collection[Tried]:
    del line
    return ()


def two_branches() -> Lineage:
    """``x`` and ``y`` were built on ``a``, side by side; ``z`` on ``y``."""
    tree = Lineage()
    for name, parent in (("a", "baseline"), ("x", "a"), ("y", "a"), ("z", "y")):
        tree.edit(name, parent)
    return tree


def confirmed(name: str = "x") -> ClassState:
    state = explore(open_class(), candidate(name, 0.9), VOTERS).state
    for turn in range(8):
        if state.confirmed_id == name:
            return state
        state = pair(state, name, 0.9, 1.0, owner=VOTERS[turn % 2], voters=VOTERS).state
    raise AssertionError(state)


def idea(kind: IdeaKind, *, parents: tuple[str, ...] = (), has_code: bool = True) -> Idea:
    return Idea(
        hypothesis_id=HypothesisId("h"),
        hypothesis=Hypothesis(title="t"),
        node_id=NodeId("challenge"),
        proposed_at=NOW,
        source_hash=SourceHash("sha256:x") if has_code else None,
        parents=ids(*parents),
        kind=kind,
    )


def test_a_gain_of_another_branch_is_combined_by_the_edits_that_the_base_lacks() -> None:
    (made,) = combinations(ids("x")[0], ids("z"), two_branches().steps, nothing_tried)

    assert made.parents == ("x", "y", "z")
    assert made.edits == {"a", "x", "y", "z"}


def test_what_the_base_was_built_on_is_no_other_branch() -> None:
    tree = two_branches()

    assert combinations(ids("z")[0], ids("y", "a", "z", "baseline"), tree.steps, nothing_tried) == ()


def test_gains_that_lack_the_same_edits_make_one_combination() -> None:
    tree = two_branches()
    tree.merge("m", "baseline", "y", "a")

    made = combinations(ids("x")[0], ids("m", "y"), tree.steps, nothing_tried)

    assert [one.material_ids for one in made] == [("y",)]


@pytest.mark.parametrize("merged_onto", ["x", "a"])
def test_what_was_merged_onto_the_base_or_below_it_is_not_tried_again(merged_onto: str) -> None:
    def tried(line: Sequence[ExperimentId]) -> Collection[Tried]:
        assert line == ("x", "a", "baseline")
        return [(ExperimentId(merged_onto), frozenset(ids("y")))]

    tree = two_branches()

    assert combinations(ids("x")[0], ids("y"), tree.steps, tried) == ()
    assert len(combinations(ids("x")[0], ids("z"), tree.steps, tried)) == 1


def test_an_edit_that_was_taken_out_on_the_way_to_the_base_stays_out() -> None:
    tree = two_branches()
    tree.ablate("w", "x", "a")

    made = combinations(ids("w")[0], ids("y"), tree.steps, nothing_tried)

    assert [one.material_ids for one in made] == [("y",)]
    assert combinations(ids("w")[0], ids("a"), tree.steps, nothing_tried) == ()


def test_no_more_edits_are_put_in_than_can_be_told_apart_and_no_more_gains_looked_at() -> None:
    tree = Lineage()
    tree.edit("base", "baseline")
    names = [f"n{index}" for index in range(PARTS_LIMIT + 2)]
    for name, parent in zip(names, ["baseline", *names], strict=False):
        tree.edit(name, parent)
    many = [f"g{index}" for index in range(GAINS_LIMIT + 3)]
    for name in many:
        tree.edit(name, "baseline")

    (deep,) = combinations(ids("base")[0], ids(names[-1]), tree.steps, nothing_tried)
    wide = combinations(ids("base")[0], ids(*many), tree.steps, nothing_tried)

    assert deep.material_ids == tuple(names[:PARTS_LIMIT])
    assert len(wide) == GAINS_LIMIT


def test_each_edit_of_a_best_but_its_own_is_taken_out_the_newest_first() -> None:
    tree = two_branches()

    assert [one.edit_id for one in ablations(ids("z")[0], tree.steps)] == ["y", "a"]
    assert ablations(ids("a")[0], tree.steps) == ()


def test_the_edits_that_were_merged_into_a_best_are_taken_out_too() -> None:
    tree = two_branches()
    tree.merge("m", "x", "y", "z")

    assert [one.edit_id for one in ablations(ids("m")[0], tree.steps)] == ["z", "y", "x", "a"]


def test_dead_weight_is_not_put_in_again() -> None:
    tree = two_branches()
    tree.ablate("w", "z", "a")
    tree.edit("v", "w")

    assert [one.edit_id for one in ablations(ids("v")[0], tree.steps)] == ["z", "y"]


def test_a_long_lineage_is_asked_about_its_newest_edits_only() -> None:
    tree = Lineage()
    parent = "baseline"
    for index in range(30):
        tree.edit(f"e{index}", parent)
        parent = f"e{index}"

    found = [one.edit_id for one in ablations(ids(parent)[0], tree.steps)]

    assert found == [f"e{28 - index}" for index in range(ABLATIONS_PER_BEST)]


def test_a_class_is_quiet_while_its_confirmed_best_is_built_on_and_nothing_waits() -> None:
    state = confirmed()

    assert is_quiet(state)
    assert not is_quiet(open_class())
    assert not is_quiet(explore(state, candidate("new", 0.8), VOTERS).state)
    assert not is_quiet(replace(state, waiting=(candidate("other", 0.89),)))


def test_verified_gains_are_those_that_passed_and_those_that_were_displaced() -> None:
    provisional = explore(open_class(), candidate("p", 0.9)).state

    assert verified_gains(provisional, ids("s")) == ("s",)
    assert verified_gains(confirmed("x"), ids("w", "y")) == ("y", "x", "w")
    assert confirmed("x").standings[ExperimentId("x")].level is Level.CONFIRMED


def test_an_ablation_of_what_is_the_best_no_more_is_outdated() -> None:
    state = confirmed("x")

    assert not is_outdated(idea(IdeaKind.ABLATE, parents=("x",)), state, NOW)
    assert is_outdated(idea(IdeaKind.ABLATE, parents=("before",)), state, NOW)
    assert not is_outdated(idea(IdeaKind.COMBINE, parents=("before", "y")), state, NOW)


def test_words_that_no_agent_takes_up_make_room_and_ideas_of_people_do_not() -> None:
    later = NOW + WORDS_PATIENCE + timedelta(seconds=1)
    state = confirmed("x")

    assert is_outdated(idea(IdeaKind.COMBINE, parents=("x", "y"), has_code=False), state, later)
    assert not is_outdated(idea(IdeaKind.COMBINE, parents=("x", "y"), has_code=False), state, NOW)
    assert not is_outdated(idea(IdeaKind.COMBINE, parents=("x", "y")), state, later)
    assert not is_outdated(idea(IdeaKind.FREE, has_code=False), state, later)


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        (0.01, "gains 0.01 without it: it looks like dead weight"),
        (-0.004, "loses 0.004 without it, within half a spread: it looks like dead weight"),
        (-0.006, "loses 0.006 without it, more than half a spread: it carries weight"),
    ],
)
def test_an_ablation_tells_whether_the_edit_carries_weight(gain: float, told: str) -> None:
    assert told in told_of_ablation(gain, 0.01)
