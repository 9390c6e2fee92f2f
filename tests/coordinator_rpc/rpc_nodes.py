"""Nodes as the tests of the RPC layer need them: they sign, and can be told to sign wrongly."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import grpc
import grpc.aio
from autoresearch import codec
from autoresearch.calls import ADMIN_SERVICE, SWARM_SERVICE, ClaimCall, ConnectCall, EnrolCall, PublishCall
from autoresearch.model import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    ClaimId,
    ConstantChange,
    ExperimentId,
    Hardware,
    HardwareClass,
    Hypothesis,
    Lease,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    Session,
    SourceHash,
    Task,
    new_id,
)
from autoresearch.signing import SigningKey, new_nonce, sign_call
from autoresearch.status import error_of
from autoresearch.v1 import admin_pb2, swarm_pb2
from google.protobuf.message import Message

CPU = HardwareClass("test-cpu/torch-2.13")
HARDWARE = Hardware(
    hardware_class=CPU,
    device_kind="cpu",
    device_name="test",
    memory_mb=4096.0,
    torch_version="2.13.0",
)
CALL_LIMIT_S = 20.0

R = TypeVar("R", bound=Message)
Signature = tuple[tuple[str, str | bytes], ...]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class TestNode:
    """A key on a channel."""

    __test__ = False

    channel: grpc.aio.Channel
    key: SigningKey = field(default_factory=SigningKey.generate)
    challenge_id: str = ""
    trailer: dict[str, str] = field(default_factory=dict)

    def sign(
        self, method: str, body: bytes, *, at_ms: int | None = None, nonce: str | None = None
    ) -> Signature:
        return sign_call(self.key, method, body, time_ms=at_ms or now_ms(), nonce=nonce or new_nonce())

    async def send(self, method: str, body: bytes, metadata: Signature = ()) -> bytes:
        """Raw bytes with the metadata given. Raises SwarmError."""
        stub: Any = self.channel.unary_unary(method)
        call = stub(body, metadata=metadata, timeout=CALL_LIMIT_S)
        try:
            reply: bytes = await call
        except grpc.aio.AioRpcError as error:
            self.trailer = _texts(error.trailing_metadata())
            raise error_of(error.code(), error.details() or "", self.trailer) from error
        self.trailer = _texts(await call.trailing_metadata())
        return reply

    async def call(self, method: str, request: Message, reply: type[R]) -> R:
        """A signed call. Raises SwarmError."""
        body = request.SerializeToString()
        return reply.FromString(await self.send(method, body, self.sign(method, body)))

    async def enrol(self, token: str = "", *, consent: bool = True) -> swarm_pb2.EnrolReply:
        call = EnrolCall(public_key=self.key.public_key, token=token, name="tester", consent=consent)
        return await self.call(
            SWARM_SERVICE + "Enrol", codec.enrol_call_to_message(call), swarm_pb2.EnrolReply
        )

    async def connect(
        self, challenge: str = "", *, low: int = PROTOCOL_MIN, high: int = PROTOCOL_MAX
    ) -> Session:
        call = ConnectCall(
            protocol_min=low,
            protocol_max=high,
            challenge=challenge,
            hardware=HARDWARE,
            node_version="test",
        )
        message = codec.connect_call_to_message(call)
        reply = await self.call(SWARM_SERVICE + "Connect", message, swarm_pb2.ConnectReply)
        session = codec.session_from_message(reply)
        self.challenge_id = session.challenge.challenge_id
        return session

    async def join(self, token: str = "") -> Session:
        await self.enrol(token)
        return await self.connect()

    async def next_task(self, *, can_propose: bool = True) -> Task:
        request = swarm_pb2.NextTaskRequest(
            challenge_id=self.challenge_id, can_propose=can_propose, can_train=True
        )
        reply = await self.call(SWARM_SERVICE + "NextTask", request, swarm_pb2.NextTaskReply)
        return codec.task_from_message(reply)

    def claim_message(self, value: str, parent_id: ExperimentId) -> swarm_pb2.ClaimRequest:
        change = ConstantChange(name="MATRIX_LR", new=value)
        call = ClaimCall(
            challenge_id=self.challenge_id,
            claim_id=ClaimId(new_id()),
            hypothesis=Hypothesis(title=f"MATRIX_LR to {value}", changes=(change,)),
            parent_id=parent_id,
        )
        return codec.claim_call_to_message(call)

    async def claim(self, request: swarm_pb2.ClaimRequest) -> swarm_pb2.ClaimReply:
        return await self.call(SWARM_SERVICE + "Claim", request, swarm_pb2.ClaimReply)

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> swarm_pb2.StartReply:
        request = swarm_pb2.StartRequest(
            challenge_id=self.challenge_id,
            claim_id=lease.claim_id,
            fencing_token=lease.fencing_token,
            experiment_id=experiment_id,
            source=source,
        )
        return await self.call(SWARM_SERVICE + "Start", request, swarm_pb2.StartReply)

    async def publish(self, result: Result, lease: Lease | None = None) -> swarm_pb2.PublishReply:
        call = PublishCall(
            challenge_id=self.challenge_id,
            result=result,
            claim_id=lease.claim_id if lease else None,
            fencing_token=lease.fencing_token if lease else 0,
        )
        request = codec.publish_call_to_message(call)
        return await self.call(SWARM_SERVICE + "Publish", request, swarm_pb2.PublishReply)

    def result(
        self,
        experiment_id: ExperimentId,
        source: bytes,
        score: float,
        *,
        seed: int,
        purpose: Purpose = Purpose.EXPLORE,
    ) -> Result:
        now = datetime.now(UTC)
        return Result(
            result_id=ResultId(new_id()),
            experiment_id=experiment_id,
            challenge_id=self.challenge_id,
            node_id=self.key.node_id,
            owner_id=OwnerId(""),
            outcome=Outcome.COMPLETED,
            purpose=purpose,
            metrics={"val_bpb": score},
            seed=seed,
            hardware=HARDWARE,
            code_hash=SourceHash("sha256:" + hashlib.sha256(source).hexdigest()),
            harness_version="1",
            started_at=now - timedelta(seconds=20),
            finished_at=now,
        )

    async def create_token(self, owner: str) -> str:
        """For an operator's key."""
        request = admin_pb2.CreateTokenRequest(owner_id=owner)
        reply = await self.call(ADMIN_SERVICE + "CreateToken", request, admin_pb2.CreateTokenReply)
        return reply.token


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}
