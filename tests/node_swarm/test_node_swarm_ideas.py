"""Ideas, insights and programs from the command line, against a real coordinator."""

import asyncio
import json

import pytest
from autoresearch.model import new_id
from typer.testing import CliRunner

from coordinator.config import Config
from coordinator.server import running_coordinator
from coordinator.storage.memory.server import MemoryStoreServer
from node.cli import app
from node.exit_codes import ExitCode


@pytest.fixture(autouse=True)
def _nobody_elses_files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def coordinator(tmp_path, challenge):
    config = Config(listen="127.0.0.1:0", data_dir=tmp_path / "coordinator", embedding_model="none")
    async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as running:
        yield running


@pytest.fixture
def node(coordinator, tmp_path):
    """Runs the command beside the coordinator, with a key of its own by name."""

    async def run(*arguments, name="ada", signed=True):
        own = ("--state-dir", str(tmp_path / name), "--yes") if signed else ()
        argv = [*arguments, coordinator.address, *own]
        return await asyncio.to_thread(CliRunner().invoke, app, argv)

    return run


async def listed(node):
    done = await node("ideas", "list", "--json", signed=False)
    return json.loads(done.stdout)


async def test_idea_is_proposed_listed_and_taken_back(node, tmp_path, challenge):
    code = tmp_path / "train.py"
    code.write_text(challenge.baseline_source.replace("DEPTH = 2", "DEPTH = 3"))
    words = ("--title", "deeper", "--rationale", "it underfits", "--change", "DEPTH=3")

    empty = await node("ideas", "list", signed=False)
    made = await node("ideas", "propose", *words, "--source", str(code), "--priority", "3", "--json")
    await node("ideas", "propose", "--title", "wider heads", name="bob")
    shown = await listed(node)
    table = await node("ideas", "list", signed=False)

    assert "No idea waits." in empty.stdout
    assert made.exit_code == ExitCode.OK, made.output
    idea_id = json.loads(made.stdout)["hypothesis_id"]
    assert [(one["title"], one["priority"]) for one in shown] == [("deeper", 3), ("wider heads", 0)]
    assert shown[0]["hypothesis_id"] == idea_id
    assert shown[0]["changes"] == [{"name": "DEPTH", "old": "", "new": "3"}]
    assert shown[0]["source_hash"].startswith("sha256:")
    assert shown[0]["owner_id"] != shown[1]["owner_id"]
    assert "wider heads" in table.stdout

    theirs = await node("ideas", "withdraw", idea_id, name="bob")
    own = [json.loads((await node("ideas", "withdraw", idea_id, "--json")).stdout) for _ in range(2)]

    assert theirs.exit_code == ExitCode.AUTH
    assert [one["was_waiting"] for one in own] == [True, False]
    assert [one["title"] for one in await listed(node)] == ["wider heads"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--title", "deeper", "--change", "DEPTH"), ExitCode.USAGE),
        (("--title", "deeper", "--source", "missing.py"), ExitCode.USAGE),
        (("--title", "deeper", "--parent", "no id"), ExitCode.USAGE),
        (("--title", "x" * 201), ExitCode.USAGE),
        (("--title", "deeper", "--priority", "10"), ExitCode.USAGE),
        (("--title", "deeper", "--priority", "5"), ExitCode.AUTH),
    ],
)
async def test_idea_that_cannot_be_is_refused_with_its_exit_code(node, arguments, code):
    done = await node("ideas", "propose", *arguments)

    assert done.exit_code == code, done.output
    assert await listed(node) == []


async def test_nothing_is_proposed_without_consent(coordinator, tmp_path):
    argv = [
        "ideas",
        "propose",
        coordinator.address,
        "--title",
        "deeper",
        "--state-dir",
        str(tmp_path / "ada"),
    ]

    done = await asyncio.to_thread(CliRunner().invoke, app, argv)

    assert done.exit_code == ExitCode.USAGE
    assert "--yes" in done.output


async def test_withdrawing_what_never_waited_is_told(node):
    done = await node("ideas", "withdraw", new_id())

    assert done.exit_code == ExitCode.OK
    assert "does not wait" in done.stdout


async def test_insights_and_programs_are_read_without_a_key(node, challenge):
    insights = await node("insights", "", signed=False)
    as_json = await node("insights", "anything", "--json", signed=False)
    programs = await node("programs", "--json", signed=False)

    assert "Nothing has been learned yet." in insights.stdout
    assert json.loads(as_json.stdout) == []
    (own,) = json.loads(programs.stdout)
    assert (own["version"], own["set_by"], own["is_current"]) == (0, "the challenge", True)
    assert own["text"] == challenge.program_md
