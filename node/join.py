"""Puts a node together and lets it live: the one place where its parts are chosen.

Four steps: who answers and what do they host; do you agree; do they take this node; work. The second is asked
at the terminal, so it stands between event loops. What the coordinator refuses is told before anything that
takes long: the sandbox is tried, and the challenge prepared for hours if need be, only for a welcome node.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import structlog
from autoresearch.challenge import Challenge, ChallengeError, find_challenge, load_challenge
from autoresearch.errors import ProtocolMismatch, SwarmError, Unavailable, UnknownChallenge
from autoresearch.model import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    Hardware,
    ServerInfo,
    Session,
    new_id,
    utc_now,
)
from autoresearch.signing import KeyFileError, SigningKey

from node import places
from node.agent.account import Cap
from node.agent.anthropic.assembly import anthropic_agent
from node.agent.base import Agent, AgentError, BudgetSpent, NoAgent
from node.agent.coding.assembly import coding_agent
from node.agent.command import AgentCommand, CommandAgent
from node.agent.mcp.agent import McpAgent
from node.agent.mcp.assembly import researching, with_desk
from node.agent.search import SearchAgent
from node.alone import AloneSwarm
from node.assignment import NodeFacts
from node.board import STATUS_NAME, Board
from node.commands import PAUSED_BY_OWNER, Commands
from node.config import Config
from node.control import controlled
from node.enrolment import read_token
from node.exit_codes import ExitCode
from node.failures import Failed
from node.gpu_hours import GpuHours
from node.hardware import VISIBLE, HardwareError, detect_hardware, list_cards
from node.isolation import require_isolation
from node.loop import Ending, Limits, NodeLoop
from node.machine import HostMachine, Machine, NvidiaMachine
from node.manners import Manners, QuietHours
from node.materialise import TRAINER_ARGV, PrepareError, find_hosted, materialise, prepare
from node.memory import recall_challenge, remember_challenge
from node.order import Order, heeding
from node.pausing import Cause, Pauses, is_noted
from node.pieces import CountedPieces, Pieces, SharedPieces
from node.prepare import Preparer
from node.program import ProgramInForce, program_of_challenge, read_program
from node.purse import Budget, Purse
from node.reading import Place, reading
from node.record import NotebookError, Recorder
from node.seats import Seat, SeatError, choose_seats, common_hardware
from node.state import Link, LinkEvent, WorkEvent
from node.statedir import held_state_dir
from node.steward import MeteredTrainer, Steward
from node.stopping import Aborted, Stop
from node.swarm.address import Address, open_channel, parse_address
from node.swarm.grpc_client import GrpcSwarm, JoinTerms
from node.swarm.heartbeat import Heartbeat
from node.swarm.identity import load_identity
from node.swarm.link import LinkedSwarm
from node.swarm.outbox import Outbox
from node.swarm.protocol import Swarm
from node.swarm.solo import HEARTBEAT_S, SoloSwarm
from node.team import Team
from node.terms import ConsentMissing, Terms, ask_consent
from node.training.relatives import adopt_orphans
from node.training.runner import SubprocessTrainer, TrainerCommand
from node.training.scrub import Identity, scrubber
from node.workspace import Workspace

ANONYMOUS_NAME_CHARS = 6

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What every node has, joined or alone; so has each worker of a node with several.

    ``seats`` are those of the workers that this process will supervise, ``seat`` is its own among others;
    ``prepared_dir`` has the challenge where the supervisor got it ready.
    """

    config: Config
    key: SigningKey
    challenge: Challenge
    hardware: Hardware
    board: Board
    stop: Stop
    pauses: Pauses
    trainer_argv: tuple[str, ...]
    agent: Agent
    purse: Purse
    seats: tuple[Seat, ...] = ()
    seat: str = ""
    prepared_dir: Path | None = None
    token: str = field(default="", repr=False)
    program: str | None = None
    host: str = ""

    @property
    def folder(self) -> Path:
        """For what this process has for itself: runs, notebook, status, socket."""
        return places.worker_dir(self.config.node_dir, self.seat)


