"""The one place that composes a coordinator: store, identities, services, RPC; and takes it down in order.

Going down: health says NOT_SERVING, watchers are sent away, running calls get their grace, then the
services end, and the store last of all, because everything before may still write to it.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog
from autoresearch.challenge import Challenge, find_challenge, load_challenge
from autoresearch.limits import REPLY_LIMIT_BYTES, REQUEST_LIMIT_BYTES
from autoresearch.signing import SigningKey
from autoresearch.v1 import admin_pb2_grpc, ideas_pb2_grpc, leaderboard_pb2_grpc, swarm_pb2_grpc

from coordinator.auth.keys import KeyAuthenticator, load_operator_key
from coordinator.config import DEFAULT_ADDRESS, Config, ConfigError, is_loopback, split_address
from coordinator.dedup.embedder import SentenceTransformerEmbedder
from coordinator.rpc.admin import AdminServicer
from coordinator.rpc.health import READING, WRITING, StoreWatch
from coordinator.rpc.ideas import IdeaServicer
from coordinator.rpc.interceptor import CallInterceptor, CallLimits
from coordinator.rpc.leaderboard import LeaderboardServicer
from coordinator.rpc.limits import IN_FLIGHT_PER_NODE, STREAMS_PER_CALLER, InFlight, RateLimit
from coordinator.rpc.swarm import SwarmServicer
from coordinator.rpc.watching import EventHub
from coordinator.services.challenge import ChallengeServices
from coordinator.services.settings import ServiceSettings
from coordinator.services.swarm import SwarmServices, check_hosted
from coordinator.storage.base import StoreServer

PING_INTERVAL_MIN_MS = 10_000
"""Clients that ping more often are sent away; ours ping every 30 s."""
KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
METADATA_LIMIT_BYTES = 16 * 1024
STORE_FOLDER = "store"
"""Of the embedded store, in the data folder."""
NO_MODEL = "none"
CANCEL_AGAIN_S = 1.0
_MEBIBYTE = 1024**2

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),  # a taken port is an error, not a second server
    ("grpc.max_receive_message_length", REQUEST_LIMIT_BYTES),
    ("grpc.max_send_message_length", REPLY_LIMIT_BYTES),
    ("grpc.max_metadata_size", METADATA_LIMIT_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
)

_log = structlog.get_logger("coordinator.server")


class AddressTaken(OSError):
    """The address cannot be listened on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCoordinator:
    """A coordinator that answers at ``address``."""

    address: str
    challenges: tuple[Challenge, ...]
    operator_key: SigningKey
    services: SwarmServices
    store: str


@asynccontextmanager
async def running_coordinator(
    config: Config,
    *,
    store: StoreServer | None = None,
    challenges: Sequence[Challenge] | None = None,
) -> AsyncIterator[RunningCoordinator]:
    """A coordinator for the length of the block; leaving it is a graceful stop.

    Args:
        config: settings; port 0 in ``listen`` takes a free one.
        store: used instead of the configured one, and left open.
        challenges: hosted instead of the configured ones.

    Raises:
        AddressTaken: somebody else listens there.
        ChallengeError: a challenge is unknown or cannot be read.
        ChallengeUnfrozen: a challenge has no hashes yet.
        ConfigError: a file that a setting names cannot be read.
        InvalidArgument: the challenges cannot be hosted together, or the store's URL names none.
        ReadOnly: the store could lose results.
        Unavailable: the store cannot be reached.
    """
    hosted = tuple(challenges) if challenges is not None else _load_challenges(config.challenges)
    check_hosted(hosted)  # before anything is made or started
    operator_key = load_operator_key(config.data_dir)
    async with AsyncExitStack() as down:
        if store is None:
            store = await _open_store(config, down)
        services = SwarmServices(store, hosted, _service_settings(config), embedder=_embedder(config))
        down.push_async_callback(services.close)
        await services.start()
        watch = StoreWatch(store)
        hubs = {entry.challenge.challenge_id: _hub_of(entry) for entry in services.challenges}
        authenticator = KeyAuthenticator(
            store.identity_store(), {operator_key.node_id: operator_key.public_key}
        )
        interceptor = CallInterceptor(authenticator, _call_limits(config))
        rpc = grpc.aio.server(interceptors=(interceptor,), options=_OPTIONS)
        swarm = SwarmServicer(
            services,
            hubs,
            watchers=InFlight("watchers", total_max=config.watchers, per_key_max=STREAMS_PER_CALLER),
            feeds=InFlight("feeds", total_max=config.feeds, per_key_max=config.feeds),
            forget_node=authenticator.forget,
        )
        _register(rpc, swarm, services)
        watch.add_to(rpc)
        if config.reflection:
            _add_reflection(rpc)
        address = _bind(rpc, config)
        description = await watch.look()
        for work in (watch.run(), *(hub.run() for hub in hubs.values())):
            down.push_async_callback(_end, _begin(work))
        await rpc.start()
        down.push_async_callback(rpc.stop, config.grace_s)
        for hub in hubs.values():
            down.callback(hub.close)
        down.push_async_callback(watch.say_goodbye)
        yield RunningCoordinator(
            address=address,
            challenges=hosted,
            operator_key=operator_key,
            services=services,
            store=description,
        )


def serve_until_told(config: Config, *, tell: Callable[[str], None]) -> bool:
    """Serves until SIGINT or SIGTERM, then stops in order; True if it was SIGINT.

    A second signal does not wait for the order.
    """
    return asyncio.run(_serve(config, tell)) is signal.SIGINT


