"""Two coordinators over one store."""

from __future__ import annotations

from swarm_builders import Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.claiming import hash_of


async def test_an_earlier_event_of_another_replica_is_not_taken_for_ones_own(
    rig: Rig, reader: CodeReader
) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), source)
    second = make_rig(reader, server=rig.server, clock=rig.clock)
    await second.services.start()
    own = rig.result(experiment_id, hash_of(source), score=1.2, seed=started.seed)
    theirs = rig.result(experiment_id, hash_of(source), score=1.3)

    await rig.publish(node, own, lease=started.lease)
    await second.publish(other, theirs)
    await rig.one.follower.catch_up()
    await second.one.follower.catch_up()

    entries = [one.one.context.catalog.entry(experiment_id) for one in (rig, second)]
    await second.services.close()
    assert entries[0] is not None
    assert entries[1] is not None
    assert entries[0].result_ids == entries[1].result_ids == {own.result_id, theirs.result_id}
    assert entries[0].runs == entries[1].runs
    assert entries[0].state is entries[1].state
