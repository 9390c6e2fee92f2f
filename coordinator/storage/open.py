"""Opens the store that a URL names, or the embedded one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from autoresearch.errors import InvalidArgument

from coordinator.storage.base import StoreServer
from coordinator.storage.binaries import find_server_program
from coordinator.storage.disk import FREE_DISK_MIN_BYTES, DiskWatermark
from coordinator.storage.embedded import EmbeddedServer
from coordinator.storage.memory import MemoryStoreServer
from coordinator.storage.redis import RedisStoreServer
from coordinator.storage.redis.server import EVENTS_KEPT

SCHEMES = ("redis", "rediss", "unix", "memory")


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
        allow_unsafe: takes an external server that may evict or forget records.
        program: the embedded server's executable instead of the one found on PATH or in the extra.
        events_kept: length to which each challenge's event stream is trimmed, about.
        min_free_bytes: free disk below which the embedded store takes no writes.

    Raises:
        InvalidArgument: the URL's scheme is unknown.
        Conflict: another coordinator holds the data directory.
        ReadOnly: the external server is unsafe; says what to set.
        Unavailable: the server cannot be reached or started.
    """
    if url is None:
        process = EmbeddedServer(data_dir, program or find_server_program())
        await process.start()
        watermark = DiskWatermark(data_dir, min_free_bytes=min_free_bytes)
        return EmbeddedStoreServer(process, watermark, events_kept=events_kept)
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStoreServer()
    if parts.scheme not in SCHEMES:
        raise InvalidArgument(f"store URL {parts.scheme}://... is not one of {', '.join(SCHEMES)}")
    place = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
    server = RedisStoreServer(url, description=f"{parts.scheme} store at {place}", events_kept=events_kept)
    try:
        await server.check_safe(allow_unsafe=allow_unsafe)
    except BaseException:
        await server.close()
        raise
    return server