def run_joined(config: Config, host: str, *, trainer_argv: tuple[str, ...] = TRAINER_ARGV) -> ExitCode:
    """``join``: the node's whole life with a coordinator. Raises SwarmError and Failed."""
    address = parse_address(host)
    with plain_failures(), held_state_dir(config.node_dir):
        key = load_identity(config.node_dir)
        agent, token = make_agent(config, key), read_token(config.token_file)
        purse, program = make_purse(config, agent), read_program(config.program)
        challenge = asyncio.run(choose_challenge(config, host, address))
        crew = _crew(
            config, key, challenge, trainer_argv, agent=agent, purse=purse, coordinator=address.target
        )
        crew = replace(crew, token=token, program=program, host=host)
        with last_word(crew.board):
            asyncio.run(_check_in(crew, address))
            _check_isolation(config, trainer_argv)
            if crew.seats:
                return asyncio.run(_supervise(crew, host))
            return asyncio.run(_live_joined(crew, address))


def run_solo(config: Config, *, trainer_argv: tuple[str, ...] = TRAINER_ARGV) -> ExitCode:
    """``solo``: the same without anybody. Results wait in the outbox for a later ``join``."""
    with plain_failures(), held_state_dir(config.node_dir):
        key = load_identity(config.node_dir)
        agent = make_agent(config, key)
        purse, program = make_purse(config, agent), read_program(config.program)
        try:
            challenge = load_challenge(find_challenge(config.challenge or "pocket"))
        except ChallengeError as error:
            raise Failed(str(error), ExitCode.USAGE) from error
        crew = _crew(config, key, challenge, trainer_argv, agent=agent, purse=purse, link=Link.SOLO)
        crew = replace(crew, program=program)
        with last_word(crew.board):
            _check_isolation(config, trainer_argv)
            if crew.seats:
                return asyncio.run(_supervise(crew, ""))
            return asyncio.run(_live_alone(crew))


def run_seat(order: Order, stdin: BinaryIO) -> ExitCode:
    """One worker of a node with several: the part of its life that is not its supervisor's."""
    config = order.config
    with plain_failures(), held_state_dir(places.worker_dir(config.node_dir, order.seat)):
        key = load_identity(config.node_dir)
        agent = make_agent(config, key, order.seat)
        purse = make_purse(config, agent)
        challenge = load_challenge(order.challenge_dir)
        address = parse_address(order.host) if order.host else None
        crew = _crew(
            config,
            key,
            challenge,
            order.trainer_argv,
            agent=agent,
            purse=purse,
            coordinator=address.target if address else "none",
            link=Link.ONLINE if address else Link.SOLO,
            seat=order.seat,
        )
        crew = replace(
            crew,
            token=order.token,
            prepared_dir=order.challenge_dir,
            program=order.program,
            host=order.host,
        )
        living = _live_joined(crew, address) if address else _live_alone(crew)
        with last_word(crew.board):
            return asyncio.run(_heed(crew.stop, stdin, living))


async def _heed(stop: Stop, stdin: BinaryIO, living: Coroutine[None, None, ExitCode]) -> ExitCode:
    async with heeding(stop, stdin):
        return await living


async def _supervise(crew: Crew, host: str) -> ExitCode:
    """Gets ready once for all workers, then keeps them."""
    with on_signals(crew.stop):
        try:
            challenge_dir = await crew.stop.or_stopped(_get_ready(crew))
        except Aborted:
            return ExitCode.INTERRUPTED
        finally:
            crew.purse.close()  # each worker has its own look into it
        team = Team(
            config=crew.config,
            host=host,
            challenge_dir=challenge_dir,
            seats=crew.seats,
            trainer_argv=crew.trainer_argv,
            token=crew.token,
            program=crew.program,
            board=crew.board,
            stop=crew.stop,
        )
        async with controlled(crew.folder, team.answer):
            return await team.run()


def _check_isolation(config: Config, trainer_argv: tuple[str, ...]) -> None:
    found = require_isolation(trainer_argv, config.sandbox, os.environ)
    _log.info("sandbox", layers=", ".join(found.layers))
    for note in found.notes:
        _log.warning("sandbox", note=note)