async def _serve(config: Config, tell: Callable[[str], None]) -> signal.Signals:
    loop = asyncio.get_running_loop()
    told: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
        told.set_result(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    async with running_coordinator(config) as running:
        for line in describe(running, config):
            tell(line)
        number = await told
        tell("stopping: running calls end first, then the store")
    return number


def describe(running: RunningCoordinator, config: Config) -> list[str]:
    """What an operator needs to know next."""
    host, port = split_address(running.address)
    reachable = running.address if is_loopback(running.address) else f"HOST:{port}"
    operator = f" --address {running.address}" if running.address != DEFAULT_ADDRESS else ""
    if config.data_dir != Config().data_dir:
        operator += f" --data-dir {config.data_dir}"
    if host in ("0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        operator = operator.replace(running.address, f"127.0.0.1:{port}")
    names = ", ".join(f"{challenge.name} ({challenge.challenge_id})" for challenge in running.challenges)
    return [
        f"listening   {running.address}{'' if config.has_tls else ' (no TLS)'}",
        f"challenge   {names}",
        f"store       {running.store}",
        f"data        {config.data_dir}",
        f"join        autoresearch-node join {reachable}"
        + (" --token-file FILE" if config.enrolment == "token" else ""),
        f"tokens      autoresearch-coordinator token create OWNER{operator}",
        f"look        autoresearch-coordinator status{operator.partition(' --data-dir')[0]}",
    ]


def _load_challenges(names: Sequence[str]) -> tuple[Challenge, ...]:
    return tuple(load_challenge(find_challenge(name)) for name in names)


async def _open_store(config: Config, down: AsyncExitStack) -> StoreServer:
    # Needs the [coordinator] extra, which whoever brings a store of their own can do without.
    from coordinator.storage.open import EmbeddedStoreServer, open_store_server  # noqa: PLC0415

    store = await open_store_server(
        config.store,
        config.data_dir / STORE_FOLDER,
        allow_unsafe=config.allow_unsafe_store,
        min_free_bytes=config.free_disk_min_mb * _MEBIBYTE,
    )
    down.push_async_callback(store.close)
    if isinstance(store, EmbeddedStoreServer):
        down.push_async_callback(_end, _begin(store.watch(_note_restart)))
    return store


async def _note_restart() -> None:
    _log.warning("the embedded store was started again")


def _service_settings(config: Config) -> ServiceSettings:
    return ServiceSettings(
        version=version("autoresearch-swarm"),
        is_enrolment_open=config.enrolment == "open",
        lease_ttl_s=config.lease_ttl_s,
        heartbeat_interval_s=config.heartbeat_interval_s,
        claims_per_node=config.claims_per_node,
    )


def _embedder(config: Config) -> SentenceTransformerEmbedder | None:
    if config.embedding_model == NO_MODEL:
        return None
    return SentenceTransformerEmbedder(config.embedding_model, config.embedding_revision)


def _call_limits(config: Config) -> CallLimits:
    return CallLimits(
        per_peer=RateLimit("address", per_s=config.calls_per_peer_s),
        per_node=RateLimit("node", per_s=config.calls_per_node_s),
        in_flight=InFlight("calls", total_max=config.calls_in_flight, per_key_max=config.calls_in_flight),
        in_flight_per_node=InFlight(
            "calls", total_max=config.calls_in_flight, per_key_max=IN_FLIGHT_PER_NODE
        ),
        streams=InFlight(
            "watch streams",
            total_max=config.watchers + config.feeds,
            per_key_max=max(STREAMS_PER_CALLER, config.feeds),
        ),
    )


def _hub_of(entry: ChallengeServices) -> EventHub:
    return EventHub(entry.store, entry.store.position, entry.leaderboard.working_bests)


def _register(rpc: grpc.aio.Server, swarm: SwarmServicer, services: SwarmServices) -> None:
    added: tuple[tuple[Any, Any], ...] = (
        (swarm_pb2_grpc.add_SwarmServiceServicer_to_server, swarm),
        (leaderboard_pb2_grpc.add_LeaderboardServiceServicer_to_server, LeaderboardServicer(services)),
        (ideas_pb2_grpc.add_IdeaServiceServicer_to_server, IdeaServicer(services)),
        (admin_pb2_grpc.add_AdminServiceServicer_to_server, AdminServicer(services)),
    )
    for add, servicer in added:
        add(servicer, rpc)


def _add_reflection(rpc: grpc.aio.Server) -> None:
    reflection = importlib.import_module("grpc_reflection.v1alpha.reflection")  # wanted by few

    reflection.enable_server_reflection((*WRITING[1:], *READING, reflection.SERVICE_NAME), rpc)


def _bind(rpc: grpc.aio.Server, config: Config) -> str:
    host, wanted_port = split_address(config.listen)
    try:
        _look_whether_free(host, wanted_port)
        if config.tls_cert is not None and config.tls_key is not None:
            pair = (_read(config.tls_key), _read(config.tls_cert))
            port = rpc.add_secure_port(config.listen, grpc.ssl_server_credentials([pair]))
        else:
            port = rpc.add_insecure_port(config.listen)
    except (RuntimeError, OSError) as error:
        raise AddressTaken(
            f"cannot listen on {config.listen}: another program does, or the address is not this machine's; "
            "choose another with --listen"
        ) from error
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _look_whether_free(host: str, port: int) -> None:
    """Raise OSError where an address is taken: gRPC would tell of it in words of its own on stderr."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror}); check --tls-cert and --tls-key") from error


def _begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    task.add_done_callback(_report_death)
    return task


def _report_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("background task died", task=repr(task.get_coro()), exc_info=error)


async def _end(task: asyncio.Task[None]) -> None:
    # On Python 3.11 a cancellation that meets the end of a timed wait is lost: it is asked for again.
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
