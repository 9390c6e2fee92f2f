"""NVIDIA's cards as the driver's library tells of them; the library is a stand-in with the same calls."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from node.hardware import first_visible
from node.machine import NvidiaMachine
from node.manners import Vitals


class DriverError(Exception):
    pass


@dataclass
class Sample:
    pid: int
    smUtil: int  # noqa: N815 - the driver's name
    timeStamp: int = 7  # noqa: N815


@dataclass
class Holder:
    pid: int
    usedGpuMemory: int | None  # noqa: N815


@dataclass
class Driver:
    """Cards by UUID, each with its MIG partitions."""

    cards: dict[str, list[str]]
    heat: int = 40
    samples: list[Sample] | None = field(default_factory=list)
    holders: list[Holder] = field(default_factory=list)
    asked_since: list[int] = field(default_factory=list)

    NVMLError = DriverError
    NVML_TEMPERATURE_GPU = 0

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return list(self.cards)[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return uuid

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, part):  # noqa: N802
        return next(card for card, parts in self.cards.items() if part in parts)

    def nvmlDeviceGetMigMode(self, card):  # noqa: N802
        return bool(self.cards[card]), 0

    def nvmlDeviceGetMaxMigDeviceCount(self, card):  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card, index):  # noqa: N802
        try:
            return self.cards[card][index]
        except IndexError as error:
            raise DriverError from error

    def nvmlDeviceGetTemperature(self, card, sensor):  # noqa: N802
        return self.heat

    def nvmlDeviceGetProcessUtilization(self, card, since):  # noqa: N802
        self.asked_since.append(since)
        if self.samples is None:
            raise DriverError
        return self.samples

    def nvmlDeviceGetComputeRunningProcesses(self, device):  # noqa: N802
        return self.holders


@pytest.fixture
def driver():
    return Driver({"GPU-aa": [], "GPU-bb": ["MIG-1", "MIG-2"]})


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ("GPU-aa", None)),
        ("1", ("GPU-bb", "MIG-1")),
        ("GPU-aa", ("GPU-aa", None)),
        ("MIG-2,GPU-aa", ("GPU-bb", "MIG-2")),
    ],
)
def test_the_first_visible_card_is_found_by_number_and_by_name(driver, visible, found):
    assert first_visible(driver, visible) == found


class Desk:
    """A machine with one card, and a /proc that names its processes."""

    def __init__(self, folder, driver, names):
        for pid, name in names.items():
            (folder / f"proc/{pid}").mkdir(parents=True)
            (folder / f"proc/{pid}/comm").write_text(f"{name}\n")
        self.machine = NvidiaMachine(visible=None, root=folder, driver=lambda: self.opened(driver))

    @contextmanager
    def opened(self, driver):
        yield driver

    def look(self):
        return self.machine.look()


def test_a_game_counts_and_a_desktop_that_hardly_works_does_not(tmp_path, driver):
    desk = Desk(tmp_path, driver, {10: "Xorg", 11: "a-game"})
    driver.samples = [Sample(10, 3), Sample(11, 80)]

    first = desk.look()
    desk.look()

    assert first == Vitals(temperature_c=40.0, others="a-game")
    assert driver.asked_since == [0, 7]


def test_where_the_driver_tells_no_use_those_who_hold_much_memory_count(tmp_path, driver):
    desk = Desk(tmp_path, driver, {10: "small", 11: "train.py"})
    driver.samples = None
    driver.holders = [Holder(10, 50 << 20), Holder(11, 4 << 30), Holder(12, None)]

    assert desk.look().others == "train.py"


def test_a_process_that_is_not_here_is_nobody(tmp_path, driver):
    desk = Desk(tmp_path, driver, {})
    driver.samples = [Sample(4711, 99)]

    assert desk.look().others == ""


def test_without_a_driver_nothing_is_told(tmp_path):
    assert Desk(tmp_path, None, {}).look() == Vitals()
