"""The coordinator's command as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("autoresearch-coordinator"))
LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Serving:
    """A coordinator process that listens."""

    process: subprocess.Popen[str]
    address: str
    data_dir: Path

    @property
    def store_pid(self) -> int:
        return int(json.loads((self.data_dir / "store" / "server.json").read_text())["pid"])

    async def signalled(self, number: int) -> int:
        """Sends a signal and waits for the end; the exit code."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, LIMIT_S)


async def run(*arguments: str) -> Ended:
    """The command to its end."""
    return await _run([PROGRAM, *arguments])


async def run_python(*arguments: str) -> Ended:
    """The interpreter to its end."""
    return await _run([sys.executable, *arguments])


async def _run(argv: list[str]) -> Ended:
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def serve_arguments(data_dir: Path, challenge: Path, *, listen: str = "127.0.0.1:0") -> tuple[str, ...]:
    return ("serve", "--listen", listen, "--data-dir", str(data_dir), "--challenge", str(challenge))


@contextlib.asynccontextmanager
async def serving(data_dir: Path, challenge: Path) -> AsyncIterator[Serving]:
    """``serve`` for the length of the block; ended by SIGTERM if the block did not end it."""
    errors = data_dir.parent / "serve.log"
    argv = [PROGRAM, *serve_arguments(data_dir, challenge)]
    process = await asyncio.to_thread(_start, argv, errors)
    with process:
        try:
            address = await asyncio.to_thread(_address, process)
            assert address, errors.read_text()
            yield Serving(process, address, data_dir)
        finally:
            if process.poll() is None:
                process.terminate()
                await asyncio.to_thread(process.wait, LIMIT_S)


def _start(argv: list[str], errors: Path) -> subprocess.Popen[str]:
    with errors.open("a") as log:
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("listening"):
            return line.split()[1]
    return ""
