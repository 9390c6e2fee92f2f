"""A coordinator and nodes as processes of this machine, for the quickstart, drills and whole-system tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcReader

DEFAULT_PORT = 50051
START_LIMIT_S = 60.0
LEAVE_LIMIT_S = 90.0
ANSWER_LIMIT_S = 60.0
LOG_LINES = 12
COORDINATOR = "coordinator"


class SwarmFailed(Exception):
    """A process of the swarm did not do what it should; the message has the end of its log."""


@dataclass(slots=True, kw_only=True)
class LocalSwarm:
    """One coordinator and its nodes; state and logs lie in ``root``.

    ``serve_options`` and ``environment`` go to every coordinator and process that it starts.
    """

    root: Path
    address: str = ""
    serve_options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_coordinator(self) -> None:
        """Starts the coordinator on its old address, else on a free one, and waits until it answers."""
        self.address = self.address or f"127.0.0.1:{_free_port()}"
        arguments = ["serve", "--listen", self.address, "--data-dir", str(self.data_dir), *self.serve_options]
        self._launch(COORDINATOR, [program("autoresearch-coordinator"), *arguments])
        deadline = time.monotonic() + START_LIMIT_S
        while not self.is_answering():
            self.check()
            if time.monotonic() > deadline:
                raise SwarmFailed(f"the coordinator does not answer:\n{self.log_tail(COORDINATOR)}")

    @property
    def data_dir(self) -> Path:
        """The coordinator's."""
        return self.root / COORDINATOR

    def node_dir(self, name: str) -> Path:
        """A node's state."""
        return self.root / "nodes" / name

    def is_answering(self) -> bool:
        """True if a coordinator serves at the address."""
        return self._coordinator("status", "--json", "--address", self.address).returncode == 0

    def make_token(self, owner: str) -> Path:
        """A file with an enrolment token of the owner; made once."""
        path = self.root / f"{owner}.token"
        if not path.exists():
            place = ("--address", self.address, "--data-dir", str(self.data_dir))
            made = self._coordinator("token", "create", owner, "--json", *place)
            if made.returncode:
                raise SwarmFailed(f"no token for {owner}: {made.stderr.strip()}")
            draft = path.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(json.loads(made.stdout)["token"])
            draft.replace(path)
        return path

    def start_node(self, name: str, *options: str) -> None:
        """Starts a node of the owner of the same name."""
        place = ("--state-dir", str(self.root / "nodes"), "--token-file", str(self.make_token(name)))
        arguments = ["join", self.address, "--name", name, "--yes", *place, *options]
        self._launch(name, [program("autoresearch-node"), *arguments])

    def check(self) -> None:
        """Raises SwarmFailed if a process has died."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise SwarmFailed(
                    f"{name} stopped with exit code {process.returncode}:\n{self.log_tail(name)}"
                )

    def stop(
        self, *names: str, sig: signal.Signals = signal.SIGINT, patience_s: float = LEAVE_LIMIT_S
    ) -> dict[str, int]:
        """Asks processes to finish and leave; returns exit codes.

        What has not left after ``patience_s`` is asked again, which ends a node's run in hand, and killed
        where that does not help either.
        """
        processes = {name: self.processes.pop(name) for name in names if name in self.processes}
        for limit_s in (patience_s, LEAVE_LIMIT_S):
            staying = [process for process in processes.values() if process.poll() is None]
            for process in staying:
                process.send_signal(sig)
            _wait(staying, limit_s)
        for process in processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return {name: process.returncode for name, process in processes.items()}

    def kill(self, name: str) -> None:
        """Kills a process at once, as a power cut would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def reader(self) -> GrpcReader:
        """Asks the coordinator what anybody may ask."""
        address = parse_address(self.address)
        return GrpcReader(open_channel(address), address.target)

    def log_tail(self, name: str) -> str:
        """The end of a process's log."""
        text = (self.root / f"{name}.log").read_text(errors="replace")
        return "\n".join("    " + line for line in text.splitlines()[-LOG_LINES:])

    def _launch(self, name: str, argv: Sequence[str]) -> None:
        # A session of its own: Ctrl-C reaches us alone, and we end the others in order.
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd=self.root,
                env={**os.environ, **self.environment},
            )

    def _coordinator(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("autoresearch-coordinator"), *arguments],
            capture_output=True,
            check=False,
            text=True,
            timeout=ANSWER_LIMIT_S,
            env={**os.environ, **self.environment},
        )


def _wait(processes: Sequence[subprocess.Popen[bytes]], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, deadline - time.monotonic()))


def program(name: str) -> str:
    """A command of this environment."""
    return str(Path(sys.executable).with_name(name))


def _free_port() -> int:
    """The default port if nobody has it, else any."""
    for port in (DEFAULT_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SwarmFailed("there is no free port on 127.0.0.1")
