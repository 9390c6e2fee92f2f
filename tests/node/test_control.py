import asyncio
import json
import os
import socket
import stat
import subprocess
import sys

import pytest

from node.control import (
    CONNECTIONS_LIMIT,
    REQUEST_LIMIT_BYTES,
    Command,
    ControlError,
    NobodyThere,
    Request,
    ask,
    controlled,
    is_owner,
    read_request,
)
from node.places import socket_path


async def echo(request):
    return {"command": request.command.value, "now": request.now}


async def raw(path, line):
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    return answer


async def test_an_owner_is_answered_over_a_socket_that_nobody_else_may_open(tmp_path):
    async with controlled(tmp_path, echo):
        mode = stat.S_IMODE(socket_path(tmp_path).stat().st_mode)
        answer = await ask(tmp_path, Request(command=Command.PAUSE, now=True))

    assert answer == {"command": "pause", "now": True}
    assert mode == 0o600
    assert list(tmp_path.iterdir()) == []


async def test_where_no_node_runs_nobody_answers(tmp_path):
    with pytest.raises(NobodyThere, match="no node runs"):
        await ask(tmp_path, Request(command=Command.STATUS))


async def test_a_killed_nodes_socket_is_told_from_a_live_one_and_taken_over(tmp_path):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(socket_path(tmp_path)))
    dead.close()

    with pytest.raises(NobodyThere):
        await ask(tmp_path, Request(command=Command.STATUS))
    async with controlled(tmp_path, echo):
        answer = await ask(tmp_path, Request(command=Command.STATUS))

    assert answer["command"] == "status"


async def test_a_path_that_is_too_long_for_the_kernel_is_reached_all_the_same(tmp_path):
    folder = tmp_path / ("long" * 30) / ("path" * 30)
    folder.mkdir(parents=True)

    async with controlled(folder, echo):
        answer = await ask(folder, Request(command=Command.STATUS))

    assert answer["command"] == "status"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"\n", "one line of JSON"),
        (b"[1]\n", "has a command"),
        (b'{"command": "pause", "code": "x"}\n', "has a command"),
        (b'{"command": "reboot"}\n', "none of status, pause, resume, drain"),
        (b'{"command": "pause", "now": 1}\n', "neither true nor false"),
        (b'{"command": "research", "tool": "best", "arguments": []}\n', "arguments are an object"),
        (b"[" * 100_000 + b"\n", "one line of JSON"),
        (b'{"command": "' + b"x" * REQUEST_LIMIT_BYTES + b'"}\n', f"at most {REQUEST_LIMIT_BYTES} bytes"),
    ],
)
async def test_nonsense_is_answered_with_what_is_wrong_and_the_next_caller_is_served(
    tmp_path, line, complaint
):
    async with controlled(tmp_path, echo):
        answer = json.loads(await raw(socket_path(tmp_path), line))
        after = await ask(tmp_path, Request(command=Command.STATUS))

    assert complaint in answer["error"]
    assert after["command"] == "status"


async def test_silent_callers_do_not_keep_others_out_for_good_and_are_counted(tmp_path):
    async with controlled(tmp_path, echo):
        silent = [
            await asyncio.open_unix_connection(str(socket_path(tmp_path))) for _ in range(CONNECTIONS_LIMIT)
        ]
        with pytest.raises(ControlError, match="ask again"):
            await ask(tmp_path, Request(command=Command.STATUS))
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(20):
            while True:
                try:
                    answer = await ask(tmp_path, Request(command=Command.STATUS))
                    break
                except ControlError:
                    continue

    assert answer["command"] == "status"


async def test_a_bug_in_an_answer_is_no_end_of_the_node(tmp_path):
    async def fail(request):
        raise RuntimeError("a bug")

    async with controlled(tmp_path, fail):
        with pytest.raises(ControlError, match="its log has more"):
            await ask(tmp_path, Request(command=Command.STATUS))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells who called on Linux alone")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can speak as somebody else")
def test_another_user_is_no_owner(tmp_path):
    tmp_path.chmod(0o755)
    path = tmp_path / "socket"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen()
    call = f"""
import os, socket
os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect("{path.name}"); s.recv(1)
"""
    stranger = subprocess.Popen([sys.executable, "-c", call], cwd=tmp_path)
    theirs, _ = listener.accept()
    is_owner_of_ours = is_owner(theirs)
    os.seteuid(65534)
    try:
        is_owner_of_its_own = is_owner(theirs)
    finally:
        os.seteuid(0)
        theirs.close()
        listener.close()
        stranger.wait(30)

    assert not is_owner_of_ours
    assert is_owner_of_its_own


def test_a_request_reads_as_it_was_written():
    assert read_request(b'{"command": "pause", "now": true}') == Request(command=Command.PAUSE, now=True)


async def test_a_request_names_only_what_it_asks_so_that_an_older_node_takes_it(tmp_path):
    lines = []

    async def hear(reader, writer):
        lines.append(await reader.readline())
        writer.write(b'{"reply": {}}\n')
        writer.close()

    async with await asyncio.start_unix_server(hear, str(socket_path(tmp_path))):
        await ask(tmp_path, Request(command=Command.STATUS))
        await ask(tmp_path, Request(command=Command.PAUSE, now=True))

    assert [json.loads(line) for line in lines] == [{"command": "status"}, {"command": "pause", "now": True}]
