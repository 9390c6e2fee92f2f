"""A coding agent as the researcher of a real node: the SDK's own client drives the tools over stdio."""

import re
import sys
from contextlib import asynccontextmanager

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from node_builders import BASELINE
from node_process import INHERITED, NodeProcess

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
    while (text := await call(session, "result", id=name)).count("state: queued") or "state: training" in text:
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
        told = await call(session, "what_to_try")
        first = field(await claim_of(session, "0.06"), "id")
        edits = [{"old": "MATRIX_LR = 0.04 ", "new": "MATRIX_LR = 0.06 "}]
        await call(session, "run", id=first, edits=edits)
        done = await finished(session, first)
        await call(session, "insights", action="share", id=first, text="warmer matrices learn faster")

        duplicate = await claim_of(session, "0.06")
        if "state: granted" in duplicate:  # the new best is another parent: there it is no change
            duplicate = await complaint(session, "run", id=field(duplicate, "id"), edits=edits)

        second = field(await claim_of(session, "128", "WIDTH", "64"), "id")
        crashing = [{"old": "WIDTH = 64 ", "new": "# fake: crash\nWIDTH = 128 "}]
        await call(session, "run", id=second, edits=crashing)
        crashed = await finished(session, second)
        repair = re.search(r"You may mend it: (\S+);", crashed).group(1)
        await call(session, "run", id=repair, edits=[{"old": "# fake: crash\n", "new": ""}])
        mended = await finished(session, repair)
        status = await call(session, "status")
        learned = await call(session, "insights")

    print(told, done, duplicate, crashed, mended, status, learned, sep="\n----\n")
