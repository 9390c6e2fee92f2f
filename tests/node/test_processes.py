import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from node_builders import is_alive

from node.training.processes import run_group

ADOPTING = """
import asyncio, sys
from pathlib import Path
from node.training.processes import run_group
from node.training.relatives import adopt_orphans

adopt_orphans()
ended = asyncio.run(
    run_group(["sh", "-c", sys.argv[1]], cwd=Path(sys.argv[2]), env={"PATH": "/usr/bin:/bin"}, timeout_s=60)
)
print(ended.returncode)
"""


def run(script, folder, **options):
    env = {"PATH": os.environ["PATH"]}
    return run_group(["sh", "-c", script], cwd=folder, env=env, **{"timeout_s": 60, **options})


@pytest.fixture
def escaped(tmp_path):
    """Where a script writes the pid of what it sends out of its group; that is ended afterwards."""
    path = tmp_path / "escaped"
    yield path
    if path.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


def leaves_group(path):
    return f"(setsid sh -c 'echo $$ > {path}; exec sleep 600' &); while [ ! -s {path} ]; do sleep 0.01; done"


async def test_a_leader_that_exits_has_ended_though_a_child_holds_its_output(tmp_path):
    async with asyncio.timeout(30):
        ended = await run("echo done; sleep 600 & exit 0", tmp_path)

    assert (ended.returncode, ended.is_timeout, ended.output) == (0, False, "done\n")


async def test_a_child_that_left_and_holds_the_output_stops_neither_end_nor_timeout(tmp_path, escaped):
    async with asyncio.timeout(30):
        ended = await run(f"trap '' TERM; {leaves_group(escaped)}; sleep 600", tmp_path, timeout_s=1)

    assert ended.is_timeout


async def test_a_cancelled_command_with_such_a_child_is_left_soon(tmp_path, escaped):
    running = asyncio.create_task(run(f"{leaves_group(escaped)}; sleep 600", tmp_path))
    async with asyncio.timeout(30):
        while not escaped.exists() or not escaped.read_text():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def test_an_orphan_outside_the_group_is_ended_by_a_process_that_adopts_orphans(tmp_path, escaped):
    done = subprocess.run(
        [sys.executable, "-c", ADOPTING, f"{leaves_group(escaped)}; exit 7", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == "7\n"
    assert not is_alive(int(escaped.read_text()))


async def test_an_answer_is_kept_from_its_beginning_and_apart_from_the_log(tmp_path):
    ended = await run("cat; echo log >&2", tmp_path, told=b"0123456789", answer_limit_bytes=4)

    assert (ended.answer, ended.output) == (b"0123", "log\n")


async def test_a_program_that_cannot_be_run_has_a_plain_end():
    ended = await run_group(["/no/such/program"], cwd=Path("/"), env={}, timeout_s=5)

    assert ended.returncode == 127
