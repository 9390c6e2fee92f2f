"""A coding agent as the researcher of a real node: the SDK's own client drives the tools over stdio."""

import asyncio
import re
import sys
from contextlib import asynccontextmanager

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from node_builders import BASELINE
from node_process import INHERITED, NodeProcess

TOOLS = {"what_to_try", "claim", "run", "result", "give_up", "best", "search", "insights", "ideas", "status"}
CRASH = 'MARK = """\n# fake: crash\n"""\n'
PROGRAM = "import sys; from node.cli import main; sys.argv[0] = 'autoresearch-node'; main()"


@asynccontextmanager
async def researcher(state_dir):
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", PROGRAM, "mcp", "--state-dir", str(state_dir)],
        env={**INHERITED, "HOME": str(state_dir.parent)},
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


async def call(session, tool, **arguments):
    result = await session.call_tool(tool, arguments)
    text = "\n".join(part.text for part in result.content)
    assert not result.is_error, text
    return text


async def complaint(session, tool, **arguments):
    result = await session.call_tool(tool, arguments)
    assert result.is_error, result.content
    return result.content[0].text


def field(text, name):
    return re.search(rf"^{name}: (.*)$", text, re.MULTILINE).group(1)


async def claim_of(session, new, name="MATRIX_LR", old="0.04"):
    changes = [{"name": name, "old": old, "new": new}]
    return await call(session, "claim", title=f"{name} {old} -> {new}", rationale="warmer", changes=changes)


async def finished(session, name):
    while field(text := await call(session, "result", id=name), "state") in ("queued", "training"):
        pass
    return text


@pytest.fixture
def start(tmp_path):
    nodes = []

    def begin(*options):
        nodes.append(NodeProcess(tmp_path, BASELINE, *options, environ={"AUTORESEARCH_AGENT": "mcp"}))
        nodes[-1].wait_for_training()
        return nodes[-1]

    yield begin
    for node in nodes:
        node.kill_all()


async def test_a_coding_agent_makes_experiments_is_told_of_duplicates_and_mends_a_crash(start):
    node = start("-")
    async with researcher(node.state) as session:
        tools = {
            tool.name: set(tool.input_schema["properties"]) for tool in (await session.list_tools()).tools
        }
        told = await call(session, "what_to_try")
        first = field(await claim_of(session, "0.03"), "id")
        await call(session, "run", id=first, edits=[{"old": "MATRIX_LR = 0.04 ", "new": "MATRIX_LR = 0.03 "}])
        done = await finished(session, first)
        await call(session, "insights", action="share", id=first, text="colder matrices learn slower")
        duplicate = await claim_of(session, "0.03")
        second = field(await claim_of(session, "128", "WIDTH", "64"), "id")
        await call(session, "run", id=second, edits=[{"old": "WIDTH = 64 ", "new": f"{CRASH}WIDTH = 128 "}])
        crashed = await finished(session, second)
        repair = re.search(r"You may mend it: (\S+);", crashed).group(1)
        await call(session, "run", id=repair, edits=[{"old": CRASH, "new": ""}])
        mended = await finished(session, repair)
        history = await call(session, "what_to_try", part="history")
        unfinished = await complaint(session, "insights", action="share", id=first, text="again")
        await node_leaves(node)
        alone = await complaint(session, "status")

    assert set(tools) == TOOLS
    assert tools["run"] == {"id", "edits", "code"}
    assert "  5| MATRIX_LR = 0.04     # for matrices" in told
    assert (field(done, "state"), field(done, "val_bpb")) == ("completed", "2.05")
    assert "+0.01000, where a rerun spreads by" in done
    assert field(duplicate, "state") == "duplicate"
    assert "> MATRIX_LR 0.04 -> 0.03 (completed, +0.01000 against its parent)" in duplicate
    assert field(crashed, "state") == "crashed"
    assert "> exception boom" in crashed
    assert (field(mended, "state"), field(mended, "repairs")) == ("completed", second)
    assert "| repair: WIDTH 64 -> 128 |" in history
    assert "> MATRIX_LR: 0.03 (+0.01000)" in history
    assert "one is taken for each run" in unfinished
    assert "no node runs in" in alone
    assert "colder matrices learn slower" in (node.folder / "log").read_text()


async def node_leaves(node):
    node.process.terminate()
    assert await asyncio.to_thread(node.wait) == 130
