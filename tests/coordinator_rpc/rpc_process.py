"""The coordinator's command as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
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

    process: asyncio.subprocess.Process
    address: str
    data_dir: Path

    @property
    def store_pid(self) -> int:
        return int(json.loads((self.data_dir / "store" / "server.json").read_text())["pid"])

    async def signalled(self, number: int) -> Ended:
        """Sends a signal and waits for the end."""
        self.process.send_signal(number)
        out, err = await asyncio.wait_for(self.process.communicate(), LIMIT_S)
        return Ended(self.process.returncode or 0, out.decode(), err.decode())


async def run(*arguments: str) -> Ended:
    """The command to its end."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    return Ended(process.returncode or 0, out.decode(), err.decode())


@contextlib.asynccontextmanager
async def serving(data_dir: Path, *flags: str, listen: str = "127.0.0.1:0") -> AsyncIterator[Serving]:
    """``serve`` for the length of the block; ended by SIGTERM if the block did not end it."""
    arguments = ("serve", "--listen", listen, "--data-dir", str(data_dir), *flags)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Serving(process, await asyncio.wait_for(_address(process), LIMIT_S), data_dir)
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.communicate(), LIMIT_S)


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    async for line in process.stdout:
        if line.startswith(b"listening"):
            return line.split()[1].decode()
    raise AssertionError((await process.stderr.read()).decode())
