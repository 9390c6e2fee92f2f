"""What the supervisor of several workers answers; the workers are sockets of the test."""

import asyncio
from dataclasses import replace

from autoresearch.model import utc_now

from node.board import Board
from node.config import Config
from node.control import Command, Request, controlled
from node.exit_codes import ExitCode
from node.places import socket_path, worker_dir
from node.seats import Seat
from node.stopping import Stop
from node.supervisor import Place
from node.team import Team

SEATS = (Seat(name="cpu-0"), Seat(name="cpu-1"))


def make_team(folder):
    for seat in SEATS:
        worker_dir(folder, seat.name).mkdir(parents=True)
    board = Board(path=folder / "status.json", now=utc_now, facts={"name": "toy"})
    team = Team(
        config=Config(state_dir=folder),
        host="",
        challenge_dir=folder,
        seats=SEATS,
        trainer_argv=(),
        token="",
        program=None,
        board=board,
        stop=Stop(),
        worker_limit_s=0.2,
    )
    team._show([Place(seat=seat, pid=number) for number, seat in enumerate(SEATS, start=1)])
    return team


async def test_a_worker_that_hangs_hides_neither_the_others_nor_its_last_word(tmp_path):
    team, heard = make_team(tmp_path), []
    hanging, working = (worker_dir(tmp_path, seat.name) for seat in SEATS)
    (hanging / "status.json").write_text('{"state": "training", "runs_done": 3}')

    async def answer(request):
        heard.append(request)
        return {"state": "paused", "runs_done": 2}

    async def hang(reader, writer):
        await asyncio.Event().wait()

    request = Request(command=Command.PAUSE, now=True)
    silent = await asyncio.start_unix_server(hang, socket_path(hanging))
    async with controlled(working, answer):
        picture = await team.answer(request)
    silent.close()

    assert heard == [request]
    assert [row["state"] for row in picture["workers"]] == ["training", "paused"]
    assert (picture["state"], picture["runs_done"]) == ("1 training, 1 paused", 5)


async def test_a_drain_is_the_supervisors_to_tell_and_no_worker_is_told_twice(tmp_path):
    team, heard = make_team(tmp_path), []

    async def answer(request):
        heard.append(request.command)
        return {"state": "training", "runs_done": 0}

    async with controlled(worker_dir(tmp_path, "cpu-0"), answer):
        await team.answer(Request(command=Command.DRAIN))

    assert heard == [Command.STATUS]
    assert team.stop.is_draining
    assert not team.stop.is_aborted


def test_a_worker_that_is_over_shows_how_it_ended(tmp_path):
    team = make_team(tmp_path)

    team._show([Place(seat=SEATS[0], code=ExitCode.BUDGET_SPENT), Place(seat=SEATS[1], pid=2)])

    rows = team.board.picture()["workers"]
    assert [(row["pid"], row["exit_code"]) for row in rows] == [(None, 7), (2, None)]


async def test_what_a_researcher_asks_goes_to_the_worker_that_it_concerns(tmp_path):
    team, heard = make_team(tmp_path), []

    async def answer(request):
        heard.append((request.tool, dict(request.arguments)))
        return {"text": "1"}

    request = Request(command=Command.RESEARCH, tool="result", arguments={"id": "cpu-1.abc"})
    async with controlled(worker_dir(tmp_path, "cpu-1"), answer):
        told = await team.answer(request)
        missing = await team.answer(replace(request, arguments={"id": "cpu-0.abc"}))
        claimed = await team.answer(replace(request, tool="claim", arguments={"title": "x"}))

    assert (told, claimed) == ({"text": "1"}, {"text": "1"})
    assert "worker cpu-0 does not answer" in missing["refusal"]
    assert heard == [("result", {"id": "cpu-1.abc"}), ("readiness", {}), ("claim", {"title": "x"})]
