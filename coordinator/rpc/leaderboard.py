"""LeaderboardService: what readers see."""

from __future__ import annotations

from typing import Any

import grpc.aio
from autoresearch import codec
from autoresearch.v1 import leaderboard_pb2 as pb
from autoresearch.v1 import leaderboard_pb2_grpc

from coordinator.services.leaderboard import Leaderboard
from coordinator.services.swarm import SwarmServices

Context = grpc.aio.ServicerContext[Any, Any]


class LeaderboardServicer(leaderboard_pb2_grpc.LeaderboardServiceServicer):
    """Read only."""

    def __init__(self, services: SwarmServices) -> None:
        self._services = services

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusReply:  # noqa: N802
        del context
        return codec.swarm_status_to_message(await self._of(codec.challenge_of(request)).get_status())

    async def ListExperiments(  # noqa: N802
        self, request: pb.ListExperimentsRequest, context: Context
    ) -> pb.ListExperimentsReply:
        del context
        call = codec.list_experiments_call_from_message(request)
        return codec.experiment_page_to_message(await self._of(call.challenge).list_experiments(call.query))

    async def GetExperiment(  # noqa: N802
        self, request: pb.GetExperimentRequest, context: Context
    ) -> pb.GetExperimentReply:
        del context
        call = codec.get_experiment_call_from_message(request)
        summary, results = await self._of(call.challenge).get_experiment(call.experiment)
        return codec.experiment_detail_to_message(summary, results)

    async def GetSource(self, request: pb.GetSourceRequest, context: Context) -> pb.GetSourceReply:  # noqa: N802
        del context
        call = codec.get_source_call_from_message(request)
        source_hash, source = await self._of(call.challenge).get_source(
            reference=call.experiment or "", source_hash=call.source_hash or ""
        )
        return codec.source_to_message(source, source_hash)

    async def ListNodes(self, request: pb.ListNodesRequest, context: Context) -> pb.ListNodesReply:  # noqa: N802
        del context
        return codec.nodes_to_message(await self._of(codec.challenge_of(request)).list_nodes())

    async def GetProgress(self, request: pb.GetProgressRequest, context: Context) -> pb.GetProgressReply:  # noqa: N802
        del context
        call = codec.get_progress_call_from_message(request)
        return codec.progress_to_message(await self._of(call.challenge).get_progress(call.hardware_class))

    async def Compare(self, request: pb.CompareRequest, context: Context) -> pb.CompareReply:  # noqa: N802
        del context
        call = codec.compare_call_from_message(request)
        return codec.comparison_to_message(await self._of(call.challenge).compare(call.experiments))

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchReply:  # noqa: N802
        del context
        call = codec.search_call_from_message(request)
        found = await self._services.challenge(call.challenge).search.search(call.query)
        return codec.search_findings_to_message(found)

    async def ListPrograms(self, request: pb.ListProgramsRequest, context: Context) -> pb.ListProgramsReply:  # noqa: N802
        del context
        call = codec.list_programs_call_from_message(request)
        programs = self._services.challenge(call.challenge).programs
        return codec.program_rows_to_message(await programs.rows(call.hardware_class))

    def _of(self, challenge: str) -> Leaderboard:
        return self._services.challenge(challenge).leaderboard
