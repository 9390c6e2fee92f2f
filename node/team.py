"""A node with several workers: what its supervisor starts, shows and is told.

One key, one state dir and its lock, one outbox and one agent's budget belong to the node; each worker has a
folder below for its runs, notebook, status and socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from node.agent.mcp.routing import route
from node.board import Board, StatusUnreadable, read_status
from node.commands import DRAINED_BY_OWNER
from node.config import Config
from node.control import Command, ControlError, NobodyThere, Request, ask
from node.exit_codes import ExitCode
from node.order import Order
from node.pieces import SharedPieces
from node.places import pieces_path, worker_dir
from node.seats import Seat
from node.stopping import Stop
from node.supervisor import Place, Process, Supervisor
from node.team_picture import whole_picture

WORKER_LIMIT_S = 4.0
"""For a worker's answer: less than the owner has patience for, so that one that hangs hides no other."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """The workers of one node, and what their supervisor answers."""

    config: Config
    host: str
    challenge_dir: Path
    seats: Sequence[Seat]
    trainer_argv: tuple[str, ...]
    token: str
    program: str | None
    board: Board
    stop: Stop
    worker_limit_s: float = WORKER_LIMIT_S

    async def run(self) -> ExitCode:
        """Until all workers are over; the limits of hours and of pieces are the node's."""
        if self.config.max_experiments is not None:
            SharedPieces.begin(pieces_path(self.config.node_dir))
        supervisor = Supervisor(seats=self.seats, launch=self._launch, stop=self.stop, on_change=self._show)
        keeping_hours = asyncio.create_task(self._keep_hours())
        try:
            return await supervisor.run()
        finally:
            keeping_hours.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping_hours

    async def answer(self, request: Request) -> Mapping[str, Any]:
        """Passes on what the owner says; a worker that does not hear it now reads it when it starts."""
        if request.command is Command.RESEARCH:
            return await route(self._names, self._research, request)
        if request.command is Command.DRAIN:
            self.stop.drain(DRAINED_BY_OWNER)
        asked = Request(command=Command.STATUS) if request.command is Command.DRAIN else request
        pictures = await asyncio.gather(*(self._ask(seat, asked) for seat in self.seats))
        return whole_picture(self.board.picture(), dict(zip(self._names, pictures, strict=True)))

    @property
    def _names(self) -> list[str]:
        return [seat.name for seat in self.seats]

    async def _research(self, seat: str, request: Request) -> Mapping[str, Any]:
        return await ask(worker_dir(self.config.node_dir, seat), request, limit_s=self.worker_limit_s)

    async def _ask(self, seat: Seat, request: Request) -> Mapping[str, Any] | None:
        folder = worker_dir(self.config.node_dir, seat.name)
        try:
            return await ask(folder, request, limit_s=self.worker_limit_s)
        except (NobodyThere, ControlError) as error:
            _log.debug("a worker did not answer", worker=seat.name, reason=str(error))
        with contextlib.suppress(StatusUnreadable):
            return await asyncio.to_thread(read_status, folder)
        return None

    async def _launch(self, seat: Seat) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "node.worker",
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, **seat.environ},
            start_new_session=True,  # the terminal's Ctrl-C is for the supervisor
        )
        order = Order(
            config=replace(self.config, max_hours=None),
            host=self.host,
            challenge_dir=self.challenge_dir,
            seat=seat.name,
            trainer_argv=self.trainer_argv,
            token=self.token,
            program=self.program,
        )
        assert process.stdin is not None, "a pipe was asked for"  # noqa: S101
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(order.line())
            await process.stdin.drain()
        return process

    def _show(self, places: Sequence[Place]) -> None:
        self.board.learn(
            workers=[
                {
                    "worker": place.seat.name,
                    "pid": place.pid,
                    "restarts": place.restarts,
                    "exit_code": place.code,
                }
                for place in places
            ]
        )

    async def _keep_hours(self) -> None:
        if self.config.max_hours is not None:
            await asyncio.sleep(self.config.max_hours * 3600.0)
            self.stop.drain(f"{self.config.max_hours:g} hours are over")
