"""Whole nodes as real processes: what signals do, and what is left when they are gone."""

import json
import signal
import time

import pytest
from node_builders import BASELINE, is_alive, make_challenge
from node_process import NodeProcess


@pytest.fixture
def waiting(tmp_path):
    gate = tmp_path / "gate"
    node = NodeProcess(tmp_path, f"# fake: wait {gate}\n{BASELINE}")
    node.gate = gate
    yield node
    node.kill()


def test_a_node_works_alone_to_its_limit_and_leaves_a_notebook(tmp_path):
    node = NodeProcess(tmp_path, BASELINE, "6")

    assert node.wait() == 0
    status = node.status()
    assert (status["state"], status["is_running"], status["runs_done"] >= 6) == ("stopped", False, True)
    assert status["outbox"]["waiting"] == status["runs_done"]
    (notebook,) = (tmp_path / "state" / "notebooks").iterdir()
    assert len((notebook / "results.tsv").read_text().splitlines()) == status["runs_done"] + 1


def test_one_interrupt_finishes_the_training_publishes_and_leaves(waiting):
    waiting.wait_for_training()

    waiting.process.send_signal(signal.SIGINT)
    waiting.gate.touch()

    assert waiting.wait() == 0
    status = waiting.status()
    assert (status["runs_done"], status["outbox"]["waiting"], status["state"]) == (1, 1, "stopped")


def test_two_interrupts_end_the_training_and_leave_with_130(waiting):
    trainer = waiting.wait_for_training()

    waiting.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 30
    while waiting_state(waiting) != "draining (solo)" and time.monotonic() < deadline:
        time.sleep(0.02)
    waiting.process.send_signal(signal.SIGINT)

    assert waiting.wait() == 130
    assert not is_alive(trainer)
    assert waiting.status()["runs_done"] == 0


def waiting_state(node):
    return json.loads((node.state / "status.json").read_text())["state"]


def test_sigterm_ends_the_training_and_leaves_with_130(waiting):
    trainer = waiting.wait_for_training()

    waiting.process.terminate()

    assert waiting.wait() == 130
    assert not is_alive(trainer)


def test_a_killed_node_leaves_its_place_to_the_next_and_loses_nothing(waiting, tmp_path):
    trainer = waiting.wait_for_training()
    waiting.process.kill()
    waiting.wait()
    deadline = time.monotonic() + 30
    while is_alive(trainer) and time.monotonic() < deadline:
        time.sleep(0.02)
    outlived = is_alive(trainer)

    waiting.gate.touch()
    again = NodeProcess(tmp_path, f"# fake: wait {waiting.gate}\n{BASELINE}", "3")

    assert not outlived
    assert again.wait() == 0
    assert again.status()["outbox"]["waiting"] == 3


@pytest.mark.parametrize("name", ["outbox.sqlite", "solo/{}.sqlite"])
def test_a_damaged_file_of_its_state_is_one_sentence_and_exit_code_1(tmp_path, name):
    damaged = tmp_path / "state" / name.format(make_challenge().challenge_id)
    damaged.parent.mkdir(parents=True)
    damaged.write_text("garbage\n")

    node = NodeProcess(tmp_path)

    assert node.wait() == 1
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last.startswith(f"error: {damaged} is damaged")
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_two_nodes_cannot_share_a_state_dir(waiting, tmp_path):
    waiting.wait_for_training()

    second = NodeProcess(tmp_path, f"# fake: wait {waiting.gate}\n{BASELINE}")

    assert second.wait() == 2
    assert "another node works in" in (tmp_path / "log").read_text()
