"""Puts a node together that only proposes: no hardware class, no trainer, no data, no outbox.

What it says is lost with a coordinator that is away, so it waits for it and never works alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version

import structlog
from autoresearch.challenge import Challenge
from autoresearch.errors import SwarmError, Unavailable
from autoresearch.model import HardwareClass, Session, utc_now
from autoresearch.signing import SigningKey

from node import places
from node.agent.base import Agent
from node.agent.mcp.assembly import researching
from node.board import STATUS_NAME, Board
from node.commands import PAUSED_BY_OWNER, Commands
from node.config import Config
from node.control import controlled
from node.enrolment import read_token
from node.exit_codes import ExitCode
from node.following import Whose
from node.gpu_hours import GpuHours
from node.join import (
    choose_challenge,
    exit_code,
    last_word,
    make_agent,
    make_purse,
    on_signals,
    plain_failures,
    public_name,
)
from node.machine import HostMachine
from node.manners import Manners, QuietHours
from node.pausing import Cause, Pauses, is_noted
from node.program import ProgramInForce, program_of_challenge, read_program
from node.proposing import Pace, Proposer
from node.purse import Purse
from node.state import WorkEvent
from node.statedir import held_state_dir
from node.steward import Steward
from node.stopping import Aborted, Stop
from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcSwarm, JoinTerms
from node.swarm.heartbeat import Heartbeat
from node.swarm.identity import load_identity
from node.thinking import Thinker
from node.training.relatives import adopt_orphans
from node.training.scrub import Identity, scrubber

CONNECT_RETRY_S = 10.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """All that a proposer has."""

    config: Config
    key: SigningKey
    challenge: Challenge
    agent: Agent
    purse: Purse
    program: str | None
    board: Board
    pauses: Pauses
    stop: Stop = field(default_factory=Stop)


def run_proposer(config: Config, host: str) -> ExitCode:
    """``join --propose-only``: the node's whole life. Raises SwarmError and Failed."""
    address = parse_address(host)
    with plain_failures(), held_state_dir(config.node_dir):
        key = load_identity(config.node_dir)
        agent, token = make_agent(config, key), read_token(config.token_file)
        purse, program = make_purse(config, agent), read_program(config.program)
        challenge = asyncio.run(choose_challenge(config, host, address))
        board = _board(config, key, challenge, address.target)
        pauses = Pauses(on_change=lambda reasons: board.learn(pauses=list(reasons)))
        head = _Head(
            config=config,
            key=key,
            challenge=challenge,
            agent=agent,
            purse=purse,
            program=program,
            board=board,
            pauses=pauses,
        )

        async def live() -> ExitCode:
            swarm = GrpcSwarm(
                open_channel(address, ca_file=config.ca_file, insecure=config.insecure),
                address.target,
                key,
                JoinTerms(token=token, name=public_name(config, key), has_consented=True),
                node_version=version("autoresearch-swarm"),
            )
            return await _live(head, swarm)

        with last_word(board):
            return asyncio.run(live())


async def _live(head: _Head, swarm: GrpcSwarm) -> ExitCode:
    adopt_orphans()
    commands = Commands(
        pauses=head.pauses,
        stop=head.stop,
        picture=head.board.picture,
        research=researching(head.agent),
    )
    try:
        async with controlled(head.config.node_dir, commands.answer):
            if is_noted(head.config.node_dir):
                head.pauses.hold(Cause.OWNER, PAUSED_BY_OWNER)
            with on_signals(head.stop):
                session = await head.stop.or_stopped(_connect(head, swarm))
                return await _work(head, swarm, session)
    except Aborted:
        return ExitCode.INTERRUPTED
    finally:
        await swarm.close()
        head.purse.close()


async def _connect(head: _Head, swarm: GrpcSwarm) -> Session:
    """Opens a session without hardware, as soon as the coordinator answers."""
    while True:
        try:
            return await swarm.connect(None, head.challenge.challenge_id)
        except Unavailable as error:
            _log.warning("no session yet; trying again", reason=error.message, after_s=CONNECT_RETRY_S)
        await asyncio.sleep(CONNECT_RETRY_S)


async def _work(head: _Head, swarm: GrpcSwarm, session: Session) -> ExitCode:
    config, board = head.config, head.board
    first = session.program or program_of_challenge(head.challenge.program_md)
    program = ProgramInForce(swarm.program, first, own=head.program)
    heartbeat = Heartbeat(
        swarm.heartbeat, interval_s=session.heartbeat_interval_s, activity=lambda: board.state.label
    )
    steward = _steward(head)
    scrub = scrubber(Identity.detect(config.node_dir))
    proposer = Proposer(
        desk=swarm,
        thinker=Thinker(
            swarm=swarm,
            agent=head.agent,
            challenge=head.challenge,
            program=program,
            scrub=scrub,
            open_account=head.purse.open_account,
            history_limit=config.agent_history,
        ),
        agent=head.agent,
        whose=Whose(
            node_id=head.key.node_id, owner_id=session.owner_id, metric_name=head.challenge.metric_name
        ),
        pace=Pace(
            ideas_ahead=config.ideas_ahead,
            hardware_class=HardwareClass(config.propose_for) if config.propose_for else None,
            max_ideas=config.max_experiments,
            max_hours=config.max_hours,
        ),
        board=board,
        stop=head.stop,
        pauses=head.pauses,
        scrub=scrub,
    )
    board.learn(owner_id=session.owner_id)
    board.step(WorkEvent.SESSION_OPENED)
    await steward.look()
    beside = [
        asyncio.create_task(heartbeat.run(on_program=program.hear), name="heartbeat"),
        asyncio.create_task(steward.run(), name="steward"),
    ]
    try:
        ending = await proposer.run()
    finally:
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    with contextlib.suppress(SwarmError):
        await heartbeat.beat_once()  # the last one says that this node has left
    return exit_code(ending, proposer.why)


def _steward(head: _Head) -> Steward:
    """Keeps those wishes of the owner that are not about what trains."""
    config = head.config

    def local_now() -> datetime:
        return utc_now().astimezone()

    return Steward(
        manners=Manners(
            quiet=QuietHours.parse(config.quiet_hours) if config.quiet_hours else None,
            rests_on_battery=config.pause_on_battery,
        ),
        machine=HostMachine(root_pid=os.getpid()),
        hours=GpuHours(places.gpu_hours_path(config.node_dir), today=lambda: local_now().date()),
        pauses=head.pauses,
        local_now=local_now,
    )


def _board(config: Config, key: SigningKey, challenge: Challenge, coordinator: str) -> Board:
    return Board(
        path=config.node_dir / STATUS_NAME,
        now=utc_now,
        facts={
            "name": public_name(config, key),
            "node_id": key.node_id,
            "coordinator": coordinator,
            "challenge": challenge.name,
            "challenge_id": challenge.challenge_id,
            "hardware_class": "no hardware: it only proposes",
            "agent": config.agent,
        },
    )