async def choose_challenge(config: Config, host: str, address: Address) -> Challenge:
    """The challenge that the coordinator hosts, agreed to; the one of last time if it cannot be reached."""
    place = Place(host=host, ca_file=config.ca_file, insecure=config.insecure)
    folder = places.challenges_dir(config.node_dir)
    try:
        info = await reading(place, lambda reader: reader.server_info())
    except Unavailable as error:
        known = recall_challenge(config.node_dir, address.target, config.challenge)
        if known is None:
            raise
        _log.warning("the coordinator cannot be reached; beginning alone", reason=error.message)
        return known
    _check_protocol(info)
    text = find_hosted(info, config.challenge)
    if text is None:
        hosted = ", ".join(challenge.name for challenge in info.challenges) or "nothing"
        raise UnknownChallenge(f"{host} does not host {config.challenge!r}; it hosts: {hosted}")
    challenge = materialise(text, folder)
    terms = Terms.of(address.target, challenge, info.terms, is_held=config.sandbox != "none")
    try:
        ask_consent(terms, config.node_dir, agreed=config.yes)
    except ConsentMissing as error:
        raise Failed(str(error), ExitCode.USAGE) from error
    remember_challenge(config.node_dir, address.target, challenge)
    return challenge


async def _check_in(crew: Crew, address: Address) -> None:
    """Does the coordinator take this node with its token, hardware and challenge? Raises SwarmError.

    The session for work is opened when work can begin.
    """
    online = _online(crew, address)
    try:
        await online.connect(crew.hardware, crew.challenge.challenge_id)
    except Unavailable as error:
        _log.info("not checked in; the node will begin alone", reason=error.message)
    finally:
        await online.close()


def _online(crew: Crew, address: Address) -> GrpcSwarm:
    config, key = crew.config, crew.key
    return GrpcSwarm(
        open_channel(address, ca_file=config.ca_file, insecure=config.insecure),
        address.target,
        key,
        JoinTerms(token=crew.token, name=public_name(config, key), has_consented=True),
        node_version=version("autoresearch-swarm"),
    )


async def _live_joined(crew: Crew, address: Address) -> ExitCode:
    config, key, challenge = crew.config, crew.key, crew.challenge
    solo = SoloSwarm(places.solo_path(config.node_dir, challenge.challenge_id), challenge, key.node_id)
    outbox = Outbox(places.outbox_path(config.node_dir), now=utc_now)

    def on_change(is_online: bool, why: str) -> None:  # noqa: FBT001 - the link's callback protocol
        del why  # the link has logged it
        crew.board.step(LinkEvent.COORDINATOR_BACK if is_online else LinkEvent.COORDINATOR_LOST)

    def on_interval(interval_s: float) -> None:
        heartbeat.set_interval(interval_s)

    swarm = LinkedSwarm(_online(crew, address), solo, outbox, on_change=on_change, on_interval=on_interval)
    heartbeat = _heartbeat(crew, swarm)
    return await _live(crew, swarm, heartbeat)


async def _live_alone(crew: Crew) -> ExitCode:
    config, key, challenge = crew.config, crew.key, crew.challenge
    path = places.solo_path(config.node_dir, challenge.challenge_id)
    outbox = Outbox(places.outbox_path(config.node_dir), now=utc_now)
    swarm = AloneSwarm(path, challenge, key.node_id, outbox, now=utc_now)
    return await _live(crew, swarm, _heartbeat(crew, swarm))


def _heartbeat(crew: Crew, swarm: Swarm) -> Heartbeat:
    """Each worker renews its own leases; what the last of them does is shown for the node."""
    where = f" on {crew.seat}" if crew.seat else ""
    return Heartbeat(
        swarm.heartbeat, interval_s=HEARTBEAT_S, activity=lambda: f"{crew.board.state.label}{where}"
    )


async def _live(crew: Crew, swarm: Swarm, heartbeat: Heartbeat) -> ExitCode:
    """Gets ready, opens the session and runs the loop; the swarm is closed whatever happens."""
    adopt_orphans()
    commands = Commands(
        pauses=crew.pauses,
        stop=crew.stop,
        picture=crew.board.picture,
        research=researching(crew.agent),
    )
    async with controlled(crew.folder, commands.answer):
        if is_noted(crew.config.node_dir):  # read where the socket is open, so that no wish falls between
            crew.pauses.hold(Cause.OWNER, PAUSED_BY_OWNER)
        with on_signals(crew.stop):
            return await _live_controlled(crew, swarm, heartbeat)


