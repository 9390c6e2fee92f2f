"""How many hardware classes a node can make the coordinator keep."""

from __future__ import annotations

import pytest
from autoresearch.errors import LimitExceeded
from swarm_builders import CLASS, Rig

from coordinator.services.membership import CLASSES_PER_NODE


async def test_a_class_that_never_ran_is_not_listed(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.connect("n", node.node_id, hardware_class="made-up/torch-2.13")
    node = await rig.connect("n", node.node_id)
    await rig.open_class(node)

    status = await rig.one.leaderboard.get_status()

    assert [one.hardware_class for one in status.classes] == [CLASS]
    assert len(rig.one.context.classes.known()) == 1


async def test_a_node_connects_with_so_many_classes_a_day(rig: Rig) -> None:
    node = await rig.join("n")
    for index in range(CLASSES_PER_NODE - 1):
        await rig.connect("n", node.node_id, hardware_class=f"made-up-{index}/torch-2.13")

    with pytest.raises(LimitExceeded):
        await rig.connect("n", node.node_id, hardware_class="one-more/torch-2.13")

    await rig.connect("n", node.node_id)
    rig.clock.advance(hours=25)
    await rig.connect("n", node.node_id, hardware_class="one-more/torch-2.13")
