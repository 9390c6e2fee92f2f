"""What the swarm's agents are told, and what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from autoresearch.errors import InvalidArgument
from autoresearch.model import ExperimentId, Hypothesis, ProgramRow, Usage
from autoresearch.program import program_hash
from swarm_builders import Rig, change, edited, make_hardware, make_rig

from coordinator.services.programs import Programs
from coordinator.services.sources import hash_of

OTHER_CLASS = "cpu-other/torch-2.13"


def went_by(text: str, hypothesis: Hypothesis) -> Hypothesis:
    return replace(hypothesis, program_hash=program_hash(text))


async def explore(
    rig: Rig, node, text: str, *, score: float | None, value: str, cost_usd: float = 0.0
) -> ExperimentId:
    source = edited(LR=value)
    started, experiment_id = await rig.begin(node, went_by(text, change("LR", value)), source)
    result = rig.result(
        experiment_id,
        hash_of(source),
        score=score,
        seed=started.seed,
        usage=Usage(model="m", calls=1, cost_usd=cost_usd),
        crash_kind="exception" if score is None else "",
    )
    await rig.publish(node, result, lease=started.lease)
    return experiment_id


async def rows(rig: Rig, hardware_class=None) -> dict[str, ProgramRow]:
    rig.one.programs._rows.clear()
    return {row.program.program_hash: row for row in await rig.one.programs.rows(hardware_class)}


async def test_challenges_own_program_is_in_force_until_an_operator_sets_another(rig: Rig) -> None:
    own = await rig.one.programs.current()
    made, is_repeat = await rig.one.programs.put("Be bold.", "for a change")
    again = await rig.one.programs.put("Be bold.\n", "once more")

    assert (own.version, own.text) == (0, rig.challenge.program_md)
    assert (made.version, made.note, is_repeat) == (1, "for a change", False)
    assert again == (made, True)
    assert await rig.one.programs.current() == made


async def test_program_over_its_limit_or_empty_is_refused(rig: Rig) -> None:
    for text in ("", "x" * (32 * 1024 + 1), "\x1b[2J"):
        with pytest.raises(InvalidArgument):
            await rig.one.programs.put(text)
    with pytest.raises(InvalidArgument):
        await rig.one.programs.put("fine", "two\nlines")

    assert (await rig.one.programs.current()).version == 0


async def test_nodes_hear_of_it_as_they_connect_and_with_each_heartbeat(rig: Rig) -> None:
    node = await rig.join("n")
    made, _ = await rig.one.programs.put("Be bold.")

    session = await rig.services.membership.connect(
        node,
        protocol_min=1,
        protocol_max=1,
        challenge="",
        hardware=make_hardware(),
        node_version="0",
    )
    beat = await rig.services.membership.heartbeat(
        node, challenge_id=rig.challenge.challenge_id, claim_ids=(), activity=""
    )

    assert session.program == made
    assert beat.program_hash == made.program_hash


async def test_another_coordinator_on_the_store_has_the_same_in_force(rig: Rig, reader) -> None:
    other = make_rig(reader, server=rig.server, clock=rig.clock)
    await other.services.start()
    before = await other.one.programs.current()

    made, _ = await rig.one.programs.put("Be bold.")

    assert before.version == 0
    assert await other.one.programs.current() == made
    await other.services.close()


async def test_rows_tell_what_came_of_each_program(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await rig.one.programs.put("Be bold.")
    best = await explore(rig, ada, "Be bold.", score=0.9, value="0.05", cost_usd=0.5)
    await explore(rig, ada, "Be bold.", score=None, value="0.06", cost_usd=0.25)
    await explore(rig, ada, "My own way.", score=1.5, value="0.07")
    await explore(rig, ada, rig.challenge.program_md, score=1.2, value="0.08")

    found = await rows(rig)

    bold, own = found[program_hash("Be bold.")], found[program_hash("My own way.")]
    summary, _ = await rig.one.leaderboard.get_experiment(best)
    assert (bold.experiments, bold.completed, bold.bests) == (2, 1, 1)
    assert bold.best_delta == summary.delta
    assert bold.cost_usd == pytest.approx(0.75)
    assert summary.usage is not None
    assert summary.usage.cost_usd == 0.5
    assert bold.is_current
    assert (own.program.text, own.program.version, own.experiments, own.bests) == ("", 0, 1, 0)
    versions = [(row.program.version, bool(row.program.text)) for row in found.values()]
    assert versions == [(1, True), (0, True), (0, False)]


async def test_rows_of_a_class_count_that_class_alone(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await explore(rig, ada, "Be bold.", score=0.9, value="0.05")

    found = await rows(rig, OTHER_CLASS)

    assert [row.experiments for row in found.values()] == [0]
    assert next(iter(found.values())).is_current


async def test_counts_survive_a_restart(rig: Rig, reader) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await explore(rig, ada, "Be bold.", score=0.9, value="0.05", cost_usd=0.5)

    later = make_rig(reader, server=rig.server, clock=rig.clock)
    await later.services.start()
    found = await rows(later)
    await later.services.close()

    assert found[program_hash("Be bold.")] == (await rows(rig))[program_hash("Be bold.")]
    assert found[program_hash("Be bold.")].cost_usd == 0.5


async def test_experiments_without_a_program_are_in_no_row(rig: Rig) -> None:
    ada = await rig.join("ada", owner="ada")
    await rig.open_class(ada)
    await rig.explore(ada, 0.9, LR="0.05")

    assert [row.experiments for row in (await rows(rig)).values()] == [0]


async def test_challenges_own_program_is_listed_as_in_force_though_it_is_empty(rig: Rig) -> None:
    context = rig.one.context
    without = replace(rig.challenge, program_md="")
    programs = Programs(context.store, lambda: context.catalog, without, context.rules, refresh_s=0.0)

    (row,) = await programs.rows()

    assert (row.is_current, row.program) == (True, await programs.current())
