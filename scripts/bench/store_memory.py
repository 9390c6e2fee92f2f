"""Server memory per experiment, all in, over a history of edits; prints JSON.

    python scripts/bench/store_memory.py [--repo PATH] [--count 1000]

With ``--repo`` the history is a git repository's, every distinct version of its train.py with the version
that it was made from; else edits of the pocket challenge's constants and lines are generated. Each
experiment is claimed, started with what was read of its code and title, published with a log of 2 to 8 kB and
a curve of 128 points, blocks four keys and gets a vector of 768 bytes.

What is modelled: hypotheses, logs, curves, metrics, vectors and the share of runs that end out of memory
(8 %) are made up in the sizes that real ones have; with --repo the sources and titles are real. No result is
repeated or verified, nothing is refused, no best changes hands: those records and events are not counted.

The event stream grows with each experiment until it is trimmed, then stays as it is. The figure that is held
against the target has its share in a swarm of --at experiments, where the stream is as long as it gets; the
figures without it and while it still grows are told beside. Exit code 1 if the target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from autoresearch.attestation import Attestation
from autoresearch.edits import EditError, edit_signature, file_signature, program_size
from autoresearch.errors import InvalidArgument
from autoresearch.model import (
    SOURCE_LIMIT_BYTES,
    ChallengeId,
    ClaimId,
    ConstantChange,
    Experiment,
    ExperimentId,
    ExperimentState,
    Hardware,
    HardwareClass,
    Hypothesis,
    Lease,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    SourceHash,
    new_id,
    utc_now,
)
from redis.asyncio import Redis

from coordinator.dedup.code import CodeReading, SourceText
from coordinator.services.reading import WordReader, kept_reading, tried_edit
from coordinator.storage.base import (
    Accepted,
    Blocks,
    ClaimKind,
    ClaimRequest,
    EditKey,
    KeyKind,
    NewSource,
    Publication,
    Store,
    StoredReading,
)
from coordinator.storage.binaries import find_server_program
from coordinator.storage.embedded import EmbeddedServer
from coordinator.storage.redis import RedisStoreServer
from coordinator.storage.redis.server import EVENTS_KEPT

TARGET_BYTES = 3_500
STEADY_AT = 100_000
VECTOR_BYTES = 768
CURVE_POINTS = 128
NODES = 32
CRASH_SHARE = 0.08
POCKET = Path(__file__).parents[2] / "trainer" / "challenges" / "pocket" / "train.py"
CONSTANT = re.compile(r"^([A-Z][A-Z_]+) = ([0-9.e*-]+)", re.MULTILINE)
H100 = HardwareClass("nvidia-h100-sxm-80gb/torch-2.13")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One version of a train.py; ``parent`` is the hash of the version that it was made from."""

    title: str
    rationale: str
    text: bytes
    parent: SourceHash | None

    @property
    def source_hash(self) -> SourceHash:
        return hash_of(self.text)


def hash_of(text: bytes) -> SourceHash:
    return SourceHash("sha256:" + hashlib.sha256(text).hexdigest())


def read_history(repo: Path, count: int) -> list[Edit]:
    """Distinct versions of train.py over all refs, oldest first."""

    def git(*words: str) -> bytes:
        return subprocess.run(["git", "-C", str(repo), *words], check=True, capture_output=True).stdout

    def version(commit: str) -> bytes | None:
        shown = subprocess.run(
            ["git", "-C", str(repo), "show", f"{commit}:train.py"], check=False, capture_output=True
        )
        return shown.stdout if shown.returncode == 0 else None

    form = "--format=%H%x1f%P%x1f%s%x1f%b%x1e"
    log = git("log", "--all", "--reverse", "--topo-order", form, "--", "train.py")
    edits: dict[SourceHash, Edit] = {}
    for entry in log.decode(errors="replace").split("\x1e"):
        if len(edits) == count or "\x1f" not in entry:
            break
        commit, parents, title, body = entry.strip("\n").split("\x1f")
        text = version(commit)
        if text is None or not text or len(text) > SOURCE_LIMIT_BYTES or hash_of(text) in edits:
            continue
        before = version(parents.split()[0]) if parents else None
        parent = hash_of(before) if before else None
        edits[hash_of(text)] = Edit(
            title=title[:200], rationale=body[:600], text=text, parent=parent if parent in edits else None
        )
    return list(edits.values())


