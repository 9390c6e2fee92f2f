"""A head without a GPU and a GPU without a head: two nodes that finish an experiment together."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from autoresearch.challenge import find_challenge, load_challenge, parse_challenge
from autoresearch.model import ExperimentQuery

from coordinator.config import Config as ServerConfig
from coordinator.server import running_coordinator
from coordinator.storage.memory.server import MemoryStoreServer
from node.reading import Place, reading

PATIENCE_S = 120.0
RUN_NODE = Path(__file__).with_name("run_joined_node.py")
BASELINE = '''"""A model."""

MATRIX_LR = 0.04


def train(ctx):
    return ctx.build(MATRIX_LR)
'''
AGENT = """\
import pathlib
train = pathlib.Path("train.py")
train.write_text(train.read_text().replace("MATRIX_LR = 0.04", "MATRIX_LR = 0.05"))
print("Raised MATRIX_LR from 0.04 to 0.05, because a higher rate may learn faster.")
"""


@pytest.fixture
async def host(tmp_path):
    built_in = load_challenge(find_challenge("pocket"))
    small = parse_challenge(built_in.manifest_toml, BASELINE, built_in.program_md)
    config = ServerConfig(listen="127.0.0.1:0", data_dir=tmp_path / "coordinator")
    challenges = [replace(small, frozen=True)]
    async with running_coordinator(config, store=MemoryStoreServer(), challenges=challenges) as running:
        yield running.address


async def begin(host, tmp_path, **settings):
    arguments = json.dumps({"state_dir": str(tmp_path / "state"), **settings})
    return await asyncio.create_subprocess_exec(
        sys.executable, str(RUN_NODE), host, arguments, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )


async def end(process):
    """Its exit code and its log."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, log.decode()


def thinker(tmp_path):
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    command = f"{sys.executable} {script} {{prompt_file}}"
    return {"propose_only": True, "agent": "command", "agent_command": command}


async def test_proposer_and_trainer_finish_an_experiment_together_credited_to_both(host, tmp_path):
    trainer = {"agent": "none", "name": "gpu"}
    measured = await end(await begin(host, tmp_path, max_experiments=3, **trainer))
    head = await begin(host, tmp_path, name="head", max_experiments=1, **thinker(tmp_path))
    ran = await end(await begin(host, tmp_path, max_experiments=1, **trainer))
    thought = await end(head)

    assert (measured[0], ran[0], thought[0]) == (0, 0, 0), "\n".join((measured[1], ran[1], thought[1]))
    place = Place(host=host, ca_file=None, insecure=False)
    page = await reading(place, lambda reader: reader.experiments(ExperimentQuery()))
    nodes = {node.name: node for node in await reading(place, lambda reader: reader.nodes())}
    waiting = await reading(place, lambda reader: reader.ideas())
    (made,) = [one for one in page.experiments if one.experiment.parents]
    assert made.experiment.node_id == nodes["gpu"].node_id
    assert made.experiment.proposer_id == nodes["head"].node_id
    assert made.experiment.proposer_owner_id == nodes["head"].owner_id
    assert made.usage is not None
    assert made.usage.seconds > 0
    assert (nodes["head"].ideas_run, nodes["head"].hardware_class) == (1, "")
    assert (nodes["gpu"].results, nodes["head"].results) == (4, 0)
    assert waiting == ()
    assert "run by another" in thought[1]
