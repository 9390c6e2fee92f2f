"""Whole nodes as real processes with an agent behind a server: how they end, and where its key is not."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from anthropic_brain import Brain
from autoresearch.challenge import write_challenge
from autoresearch.model import utc_now
from messages_server import KEY, Fails, MessagesServer
from node_builders import BASELINE, is_alive, make_challenge
from typer.testing import CliRunner

from node.cli import app
from node.config import Config
from node.doctor import agent_findings
from node.places import outbox_path, purse_path
from node.purse import Budget, Purse
from node.swarm.outbox import Outbox

INHERITED = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
RUN_NODE = Path(__file__).with_name("run_node.py")


class NodeProcess:
    """A node alone, whose trainer writes down its environment."""

    def __init__(self, folder):
        self.folder = folder
        self.state = folder / "state"
        self.trainer_env = folder / "env.json"
        (folder / "tmp").mkdir()
        write_challenge(make_challenge(f"# fake: env {self.trainer_env}\n{BASELINE}"), folder / "challenge")

    async def run(self, server, **settings):
        """Its exit code and all that it said."""
        given = {"agent": "anthropic", "agent_base_url": server.url, "agent_max_tokens": 1_000, **settings}
        env = {f"AUTORESEARCH_{name.upper()}": str(value) for name, value in given.items()}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(RUN_NODE),
            str(self.state),
            str(self.folder / "challenge"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**INHERITED, "HOME": str(self.folder), "ANTHROPIC_API_KEY": KEY, **env},
        )
        said, _ = await asyncio.wait_for(process.communicate(), 150)
        return process.returncode, said.decode()

    def published(self):
        outbox = Outbox(outbox_path(self.state), now=utc_now)
        try:
            return outbox.waiting_count()
        finally:
            outbox.close()

    def files_with(self, text):
        return [
            path for path in self.state.rglob("*") if path.is_file() and text.encode() in path.read_bytes()
        ]

    def trainers(self):
        return [int(mark.name.rpartition("-")[2]) for mark in (self.folder / "tmp").glob("began-*")]


async def test_a_node_whose_budget_is_spent_publishes_what_it_has_and_leaves_with_7(tmp_path):
    node = NodeProcess(tmp_path)
    async with MessagesServer(*[Brain()] * 60) as server:
        code, said = await node.run(server, budget_tokens_total=16_000, log_level="debug")
        calls = len(server.requests)
        again, refused = await node.run(server, budget_tokens_total=1_000)

    purse = Purse(purse_path(node.state), Budget(), now=utc_now)
    status = await asyncio.to_thread(CliRunner().invoke, app, ["status", "--state-dir", str(node.state)])
    assert code == again == 7
    assert "the agent's budget is spent" in said
    assert refused.splitlines()[-1].startswith("error: the agent's budget is spent")
    assert len(server.requests) == calls
    assert node.published() == len(node.trainers()) >= 4
    assert not any(is_alive(pid) for pid in node.trainers())
    assert 8_000 < purse.spent_in_total().tokens <= 16_000
    assert f"and {purse.spent_in_total().tokens:,} tokens in total" in status.output
    assert server.complaints == []


async def test_the_key_is_in_no_log_no_file_no_prompt_and_not_with_the_trainer(tmp_path):
    node = NodeProcess(tmp_path)
    async with MessagesServer(*[Brain()] * 60) as server:
        code, said = await node.run(server, max_experiments=5, log_level="debug")

    environment = json.loads(node.trainer_env.read_text())
    assert code == 0
    assert KEY in json.dumps(server.headers)
    assert KEY not in said
    assert node.files_with(KEY) == []
    assert KEY not in json.dumps(server.requests)
    assert KEY not in json.dumps(environment)
    assert not any("ANTHROPIC" in name or "AGENT" in name for name in environment)


async def test_a_key_that_is_refused_ends_the_node_with_one_sentence(tmp_path):
    node = NodeProcess(tmp_path)
    async with MessagesServer(Fails(401, "authentication_error", f"bad key {KEY}")) as server:
        code, said = await node.run(server)

    assert code == 1
    last = said.splitlines()[-1]
    assert last.startswith(
        f"error: {server.url} does not let claude-sonnet-5-5 be used: authentication_error"
    )
    assert KEY not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "needs a key: set ANTHROPIC_API_KEY"),
        (["--agent-base-url", "http://example.org"], "in the clear"),
        (["--anthropic-key-file", "none"], "cannot read the key file"),
        (["--budget-usd-day", "0"], "budget_usd_day is 0.0; give a positive number"),
        (["--agent-price-in", "1"], "go together"),
        (["--agent-max-tokens", "5"], "agent_max_tokens is 5"),
    ],
)
def test_a_setup_that_cannot_work_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, options, complaint):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)

    command = ["solo", "--agent", "anthropic", "--state-dir", str(tmp_path / "state"), *options]
    result = CliRunner().invoke(app, command)

    assert result.exit_code == 2
    assert complaint in result.output
    assert result.output.count("\n") == 1


async def seen_by_doctor(tmp_path, environ, **settings):
    config = Config(state_dir=tmp_path / "state", agent="anthropic", **settings)
    (finding,) = await agent_findings(config, environ)
    return finding


async def test_the_doctor_says_whether_the_server_takes_the_key(tmp_path):
    async with MessagesServer() as server:
        fine = await seen_by_doctor(tmp_path, {"ANTHROPIC_API_KEY": KEY}, agent_base_url=server.url)
        wrong = await seen_by_doctor(tmp_path, {"ANTHROPIC_API_KEY": "sk-wrong"}, agent_base_url=server.url)
        url = server.url
    gone = await seen_by_doctor(tmp_path, {"ANTHROPIC_API_KEY": KEY}, agent_base_url=url)
    missing = await seen_by_doctor(tmp_path, {})

    assert (fine.is_fine, fine.seen) == (True, f"claude-sonnet-5-5 at {url} answers")
    assert "authentication_error: invalid api key [key]" in wrong.seen
    assert "the connection failed" in gone.seen
    assert "set ANTHROPIC_API_KEY" in missing.fix
