import asyncio
from datetime import date, datetime

import pytest
from structlog.testing import capture_logs

from node.gpu_hours import GpuHours
from node.machine import StillMachine
from node.manners import Manners, QuietHours, Vitals
from node.pausing import Cause, Pauses
from node.steward import MeteredTrainer, Steward
from node.training.runner import TrainingJob

JOB = TrainingJob(source=b"", seed=1, val_seed=2)


class House:
    """A steward whose clock and machine a test sets."""

    def __init__(self, folder, **wishes):
        self.at = datetime(2026, 1, 2, 12, 0)  # noqa: DTZ001 - local time, as on the wall
        self.machine, self.pauses = StillMachine(), Pauses()
        self.hours = GpuHours(folder / "hours.json", today=lambda: self.at.date())  # noqa: PLW0108 - it moves on
        self.steward = Steward(
            manners=Manners(**wishes),
            machine=self.machine,
            hours=self.hours,
            pauses=self.pauses,
            local_now=lambda: self.at,
        )


async def test_work_goes_on_when_the_reason_is_gone(tmp_path):
    house = House(tmp_path, quiet=QuietHours.parse("22:00-07:00"))
    await house.steward.look()
    by_day = house.pauses.reasons

    house.at = house.at.replace(hour=23)
    await house.steward.look()
    by_night = house.pauses.reasons
    house.at = house.at.replace(day=3, hour=7)
    await house.steward.look()

    assert (by_day, by_night) == ((), ("quiet hours until 07:00",))
    assert not house.pauses.is_paused


async def test_the_owners_own_pause_is_not_the_stewards_to_lift(tmp_path):
    house = House(tmp_path)
    house.pauses.hold(Cause.OWNER, "paused by its owner")

    await house.steward.look()

    assert house.pauses.reasons == ("paused by its owner",)


async def test_heat_that_changes_is_one_pause(tmp_path):
    house = House(tmp_path, temperature_max_c=80.0)
    with capture_logs() as logs:
        for heat in (85.0, 90.0, 78.0, 74.0):
            house.machine.vitals = Vitals(temperature_c=heat)
            await house.steward.look()

    assert [line["event"] for line in logs] == ["pausing", "no reason to pause any more"]


async def test_hours_come_back_at_midnight_whoever_used_them(tmp_path):
    house = House(tmp_path, gpu_hours_day=1.0)
    GpuHours(tmp_path / "hours.json", today=lambda: date(2026, 1, 2)).add(3_600.0)
    await house.steward.look()
    before = house.pauses.reasons

    house.at = house.at.replace(day=3)
    await house.steward.look()

    assert before == ("1.0 of 1 GPU hours are used; on at midnight",)
    assert not house.pauses.is_paused


async def test_a_machine_that_cannot_be_looked_at_is_told_once_and_stops_nothing(tmp_path):
    house = House(tmp_path)

    def fail():
        raise RuntimeError("the driver is gone")

    house.steward._machine.look = fail
    with capture_logs() as logs:
        await house.steward.look()
        await house.steward.look()

    assert [line["reason"] for line in logs] == ["the driver is gone"]
    assert not house.pauses.is_paused


class SlowTrainer:
    def __init__(self, clock):
        self.clock = clock

    async def run(self, job):
        self.clock[0] += 100.0
        if job.seed == 2:
            raise asyncio.CancelledError
        return "a report"


async def test_a_training_counts_however_it_ends(tmp_path):
    clock = [0.0]
    hours = GpuHours(tmp_path / "hours.json", today=lambda: date(2026, 1, 2))
    trainer = MeteredTrainer(SlowTrainer(clock), hours, monotonic=lambda: clock[0])

    report = await trainer.run(JOB)
    with pytest.raises(asyncio.CancelledError):
        await trainer.run(TrainingJob(source=b"", seed=2, val_seed=2))

    assert report == "a report"
    assert hours.spent_s() == 200.0


@pytest.mark.parametrize("text", ["", "garbage", '{"day": "2026-01-01", "seconds": 9}', "[]"])
def test_a_count_that_cannot_be_read_or_is_of_another_day_begins_at_nothing(tmp_path, text):
    (tmp_path / "hours.json").write_text(text)
    hours = GpuHours(tmp_path / "hours.json", today=lambda: date(2026, 1, 2))

    before = hours.spent_s()
    hours.add(5.0)

    assert (before, hours.spent_s()) == (0.0, 5.0)
