import asyncio
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from node.pausing import Cause, Paused, Pauses, forget_pause, is_noted, note_pause


async def test_a_pause_lasts_until_its_last_cause_is_gone():
    told = []
    pauses = Pauses(on_change=told.append)

    pauses.hold(Cause.OWNER, "paused by its owner")
    pauses.hold(Cause.HEAT, "the GPU is at 91 C")
    pauses.lift(Cause.OWNER)
    still = pauses.is_paused
    pauses.lift(Cause.HEAT)

    await asyncio.wait_for(pauses.wait_over(), 5)
    assert still
    assert not pauses.is_paused
    assert told == [
        ("paused by its owner",),
        ("paused by its owner", "the GPU is at 91 C"),
        ("the GPU is at 91 C",),
        (),
    ]


async def test_each_cause_is_logged_as_it_comes_and_as_it_goes_and_not_in_between():
    with capture_logs() as logs:
        pauses = Pauses()
        pauses.hold(Cause.HEAT, "91 C")
        pauses.hold(Cause.HEAT, "92 C")
        pauses.lift(Cause.HEAT)
        pauses.lift(Cause.HEAT)

    assert [(line["event"], line["cause"]) for line in logs] == [
        ("pausing", "heat"),
        ("no reason to pause any more", "heat"),
    ]


async def test_work_in_hand_outlives_a_pause_but_not_one_that_wants_the_machine_at_once():
    pauses = Pauses()
    training = asyncio.create_task(pauses.or_wanted(asyncio.Event().wait()))
    searching = asyncio.create_task(pauses.or_paused(asyncio.Event().wait()))

    pauses.hold(Cause.OWNER, "paused")
    with pytest.raises(Paused):
        await searching
    is_training = not training.done()
    pauses.hold(Cause.OWNER, "paused", now=True)

    with pytest.raises(Paused):
        await training
    assert is_training


async def test_what_was_wanted_at_once_is_wanted_no_more_after_the_pause():
    pauses = Pauses()
    pauses.hold(Cause.OWNER, "paused", now=True)
    pauses.lift(Cause.OWNER)

    pauses.before_more_work()

    assert await pauses.or_wanted(asyncio.sleep(0, "done")) == "done"


def test_an_owners_pause_is_remembered_until_it_is_taken_back(tmp_path):
    before = is_noted(tmp_path)
    note_pause(tmp_path, datetime(2026, 1, 2, tzinfo=UTC))

    assert not before
    assert is_noted(tmp_path)
    assert forget_pause(tmp_path)
    assert not forget_pause(tmp_path)
    assert not is_noted(tmp_path)
