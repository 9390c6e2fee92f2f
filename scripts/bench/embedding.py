"""What meaning costs: exact search, a rebuild from the store, a claim without a model, claims with one.

    python scripts/bench/embedding.py [--parts search rebuild judge claims] [--model FOLDER]

- search: the nearest 20 of --vectors vectors of 384 numbers, one search at a time
- rebuild: a coordinator that starts over a store of --experiments experiments, each with what was read of it
  and a vector, until its indexes and then its vectors are there; the memory store and the system's
  redis-server. Ends at once where the new coordinator does not know what an experiment did.
- judge: words judged and neighbours found by constants, without a model, among --tried edits; and a whole
  claim beside it, which also asks the memory store
- claims: claims in free words at --rate per second for --seconds, by a schedule (one that is begun late
  counts from when it was due), to a coordinator with the model and to one without; and, beside them, a
  heartbeat every 50 ms. Both know --known experiments.

Prints JSON; exit code 1 if a target is missed. The claims need the extra [embeddings] and a folder with the
weights of all-MiniLM-L6-v2, which are checked by their hash.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from autoresearch import codec
from autoresearch.calls import LEADERBOARD_SERVICE, HeartbeatCall
from autoresearch.challenge import Challenge
from autoresearch.edits import CanonicalChanges, EditSignature
from autoresearch.edits.words import pack_reading, read_text
from autoresearch.model import (
    ClaimId,
    ConstantChange,
    Experiment,
    ExperimentId,
    ExperimentState,
    Granted,
    Hypothesis,
    Node,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    new_id,
    utc_now,
)
from autoresearch.signing import SigningKey
from autoresearch.v1 import leaderboard_pb2
from autoresearch.v1 import swarm_pb2 as pb
from bench_swarm import HARDWARE, Client, coordinator_process, make_challenge, percentiles
from numpy.typing import NDArray

from coordinator.dedup.code import CodeReader, CodeReading
from coordinator.dedup.embedder import EmbeddingModel
from coordinator.dedup.index import TriedEdit
from coordinator.dedup.judge import Level, Question, Ruling
from coordinator.dedup.kept import keep
from coordinator.dedup.precedents import Belief
from coordinator.dedup.vectors import VectorIndex, pack_vector
from coordinator.domain.baseline import baseline_id
from coordinator.services.advice import Adviser
from coordinator.services.context import ChallengeContext
from coordinator.services.precedents import Precedents
from coordinator.services.reading import WordReader
from coordinator.services.settings import ServiceSettings
from coordinator.services.swarm import SwarmServices
from coordinator.storage.base import Publication, StoreServer
from coordinator.storage.memory import MemoryStoreServer
from coordinator.storage.open import open_store_server

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSION = 384
MODEL = EmbeddingModel(name="bench", revision="1", dimension=DIMENSION)
NEAREST = 20
TARGETS_MS = {"search": 20.0, "rebuild": 10_000.0, "judge": 1.0, "claims": 250.0}
HEARTBEAT_EVERY_S = 0.05
CLIENTS = 16
LOAD_LIMIT_S = 300.0
KNOBS = ("MATRIX_LR", "EMBEDDING_LR", "WEIGHT_DECAY", "ADAM_BETA1", "WARMDOWN_RATIO")
PROSE = """
gate router expert rotary window residual stream kernel buffer shard phase curriculum entropy margin token
head bottleneck mixture cache schedule noise sparse banded orthogonal momentum averaging checkpoint tail
"""
WORDS = PROSE.split()


class StandIn:
    """A model that is there at once and makes vectors of nothing."""

    async def load(self) -> EmbeddingModel:
        """Ready."""
        return MODEL

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As many vectors as texts."""
        return unit_vectors(len(texts))

    async def close(self) -> None:
        """Nothing to end."""


