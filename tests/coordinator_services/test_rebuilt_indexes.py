"""Indexes that take the place of others: the garbage collector sees neither, and the old ones are gone."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from autoresearch.model import ExperimentState
from swarm_builders import Rig, edited

from coordinator.services.following import FROZEN_MIN
from coordinator.storage.memory.tables import ExperimentEntry

OLDEST = 2
"""The generation that a whole collection is of."""


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()


def fill(rig: Rig, count: int) -> None:
    """So many experiments whose code has no reading that could be taken over."""
    tables = rig.one.store._t
    for number in range(count):
        experiment, _ = rig.solo(edited(LR="0.05"), 1.0, title=f"gadget number {number}")
        tables.experiments[experiment.experiment_id] = ExperimentEntry(
            experiment=experiment, state=ExperimentState.LOST
        )


async def test_large_indexes_are_kept_from_the_collector_and_those_before_are_collected(rig: Rig) -> None:
    fill(rig, FROZEN_MIN)
    ring: dict[str, object] = {}
    await rig.one.follower.rebuild()
    context = rig.one.context
    before = [weakref.ref(one) for one in (context.catalog, context.index, context.judge)]
    # Garbage that only the collector finds, and may not look at any more.
    ring |= {"ring": ring, "catalog": context.catalog, "index": context.index, "judge": context.judge}
    gc.freeze()
    frozen = gc.get_freeze_count()
    del ring

    for _ in range(2):
        await rig.one.follower.rebuild()
    rig.one.follower.collect_replaced()

    assert [one() for one in before] == [None, None, None]
    assert len(context.index) > FROZEN_MIN
    assert 0 < gc.get_freeze_count() < 1.2 * frozen
    assert gc.isenabled()


async def test_the_whole_heap_is_looked_through_once_for_indexes_that_were_replaced(rig: Rig) -> None:
    whole: list[str] = []

    def note(phase: str, about: dict[str, int]) -> None:
        whole.extend([phase] * (phase == "start" and about["generation"] == OLDEST))

    fill(rig, FROZEN_MIN)
    counts = []
    gc.callbacks.append(note)
    try:
        for _ in range(2):
            await rig.one.follower.rebuild()
            for _ in range(2):
                before = len(whole)
                rig.one.follower.collect_replaced()
                counts.append(len(whole) - before)
    finally:
        gc.callbacks.remove(note)

    assert counts == [0, 0, 1, 0]


async def test_small_indexes_are_left_to_the_collector(rig: Rig) -> None:
    fill(rig, 10)
    frozen = gc.get_freeze_count()

    await rig.one.follower.rebuild()

    assert gc.get_freeze_count() == frozen


async def test_indexes_that_were_replaced_are_held_by_nobody(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await rig.explore(ada, 0.9, LR="0.05")
    await rig.one.caretaker.combining.look()
    context = rig.one.context
    before = [weakref.ref(one) for one in (context.catalog, context.index, context.judge)]

    await rig.one.follower.rebuild()
    gc.collect()

    assert [one() for one in before] == [None, None, None]