async def _live_controlled(crew: Crew, swarm: Swarm, heartbeat: Heartbeat) -> ExitCode:
    try:
        challenge_dir = await crew.stop.or_stopped(_get_ready(crew))
        session = await crew.stop.or_stopped(swarm.connect(crew.hardware, crew.challenge.challenge_id))
        heartbeat.set_interval(session.heartbeat_interval_s)
        return await _work(crew, swarm, heartbeat, session, challenge_dir)
    except Aborted:
        return ExitCode.INTERRUPTED
    finally:
        await swarm.close()
        crew.purse.close()


async def _get_ready(crew: Crew) -> Path:
    if crew.prepared_dir is not None:
        return crew.prepared_dir
    folder = places.challenges_dir(crew.config.node_dir)
    challenge_dir = folder / crew.challenge.challenge_id
    if not challenge_dir.exists():  # alone, it comes from the installed trainer
        challenge_dir = find_challenge(crew.config.challenge or crew.challenge.name)
    await prepare(challenge_dir, environ=os.environ, argv=crew.trainer_argv)
    return challenge_dir


async def _work(
    crew: Crew, swarm: Swarm, heartbeat: Heartbeat, session: Session, challenge_dir: Path
) -> ExitCode:
    config = crew.config
    steward, hours = _steward(crew)
    facts = NodeFacts(
        node_id=crew.key.node_id,
        owner_id=session.owner_id,
        hardware=crew.hardware,
        challenge=crew.challenge,
    )
    first = session.program or program_of_challenge(crew.challenge.program_md)
    program = ProgramInForce(swarm.program, first, own=crew.program)
    scrub = scrubber(Identity.detect(config.node_dir, challenge_dir))

    def on_word() -> None:
        preparer.tell_news()

    swarm = with_desk(
        crew.agent,
        swarm,
        config=config,
        host=crew.host,
        facts=facts,
        leases=heartbeat,
        board=crew.board,
        scrub=scrub,
        tell_news=on_word,
    )
    preparer = Preparer(
        swarm=swarm,
        agent=crew.agent,
        leases=heartbeat,
        facts=facts,
        program=program,
        now=utc_now,
        on_note=lambda note: crew.board.learn(note=note),
        history_limit=config.agent_history,
        open_account=crew.purse.open_account,
        scrub=scrub,
    )
    loop = NodeLoop(
        preparer=preparer,
        trainer=MeteredTrainer(_trainer(crew, challenge_dir), hours),
        recorder=Recorder(
            swarm=swarm,
            notebook=_notebook(crew),
            board=crew.board,
            facts=facts,
            stop=crew.stop,
            scrub=scrub,
        ),
        agent=crew.agent,
        leases=heartbeat,
        board=crew.board,
        stop=crew.stop,
        pauses=crew.pauses,
        limits=Limits(pieces=_pieces(crew), max_hours=config.max_hours),
        baseline=crew.challenge.baseline_source.encode(),
        free_bytes=lambda: shutil.disk_usage(config.node_dir).free,
    )
    crew.board.learn(owner_id=session.owner_id)
    crew.board.step(WorkEvent.SESSION_OPENED)
    await steward.look()  # before the first work is taken
    beside = [
        asyncio.create_task(heartbeat.run(loop.hear_of_best, program.hear), name="heartbeat"),
        asyncio.create_task(steward.run(), name="steward"),
    ]
    try:
        ending = await loop.run()
    finally:
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    with contextlib.suppress(SwarmError):
        await heartbeat.beat_once()  # the last one says that this node has left
    return exit_code(ending, loop.why)


def _pieces(crew: Crew) -> Pieces:
    limit = crew.config.max_experiments
    if limit is None or not crew.seat:
        return CountedPieces(limit)
    return SharedPieces(places.pieces_path(crew.config.node_dir), limit, worker=crew.seat)


