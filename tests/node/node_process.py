"""Whole nodes with the fake trainer, as real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from autoresearch.challenge import write_challenge
from node_builders import BASELINE, MANIFEST, make_challenge
from typer.testing import CliRunner

from node.cli import app
from node.training.relatives import descendants, kill_relatives

INHERITED = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
PATIENCE_S = 120.0
PATIENT = MANIFEST.replace("train_wall_s = 5", "train_wall_s = 600")
"""A training that waits for its test is not taken for one that hangs."""
RUN_NODE = Path(__file__).with_name("run_node.py")


class NodeProcess:
    """A node that trains on whatever the baseline says."""

    manifest = PATIENT

    def __init__(self, folder, baseline=BASELINE, *options, environ=None):
        self.folder = folder
        self.state = folder / "state"
        (folder / "tmp").mkdir(exist_ok=True)
        write_challenge(make_challenge(baseline, self.manifest), folder / "challenge")
        self.log = (folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, str(RUN_NODE), str(self.state), str(folder / "challenge"), *options],
            stdout=self.log,
            stderr=self.log,
            env={**INHERITED, "HOME": str(folder), **(environ or {})},
            start_new_session=True,
        )

    def wait_for_training(self):
        """Returns the pid of the first trainer that began."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            marks = sorted((self.folder / "tmp").glob("began-*"))
            if marks:
                return int(marks[0].name.rpartition("-")[2])
            time.sleep(0.02)
        raise AssertionError(f"no training began: {(self.folder / 'log').read_text()}")

    def wait(self):
        code = self.process.wait(PATIENCE_S)
        self.log.close()
        return code

    def status(self):
        return json.loads(self.command("status", "--json").stdout)

    def command(self, name, *options):
        """One of the owner's commands, over the node's state dir."""
        done = CliRunner().invoke(app, [name, "--state-dir", str(self.state), *options])
        assert done.exit_code == 0, done.output
        return done

    def wait_for_state(self, *wanted):
        """Returns when the status file says one of these."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if json.loads((self.state / "status.json").read_text())["state"] in wanted:
                    return
            except FileNotFoundError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"never {wanted}: {(self.folder / 'log').read_text()}")

    def kill(self):
        """Kills it with all that it started, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)

    def kill_all(self):
        """The same for a node whose workers are in sessions of their own."""
        relatives = descendants(self.process.pid)
        self.kill()
        kill_relatives(relatives)
