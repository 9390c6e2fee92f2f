"""What the kernel's files tell of a machine; the files are a test's, their form is the kernel's."""

import os

import pytest

from node.machine import HostMachine, is_on_battery
from node.manners import Vitals

TICK = os.sysconf("SC_CLK_TCK")


class Machine:
    """A /proc and a /sys in a folder."""

    def __init__(self, root):
        self.root = root
        self.now = 100.0

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{text}\n")

    def busy(self, *, machine_s, own_s):
        self.write("proc/stat", f"cpu  {int(machine_s * TICK)} 0 0 900 0 0 0 0 0 0\ncpu0 1 2 3")
        counts = f"{int(own_s * TICK)} 0 0 0"
        self.write(f"proc/{os.getpid()}/stat", f"1 (a (strange) name) S 1 1 1 0 -1 0 0 0 0 0 {counts} 20 0")

    def supply(self, name, **fields):
        for field, text in fields.items():
            self.write(f"sys/class/power_supply/{name}/{field}", text)

    def host(self):
        return HostMachine(root_pid=os.getpid(), root=self.root, cores=4, monotonic=lambda: self.now)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_machine_that_tells_nothing_pauses_nothing(machine):
    assert machine.host().look() == Vitals()


def test_the_hottest_of_the_processors_sensors_counts(machine):
    machine.write("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp")
    machine.write("sys/class/thermal/thermal_zone0/temp", "71000")
    machine.write("sys/class/thermal/thermal_zone1/type", "cpu-thermal")
    machine.write("sys/class/thermal/thermal_zone1/temp", "74500")
    machine.write("sys/class/thermal/thermal_zone2/type", "iwlwifi_1")
    machine.write("sys/class/thermal/thermal_zone2/temp", "99000")
    machine.write("sys/class/thermal/thermal_zone3/type", "cpu-broken")
    machine.write("sys/class/thermal/thermal_zone3/temp", "")

    assert machine.host().look().temperature_c == 74.5


@pytest.mark.parametrize(
    ("machine_s", "own_s", "others"),
    [(30.0, 0.0, "3.0 of 4 cores"), (30.0, 25.0, ""), (10.0, 0.0, ""), (30.0, 40.0, "")],
)
def test_others_count_where_they_keep_half_of_the_cores_busy(machine, machine_s, own_s, others):
    host = machine.host()
    machine.busy(machine_s=1_000, own_s=50)
    first = host.look()
    machine.now += 10.0
    machine.busy(machine_s=1_000 + machine_s, own_s=50 + own_s)

    assert first.others == ""
    assert host.look().others.startswith(others)
    assert bool(host.look().others) is False


def test_a_laptop_that_is_not_plugged_in_is_on_battery(machine):
    machine.supply("BAT0", type="Battery", status="Discharging", scope="System")
    machine.supply("AC", type="Mains", online="0")

    assert is_on_battery(machine.root)


@pytest.mark.parametrize(
    "supplies",
    [
        {"BAT0": {"type": "Battery", "status": "Discharging"}, "AC": {"type": "Mains", "online": "1"}},
        {"BAT0": {"type": "Battery", "status": "Charging"}, "AC": {"type": "Mains", "online": "0"}},
        {"mouse": {"type": "Battery", "status": "Discharging", "scope": "Device"}},
        {"AC": {"type": "Mains", "online": "0"}},
        {"UPS": {"type": "UPS", "status": "Discharging"}},
        {},
    ],
)
def test_whatever_else_hangs_at_the_mains_is_not(machine, supplies):
    for name, fields in supplies.items():
        machine.supply(name, **fields)

    assert not is_on_battery(machine.root)


def test_the_real_machine_can_be_looked_at():
    host = HostMachine(root_pid=os.getpid())

    host.look()

    assert isinstance(host.look(), Vitals)
