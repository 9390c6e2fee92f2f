from __future__ import annotations

import random

from autoresearch.model import ExperimentId, is_time_ordered_id, new_id
from lineage_builders import Lineage

from coordinator.domain.lineage import (
    edits_of,
    id_of_ablation,
    id_of_edits,
    line_of,
    own_edits,
    taken_out_of,
)


def grown() -> Lineage:
    """A line of three edits with a branch beside it."""
    tree = Lineage()
    tree.edit("a", "baseline")
    tree.edit("b", "a")
    tree.edit("c", "b")
    tree.edit("d", "a")
    return tree


def test_a_code_is_made_of_the_edits_on_its_line_oldest_first() -> None:
    tree = grown()

    assert line_of("c", tree.steps) == ("c", "b", "a", "baseline")
    assert edits_of("c", tree.steps) == ("a", "b", "c")
    assert edits_of("baseline", tree.steps) == ()
    assert own_edits("c", tree.steps) == ("c",)


def test_a_merge_adds_nothing_of_its_own() -> None:
    tree = grown()
    tree.merge("m", "c", "d")

    assert edits_of("m", tree.steps) == ("a", "b", "c", "d")
    assert own_edits("m", tree.steps) == ("d",)


def test_a_merged_merge_brings_the_edits_that_were_merged_there_and_not_its_base() -> None:
    tree = grown()
    tree.merge("m", "c", "d")
    tree.edit("e", "baseline")
    tree.merge("n", "e", "m")

    assert edits_of("n", tree.steps) == ("e", "d")


def test_an_ablation_takes_an_edit_out_and_is_one_itself() -> None:
    tree = grown()
    tree.ablate("without-a", "c", "a")
    tree.edit("f", "without-a")

    assert edits_of("f", tree.steps) == ("b", "c", "without-a", "f")
    assert taken_out_of("f", tree.steps) == {"a"}
    assert taken_out_of("c", tree.steps) == frozenset()


def test_what_is_unknown_ends_a_line_and_a_circle_is_no_endless_one() -> None:
    tree = Lineage()
    tree.edit("a", "nobody-knows")
    tree.edit("x", "y")
    tree.edit("y", "x")
    tree.merge("m", "m", "m")

    assert edits_of("a", tree.steps) == ("a",)
    assert set(edits_of("x", tree.steps)) == {"x", "y"}
    assert edits_of("m", tree.steps) == ()


def test_the_id_of_a_set_of_edits_knows_no_order_and_is_a_time_ordered_id() -> None:
    edits = [ExperimentId(new_id()) for _ in range(5)]
    shuffled = random.Random(1).sample(edits, len(edits))

    assert id_of_edits(edits) == id_of_edits(shuffled)
    assert id_of_edits(edits) != id_of_edits(edits[1:])
    assert is_time_ordered_id(id_of_edits(edits))


def test_each_best_and_edit_have_an_ablation_of_their_own() -> None:
    best, other, edit = (ExperimentId(new_id()) for _ in range(3))

    assert id_of_ablation(best, edit) == id_of_ablation(best, edit)
    assert len({id_of_ablation(best, edit), id_of_ablation(other, edit), id_of_ablation(edit, best)}) == 3
    assert id_of_ablation(best, edit) != id_of_edits([best, edit])
