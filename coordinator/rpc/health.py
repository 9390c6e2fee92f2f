"""The standard health service, and the watch over the store that decides what it says."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import structlog
from autoresearch.errors import SwarmError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from coordinator.storage.base import StoreServer

LOOK_S = 2.0
WRITING = ("", "autoresearch.v1.SwarmService", "autoresearch.v1.IdeaService", "autoresearch.v1.AdminService")
"""Services that serve while the store takes writes; the empty name is the coordinator as a whole."""
READING = ("autoresearch.v1.LeaderboardService",)

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_log = structlog.get_logger("coordinator.health")


class StoreWatch:
    """Looks at the store and tells the health service.

    Readers are answered from memory, so they are served whatever the store does.
    """

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._servicer = health.aio.HealthServicer()
        self._reason: str | None = None

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the health service."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def look(self) -> str:
        """One look; the store's description."""
        try:
            found = await self._server.health()
        except SwarmError as error:
            await self._say(error.message)
            return error.message
        await self._say("" if found.is_writable else found.reason or "the store takes no writes")
        return found.description

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def say_goodbye(self) -> None:
        """NOT_SERVING from now on, whatever is seen later."""
        await self._servicer.enter_graceful_shutdown()

    async def _say(self, reason: str) -> None:
        if reason == self._reason:
            return
        if reason:
            _log.error("the store takes no writes", why=reason)
        elif self._reason:
            _log.info("the store takes writes again")
        self._reason = reason
        for service in WRITING:
            await self._servicer.set(service, _NOT_SERVING if reason else _SERVING)
        for service in READING:
            await self._servicer.set(service, _SERVING)
