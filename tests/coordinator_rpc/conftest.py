"""A real coordinator on a loopback port, over memory and over its embedded store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
import pytest
from autoresearch.challenge import Challenge, find_challenge, load_challenge, parse_challenge, write_challenge
from rpc_nodes import TestNode

from coordinator.config import Config
from coordinator.server import RunningCoordinator, running_coordinator
from coordinator.storage.memory import MemoryStoreServer

OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@pytest.fixture(scope="session")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Challenge:
    return make_challenge(tmp_path_factory.mktemp("frozen"), is_frozen=True)


@pytest.fixture
def challenge_folder(tmp_path: Path) -> Path:
    make_challenge(tmp_path / "challenge", is_frozen=True)
    return tmp_path / "challenge"


@pytest.fixture
def unfrozen_folder(tmp_path: Path) -> Path:
    make_challenge(tmp_path / "unfrozen", is_frozen=False)
    return tmp_path / "unfrozen"


def make_challenge(folder: Path, *, is_frozen: bool) -> Challenge:
    """The CPU challenge, called frozen or not whatever the shipped one is."""
    shipped = load_challenge(find_challenge("pocket"))
    manifest, count = re.subn(
        r"^frozen = \w+$", f"frozen = {str(is_frozen).lower()}", shipped.manifest_toml, flags=re.MULTILINE
    )
    assert count == 1
    challenge = parse_challenge(manifest, shipped.baseline_source, shipped.program_md)
    write_challenge(challenge, folder)
    return challenge


@pytest.fixture(params=["memory", "embedded"])
def store_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(listen="127.0.0.1:0", data_dir=tmp_path / "data", lease_ttl_s=60.0, grace_s=2.0)


@pytest.fixture
async def coordinator(
    config: Config, challenge: Challenge, store_kind: str
) -> AsyncIterator[RunningCoordinator]:
    store = MemoryStoreServer() if store_kind == "memory" else None
    async with running_coordinator(config, store=store, challenges=[challenge]) as running:
        yield running


@pytest.fixture
async def memory_coordinator(config: Config, challenge: Challenge) -> AsyncIterator[RunningCoordinator]:
    async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as running:
        yield running


@pytest.fixture
async def new_node() -> AsyncIterator[Callable[[RunningCoordinator], TestNode]]:
    """Makes nodes with a channel each, closed at the end."""
    async with AsyncExitStack() as stack:

        def make(running: RunningCoordinator) -> TestNode:
            channel = grpc.aio.insecure_channel(running.address, options=OPTIONS)
            stack.push_async_callback(channel.close)
            return TestNode(channel)

        yield make


@pytest.fixture
def operator(coordinator: RunningCoordinator, new_node: Callable[[RunningCoordinator], TestNode]) -> TestNode:
    node = new_node(coordinator)
    node.key = coordinator.operator_key
    return node