def unit_vectors(count: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


class Samples(list[float]):
    """Seconds of elapsed time, and of this process's cores beside it, which neighbours do not lengthen."""

    def __init__(self) -> None:
        super().__init__()
        self.cores: list[float] = []

    def report(self, skipped: int = 0) -> dict[str, float]:
        cores = percentiles(self.cores[skipped:])
        return percentiles(self[skipped:]) | {f"cpu_{name}": value for name, value in cores.items()}


@contextlib.contextmanager
def timed(samples: Samples) -> Iterator[None]:
    begun, cores = time.perf_counter(), time.process_time()
    yield
    samples.append(time.perf_counter() - begun)
    samples.cores.append(time.process_time() - cores)


# Search ------------------------------------------------------------------------------------------------


def bench_search(count: int, searches: int) -> dict[str, Any]:
    index = VectorIndex(DIMENSION)
    filling = Samples()
    with timed(filling):
        for number, vector in enumerate(unit_vectors(count)):
            index.put(ExperimentId(str(number)), HARDWARE.hardware_class, vector)
    samples = Samples()
    for vector in unit_vectors(searches + 5, seed=1):
        with timed(samples):
            index.search(vector, limit=NEAREST, hardware_class=HARDWARE.hardware_class)
    return {"vectors": count, "put_all_s": round(filling[0], 2), **samples.report(5)}


# Rebuild and judge -------------------------------------------------------------------------------------


class Rig:
    """The services of one coordinator in this process, over a store that can be filled without them."""

    def __init__(self, server: StoreServer, folder: Path, reader: CodeReader) -> None:
        self.challenge = make_challenge(folder / "challenge", is_large=True)
        self.settings = ServiceSettings(version="bench", claims_per_node=1_000_000)
        self.server = server
        self.reader = reader
        self.parent = baseline_id(self.challenge.challenge_id, HARDWARE.hardware_class)
        self.services = self.restarted()

    def restarted(self) -> SwarmServices:
        """New services that know nothing yet."""
        return SwarmServices(
            self.server, [self.challenge], self.settings, reader=self.reader, embedder=StandIn()
        )

    async def fill(self, count: int) -> None:
        """Publishes experiments, with a reading and a vector each."""
        context = self.services.challenges[0].context
        rng = random.Random(1)
        source = context.baseline_source()
        for number, vector in enumerate(unit_vectors(count)):
            experiment = Experiment(
                experiment_id=ExperimentId(new_id()),
                challenge_id=self.challenge.challenge_id,
                hypothesis=constant_idea(number, rng),
                source_hash=source.source_hash,
                parents=(self.parent,),
                node_id=NodeId("bench"),
                owner_id=OwnerId("bench"),
                hardware_class=HARDWARE.hardware_class,
                created_at=utc_now(),
            )
            publication = Publication(
                result=make_result(experiment, rng.uniform(0.97, 1.05)),
                seen_version=0,
                claim_id=None,
                fencing_token=0,
                experiment=experiment,
                reading=keep(make_tried(experiment, number), source.source_hash),
                source=source,
                state=ExperimentState.COMPLETED,
            )
            await context.store.publish(publication)
            await context.store.put_vector(experiment.experiment_id, MODEL.model_id, pack_vector(vector))


def constant_idea(number: int, rng: random.Random) -> Hypothesis:
    value = f"0.0{number + 100_000}"
    knob = KNOBS[number % len(KNOBS)]
    return Hypothesis(
        title=f"{knob} to {value}",
        rationale=" ".join(rng.choices(WORDS, k=60)),
        changes=(ConstantChange(name=knob, new=value),),
    )


def free_idea(rng: random.Random) -> Hypothesis:
    return Hypothesis(title="let the " + " ".join(rng.choices(WORDS, k=10)) + " meet")


def make_tried(experiment: Experiment, number: int) -> TriedEdit:
    """What was read of an experiment that did what it said."""
    (change,) = experiment.hypothesis.changes
    if not isinstance(change, ConstantChange):
        raise TypeError(change)
    changes = CanonicalChanges(constants=(ConstantChange(name=change.name, old="0.5", new=change.new),))
    return TriedEdit(
        experiment_id=experiment.experiment_id,
        hardware_class=experiment.hardware_class,
        parent_id=experiment.parent,
        title=experiment.hypothesis.title,
        knobs={change.name: change.new},
        stated_key=changes.key,
        code_key=changes.key,
        edit_key=f"es_{edit_digest(number)}",
        file_signature=f"fs_{edit_digest(-number)}",
        size=5_000,
        said=pack_reading(read_text(experiment.hypothesis.title)),
    )


def edit_digest(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def make_result(experiment: Experiment, score: float = 1.0) -> Result:
    now = utc_now()
    return Result(
        result_id=ResultId(new_id()),
        experiment_id=experiment.experiment_id,
        challenge_id=experiment.challenge_id,
        node_id=experiment.node_id,
        owner_id=experiment.owner_id,
        outcome=Outcome.COMPLETED,
        purpose=Purpose.EXPLORE,
        metrics={"val_bpb": score},
        seed=1,
        hardware=HARDWARE,
        code_hash=experiment.source_hash,
        harness_version="1",
        started_at=now,
        finished_at=now,
    )


async def bench_rebuild(count: int, folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = {"experiments": count}
    for name, opened in (("memory", memory_server()), ("redis", redis_server(folder))):
        reader = CodeReader()
        async with opened as server:
            rig = Rig(server, folder, reader)
            await rig.fill(count)
            report[name] = await time_start(rig, count)
        await reader.close()
    report["slowest_ms"] = 1000 * max(report[name]["total_s"] for name in ("memory", "redis"))
    return report


async def time_start(rig: Rig, count: int) -> dict[str, float]:
    await rig.reader.warm_up()
    services = rig.restarted()
    context = services.challenges[0].context
    embeddings = context.embeddings
    caller = await enrolled(rig)
    begun, cores = time.perf_counter(), time.process_time()
    await services.start()
    indexed = time.perf_counter()
    belief = await Precedents(context).belief(caller)
    for number in (0, count // 2, count - 1):
        check_code_known(context, belief, number)
    check_words_known(context, belief, count - 1)
    while len(embeddings) < count:  # noqa: ASYNC110 - as somebody from outside sees it
        await asyncio.sleep(0.01)
    done, cores = time.perf_counter(), time.process_time() - cores
    await services.close()
    return {
        "indexes_s": round(indexed - begun, 2),
        "vectors_s": round(done - indexed, 2),
        "total_s": round(done - begun, 2),
        "cpu_s": round(cores, 2),
    }


def check_code_known(context: ChallengeContext, belief: Belief, number: int) -> None:
    """Ends the benchmark where the judge does not find what an experiment did, asked on another parent."""
    edit = EditSignature(changes=(), patch=("+",), touched=(), key=f"es_{edit_digest(number)}")
    reading = CodeReading(file_signature="new", parent_signature="other", edit=edit)
    verdict = context.judge.judge_code(another_question(), reading, belief)
    if (verdict.ruling, verdict.level) != (Ruling.ASK, Level.EDIT):
        sys.exit(f"the new coordinator does not know what experiment {number} did: {verdict}")


def check_words_known(context: ChallengeContext, belief: Belief, number: int) -> None:
    """Ends the benchmark where the judge does not find what one of the latest titles says."""
    words = read_text(constant_idea(number, random.Random()).title)
    verdict = context.judge.judge_free_words(another_question(), words, (), belief)
    if (verdict.ruling, verdict.level) != (Ruling.ASK, Level.WORDS):
        sys.exit(f"the new coordinator does not know what experiment {number} said: {verdict}")


def another_question() -> Question:
    return Question(
        hardware_class=HARDWARE.hardware_class,
        parent_id=ExperimentId("another"),
        hypothesis=Hypothesis(title="in other words"),
    )


@contextlib.asynccontextmanager
async def memory_server() -> AsyncIterator[StoreServer]:
    yield MemoryStoreServer()


@contextlib.asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[StoreServer]:
    """The system's server on a socket; it writes nothing to disk, which a rebuild does not do either."""
    program = shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
    if program is None:
        sys.exit("redis-server is not installed: run `apt-get install redis-server`")
    socket = folder / "redis.sock"
    argv = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - nothing else runs yet
    try:
        while not socket.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        server = await open_store_server(f"unix://{socket}", folder, allow_unsafe=True)
        yield server
        await server.close()
    finally:
        process.terminate()
        process.wait()


async def bench_judge(count: int, claims: int, folder: Path) -> dict[str, Any]:
    reader = CodeReader()
    rig = Rig(MemoryStoreServer(), folder, reader)
    await rig.fill(count)
    await rig.services.start()
    (one,) = rig.services.challenges
    context = one.context
    caller = await enrolled(rig)
    words, precedents = WordReader(), Precedents(context)
    adviser = Adviser(context.index, context.index, context.catalog, context.rules)
    rng = random.Random(2)
    judging = Samples()
    claiming = Samples()
    for number in range(claims + 20):
        idea = constant_idea(2 * count + number, rng)
        question = Question(hardware_class=caller.hardware_class, parent_id=rig.parent, hypothesis=idea)
        parent = await context.source_of(rig.parent, caller.hardware_class)
        with timed(judging):
            stated = await words.read(idea, parent)
            belief = await precedents.belief(caller)
            context.judge.judge_words(question, stated.canonical, belief)
            adviser.advise(caller.hardware_class, rig.parent, stated.knobs, idea.title)
        with timed(claiming):
            verdict = await one.claiming.claim(
                caller, claim_id=ClaimId(new_id()), hypothesis=idea, parent_id=rig.parent
            )
        if not isinstance(verdict, Granted):
            sys.exit(f"claim {number} was not granted: {verdict}")
    await rig.services.close()
    await reader.close()
    return {"tried": count, "judging": judging.report(20), "claim": claiming.report(20)}


async def enrolled(rig: Rig) -> Node:
    key = SigningKey.generate()
    membership, identity = rig.services.membership, rig.server.identity_store()
    await membership.enrol(key.public_key, token="", name="bench", has_consented=True)
    node = await identity.get_node(key.node_id)
    if node is None:
        sys.exit("the node was not enrolled")
    await membership.connect(
        node, protocol_min=1, protocol_max=1, challenge="", hardware=HARDWARE, node_version="bench"
    )
    return await identity.get_node(key.node_id) or node


# Claims ------------------------------------------------------------------------------------------------


async def bench_claims(
    address: str, options: argparse.Namespace, challenge: Challenge, *, has_model: bool
) -> dict[str, Any]:
    clients = [Client(address) for _ in range(CLIENTS)]
    for client in clients:
        await client.join()
    parent = await clients[0].open_class(challenge, 1.0)
    rng = random.Random(3)
    for number in range(options.known):
        await make_known(clients[number % CLIENTS], free_idea(rng), parent, challenge, number)
    load_s = await wait_for_model(clients[0]) if has_model else 0.0
    claims: list[float] = []
    beats = Samples()
    beating = asyncio.create_task(beat(clients[-1], beats))
    begun = time.perf_counter()
    tasks = []
    for number in range(int(options.rate * options.seconds)):
        due = begun + number / options.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        client = clients[number % CLIENTS]
        tasks.append(asyncio.create_task(claim_once(client, free_idea(rng), parent, due, claims)))
    await asyncio.gather(*tasks)
    beating.cancel()
    for client in clients:
        await client.channel.close()
    return {
        "claims": len(claims),
        "load_s": load_s,
        "claim": percentiles(claims),
        "other_calls": percentiles(beats),
    }


async def make_known(
    client: Client, idea: Hypothesis, parent: ExperimentId, challenge: Challenge, number: int
) -> None:
    """A result made alone, of code that nobody else has."""
    source = challenge.baseline_source.encode() + f"\nKNOWN = {number}\n".encode()
    experiment_id = ExperimentId(new_id())
    experiment = client.experiment(experiment_id, source, idea, parent)
    result = client.result(experiment_id, source, 2.0)
    await client.publish(client.publish_request(result, experiment=experiment, source=source))


async def wait_for_model(client: Client) -> float:
    """Until texts are compared by meaning; the seconds that it took."""
    search: Any = client.channel.unary_unary(LEADERBOARD_SERVICE + "Search")
    body = leaderboard_pb2.SearchRequest(text="anything").SerializeToString()
    begun = time.perf_counter()
    while time.perf_counter() - begun < LOAD_LIMIT_S:
        reply = leaderboard_pb2.SearchReply.FromString(await search(body))
        if reply.basis == leaderboard_pb2.SEARCH_BASIS_MEANING:
            return round(time.perf_counter() - begun, 1)
        await asyncio.sleep(0.2)
    sys.exit(f"the model was not loaded within {LOAD_LIMIT_S:g} s")


async def claim_once(
    client: Client, idea: Hypothesis, parent: ExperimentId, due: float, claims: list[float]
) -> None:
    verdict = await client.claim(client.claim_request(idea, parent))
    claims.append(time.perf_counter() - due)
    if isinstance(verdict, Granted):
        await client.release(verdict.lease)


async def beat(client: Client, beats: Samples) -> None:
    call = HeartbeatCall(challenge_id=client.session.challenge.challenge_id, claim_ids=())
    request = codec.heartbeat_call_to_message(call)
    while True:
        with timed(beats):
            await client.call("Heartbeat", request, pb.HeartbeatReply)
        await asyncio.sleep(HEARTBEAT_EVERY_S)


def compare_claims(options: argparse.Namespace) -> dict[str, Any]:
    folder_of_model = Path(options.model or "")
    weights = folder_of_model / "model.safetensors"
    if not options.model or hashlib.sha256(weights.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        sys.exit(f"--model: {weights} is not the model that is measured")
    report: dict[str, Any] = {"rate_per_s": options.rate, "seconds": options.seconds, "known": options.known}
    for name, model in (("without_model", "none"), ("with_model", str(folder_of_model))):
        with tempfile.TemporaryDirectory(prefix="bench-embedding-") as place:
            challenge = make_challenge(Path(place) / "challenge", is_large=True)
            flags = ("--embedding-model", model, "--claims-per-node", "1000000")
            with coordinator_process(Path(place), *flags) as address:
                report[name] = asyncio.run(
                    bench_claims(address, options, challenge, has_model=model != "none")
                )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ("search", "rebuild", "judge", "claims")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts[:3])
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--experiments", type=int, default=100_000)
    parser.add_argument("--tried", type=int, default=10_000)
    parser.add_argument("--judged", type=int, default=500)
    parser.add_argument("--known", type=int, default=300)
    parser.add_argument("--rate", type=float, default=33.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--model", help="folder of the weights, for the claims")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    report: dict[str, Any] = {"benchmark": "embedding"}
    measured: dict[str, float] = {}
    if "search" in options.parts:
        report["search"] = bench_search(options.vectors, options.searches)
        measured["search"] = report["search"]["p99_ms"]
    with tempfile.TemporaryDirectory(prefix="bench-embedding-") as place:
        if "judge" in options.parts:
            report["judge"] = asyncio.run(bench_judge(options.tried, options.judged, Path(place)))
            measured["judge"] = report["judge"]["judging"]["p99_ms"]
        if "rebuild" in options.parts:
            report["rebuild"] = asyncio.run(bench_rebuild(options.experiments, Path(place)))
            measured["rebuild"] = report["rebuild"]["slowest_ms"]
    if "claims" in options.parts:
        report["claims"] = compare_claims(options)
        measured["claims"] = report["claims"]["with_model"]["claim"]["p99_ms"]
    report["within_target"] = {name: value <= TARGETS_MS[name] for name, value in measured.items()}
    print(json.dumps(report, indent=2))
    sys.exit(0 if all(report["within_target"].values()) else 1)


if __name__ == "__main__":
    main()
