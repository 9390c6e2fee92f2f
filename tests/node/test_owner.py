"""What an owner says to a node that runs, over its socket, and to one that does not."""

import os
import signal

import pytest
from node_builders import BASELINE, is_alive
from node_process import NodeProcess
from typer.testing import CliRunner

from node.cli import app
from node.exit_codes import ExitCode

runner = CliRunner()


@pytest.fixture
def waiting(tmp_path):
    """A node whose every training waits for a gate."""
    gate = tmp_path / "gate"
    node = NodeProcess(tmp_path, f"# fake: wait {gate}\n{BASELINE}", "2")
    node.gate = gate
    yield node
    node.kill()


def test_a_paused_node_finishes_its_run_waits_tells_why_and_goes_on(waiting):
    waiting.wait_for_training()

    said = waiting.command("pause").stdout
    waiting.gate.touch()
    waiting.wait_for_state("paused (solo)")
    status = waiting.status()
    shown = waiting.command("status").stdout
    resumed = waiting.command("resume").stdout

    assert said == "pausing after the run in hand\n"
    assert (status["is_running"], status["runs_done"], status["current"]) == (True, 1, None)
    assert status["pauses"] == ["paused by its owner"]
    assert "paused       paused by its owner" in shown
    assert resumed == "taking work again\n"
    assert waiting.wait() == 0
    assert waiting.status()["runs_done"] == 2


def test_a_pause_at_once_ends_the_training_and_outlives_a_killed_node(waiting, tmp_path):
    trainer = waiting.wait_for_training()

    waiting.command("pause", "--now")
    waiting.wait_for_state("paused (solo)")
    was_alive = is_alive(trainer)
    os.killpg(waiting.process.pid, signal.SIGKILL)
    waiting.wait()
    left = waiting.status()
    again = NodeProcess(tmp_path, BASELINE, "2")
    try:
        again.wait_for_state("paused (solo)")
        again.command("resume")

        assert again.wait() == 0
    finally:
        again.kill()
    assert not was_alive
    assert (left["is_running"], left["state"]) == (False, "gone")
    assert again.status()["runs_done"] == 2


def test_a_node_tells_how_long_it_has_trained_and_leaves_after_its_run_when_drained(waiting):
    waiting.wait_for_training()

    shown = waiting.command("status").stdout
    said = waiting.command("drain").stdout
    waiting.gate.touch()

    assert "training     baseline (baseline), for " in shown
    assert said == "leaving after the run in hand\n"
    assert waiting.wait() == 0
    assert waiting.status()["runs_done"] == 1


def test_a_pause_of_a_node_that_does_not_run_is_for_the_next_one(tmp_path):
    paused = runner.invoke(app, ["pause", "--state-dir", str(tmp_path)])
    resumed = runner.invoke(app, ["resume", "--state-dir", str(tmp_path)])
    again = runner.invoke(app, ["resume", "--state-dir", str(tmp_path)])

    assert (paused.exit_code, resumed.exit_code) == (ExitCode.OK, ExitCode.OK)
    assert "the next one will start paused" in paused.output
    assert "not start paused any more" in resumed.output
    assert "it was not paused" in again.output


@pytest.mark.parametrize("command", ["pause", "drain"])
def test_without_a_node_there_is_nothing_to_tell(tmp_path, command):
    result = runner.invoke(app, [command, "--state-dir", str(tmp_path / "none")])

    assert result.exit_code == ExitCode.FAILURE
    assert "no node" in result.output
    assert not (tmp_path / "none").exists()
