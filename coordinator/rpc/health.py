"""The standard health service, and the watch over the store that decides what it says."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import grpc
import structlog
from autoresearch.errors import SwarmError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coordinator.rpc.writes import WriteGate
from coordinator.storage.base import StoreServer

LOOK_S = 5.0
SERVICES = tuple(
    f"autoresearch.v1.{name}"
    for name in ("SwarmService", "LeaderboardService", "IdeaService", "AdminService")
)
_MB = 1024 * 1024

_log = structlog.get_logger("coordinator.health")


class StoreWatch:
    """Looks at the store and its disk, closes the gate for writes and tells the health service."""

    def __init__(
        self,
        server: StoreServer,
        gate: WriteGate,
        *,
        folder: Path,
        free_min_mb: int,
        services: Sequence[str] = SERVICES,
    ) -> None:
        """Keeps ``free_min_mb`` of the disk that holds ``folder`` free."""
        self._server = server
        self._gate = gate
        self._folder = folder
        self._free_min_mb = free_min_mb
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()
        self._status: int | None = None

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the health service."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def look(self) -> str:
        """One look; the store's description, or what is wrong with it."""
        try:
            found = await self._server.health()
        except SwarmError as error:
            await self._say(health_pb2.HealthCheckResponse.NOT_SERVING, why=error.message)
            return error.message
        free_mb = shutil.disk_usage(self._folder).free // _MB
        reason = "" if found.is_writable else found.reason
        if free_mb < self._free_min_mb:
            reason = (
                f"{free_mb} MB of disk are free in {self._folder}, and {self._free_min_mb} MB have to stay so"
            )
        if reason != self._gate.reason:
            _log.warning("read-only" if reason else "takes writes again", why=reason)
        self._gate.set_reason(reason)
        await self._say(health_pb2.HealthCheckResponse.SERVING, why="")
        return found.description

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def say_goodbye(self) -> None:
        """NOT_SERVING from now on, whatever is seen later."""
        await self._servicer.enter_graceful_shutdown()

    async def _say(self, status: int, *, why: str) -> None:
        if status == self._status:
            return
        if why:
            _log.error("store out of reach", why=why)
        self._status = status
        for service in self._services:
            await self._servicer.set(service, status)