def make_history(count: int, rng: random.Random) -> Iterator[Edit]:
    """Edits of the pocket challenge's file: mostly constants, sometimes a line more or less."""
    text = POCKET.read_text()
    best = Edit(title="baseline", rationale="", text=text.encode(), parent=None)
    yield best
    for number in range(count - 1):
        text = best.text.decode()
        constants = list(CONSTANT.finditer(text))
        chosen = rng.choice(constants)
        value = f"{rng.uniform(0.001, 10):.4g}"
        text = text[: chosen.start(2)] + value + text[chosen.end(2) :]
        if rng.random() < 0.3:
            lines = text.splitlines(keepends=True)
            at = rng.randrange(len(lines))
            lines.insert(at, f"    # variant {number}: scale by {rng.random():.6f}\n")
            text = "".join(lines)
        edit = Edit(
            title=f"Change {chosen[1]} from {chosen[2]} to {value}",
            rationale=f"The last runs suggest that {chosen[1].lower()} of {chosen[2]} is far from its best.",
            text=text.encode(),
            parent=best.source_hash,
        )
        yield edit
        if rng.random() < 0.1:
            best = edit


def make_log(rng: random.Random) -> str:
    """The end of a training log, 2 to 8 kB."""
    lines, loss, size = [], 3.2, rng.randint(2_000, 8_000)
    step = rng.randrange(500)
    while sum(map(len, lines)) < size:
        step += 1
        loss += rng.gauss(-0.001, 0.01)
        rate = rng.randint(1_500_000, 1_700_000)
        lines.append(
            f"step {step:05d} ({step / 20:.1f}%) | loss: {loss:.6f} | lrm: {1 - step / 2000:.2f} | "
            f"dt: {rng.randint(300, 340)}ms | tok/sec: {rate:,} | mfu: {rate / 4e4:.1f}% | "
            f"remaining: {300 - step // 7}s\n"
        )
    return "".join(lines)[-size:]


def make_curve(rng: random.Random) -> tuple[tuple[float, float], ...]:
    return tuple(
        (point * 2.35, round(1.0 + 8.0 / (1 + point) + rng.gauss(0, 0.01), 4))
        for point in range(CURVE_POINTS)
    )


def make_experiment(edit: Edit, challenge: ChallengeId, node: int, rng: random.Random) -> Experiment:
    return Experiment(
        experiment_id=ExperimentId(new_id()),
        challenge_id=challenge,
        hypothesis=Hypothesis(
            title=edit.title,
            rationale=edit.rationale,
            changes=(ConstantChange(name="MATRIX_LR", old="0.04", new=f"{rng.random():.3f}"),),
            agent="command",
        ),
        source_hash=edit.source_hash,
        parents=(ExperimentId(new_id()),),
        node_id=node_id(node),
        owner_id=OwnerId(f"owner-{node % 8}"),
        hardware_class=H100,
        created_at=utc_now(),
    )


def node_id(number: int) -> NodeId:
    return NodeId("nd_" + hashlib.sha256(str(number).encode()).hexdigest()[:32])


def make_result(experiment: Experiment, rng: random.Random) -> Result:
    is_crash = rng.random() < CRASH_SHARE
    seed = rng.getrandbits(62)
    return Result(
        result_id=ResultId(new_id()),
        experiment_id=experiment.experiment_id,
        challenge_id=experiment.challenge_id,
        node_id=experiment.node_id,
        owner_id=experiment.owner_id,
        outcome=Outcome.CRASHED if is_crash else Outcome.COMPLETED,
        purpose=Purpose.EXPLORE,
        metrics={}
        if is_crash
        else {
            "val_bpb": rng.uniform(0.97, 1.05),
            "train_s": rng.uniform(299, 301),
            "setup_s": rng.uniform(10, 30),
            "eval_s": rng.uniform(5, 9),
            "steps": float(rng.randint(800, 1200)),
            "tokens": float(rng.randint(4 * 10**8, 6 * 10**8)),
            "peak_vram_mb": rng.uniform(40_000, 60_000),
            "mfu_percent": rng.uniform(35, 42),
        },
        seed=seed,
        hardware=Hardware(
            hardware_class=H100,
            device_kind="cuda",
            device_name="NVIDIA H100 80GB HBM3",
            memory_mb=81559.0,
            torch_version="2.13.0+cu130",
        ),
        code_hash=experiment.source_hash,
        harness_version="1.0.0",
        started_at=utc_now() - timedelta(seconds=320),
        finished_at=utc_now(),
        crash_kind="oom" if is_crash else "",
        log_tail=make_log(rng),
        curve=() if is_crash else make_curve(rng),
        attestation=make_attestation(experiment, seed, rng),
    )


