"""Stores of every kind under one suite; a server that is missing fails with what to install."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from store_samples import CHALLENGE

from coordinator.storage.base import IdentityStore, Store, StoreServer
from coordinator.storage.binaries import packaged_server_program
from coordinator.storage.memory import MemoryStoreServer
from coordinator.storage.open import open_store_server
from coordinator.storage.redis import RedisStoreServer

START_LIMIT_S = 10.0
POLL_S = 0.02


def wait_for_socket(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Returns once a server accepts connections at the path."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the server ended with {process.wait(POLL_S)} before it listened")
    pytest.fail(f"the server did not listen at {path} within {START_LIMIT_S} s")


class DebianServer:
    """A redis-server of the system on a unix socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
        if binary is None:
            pytest.fail("redis-server is not installed: run `apt-get install redis-server`")
        self._binary = binary
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self, *options: str) -> None:
        argv = [self._binary, "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        argv += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", *options]
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        wait_for_socket(self.socket, self.process)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(START_LIMIT_S)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="ar-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def debian_server() -> Iterator[DebianServer]:
    with tempfile.TemporaryDirectory(prefix="ar-") as folder:
        server = DebianServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def own_debian_server(short_folder: Path) -> Iterator[DebianServer]:
    """A server that the test may stop and start."""
    server = DebianServer(short_folder)
    server.start()
    yield server
    if server.process is not None and server.process.poll() is None:
        server.stop(signal.SIGKILL)


@pytest.fixture(params=["memory", "embedded", "redis"])
async def store_server(request: pytest.FixtureRequest) -> AsyncIterator[StoreServer]:
    if request.param == "memory":
        server: StoreServer = MemoryStoreServer()
    elif request.param == "redis":
        debian = request.getfixturevalue("debian_server")
        redis_server = RedisStoreServer(debian.url, description="redis")
        await redis_server._link.command("FLUSHALL")
        server = redis_server
    else:
        folder = request.getfixturevalue("short_folder")
        server = await open_store_server(None, folder / "data", program=packaged_server_program())
    yield server
    await server.close()


@pytest.fixture
async def store(store_server: StoreServer) -> Store:
    return store_server.challenge_store(CHALLENGE)


@pytest.fixture
async def identity(store_server: StoreServer) -> IdentityStore:
    return store_server.identity_store()
