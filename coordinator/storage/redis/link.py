"""The way to one server: runs scripts and reads, and says in the swarm's errors what went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from autoresearch.errors import Internal, ReadOnly, SwarmError, Unavailable
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from coordinator.storage.redis.keys import KeySpace
from coordinator.storage.redis.scripts import Script, load_scripts

Arg = str | bytes | int | float
Reply = Any
"""What a script or command answers: nested lists of bytes and integers, read where it is asked for."""

Execute = Callable[..., Awaitable[Reply]]

CONNECTIONS_MAX = 32
"""Commands in flight at once; more wait for one of them to end."""

BLOCKING_READS_MAX = 256
"""Event readers that wait at once, each on a connection of its own."""

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
POOL_TIMEOUT_S = 10.0
RETRIES = 2
RETRY_BASE_S = 0.02
RETRY_CAP_S = 0.2

_READ_ONLY_CODES = ("OOM", "MISCONF", "NOREPLICAS")
_UNAVAILABLE_CODES = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED")
_DENIED_CODES = ("NOAUTH", "WRONGPASS", "NOPERM")
_NOT_SERVING = (ReadOnlyError, ClusterDownError, MasterDownError, TryAgainError)


class Link:
    """Connections to one server.

    A broken connection is tried again a few times: every transition is harmless when repeated.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        check_writable: raises ``ReadOnly`` when nothing may be written; asked before each transition.
    """

    def __init__(self, url: str, *, check_writable: Callable[[], None] | None = None) -> None:
        self.url = url
        self._commands = _client(url, connections=CONNECTIONS_MAX, timeout_s=COMMAND_TIMEOUT_S)
        # Readers that wait must not use up the connections of those who work.
        self._waiting = _client(url, connections=BLOCKING_READS_MAX, timeout_s=None)
        self._execute: Execute = self._commands.execute_command
        self._execute_waiting: Execute = self._waiting.execute_command
        self._check_writable = check_writable

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Reply:
        """Runs one transition.

        Raises:
            Unavailable: the server cannot be reached or does not serve.
            ReadOnly: it, or the disk's watermark, takes no writes.
        """
        if script.writes and self._check_writable is not None:
            self._check_writable()
        async with _translated():
            try:
                return await self._execute("EVALSHA", script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return await self._execute("EVAL", script.text, len(keys), *keys, *args)

    async def command(self, *parts: Arg) -> Reply:
        """Runs one command that reads."""
        async with _translated():
            return await self._execute(*parts)

    async def read_together(self, *commands: Sequence[Arg]) -> list[Reply]:
        """Runs commands that read in one round trip; not atomic."""
        async with _translated():
            pipeline: Pipeline = self._commands.pipeline(transaction=False)
            for parts in commands:
                pipeline.execute_command(*parts)
            return list(await pipeline.execute())

    async def wait_for_entries(self, stream: str, after: str, *, limit: int, block_s: float) -> Reply:
        """Waits for entries of a stream after an id; None when there were none."""
        async with _translated():
            return await self._execute_waiting(
                "XREAD", "COUNT", limit, "BLOCK", max(1, int(block_s * 1000)), "STREAMS", stream, after
            )

    async def close(self) -> None:
        """Ends all connections."""
        for client in (self._commands, self._waiting):
            await client.aclose()
            await client.connection_pool.disconnect()


class ScriptRunner:
    """One hash tag on a server, with the transitions that run on its keys."""

    def __init__(self, link: Link, tag: str, *, events_kept: int) -> None:
        self.link = link
        self.keys = KeySpace(tag)
        self._scripts = {
            name: (script, [self.keys.named(key) for key in script.keys])
            for name, script in load_scripts(events_kept).items()
        }

    async def run(
        self, name: str, args: Sequence[Arg], more_keys: Sequence[str] = (), **renamed: str
    ) -> Reply:
        """Runs a transition by its name; ``renamed`` gives full names for keys that its header names."""
        script, keys = self._scripts[name]
        if renamed:
            keys = [renamed.get(key) or self.keys.named(key) for key in script.keys]
        return await self.link.run(script, [*keys, *more_keys], args)


def _client(url: str, *, connections: int, timeout_s: float | None) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=POOL_TIMEOUT_S,
        protocol=2,
        decode_responses=False,
        socket_timeout=timeout_s,
        retry=Retry(
            ExponentialBackoff(cap=RETRY_CAP_S, base=RETRY_BASE_S),
            RETRIES,
            supported_errors=(RedisConnectionError,),
        ),
        **({} if url.startswith("unix:") else {"socket_connect_timeout": CONNECT_TIMEOUT_S}),
    )
    return Redis(connection_pool=pool)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        _raise_translated(error)


def _raise_translated(error: RedisError | OSError) -> NoReturn:
    raise translate(error) from error


def translate(error: RedisError | OSError) -> SwarmError:
    """What a failure of the client means for the swarm."""
    text = str(error) or type(error).__name__
    code = text.split(" ", 1)[0]
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return Unavailable(f"the store did not answer in time: {text}; try again")
    if isinstance(error, OutOfMemoryError) or code in _READ_ONLY_CODES:
        return ReadOnly(f"the store takes no writes: {text}")
    if isinstance(error, AuthenticationError | NoPermissionError) or code in _DENIED_CODES:
        return Unavailable(f"the store refuses this coordinator: {text}; check the URL's user and password")
    is_serving = isinstance(error, ResponseError) and not isinstance(error, _NOT_SERVING)
    if is_serving and code not in _UNAVAILABLE_CODES:
        return Internal(f"the store answered with an error: {text}")
    return Unavailable(f"the store cannot be reached: {text}")