def make_attestation(experiment: Experiment, seed: int, rng: random.Random) -> Attestation:
    def digest() -> str:
        return f"sha256:{rng.randbytes(32).hex()}"

    return Attestation(
        manifest_hash="sha256:" + hashlib.sha256(b"manifest").hexdigest(),
        code_hash=experiment.source_hash,
        seed=seed,
        val_seed=rng.getrandbits(62),
        harness_version="1.0.0",
        rows_digest="sha256:" + hashlib.sha256(b"rows").hexdigest(),
        losses_digest=digest(),
        device_kind="cuda",
        device_name="NVIDIA H100 80GB HBM3",
        memory_mb=81559.0,
        torch_version="2.13.0+cu130",
        sandbox=("bubblewrap", "landlock", "seccomp", "resource-limits"),
        timings_s={"train_s": rng.uniform(299, 301), "eval_s": rng.uniform(5, 9)},
    )


def make_keys(edit: Edit) -> tuple[EditKey, ...]:
    def key(kind: KeyKind, salt: str) -> EditKey:
        digest = hashlib.sha256((salt + edit.source_hash).encode()).hexdigest()[:32]
        return EditKey(kind=kind, digest=digest)

    return (key(KeyKind.WORDS, "a"), key(KeyKind.WORDS, "b"), key(KeyKind.FILE, "c"), key(KeyKind.EDIT, "d"))


async def make_reading(experiment: Experiment, edit: Edit, parent: Edit | None) -> StoredReading | None:
    """What a coordinator keeps of the code and the words; None where it reads them anew at each start."""
    if parent is None:
        return None
    try:
        text, base = edit.text.decode(), parent.text.decode()
        reading = CodeReading(
            file_signature=file_signature(text),
            size=program_size(text),
            parent_signature=file_signature(base),
            edit=edit_signature(base, text),
        )
        before = SourceText(source_hash=parent.source_hash, text=base)
        stated = await WordReader().read(experiment.hypothesis, before)
    except (EditError, InvalidArgument, UnicodeDecodeError):
        return None
    return kept_reading(experiment, tried_edit(experiment, stated, reading), reading)


async def run_experiment(
    store: Store,
    edit: Edit,
    challenge: ChallengeId,
    number: int,
    rng: random.Random,
    *,
    parent: Edit | None,
    kept: list[StoredReading],
) -> float:
    """One experiment from its claim to its vector; returns the seconds that its publication took."""
    experiment = make_experiment(edit, challenge, number % NODES, rng)
    reading = await make_reading(experiment, edit, parent)
    kept.extend([reading] if reading else [])
    keys = make_keys(edit)
    lease = await store.claim(
        ClaimRequest(
            claim_id=ClaimId(new_id()),
            node_id=experiment.node_id,
            owner_id=experiment.owner_id,
            hardware_class=H100,
            kind=ClaimKind.HYPOTHESIS,
            keys=keys[:2],
            fingerprint=edit.source_hash,
            hypothesis=experiment.hypothesis,
        ),
        ttl_s=600,
        max_live=4,
    )
    if not isinstance(lease, Lease):
        raise SystemExit(f"the claim was refused: {lease}")
    source = NewSource(source_hash=edit.source_hash, text=edit.text, parent_hash=edit.parent)
    started = await store.start(
        lease.claim_id,
        lease.fencing_token,
        keys=keys[2:],
        experiment=experiment,
        source=source,
        ttl_s=600,
        reading=reading,
    )
    if not isinstance(started, Lease):
        raise SystemExit(f"the start was refused: {started}")
    result = make_result(experiment, rng)
    publication = Publication(
        result=result,
        seen_version=0,
        claim_id=lease.claim_id,
        fencing_token=lease.fencing_token,
        state=ExperimentState.CRASHED if result.outcome is Outcome.CRASHED else ExperimentState.COMPLETED,
        blocks=Blocks(keys=keys),
        train_s=0.0 if result.outcome is Outcome.CRASHED else 300.0,
    )
    begun = time.perf_counter()
    outcome = await store.publish(publication)
    took = time.perf_counter() - begun
    if not isinstance(outcome, Accepted):
        raise SystemExit(f"the result was refused: {outcome}")
    await store.put_vector(experiment.experiment_id, "all-MiniLM-L6-v2", rng.randbytes(VECTOR_BYTES))
    return took


