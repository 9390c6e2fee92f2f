"""A real coordinator on a loopback port, over memory and over its embedded store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
import pytest
from autoresearch.challenge import Challenge, find_challenge, load_challenge
from rpc_nodes import TestNode

from coordinator.config import Config
from coordinator.server import RunningCoordinator, running_coordinator
from coordinator.storage.memory import MemoryStoreServer

OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@pytest.fixture(scope="session")
def challenge() -> Challenge:
    return load_challenge(find_challenge("pocket"))


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
