"""Calls to a running coordinator: status for anybody, administration with the operator's key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc
from autoresearch.codec import contributions, readings
from autoresearch.errors import ClockSkew, InvalidArgument
from autoresearch.limits import REPLY_LIMIT_BYTES
from autoresearch.model import OwnerId, Program, ProgramRow, SwarmStatus, Token
from autoresearch.signing import SigningKey, new_nonce, sign_call
from autoresearch.status import SERVER_TIME_KEY, error_of
from autoresearch.v1 import admin_pb2, leaderboard_pb2
from google.protobuf.message import Message

TIMEOUT_S = 10.0

_ADMIN = "/autoresearch.v1.AdminService/"
_BOARD = "/autoresearch.v1.LeaderboardService/"

R = TypeVar("R", bound=Message)


class RemoteCoordinator:
    """Calls to one coordinator; raises ``SwarmError``."""

    def __init__(self, channel: grpc.Channel, address: str, key: SigningKey | None = None) -> None:
        self._channel = channel
        self._address = address
        self._key = key
        self._offset_ms = 0

    def get_status(self, challenge: str = "") -> SwarmStatus:
        """One challenge at a glance; empty for the coordinator's first."""
        request = leaderboard_pb2.GetStatusRequest(challenge=challenge)
        reply = self._call(_BOARD + "GetStatus", request, leaderboard_pb2.GetStatusReply)
        return readings.swarm_status_from_message(reply)

    def create_token(self, owner: OwnerId, *, uses: int, expires_in_s: float) -> tuple[str, str]:
        """Id and text of a new enrolment token; zeros for no limit."""
        request = admin_pb2.CreateTokenRequest(owner_id=owner, uses=uses, expires_in_s=expires_in_s)
        reply = self._call(_ADMIN + "CreateToken", request, admin_pb2.CreateTokenReply, signed=True)
        return readings.created_token_from_message(reply)

    def list_tokens(self) -> tuple[Token, ...]:
        """Every token, oldest first."""
        request = admin_pb2.ListTokensRequest()
        reply = self._call(_ADMIN + "ListTokens", request, admin_pb2.ListTokensReply, signed=True)
        return readings.tokens_from_message(reply)

    def revoke_token(self, token_id: str) -> None:
        """Nobody can enrol with it from now on. Raises NotFound."""
        request = admin_pb2.RevokeTokenRequest(token_id=token_id)
        self._call(_ADMIN + "RevokeToken", request, admin_pb2.RevokeTokenReply, signed=True)

    def list_programs(self, challenge: str = "") -> tuple[ProgramRow, ...]:
        """Every program.md with what came of it; the swarm's own first, newest first."""
        request = leaderboard_pb2.ListProgramsRequest(challenge=challenge)
        reply = self._call(_BOARD + "ListPrograms", request, leaderboard_pb2.ListProgramsReply)
        return contributions.program_rows_from_message(reply)

    def set_program(self, text: str, *, note: str = "", challenge: str = "") -> tuple[Program, bool]:
        """What is in force afterwards, and whether it was before."""
        request = admin_pb2.SetProgramRequest(challenge=challenge, text=text, note=note)
        reply = self._call(_ADMIN + "SetProgram", request, admin_pb2.SetProgramReply, signed=True)
        return contributions.set_program_reply_from_message(reply)

    def _call(self, method: str, request: Message, reply: type[R], *, signed: bool = False) -> R:
        try:
            return self._call_once(method, request, reply, signed=signed)
        except ClockSkew:
            # The refusal brought the server's time; a second one is not about this machine's clock.
            return self._call_once(method, request, reply, signed=signed)

    def _call_once(self, method: str, request: Message, reply: type[R], *, signed: bool) -> R:
        body = request.SerializeToString()
        metadata: tuple[tuple[str, str | bytes], ...] = ()
        if signed:
            if self._key is None:
                raise InvalidArgument("this needs the operator's key; name its folder with --data-dir")
            time_ms = time.time_ns() // 1_000_000 + self._offset_ms
            metadata = sign_call(self._key, method, body, time_ms=time_ms, nonce=new_nonce())
        stub: Any = self._channel.unary_unary(method, response_deserializer=reply.FromString)
        try:
            return stub(body, timeout=TIMEOUT_S, metadata=metadata)  # type: ignore[no-any-return]
        except grpc.RpcError as error:
            trailer: dict[str, Any] = {item.key: item.value for item in error.trailing_metadata() or ()}
            if SERVER_TIME_KEY in trailer:
                self._offset_ms = int(trailer[SERVER_TIME_KEY]) - time.time_ns() // 1_000_000
            details = error.details() or "no details"
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                details = (
                    f"nobody answers at {self._address} ({details}); "
                    "start one with: autoresearch-coordinator serve"
                )
            raise error_of(error.code(), details, trailer) from error


@contextmanager
def reach_coordinator(
    address: str, *, key: SigningKey | None = None, ca: Path | None = None, is_plain: bool
) -> Iterator[RemoteCoordinator]:
    """A connection for the length of the block, encrypted unless ``is_plain``.

    Args:
        address: host:port.
        key: the operator's, where calls need one.
        ca: PEM file of the authority that the server's certificate is checked by; the system's if None.
        is_plain: no encryption.
    """
    options = [("grpc.max_receive_message_length", REPLY_LIMIT_BYTES)]
    if is_plain:
        channel = grpc.insecure_channel(address, options=options)
    else:
        credentials = grpc.ssl_channel_credentials(ca.read_bytes() if ca else None)
        channel = grpc.secure_channel(address, credentials, options=options)
    try:
        yield RemoteCoordinator(channel, address, key)
    finally:
        channel.close()
