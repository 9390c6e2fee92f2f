from datetime import datetime, time

import pytest

from node.manners import COOLER_BY_C, Manners, QuietHours, Vitals, causes
from node.pausing import Cause

NOON = datetime(2026, 1, 2, 12, 0)  # noqa: DTZ001 - local time, as on the wall


def found(manners, *, at=NOON, spent_s=0.0, vitals=None, held=()):
    return causes(manners, at=at, spent_s=spent_s, vitals=vitals or Vitals(), held=held)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("22:00-07:00", ["22:00", "23:59", "00:00", "06:59"], ["07:00", "12:00", "21:59"]),
        ("09:00-17:30", ["09:00", "17:29"], ["08:59", "17:30", "00:00"]),
        ("00:00-23:59", ["00:00", "23:58"], ["23:59"]),
    ],
)
def test_quiet_hours_cover_from_their_first_minute_to_before_their_last(text, inside, outside):
    hours = QuietHours.parse(text)

    assert all(hours.covers(time.fromisoformat(at)) for at in inside)
    assert not any(hours.covers(time.fromisoformat(at)) for at in outside)


@pytest.mark.parametrize("text", ["22-7", "22:00", "24:00-07:00", "22:60-07:00", "08:00-08:00", "x" * 100])
def test_what_are_no_hours_is_said(text):
    with pytest.raises(ValueError, match=r"no time of day|begins where it ends"):
        QuietHours.parse(text)


def test_an_owner_without_wishes_is_never_in_the_way():
    hot = Vitals(temperature_c=120.0, others="a game")

    assert found(Manners(), spent_s=1e6, vitals=hot) == {}


def test_quiet_hours_say_when_they_end():
    manners = Manners(quiet=QuietHours.parse("11:00-13:30"))

    assert found(manners) == {Cause.QUIET_HOURS: "quiet hours until 13:30"}
    assert found(manners, at=NOON.replace(hour=14)) == {}


def test_hours_of_the_day_are_used_up_to_the_second():
    manners = Manners(gpu_hours_day=2.0)

    assert found(manners, spent_s=7_199.0) == {}
    assert found(manners, spent_s=7_200.0) == {Cause.GPU_HOURS: "2.0 of 2 GPU hours are used; on at midnight"}


def test_heat_pauses_over_the_limit_and_goes_on_well_below_it():
    manners, limit = Manners(temperature_max_c=80.0), 80.0

    def at(heat, held=()):
        return Cause.HEAT in found(manners, vitals=Vitals(temperature_c=heat), held=held)

    assert not at(limit)
    assert at(limit + 1)
    assert at(limit - COOLER_BY_C + 1, held={Cause.HEAT})
    assert not at(limit - COOLER_BY_C, held={Cause.HEAT})


def test_a_machine_that_tells_no_temperature_is_not_too_hot():
    assert found(Manners(temperature_max_c=10.0), vitals=Vitals(temperature_c=None)) == {}


def test_others_and_the_battery_count_where_the_owner_wishes():
    vitals = Vitals(others="a game", is_on_battery=True)

    assert found(Manners(yields_to_others=True), vitals=vitals) == {
        Cause.OTHERS: "others use the machine: a game",
        Cause.BATTERY: "on battery",
    }
    assert found(Manners(rests_on_battery=False), vitals=vitals) == {}
