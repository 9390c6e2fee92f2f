"""AdminService: what an operator does."""

from __future__ import annotations

from typing import Any

import grpc.aio
from autoresearch import codec
from autoresearch.v1 import admin_pb2 as pb
from autoresearch.v1 import admin_pb2_grpc

from coordinator.services.swarm import SwarmServices

Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """Enrolment tokens, and the swarm's program.md."""

    def __init__(self, services: SwarmServices) -> None:
        self._services = services
        self._admin = services.admin

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenReply:  # noqa: N802
        del context
        call = codec.create_token_call_from_message(request)
        token, text = await self._admin.create_token(
            owner_id=call.owner_id, uses=call.uses, expires_in_s=call.expires_in_s
        )
        return codec.created_token_to_message(token.token_id, text)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensReply:  # noqa: N802
        del request, context
        return codec.tokens_to_message(await self._admin.list_tokens())

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Context) -> pb.RevokeTokenReply:  # noqa: N802
        del context
        await self._admin.revoke_token(codec.revoked_token_of(request))
        return pb.RevokeTokenReply()

    async def SetProgram(self, request: pb.SetProgramRequest, context: Context) -> pb.SetProgramReply:  # noqa: N802
        del context
        call = codec.set_program_call_from_message(request)
        programs = self._services.challenge(call.challenge).programs
        program, is_repeat = await programs.put(call.text, call.note)
        return codec.set_program_reply_to_message(program, is_repeat=is_repeat)