def exit_code(ending: Ending, why: str) -> ExitCode:
    """What a node's life came to. Raises Failed where it could not go on."""
    _log.info("left", because=why or ending.value)
    match ending:
        case Ending.DONE | Ending.DRAINED:
            return ExitCode.OK
        case Ending.ABORTED:
            return ExitCode.INTERRUPTED
        case Ending.BUDGET_SPENT:
            return ExitCode.BUDGET_SPENT
        case Ending.AGENT_UNUSABLE:
            raise Failed(why)
        case Ending.TRAINER_BROKEN:
            raise Failed(f"{ending.value}: see the log above, and run `autoresearch-node doctor`")


def _crew(
    config: Config,
    key: SigningKey,
    challenge: Challenge,
    trainer_argv: tuple[str, ...],
    *,
    agent: Agent,
    purse: Purse,
    coordinator: str = "none",
    link: Link = Link.ONLINE,
    seat: str = "",
) -> Crew:
    seats, hardware = ((), _hardware(config, challenge)) if seat else take_seats(config, challenge)
    board = Board(
        path=places.worker_dir(config.node_dir, seat) / STATUS_NAME,
        now=utc_now,
        facts={
            "name": public_name(config, key),
            "node_id": key.node_id,
            "coordinator": coordinator,
            "challenge": challenge.name,
            "challenge_id": challenge.challenge_id,
            "hardware_class": hardware.hardware_class,
            "agent": config.agent,
        },
        link=link,
    )
    pauses = Pauses(on_change=lambda reasons: board.learn(pauses=list(reasons)))
    return Crew(
        config=config,
        key=key,
        challenge=challenge,
        hardware=hardware,
        board=board,
        stop=Stop(),
        pauses=pauses,
        trainer_argv=trainer_argv,
        agent=agent,
        purse=purse,
        seats=seats,
        seat=seat,
    )


def take_seats(config: Config, challenge: Challenge) -> tuple[tuple[Seat, ...], Hardware]:
    """The seats of a node with several workers, none for one alone, and what each is. Raises Failed."""
    hardware = _hardware(config, challenge)
    try:
        cards = list_cards(hardware.device_kind, os.environ) if config.gpus else ()
        seats = choose_seats(config.gpus, config.workers, hardware.device_kind, cards)
        if not config.gpus:
            return seats, hardware
        found = {seat.name: _hardware(config, challenge, {**os.environ, **seat.environ}) for seat in seats}
        return seats, common_hardware(found)
    except SeatError as error:
        raise Failed(str(error), ExitCode.USAGE) from error


def _hardware(config: Config, challenge: Challenge, environ: Mapping[str, str] | None = None) -> Hardware:
    try:
        return detect_hardware(challenge.device_kinds, config.device, environ)
    except HardwareError as error:
        raise Failed(str(error)) from error


def make_agent(config: Config, key: SigningKey, seat: str = "") -> Agent:
    """Whoever has the ideas, as the settings say. Raises Failed."""
    match config.agent:
        case "search":
            node_id = f"{key.node_id}/{seat}" if seat else key.node_id
            return SearchAgent(node_id=node_id, seed=config.agent_seed)
        case "none":
            return NoAgent()
        case "mcp":
            return McpAgent(patience_s=config.agent_time_limit_s, seat=seat)
        case "anthropic":
            return anthropic_agent(config, os.environ)
        case "claude-code" | "codex" | "gemini" | "opencode":
            return coding_agent(config, os.environ)
        case "command":
            try:
                command = AgentCommand.parse(
                    config.agent_command,
                    time_limit_s=config.agent_time_limit_s,
                    variables=config.agent_variables,
                )
            except AgentError as error:
                raise Failed(str(error), ExitCode.USAGE) from error
            return CommandAgent(command=command, environ=os.environ)


