"""Opens the store that a URL names, or the embedded one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from autoresearch.errors import InvalidArgument, ReadOnly, Unavailable

from coordinator.storage.base import StoreServer
from coordinator.storage.binaries import find_server_program
from coordinator.storage.disk import FREE_DISK_MIN_BYTES, DiskWatermark
from coordinator.storage.embedded import EmbeddedServer
from coordinator.storage.memory import MemoryStoreServer
from coordinator.storage.redis import RedisStoreServer
from coordinator.storage.redis.server import EVENTS_KEPT

MEMORY = "memory"
SCHEMES = ("redis", "rediss", "unix", MEMORY)
REDIS_PORT = 6379
EXAMPLE = "redis://host:6379/0"


class EmbeddedStoreServer(RedisStoreServer):
    """The stores on a server of our own."""

    def __init__(self, process: EmbeddedServer, watermark: DiskWatermark, *, events_kept: int) -> None:
        super().__init__(
            process.url,
            description=f"embedded store in {process.folder}",
            check_writable=watermark.check,
            events_kept=events_kept,
        )
        self.process = process

    async def ensure_running(self) -> bool:
        """Starts the server again if it has died; True if it had. The next call then finds a new epoch."""
        return await self.process.ensure_running()

    async def watch(self, on_restart: Callable[[], Awaitable[None]]) -> None:
        """Keeps the server running until cancelled, and tells of each restart."""
        await self.process.watch(on_restart)

    async def close(self) -> None:
        """Ends connections, then the server."""
        await super().close()
        await self.process.stop()


async def open_store_server(
    url: str | None,
    data_dir: Path,
    *,
    allow_unsafe: bool = False,
    program: Path | None = None,
    events_kept: int = EVENTS_KEPT,
    min_free_bytes: int = FREE_DISK_MIN_BYTES,
) -> StoreServer:
    """Opens a store, ready for use.

    Args:
        url: ``redis://``, ``rediss://``, ``unix://`` or ``memory://``; None for the embedded server.
        data_dir: where the embedded server keeps its files.
        allow_unsafe: takes a store that may evict or forget records, such as ``memory://``.
        program: the embedded server's executable instead of the one found on PATH or in the extra.
        events_kept: length to which each challenge's event stream is trimmed, about.
        min_free_bytes: free disk below which the embedded store takes no writes.

    Raises:
        InvalidArgument: the URL names no store; says what to give.
        Conflict: another coordinator holds the data directory.
        ReadOnly: the store is unsafe; says what to set.
        Unavailable: the server cannot be reached or started.
    """
    if url is None:
        process = EmbeddedServer(data_dir, program or find_server_program())
        await process.start()
        watermark = DiskWatermark(data_dir, min_free_bytes=min_free_bytes)
        return EmbeddedStoreServer(process, watermark, events_kept=events_kept)
    place = _place_of(url)
    if place == MEMORY:
        if not allow_unsafe:
            raise ReadOnly(
                "a store in memory ends with the coordinator and loses every result: leave --store out for "
                "one on disk (or pass --allow-unsafe-store to try out)"
            )
        return MemoryStoreServer()
    server = RedisStoreServer(url, description=place, events_kept=events_kept)
    try:
        await server.check_safe(allow_unsafe=allow_unsafe)
    except Unavailable as error:
        await server.close()
        raise Unavailable(
            f"{error.message} ({place}); start that server, or leave --store out for an own one"
        ) from error
    except BaseException:
        await server.close()
        raise
    return server


def _place_of(url: str) -> str:
    """How an operator knows the store at the URL; never has its password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        # Not the parser's own words: they may quote a password.
        raise InvalidArgument(
            f"the store's URL has no readable host and port: give one like {EXAMPLE}"
        ) from error
    if parts.scheme not in SCHEMES:
        raise InvalidArgument(f"store URL {parts.scheme}://... is not one of {', '.join(SCHEMES)}")
    if parts.scheme == MEMORY:
        return MEMORY
    if parts.scheme == "unix":
        if not parts.path:
            raise InvalidArgument("the store's URL names no socket: give one like unix:///run/redis.sock")
        return f"unix store at {parts.path}"
    _check_database(parts.path)
    if not host:
        raise InvalidArgument(f"the store's URL names no host: give one like {EXAMPLE}")
    return f"{parts.scheme} store at {host}:{port or REDIS_PORT}"


def _check_database(path: str) -> None:
    number = path.strip("/")
    if number and not (number.isascii() and number.isdigit()):
        raise InvalidArgument(f"the store's URL names no database by its number: give one like {EXAMPLE}")
