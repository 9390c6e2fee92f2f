"""Claim and Publish through the real stack against the least that such a call can cost.

The yardstick of each is the same request bytes echoed by a bare grpc.aio server that runs one write script
on the same store with the same fsync policy before it answers. Each cycle measures a yardstick and its call
one after the other, so that both see the same machine. Publish carries the 26 kB source of a started
experiment; Start, which judges the code, is reported apart, and so is Publish as nodes send it after a
Start (without the source). Prints JSON; exit code 1 if a ratio is above 3.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from autoresearch.challenge import Challenge
from autoresearch.model import ConstantChange, ExperimentId, Granted, Hypothesis, Started, new_id
from autoresearch.v1 import swarm_pb2 as pb
from bench_swarm import OPTIONS, Client, coordinator_process, edited, make_challenge, percentiles

RATIO_MAX = 3.0
ECHO = "/bench.Echo/Echo"
WRITE = "redis.call('SET', KEYS[1], ARGV[1]); return 1"
PAYLOAD = b"x" * 200
KNOB = "MATRIX_LR"


async def serve_echo(socket: str) -> None:
    """A bare server in a process of its own: one write script, then the bytes back."""
    from redis.asyncio import Redis  # noqa: PLC0415

    store = Redis.from_url(f"unix://{socket}")
    sha = await store.script_load(WRITE)

    async def echo(body: bytes, _: Any) -> bytes:
        await store.evalsha(sha, 1, "bench:echo", PAYLOAD)
        return body

    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


@contextlib.contextmanager
def echo_process(folder: Path) -> Iterator[str]:
    """The bare server on the coordinator's own embedded store; its address."""
    (socket,) = [path for path in (folder / "data").rglob("*") if path.is_socket()]
    process = subprocess.Popen(
        [sys.executable, __file__, "--echo-on", str(socket)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"127.0.0.1:{process.stdout.readline().strip() if process.stdout else ''}"
    finally:
        process.terminate()
        process.wait()


@contextlib.asynccontextmanager
async def channel_to(address: str) -> AsyncIterator[grpc.aio.Channel]:
    """A plain channel for the length of the block."""
    channel = grpc.aio.insecure_channel(address, options=OPTIONS)
    try:
        yield channel
    finally:
        await channel.close()


class Stopwatch:
    """Samples by name."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.samples.setdefault(name, []).append(time.perf_counter() - started)


async def measure(folder: Path, address: str, echo_address: str, count: int, warm_up: int) -> dict[str, Any]:
    """Cycles of claim, start, publish, each beside its yardstick."""
    challenge = make_challenge(folder / "challenge", is_large=True)
    client = Client(address)
    await client.join()
    parent = await client.open_class(challenge, 1.0)
    watch = Stopwatch()
    async with channel_to(echo_address) as channel:
        echo: Any = channel.unary_unary(ECHO)
        for number in range(count + warm_up):
            if number == warm_up:
                watch.samples.clear()
            await cycle(number, client, echo, watch, parent=parent, challenge=challenge)
    await client.channel.close()
    return summary(watch.samples, count, len(challenge.baseline_source.encode()))


async def cycle(
    number: int, client: Client, echo: Any, watch: Stopwatch, *, parent: ExperimentId, challenge: Challenge
) -> None:
    """One experiment; a timed call is signing, the round trip and decoding the reply."""
    value = f"0.05{number:06d}"
    change = ConstantChange(name=KNOB, new=value)
    hypothesis = Hypothesis(title=f"{KNOB} to {value}", rationale="bench", changes=(change,))
    claim = client.claim_request(hypothesis, parent)
    body = claim.SerializeToString()
    with watch("claim_yardstick"):
        await echo(body)
    with watch("claim"):
        verdict = await client.claim(claim)
    if not isinstance(verdict, Granted):
        sys.exit(f"claim {number} was not granted: {verdict}")
    source = edited(challenge, KNOB, value)
    experiment_id = ExperimentId(new_id())
    with watch("start"):
        started = await client.start(verdict.lease, experiment_id, source)
    if not isinstance(started, Started):
        sys.exit(f"start {number} was refused: {started}")
    result = client.result(experiment_id, source, 1.0 + number * 1e-6, seed=started.seed)
    is_full = number % 2 == 0
    experiment = client.experiment(experiment_id, source, hypothesis, parent) if is_full else None
    publish = client.publish_request(
        result, lease=started.lease, experiment=experiment, source=source if is_full else None
    )
    name = "publish" if is_full else "publish_after_start"
    body = publish.SerializeToString()
    with watch(f"{name}_yardstick"):
        await echo(body)
    with watch(name):
        reply = await client.call("Publish", publish, pb.PublishReply)
    if reply.is_late or reply.is_repeat:
        sys.exit(f"publish {number} was {reply}")


def summary(samples: dict[str, list[float]], count: int, source_bytes: int) -> dict[str, Any]:
    """Percentiles with the ratios that count."""
    report: dict[str, Any] = {"benchmark": "rpc", "cycles": count, "source_bytes": source_bytes}
    report |= {name: percentiles(found) for name, found in samples.items()}
    for name in ("claim", "publish", "publish_after_start"):
        bare = report[f"{name}_yardstick"]["p50_ms"]
        report[name]["ratio_p50"] = round(report[name]["p50_ms"] / bare, 3)
    report["ratio_max"] = RATIO_MAX
    report["is_within"] = all(report[name]["ratio_p50"] <= RATIO_MAX for name in ("claim", "publish"))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1_000, help="cycles that are measured")
    parser.add_argument("--warm-up", type=int, default=100, help="cycles before that")
    parser.add_argument("--echo-on", metavar="SOCKET", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo_on:
        asyncio.run(serve_echo(options.echo_on))
        return
    with tempfile.TemporaryDirectory(prefix="bench-rpc-") as name:
        folder = Path(name)
        make_challenge(folder / "challenge", is_large=True)
        with coordinator_process(folder) as address, echo_process(folder) as echo_address:
            report = asyncio.run(measure(folder, address, echo_address, options.count, options.warm_up))
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["is_within"] else 1)


if __name__ == "__main__":
    main()