async def measure_parts(client: Redis, prefix: str) -> Counter[str]:
    """Bytes per kind of key of one challenge."""
    parts: Counter[str] = Counter()
    async for key in client.scan_iter(match=f"{prefix}*", count=1000):
        name = key.decode().removeprefix(prefix).split(":")[0]
        parts[name] += await client.memory_usage(key, samples=0) or 0
    return parts


def shares_of(
    *, grown: int, stream: int, entries: int, count: int, steady_at: int, events_kept: int = EVENTS_KEPT
) -> dict[str, object]:
    """Bytes per experiment without the event stream, with it while it grows, and with it once it is trimmed.

    Args:
        grown: bytes that the server's memory grew by, the stream's among them.
        stream: bytes of the stream, which is not trimmed yet.
        entries: of the stream.
        count: experiments that were made.
        steady_at: experiments of the swarm that the target is for.
        events_kept: entries that the stream is trimmed to.
    """
    rest = (grown - stream) / count
    entries_then = min(events_kept, entries * steady_at / count)
    steady = rest + stream / entries * entries_then / steady_at
    return {
        "bytes_per_experiment": round(steady),
        "at_experiments": steady_at,
        "bytes_per_experiment_without_events": round(rest),
        "bytes_per_experiment_while_events_grow": round(grown / count),
        "events_per_experiment": round(entries / count, 2),
        "events_bytes_at_most": round(stream / entries * events_kept),
        "target_bytes": TARGET_BYTES,
        "is_within_target": steady <= TARGET_BYTES,
    }


async def measure(
    edits: list[Edit], rng: random.Random, program: Path | None, steady_at: int
) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="ar-") as folder:
        process = EmbeddedServer(Path(folder) / "data", program or find_server_program())
        await process.start()
        server = RedisStoreServer(process.url, description="bench")
        client = Redis.from_url(process.url)
        try:
            # The server's scripts and connections are there before the first figure is taken.
            warm = ChallengeId("ch_warm")
            await run_experiment(server.challenge_store(warm), edits[0], warm, 0, rng, parent=None, kept=[])
            before = (await client.info("memory"))["used_memory"]
            challenge = ChallengeId("ch_" + "5c" * 16)
            store = server.challenge_store(challenge)
            texts, kept = {edit.source_hash: edit for edit in edits}, list[StoredReading]()
            parents = [texts[edit.parent] if edit.parent else None for edit in edits]
            took = [
                await run_experiment(store, edit, challenge, number, rng, parent=parents[number], kept=kept)
                for number, edit in enumerate(edits)
            ]
            after = (await client.info("memory"))["used_memory"]
            parts = await measure_parts(client, f"{{{challenge}}}:")
            entries = await client.xlen(f"{{{challenge}}}:stream")
            version = (await client.info("server"))["redis_version"]
            for edit in edits:
                if await store.get_source(edit.source_hash) != edit.text:
                    raise SystemExit(f"source {edit.source_hash} reads back wrong")
        finally:
            await client.aclose()
            await server.close()
            await process.stop()
    if entries >= EVENTS_KEPT:
        raise SystemExit(f"the event stream was trimmed at {entries} entries: give a smaller --count")
    count = len(edits)
    return {
        "experiments": count,
        "server": version,
        **shares_of(
            grown=after - before, stream=parts["stream"], entries=entries, count=count, steady_at=steady_at
        ),
        "parts_bytes_per_experiment": {
            name: round(size / count) for name, size in parts.most_common() if size >= count
        },
        "raw_source_bytes_per_experiment": round(sum(len(edit.text) for edit in edits) / count),
        "sources_without_a_parent": sum(edit.parent is None for edit in edits),
        "readings_kept": len(kept),
        "reading_bytes_before_compression": round(
            sum(len(one.digests) + len("".join(one.texts).encode()) for one in kept) / max(1, len(kept))
        ),
        "publish_p50_ms": round(sorted(took)[count // 2] * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repo", type=Path, help="git repository whose history edits train.py")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--at", type=int, default=STEADY_AT, help="experiments the target is held against")
    parser.add_argument("--program", type=Path, help="server executable instead of the one found")
    options = parser.parse_args()
    rng = random.Random(0)
    if options.repo:
        edits = read_history(options.repo, options.count)
    else:
        edits = list(make_history(options.count, rng))
    report = {
        "history": options.repo.name if options.repo else "generated",
        **asyncio.run(measure(edits, rng, options.program, options.at)),
    }
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["is_within_target"] else 1)


if __name__ == "__main__":
    main()
