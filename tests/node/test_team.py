"""Nodes with several workers on a processor, as real processes."""

import json
import os
import signal
import subprocess
import time

import pytest
from node_builders import BASELINE, is_alive
from node_process import PATIENCE_S, PATIENT, NodeProcess

WORKERS = ("cpu-0", "cpu-1")
BOTH = len(WORKERS)
PIECES = 4
"""One more than the baseline needs."""
PROGRAM = "My own way.\n"
pytestmark = pytest.mark.timeout(600)


class Team(NodeProcess):
    """Two workers whose trainings wait for a gate.

    Each trains on the baseline and prepares another run of it, and a killed one leaves both behind until
    their leases end: one run is left for its successor.
    """

    manifest = PATIENT.replace("min_baseline_runs = 3", f"min_baseline_runs = {2 * BOTH + 1}")

    def __init__(self, folder):
        self.gate = folder / "gate"
        super().__init__(folder, f"# fake: wait {self.gate}\n{BASELINE}", "-", str(BOTH))

    def wait_until(self, condition):
        deadline = time.monotonic() + PATIENCE_S
        is_over = False
        while not is_over and time.monotonic() < deadline:
            is_over = self.process.poll() is not None
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError(self.log_text())

    def trainers(self):
        """Those that train now."""
        began = [int(mark.name.rpartition("-")[2]) for mark in (self.folder / "tmp").glob("began-*")]
        return [pid for pid in began if is_alive(pid)]

    def is_training(self):
        return self.states() == BOTH * ["training (solo)"] and len(self.trainers()) == BOTH

    def picture(self, name):
        try:
            return json.loads((self.state / "workers" / name / "status.json").read_text())
        except FileNotFoundError:
            return {"state": "starting", "pid": None}

    def states(self):
        return [self.picture(name)["state"] for name in WORKERS]

    def pid(self, name):
        return self.picture(name)["pid"]

    def restarts(self):
        return {row["worker"]: row["restarts"] for row in self.status()["workers"]}

    def log_text(self):
        return (self.folder / "log").read_text()

    def kill_worker(self, name):
        """Returns when another sits on its seat."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        self.wait_until(lambda: self.pid(name) != pid)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Has the team that the last test left at work, if it did."""
    teams = []
    yield teams
    for team in teams:
        team.kill_all()


@pytest.fixture
def team(house, tmp_path_factory):
    """Both workers train."""
    if not (house and house[-1].is_training()):
        house.append(Team(tmp_path_factory.mktemp("team")))
    team = house[-1]
    team.wait_until(team.is_training)
    yield team
    if not team.is_training():
        team.kill_all()


def test_a_killed_worker_is_started_again_while_the_other_trains_on(team):
    other, before = team.pid("cpu-1"), team.restarts()

    team.kill_worker("cpu-0")
    team.wait_until(team.is_training)

    assert team.pid("cpu-1") == other
    assert team.restarts() == {**before, "cpu-0": before["cpu-0"] + 1}


def test_a_pause_reaches_every_worker_and_those_that_start_later(team):
    said = team.command("pause", "--now").stdout
    team.wait_until(lambda: team.states() == BOTH * ["paused (solo)"])
    team.kill_worker("cpu-1")
    team.wait_until(lambda: team.states() == BOTH * ["paused (solo)"])
    trained = team.trainers()
    shown = team.command("status").stdout
    resumed = team.command("resume").stdout
    team.wait_until(team.is_training)

    assert (said, resumed) == ("pausing at once: the work in hand is given back\n", "taking work again\n")
    assert trained == []
    assert shown.count("paused by its owner") == BOTH


@pytest.mark.parametrize("asked", ["an interrupt", "a command"])
def test_one_interrupt_or_drain_ends_all_workers_after_their_runs_into_one_outbox(team, asked):
    if asked == "a command":
        said = team.command("drain").stdout
        assert said == "leaving after the run in hand\n"
    else:
        team.process.send_signal(signal.SIGINT)
    team.gate.touch()

    assert team.wait() == 0
    status = team.status()
    assert (status["is_running"], status["state"]) == (False, "stopped")
    assert [row["runs_done"] for row in status["workers"]] == [1, 1]
    assert status["outbox"]["waiting"] == 2
    assert len({row["node_id"] for row in status["workers"]}) == 1


@pytest.mark.parametrize("asked", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM]])
def test_two_interrupts_or_a_sigterm_end_all_trainings_with_130(team, asked):
    trainers = team.trainers()

    for number in asked:
        team.process.send_signal(number)
        team.wait_until(lambda: "asked" in team.log_text() or "terminated" in team.log_text())

    assert team.wait() == 130
    assert [pid for pid in trainers if is_alive(pid)] == []
    assert team.status()["runs_done"] == 0


def test_a_killed_supervisor_leaves_no_worker_behind(team):
    left = [*team.trainers(), *map(team.pid, WORKERS)]

    team.process.kill()
    team.process.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while any(map(is_alive, left)) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert [pid for pid in left if is_alive(pid)] == []


def test_the_workers_count_their_pieces_together_and_go_by_one_program(tmp_path):
    own = tmp_path / "own.md"
    own.write_text(PROGRAM)
    node = NodeProcess(tmp_path, BASELINE, str(PIECES), str(BOTH), environ={"AUTORESEARCH_PROGRAM": str(own)})
    try:
        assert node.wait() == 0
        status = node.status()
        assert (status["runs_done"], status["outbox"]["waiting"]) == (PIECES, PIECES)
        assert PROGRAM in programs(node)
    finally:
        node.kill_all()


def programs(node):
    """The program.md of every commit in the workers' notebooks."""
    found = []
    for notebook in node.state.glob("workers/*/notebooks/*"):
        git = ["git", "-C", str(notebook)]
        commits = subprocess.check_output([*git, "log", "--all", "--format=%H"], text=True).split()
        found += [
            subprocess.check_output([*git, "show", f"{commit}:program.md"], text=True) for commit in commits
        ]
    return found
