"""What the RPC benchmarks share: a challenge with a 26 kB train.py, a coordinator process, signed clients."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
from autoresearch import codec
from autoresearch.calls import (
    SWARM_SERVICE,
    ClaimCall,
    ConnectCall,
    EnrolCall,
    NextTaskCall,
    PublishCall,
    ReleaseCall,
    StartCall,
)
from autoresearch.challenge import Challenge, find_challenge, load_challenge, parse_challenge, write_challenge
from autoresearch.model import (
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    BaselineTask,
    ClaimId,
    ClaimVerdict,
    Experiment,
    ExperimentId,
    ExploreTask,
    Hardware,
    HardwareClass,
    Hypothesis,
    Lease,
    Outcome,
    OwnerId,
    Published,
    Purpose,
    Result,
    ResultId,
    Session,
    SourceHash,
    StartVerdict,
    Task,
    new_id,
)
from autoresearch.signing import SigningKey, new_nonce, sign_call
from autoresearch.status import error_of
from autoresearch.v1 import swarm_pb2 as pb
from google.protobuf.message import Message

SOURCE_BYTES = 26_000
START_LIMIT_S = 60.0
STOP_LIMIT_S = 30.0
CALL_LIMIT_S = 60.0
UNLIMITED = "1000000000"
HARDWARE = Hardware(
    hardware_class=HardwareClass("bench-cpu/torch-2.13"),
    device_kind="cpu",
    device_name="bench",
    memory_mb=4096.0,
    torch_version="2.13.0",
)
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)

R = TypeVar("R", bound=Message)


def make_challenge(folder: Path, *, is_large: bool) -> Challenge:
    """The CPU challenge; with the ``train.py`` of the GPU one, commented up to 26 kB, if ``is_large``."""
    pocket = load_challenge(find_challenge("pocket"))
    source = pocket.baseline_source
    if is_large:
        source = load_challenge(find_challenge("climbmix-5min")).baseline_source
        notes = [f"# {line}"[:100] for line in source.splitlines() if line.strip()]
        for note in notes:
            if len(source.encode()) >= SOURCE_BYTES:
                break
            source += note + "\n"
    manifest = re.sub(r"^frozen = \w+$", "frozen = true", pocket.manifest_toml, flags=re.MULTILINE)
    challenge = parse_challenge(manifest, source, pocket.program_md)
    write_challenge(challenge, folder)
    return challenge


def edited(challenge: Challenge, name: str, value: str) -> bytes:
    """The baseline with one constant set anew."""
    lines = challenge.baseline_source.splitlines(keepends=True)
    (place,) = [number for number, line in enumerate(lines) if line.startswith(f"{name} = ")]
    lines[place] = f"{name} = {value}\n"
    return "".join(lines).encode()


@contextlib.contextmanager
def coordinator_process(folder: Path, *flags: str, name: str = "data") -> Iterator[str]:
    """A coordinator in a process of its own, on its embedded store if no flag says otherwise; its address.

    ``name`` is of its data folder.
    """
    program = Path(sys.executable).with_name("autoresearch-coordinator")
    limits = ("--calls-per-node-s", UNLIMITED, "--calls-per-peer-s", UNLIMITED, "--lease-ttl-s", "36000")
    argv = [
        *(str(program), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder / name)),
        *("--challenge", str(folder / "challenge"), "--log-level", "warning", *limits, *flags),
    ]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield _address_of(process)
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


@contextlib.contextmanager
def redis_process(folder: Path) -> Iterator[str]:
    """The system's redis-server with a log of all it writes; the URL of its socket."""
    program = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
    if program is None:
        sys.exit("redis-server is not installed: run `apt-get install redis-server`")
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "redis.sock"
    argv = [program, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    argv += ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not socket.exists():
            if time.monotonic() > deadline or process.poll() is not None:
                sys.exit(f"redis-server did not start (exit code {process.poll()})")
            time.sleep(0.05)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


def _address_of(process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + START_LIMIT_S
    while process.stdout is not None and time.monotonic() < deadline:
        line = process.stdout.readline()
        if line.startswith("listening"):
            return line.split()[1]
        if not line:
            break
    sys.exit(f"the coordinator did not start (exit code {process.poll()})")


@dataclass(slots=True)
class Client:
    """One node: its key, its channel, its session. As thin as a client can be that signs."""

    address: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    channel: grpc.aio.Channel = field(init=False)
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.channel = grpc.aio.insecure_channel(self.address, options=OPTIONS)

    async def join(self, token: str = "", name: str = "bench") -> None:
        """Enrols and connects."""
        call = EnrolCall(public_key=self.key.public_key, token=token, name=name, consent=True)
        await self.call("Enrol", codec.enrol_call_to_message(call), pb.EnrolReply)
        connect = ConnectCall(
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            challenge="",
            hardware=HARDWARE,
            node_version="bench",
        )
        reply = await self.call("Connect", codec.connect_call_to_message(connect), pb.ConnectReply)
        self.session = codec.session_from_message(reply)

    async def call(self, name: str, request: Message, reply: type[R]) -> R:
        """One signed call. Raises SwarmError."""
        return reply.FromString(await self.call_bytes(name, request.SerializeToString()))

    async def call_bytes(self, name: str, body: bytes) -> bytes:
        """One signed call on bytes as they are."""
        method = SWARM_SERVICE + name
        metadata = sign_call(self.key, method, body, time_ms=time.time_ns() // 1_000_000, nonce=new_nonce())
        stub: Any = self.channel.unary_unary(method)
        try:
            return await stub(body, metadata=metadata, timeout=CALL_LIMIT_S)  # type: ignore[no-any-return]
        except grpc.aio.AioRpcError as error:
            trailer = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
            raise error_of(error.code(), error.details() or "", trailer) from error

    async def next_task(self) -> Task:
        """What the coordinator wants done."""
        call = NextTaskCall(
            challenge_id=self.session.challenge.challenge_id, can_propose=True, can_train=True
        )
        reply = await self.call("NextTask", codec.next_task_call_to_message(call), pb.NextTaskReply)
        return codec.task_from_message(reply)

    def claim_request(
        self, hypothesis: Hypothesis, parent_id: ExperimentId, claim_id: ClaimId | None = None
    ) -> pb.ClaimRequest:
        """The message that asks for an edit."""
        call = ClaimCall(
            challenge_id=self.session.challenge.challenge_id,
            claim_id=claim_id or ClaimId(new_id()),
            hypothesis=hypothesis,
            parent_id=parent_id,
        )
        return codec.claim_call_to_message(call)

    async def claim(self, request: pb.ClaimRequest) -> ClaimVerdict:
        """Asks for an edit."""
        return codec.claim_verdict_from_message(await self.call("Claim", request, pb.ClaimReply))

    async def start(self, lease: Lease, experiment_id: ExperimentId, source: bytes) -> StartVerdict:
        """Shows the code."""
        call = StartCall(
            challenge_id=self.session.challenge.challenge_id,
            claim_id=lease.claim_id,
            fencing_token=lease.fencing_token,
            experiment_id=experiment_id,
            source=source,
        )
        reply = await self.call("Start", codec.start_call_to_message(call), pb.StartReply)
        return codec.start_verdict_from_message(reply)

    async def release(self, lease: Lease) -> None:
        """Gives a claim back."""
        call = ReleaseCall(
            challenge_id=self.session.challenge.challenge_id,
            claim_id=lease.claim_id,
            fencing_token=lease.fencing_token,
        )
        await self.call("Release", codec.release_call_to_message(call), pb.ReleaseReply)

    def publish_request(
        self,
        result: Result,
        *,
        lease: Lease | None = None,
        experiment: Experiment | None = None,
        source: bytes | None = None,
    ) -> pb.PublishRequest:
        """The message that brings a result."""
        call = PublishCall(
            challenge_id=self.session.challenge.challenge_id,
            result=result,
            experiment=experiment,
            source=source,
            claim_id=lease.claim_id if lease else None,
            fencing_token=lease.fencing_token if lease else 0,
        )
        return codec.publish_call_to_message(call)

    async def publish(self, request: pb.PublishRequest) -> Published:
        """Brings a result."""
        return codec.published_from_message(await self.call("Publish", request, pb.PublishReply))

    def result(
        self,
        experiment_id: ExperimentId,
        source: bytes,
        score: float,
        *,
        purpose: Purpose = Purpose.EXPLORE,
        seed: int = 0,
        verification_id: str = "",
    ) -> Result:
        """A completed run with a full log tail and curve."""
        now = datetime.now(UTC)
        return Result(
            result_id=ResultId(new_id()),
            experiment_id=experiment_id,
            challenge_id=self.session.challenge.challenge_id,
            node_id=self.key.node_id,
            owner_id=OwnerId(""),
            outcome=Outcome.COMPLETED,
            purpose=purpose,
            metrics={"val_bpb": score, "steps": 1000.0, "tokens": 1e6},
            seed=seed,
            hardware=HARDWARE,
            code_hash=hash_of(source),
            harness_version="1",
            started_at=now - timedelta(seconds=30),
            finished_at=now,
            log_tail="step 100 loss 2.34567\n" * 90,
            curve=tuple((index / 63, 5.0 - index / 20) for index in range(64)),
            verification_id=verification_id,
        )

    def experiment(
        self, experiment_id: ExperimentId, source: bytes, hypothesis: Hypothesis, *parents: ExperimentId
    ) -> Experiment:
        """An experiment as this node would describe it."""
        return Experiment(
            experiment_id=experiment_id,
            challenge_id=self.session.challenge.challenge_id,
            hypothesis=hypothesis,
            source_hash=hash_of(source),
            parents=parents,
            node_id=self.key.node_id,
            owner_id=OwnerId(""),
            hardware_class=HARDWARE.hardware_class,
            created_at=datetime.now(UTC),
        )

    async def open_class(self, challenge: Challenge, score: float) -> ExperimentId:
        """Measures baselines until there is something to explore from; its id."""
        source = challenge.baseline_source.encode()
        while True:
            match await self.next_task():
                case BaselineTask() as task:
                    result = self.result(
                        task.experiment_id, source, score, purpose=Purpose.BASELINE, seed=task.seed
                    )
                    await self.publish(self.publish_request(result, lease=task.lease))
                case ExploreTask() as task:
                    return task.parent.experiment_id
                case other:
                    raise RuntimeError(f"expected a baseline or an explore task, got {other}")


def hash_of(source: bytes) -> SourceHash:
    """The content address of a train.py."""
    return SourceHash("sha256:" + hashlib.sha256(source).hexdigest())


def percentiles(samples_s: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(samples_s)
    return {
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 4),
        "p99_ms": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000, 4),
    }
