"""One Redis or Valkey server as a home of stores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from autoresearch.errors import ReadOnly, SwarmError, Unavailable
from autoresearch.model import utc_now

from coordinator.storage.base import Direction, StoreHealth
from coordinator.storage.redis.claims import RedisClaims
from coordinator.storage.redis.identity import RedisIdentity
from coordinator.storage.redis.insights import RedisInsights
from coordinator.storage.redis.link import Link, Reply, ScriptRunner
from coordinator.storage.redis.overview import RedisEvents, RedisOverview
from coordinator.storage.redis.programs import RedisPrograms
from coordinator.storage.redis.publishing import RedisPublishing
from coordinator.storage.redis.queue import RedisQueue
from coordinator.storage.redis.reading import RedisReading
from coordinator.storage.redis.records import RecordCodec
from coordinator.storage.redis.sources import SourceShelf

EVENTS_KEPT = 40_000
"""Entries of a challenge's event stream before the oldest are trimmed: some 13,000 experiments, 8 MB.
Who was away longer gets a snapshot."""

IDENTITY_TAG = "identity"
VERSION_MIN = (7, 0)
SAFE_POLICY = "noeviction"
SAFE_FSYNC = "always"


class RedisStore(
    RedisClaims,
    RedisPublishing,
    RedisReading,
    RedisOverview,
    RedisEvents,
    RedisQueue,
    RedisInsights,
    RedisPrograms,
):
    """All of one challenge's state, on a server."""

    def __init__(self, runner: ScriptRunner, *, direction: Direction) -> None:
        self._runner = runner
        self._direction = direction
        self._codec = RecordCodec()
        self._shelf = SourceShelf(runner)

    async def close(self) -> None:
        """The server's connections are shared and end with it."""


class RedisStoreServer:
    """The stores on one server.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        description: how an operator knows the server; never has a password.
        check_writable: raises ``ReadOnly`` while nothing may be written.
        events_kept: length to which each challenge's event stream is trimmed, about.
    """

    def __init__(
        self,
        url: str,
        *,
        description: str,
        check_writable: Callable[[], None] | None = None,
        events_kept: int = EVENTS_KEPT,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.description = description
        self._check_writable = check_writable
        self._events_kept = events_kept
        self._clock = clock
        self._link = Link(url, check_writable=check_writable)
        self._stores: dict[str, RedisStore] = {}
        self._identity = RedisIdentity(ScriptRunner(self._link, IDENTITY_TAG, events_kept=events_kept))

    def challenge_store(self, challenge_id: str, *, direction: Direction = "lower") -> RedisStore:
        """The store of one challenge; the same one each time."""
        if challenge_id not in self._stores:
            runner = ScriptRunner(self._link, challenge_id, events_kept=self._events_kept)
            self._stores[challenge_id] = RedisStore(runner, direction=direction)
        return self._stores[challenge_id]

    def identity_store(self) -> RedisIdentity:
        """The store of nodes and tokens."""
        return self._identity

    async def health(self) -> StoreHealth:
        """Asks the server for its memory and whether it persists; never raises."""
        reason, used = "", 0
        try:
            used = int((await self._read_info("memory"))["used_memory"])
            reason = _persistence_trouble(await self._read_info("persistence"))
            if self._check_writable is not None:
                self._check_writable()
        except SwarmError as error:
            reason = error.message
        except OSError as error:
            reason = f"the store's disk cannot be asked: {error}"
        return StoreHealth(
            description=self.description,
            is_writable=not reason,
            reason=reason,
            used_memory_bytes=used,
            checked_at=self._clock(),
        )

    async def check_safe(self, *, allow_unsafe: bool) -> None:
        """Refuses a server that is too old, that may evict records, or that answers before its disk has them.

        Raises:
            ReadOnly: with what to set; nothing was written.
            Unavailable: the server cannot be reached or is older than Redis 7.0.
        """
        version = (await self._read_info("server"))["redis_version"]
        if tuple(int(part) for part in version.split(".")[:2]) < VERSION_MIN:
            raise Unavailable(f"{self.description} runs Redis {version}: 7.0 or later is needed")
        if allow_unsafe:
            return
        policy = (await self._read_info("memory")).get("maxmemory_policy", SAFE_POLICY)
        if policy != SAFE_POLICY:
            raise ReadOnly(
                f"{self.description} has maxmemory-policy {policy}, which deletes results when memory is "
                f"short: run CONFIG SET maxmemory-policy {SAFE_POLICY} and keep it in its configuration"
            )
        is_appending = (await self._read_info("persistence")).get("aof_enabled") == "1"
        if not is_appending or await self._fsync_policy() != SAFE_FSYNC:
            raise ReadOnly(
                f"{self.description} may acknowledge a result before it is on disk, so a crash loses it: run "
                f"CONFIG SET appendonly yes and CONFIG SET appendfsync {SAFE_FSYNC}, and keep both in its "
                "configuration (or pass --allow-unsafe-store to try out)"
            )

    async def _fsync_policy(self) -> str:
        try:
            reply = await self._link.command("CONFIG", "GET", "appendfsync")
        except SwarmError:
            return ""  # a server that hides its settings has not shown that it is safe
        return _config_value(reply)

    async def _read_info(self, section: str) -> dict[str, str]:
        return read_info(await self._link.command("INFO", section))

    async def close(self) -> None:
        """Ends connections."""
        await self._link.close()


def read_info(reply: Reply) -> dict[str, str]:
    """The reply to INFO as text by name, whether the client has read it or not."""
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in reply.items()}
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _config_value(reply: Reply) -> str:
    values = list(reply.values()) if isinstance(reply, dict) else reply[1::2]
    first = values[0] if values else b""
    return first.decode() if isinstance(first, bytes) else str(first)


def _persistence_trouble(info: dict[str, str]) -> str:
    if info.get("aof_enabled") == "1" and info.get("aof_last_write_status") == "err":
        return "the store cannot write its append-only file: free disk space on its machine"
    if info.get("rdb_last_bgsave_status") == "err":
        return "the store cannot save its snapshot: look at its log, and free disk space on its machine"
    return ""