def make_purse(config: Config, agent: Agent) -> Purse:
    """What agents may spend; an agent that costs is not begun with where all of it is spent."""
    budget = Budget(
        experiment=Cap(usd=config.budget_usd_experiment, tokens=config.budget_tokens_experiment),
        day=Cap(usd=config.budget_usd_day, tokens=config.budget_tokens_day),
        total=Cap(usd=config.budget_usd_total, tokens=config.budget_tokens_total),
        is_shared=config.workers > 1 or bool(config.gpus),
    )
    purse = Purse(places.purse_path(config.node_dir), budget, now=utc_now)
    if not agent.thinks_for_free:
        try:
            purse.check()
        except BudgetSpent as error:
            raise Failed(str(error), ExitCode.BUDGET_SPENT) from error
    return purse


def _trainer(crew: Crew, challenge_dir: Path) -> SubprocessTrainer:
    runs = places.runs_dir(crew.folder)
    shutil.rmtree(runs, ignore_errors=True)  # what a killed node left; this one holds the state dir
    command = TrainerCommand(
        argv=crew.trainer_argv,
        challenge_dir=challenge_dir,
        runs_dir=runs,
        device=crew.hardware.device_kind,
        sandbox=crew.config.sandbox,
    )
    scrub = scrubber(Identity.detect(crew.config.node_dir, challenge_dir))
    return SubprocessTrainer(command=command, challenge=crew.challenge, scrub=scrub, environ=os.environ)


def _steward(crew: Crew) -> tuple[Steward, GpuHours]:
    """Who keeps the owner's wishes, and the count that it goes by."""
    config, kind = crew.config, crew.hardware.device_kind

    def local_now() -> datetime:
        return utc_now().astimezone()

    hours = GpuHours(places.gpu_hours_path(config.node_dir), today=lambda: local_now().date())
    machine: Machine
    if kind == "cuda":
        machine = NvidiaMachine(visible=os.environ.get(VISIBLE[kind]))
    else:
        machine = HostMachine(root_pid=os.getppid() if crew.seat else os.getpid())
    manners = Manners(
        quiet=QuietHours.parse(config.quiet_hours) if config.quiet_hours else None,
        gpu_hours_day=config.max_gpu_hours_day,
        temperature_max_c=config.max_temperature_c,
        yields_to_others=config.pause_when_busy,
        rests_on_battery=config.pause_on_battery,
    )
    steward = Steward(manners=manners, machine=machine, hours=hours, pauses=crew.pauses, local_now=local_now)
    return steward, hours


def _notebook(crew: Crew) -> Workspace:
    challenge = crew.challenge
    root = places.notebook_dir(crew.folder, challenge.name, challenge.challenge_id)
    run_name = f"{utc_now():%Y%m%d-%H%M%S}-{new_id()[-4:]}"
    workspace = Workspace.open(root, challenge, run_name)
    _log.info("notebook", path=str(root), branch=f"run/{run_name}")
    return workspace


def public_name(config: Config, key: SigningKey) -> str:
    """Chosen by the owner, or made of the key: never the host's or the user's name."""
    return config.name or f"node-{key.node_id.removeprefix('n_')[:ANONYMOUS_NAME_CHARS]}"


def _check_protocol(info: ServerInfo) -> None:
    if not (info.protocol_min <= PROTOCOL_MAX and info.protocol_max >= PROTOCOL_MIN):
        raise ProtocolMismatch(
            f"the coordinator speaks protocol {info.protocol_min} to {info.protocol_max}, this node "
            f"{PROTOCOL_MIN} to {PROTOCOL_MAX}; update the older one"
        )


@contextmanager
def last_word(board: Board) -> Iterator[None]:
    """However a node ends, and however early, its board says that it has."""
    try:
        yield
    except Exception:
        board.fail()
        raise
    finally:
        board.leave()


@contextmanager
def on_signals(stop: Stop) -> Iterator[None]:
    """Ctrl-C once drains, twice aborts; SIGTERM aborts."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.interrupt)
    loop.add_signal_handler(signal.SIGTERM, stop.abort, "terminated")
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        loop.remove_signal_handler(signal.SIGTERM)


@contextmanager
def plain_failures() -> Iterator[None]:
    """Failures of the parts as failures of the command."""
    try:
        yield
    except (ChallengeError, KeyFileError, NotebookError, PrepareError) as error:
        raise Failed(str(error)) from error
    except SwarmError:
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise Failed(f"{error.strerror or error}{where}; look at the disk and the state dir") from error
