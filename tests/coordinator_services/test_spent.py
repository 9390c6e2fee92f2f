from __future__ import annotations

from autoresearch.model import Purpose, Usage
from swarm_builders import CLASS, Rig, change, edited, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.sources import hash_of

SPENT = Usage(model="m", calls=3, input_tokens=100, output_tokens=20, cost_usd=0.25, seconds=9.0)


async def test_an_experiment_tells_what_its_agent_spent_also_after_a_restart(
    rig: Rig, reader: CodeReader
) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), source)

    result = rig.result(experiment_id, hash_of(source), score=1.0, seed=started.seed, usage=SPENT)
    await rig.publish(node, result, lease=started.lease)

    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()
    catalogs = (rig.one.context.catalog, again.one.context.catalog)
    told = [
        (catalog.summary(experiment_id).usage, catalog.summary(rig.baseline_id).usage) for catalog in catalogs
    ]
    await again.services.close()
    assert told == [(SPENT, None), (SPENT, None)]


async def test_a_result_that_is_offered_twice_is_paid_for_once(rig: Rig) -> None:
    node = await rig.join("n")
    await rig.open_class(node)
    source = edited(LR="0.05")
    started, experiment_id = await rig.begin(node, change("LR", "0.05"), source)
    result = rig.result(experiment_id, hash_of(source), score=1.0, seed=started.seed, usage=SPENT)

    for _ in range(2):
        await rig.publish(node, result, lease=started.lease)

    assert rig.one.context.catalog.summary(experiment_id).usage == SPENT


async def test_those_who_verify_cannot_add_to_the_bill(rig: Rig) -> None:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    experiment_id, _ = await rig.explore(ada, 0.9, LR="0.05")
    task = await rig.next_pair(bob)

    boast = rig.result(
        task.candidate_id,
        hash_of(edited(LR="0.05")),
        score=0.9,
        seed=task.seed,
        purpose=Purpose.VERIFY_CANDIDATE,
        verification_id=task.verification_id,
        usage=Usage(cost_usd=9_999.0),
    )
    await rig.publish(bob, boast, lease=task.lease)

    assert (task.candidate_id, CLASS) == (experiment_id, rig.nodes["bob"].hardware_class)
    assert rig.one.context.catalog.summary(experiment_id).usage is None
