from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_swarm import COORDINATOR, LocalSwarm
from tiny_challenge import tiny_folder

TRAIN = """
import torch

LEARNING_RATE = 10.0  # step size of plain gradient descent
BATCH_TOKENS = 256  # tokens per step
INIT_SCALE = 0.5  # standard deviation of the table

def train(ctx):
    torch.manual_seed(ctx.seed)
    table = torch.nn.Parameter(INIT_SCALE * torch.randn(ctx.vocab_size, ctx.vocab_size))
    (shard,) = ctx.start()
    tokens = torch.from_numpy(shard.astype("int64"))
    step = 0
    while ctx.running():
        start = torch.randint(0, len(tokens) - BATCH_TOKENS - 1, (1,)).item()
        logits = table[tokens[start : start + BATCH_TOKENS]]
        loss = torch.nn.functional.cross_entropy(logits, tokens[start + 1 : start + BATCH_TOKENS + 1])
        loss.backward()
        with torch.no_grad():
            table -= LEARNING_RATE * table.grad
        table.grad = None
        step += 1
        ctx.log(step=step, loss=loss.item(), tokens=step * BATCH_TOKENS)
    return lambda ids: table[ids].detach()
"""


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def challenge(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    """A challenge whose runs take a few seconds, most of them importing torch."""
    folder = tmp_path_factory.mktemp("tiny")
    return tiny_folder(folder, cache_dir, budget='kind = "steps"\nsteps = 20', source=TRAIN)


@pytest.fixture
def swarm(tmp_path: Path, challenge: Path, cache_dir: Path) -> Iterator[LocalSwarm]:
    environment = {"AUTORESEARCH_CACHE_DIR": str(cache_dir), "HOME": str(tmp_path)}
    running = LocalSwarm(
        root=tmp_path,
        serve_options=("--challenge", str(challenge)),
        environment=environment,
    )
    running.start_coordinator()
    yield running
    running.stop(*(name for name in running.processes if name != COORDINATOR), sig=signal.SIGTERM)
    running.stop(COORDINATOR, sig=signal.SIGTERM)
