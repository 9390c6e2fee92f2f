"""Do simultaneous claims of one edit ever both win, and do simultaneous results ever lose a best?

First 16 clients claim the same edits at the same moment, each in another spelling: of every edit exactly one
claim may be granted. Then 16 clients of four owners publish explorations, verification pairs and repeats of
the same publish as fast as they can; afterwards the coordinator is stopped, and the store's own ledger and
history are compared with what the clients were told. Scores come from a truth that improves with time, so
that the class's best changes hands often. Prints JSON; exit code 1 if anything was granted twice or lost, or
if less was done than asked for: a benchmark in which nothing happened proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import queue
import random
import re
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from autoresearch.challenge import Challenge, load_challenge
from autoresearch.errors import LimitExceeded, Unavailable
from autoresearch.model import (
    BaselineTask,
    BestChange,
    ClaimId,
    ConstantChange,
    Duplicate,
    ExperimentId,
    ExploreTask,
    Granted,
    Hypothesis,
    IdleTask,
    Lease,
    Level,
    OwnerId,
    Purpose,
    QueuedTask,
    ReplicateTask,
    Started,
    new_id,
)
from autoresearch.signing import load_key
from bench_swarm import HARDWARE, Client, coordinator_process, make_challenge

from coordinator.remote import reach_coordinator
from coordinator.storage.open import open_store_server

KNOB = "MATRIX_LR"
OWNERS = ("ada", "grace", "edsger", "barbara")
REPEAT_SHARE = 0.1
NOISE_SD = 0.002
GAIN_PER_S = 0.5
START_SCORE = 1_000.0
RETRIES_MAX = 20
ANSWER_POLL_S = 1.0
CLIENTS_LIMIT_S = 3 * 3600.0
PASSED = frozenset({Level.SELF_REPLICATED, Level.ONE_OWNER, Level.CONFIRMED})
WRONGS = (
    *("double_grants", "double_firsts", "lost_results"),
    *("doubled_results", "lost_bests", "regressed_bests"),
)
ASKED_AGAIN = "asked again"


@dataclass(frozen=True, slots=True)
class Job:
    """What one client process does."""

    address: str
    folder: Path
    tokens: tuple[str, ...]
    clients: int
    first: int
    rounds: int
    publishes: int
    origin_ms: int


@dataclass(slots=True)
class Found:
    """What one client process saw."""

    granted: list[int] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    claim_s: float = 0.0
    acknowledged: list[str] = field(default_factory=list)
    repeats: int = 0
    double_firsts: int = 0
    publish_s: float = 0.0


def spellings(number: int, old: str) -> tuple[Hypothesis, ...]:
    """One edit of the knob as six agents would put it; ``old`` is what its parent has."""
    micro = 50_000 + number
    plain = f"0.{micro:06d}"

    def structured(title: str, new: str, stated: str) -> Hypothesis:
        return Hypothesis(title=title, changes=(ConstantChange(name=KNOB, old=stated, new=new),))

    return (
        structured(f"{KNOB} {old} -> {plain}", plain, old),
        structured("A somewhat larger step for the matrices", f"{micro}e-6", ""),
        structured("AdamW wants more", f"{plain}0", old.removeprefix("0")),
        structured("Try a bolder AdamW", f"{2 * micro} / 2000000", f"{float(old) * 1000:g}e-3"),
        Hypothesis(title=f"{KNOB} {old} -> {plain}", rationale="in words only"),
        Hypothesis(title=f"set {KNOB} from {old} to {plain}"),
    )


def value_of(challenge: Challenge) -> str:
    """The knob's value in the baseline, as it is written there."""
    found = re.search(rf"^{KNOB} = (\S+)", challenge.baseline_source, flags=re.MULTILINE)
    return found[1] if found else sys.exit(f"the baseline has no {KNOB}")


def work(job: Job, barrier: Barrier, answers: Any) -> None:
    """The body of one client process."""
    try:
        answers.put(asyncio.run(run_clients(job, barrier)))
    except BaseException as error:
        barrier.abort()
        answers.put(f"{type(error).__name__}: {error}")
        raise


async def run_clients(job: Job, barrier: Barrier) -> Found:
    """Joins, then claims in step with everybody, then publishes freely."""
    found = Found()
    clients = [Client(job.address) for _ in range(job.clients)]
    for number, client in enumerate(clients):
        await client.join(
            job.tokens[(job.first + number) % len(job.tokens)], name=f"node-{job.first + number}"
        )
    parent = ExperimentId((job.folder / "parent").read_text())
    challenge = load_challenge(job.folder / "challenge")
    old = value_of(challenge)
    barrier.wait()
    started = time.perf_counter()
    won: list[tuple[Client, Lease]] = []
    for number in range(job.rounds):
        barrier.wait()
        # Everybody is past the round before, so what was won in it can be given back.
        await asyncio.gather(*(client.release(lease) for client, lease in won))
        leases = await asyncio.gather(
            *(
                claim(client, job.first + index, number, found, parent=parent, old=old)
                for index, client in enumerate(clients)
            )
        )
        won = [(client, lease) for client, lease in zip(clients, leases, strict=True) if lease]
    found.claim_s = time.perf_counter() - started
    print(f"claims done in {found.claim_s:.0f} s: {dict(found.verdicts)}", file=sys.stderr, flush=True)
    barrier.wait()
    started = time.perf_counter()
    await asyncio.gather(*(publish_many(job, client, challenge, found) for client in clients))
    found.publish_s = time.perf_counter() - started
    for client in clients:
        await client.channel.close()
    return found


async def claim(
    client: Client, who: int, number: int, found: Found, *, parent: ExperimentId, old: str
) -> Lease | None:
    """One claim of the round's edit, in this client's spelling."""
    choices = spellings(number, old)
    request = client.claim_request(choices[(who + number) % len(choices)], parent, ClaimId(new_id()))
    for _ in range(RETRIES_MAX):
        try:
            verdict = await client.claim(request)
        except Unavailable:
            found.verdicts[ASKED_AGAIN] += 1
            continue
        found.verdicts[
            type(verdict).__name__ + (f" by {verdict.level}" if isinstance(verdict, Duplicate) else "")
        ] += 1
        if isinstance(verdict, Granted):
            found.granted.append(number)
            return verdict.lease
        return None
    raise RuntimeError(f"no answer to claim {number}")


async def publish_many(job: Job, client: Client, challenge: Challenge, found: Found) -> None:
    """Does what the coordinator asks for until the share of publishes is done."""
    left = job.publishes
    while left > 0:
        try:
            task = await client.next_task()
        except Unavailable:
            found.verdicts["asked for a task again"] += 1
            await asyncio.sleep(0.05)
            continue
        match task:
            case ExploreTask():
                await explore(client, challenge, job, task.parent.experiment_id, found)
                left -= 1
            case QueuedTask():
                left -= await run_queued(client, challenge, job, task, found)
            case ReplicateTask():
                for purpose, which in (
                    (Purpose.VERIFY_CANDIDATE, task.candidate_id),
                    (Purpose.VERIFY_CONTROL, task.control_id),
                ):
                    result = client.result(
                        which,
                        source_of(challenge, which, baseline_id=(job.folder / "parent").read_text()),
                        score_of(which, job),
                        purpose=purpose,
                        seed=task.seed,
                        verification_id=task.verification_id,
                    )
                    await publish(client, client.publish_request(result, lease=task.lease), found)
                left -= 2
            case BaselineTask() | IdleTask():
                await asyncio.sleep(0.01)


async def explore(
    client: Client, challenge: Challenge, job: Job, parent_id: ExperimentId, found: Found
) -> None:
    """A result that nobody asked for, with its code: what a node brings that was alone."""
    experiment_id = ExperimentId(new_id())
    source = source_of(challenge, experiment_id)
    hypothesis = Hypothesis(title=f"BENCH_ID of {experiment_id}")
    request = client.publish_request(
        client.result(experiment_id, source, score_of(experiment_id, job)),
        experiment=client.experiment(experiment_id, source, hypothesis, parent_id),
        source=source,
    )
    await publish(client, request, found)


async def run_queued(client: Client, challenge: Challenge, job: Job, task: QueuedTask, found: Found) -> int:
    """An idea of the queue: claimed, started and published; how many results that made."""
    request = client.claim_request(task.hypothesis, task.parent.experiment_id)
    request.queued_claim_id = task.lease.claim_id
    verdict = await client.claim(request)
    if not isinstance(verdict, Granted):
        await client.release(task.lease)
        return 0
    experiment_id = ExperimentId(new_id())
    source = source_of(challenge, experiment_id)
    started = await client.start(verdict.lease, experiment_id, source)
    if not isinstance(started, Started):
        return 0
    result = client.result(experiment_id, source, score_of(experiment_id, job), seed=started.seed)
    await publish(client, client.publish_request(result, lease=started.lease), found)
    return 1


async def publish(client: Client, request: Any, found: Found) -> None:
    """Publishes, now and then twice at once: exactly one of the two may be the first."""
    twice = random.random() < REPEAT_SHARE
    replies = await asyncio.gather(*(publish_once(client, request) for _ in range(2 if twice else 1)))
    firsts = sum(not reply.is_repeat for reply in replies)
    found.double_firsts += firsts > 1
    found.repeats += len(replies) - firsts
    found.acknowledged.append(request.result.result_id)


async def publish_once(client: Client, request: Any) -> Any:
    """One publish; what is unavailable is asked again, as nodes do."""
    for _ in range(RETRIES_MAX):
        try:
            return await client.publish(request)
        except (LimitExceeded, Unavailable):
            await asyncio.sleep(0.05)
    raise RuntimeError(f"no answer to publish {request.result.result_id}")


def source_of(challenge: Challenge, experiment_id: str, *, baseline_id: str = "") -> bytes:
    """The code of an experiment, which follows from its id, so that any client can run any experiment."""
    if experiment_id == baseline_id:
        return challenge.baseline_source.encode()
    return f"{challenge.baseline_source}\nBENCH_ID = {uuid.UUID(experiment_id).int}\n".encode()


def truth_of(experiment_id: str, origin_ms: int) -> float:
    """What infinitely many runs would score: later ids are better."""
    made_ms = uuid.UUID(experiment_id).int >> 80
    return START_SCORE - GAIN_PER_S * max(0, made_ms - origin_ms) / 1000


def score_of(experiment_id: str, job: Job) -> float:
    """One run."""
    return truth_of(experiment_id, job.origin_ms) + random.gauss(0.0, NOISE_SD)


async def open_class(address: str, folder: Path, challenge: Challenge) -> None:
    """Measures the baseline and leaves its id where every process finds it."""
    client = Client(address)
    await client.join()
    parent = await client.open_class(challenge, START_SCORE)
    (folder / "parent").write_text(parent)
    await client.channel.close()


def make_tokens(address: str, folder: Path) -> tuple[str, ...]:
    """One token per owner."""
    key = load_key(folder / "data" / "operator.key")
    with reach_coordinator(address, key=key, is_plain=True) as remote:
        return tuple(remote.create_token(OwnerId(owner), uses=0, expires_in_s=0)[1] for owner in OWNERS)


def run_processes(jobs: Sequence[Job]) -> list[Found]:
    """Every job in a process of its own."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(len(jobs)), context.Queue()
    processes = [context.Process(target=work, args=(job, barrier, answers)) for job in jobs]
    for process in processes:
        process.start()
    try:
        found = collect(processes, answers)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    return found


def collect(
    processes: Sequence[BaseProcess], answers: Any, *, limit_s: float = CLIENTS_LIMIT_S
) -> list[Found]:
    """What every process found; leaves with a sentence as soon as one failed, died or took too long."""
    found: list[Found] = []
    deadline = time.monotonic() + limit_s
    while len(found) < len(processes):
        # Looked at before the queue: what a process put there before its end is then found in it.
        died = [process.exitcode for process in processes if process.exitcode]
        try:
            answer = answers.get(timeout=ANSWER_POLL_S)
        except queue.Empty:
            if died:
                sys.exit(f"a client process died with exit code {died[0]} and left no answer")
            if time.monotonic() > deadline:
                sys.exit(f"{len(processes) - len(found)} client processes gave no answer in {limit_s:.0f} s")
            continue
        if isinstance(answer, str):
            sys.exit(f"a client failed: {answer}")
        found.append(answer)
    return found


async def audit(
    folder: Path, challenge: Challenge, acknowledged: Iterable[str], origin_ms: int
) -> dict[str, Any]:
    """What the store itself says, with the coordinator gone."""
    server = await open_store_server(None, folder / "data" / "store")
    try:
        store = server.challenge_store(challenge.challenge_id)
        ledger = Counter([result_id async for result_id in store.get_result_ids()])
        history = await store.get_history(HARDWARE.hardware_class)
        best_ids = {change.best.experiment_id for change in history}
        missing = [one for one in best_ids if await store.get_experiment(one) is None]
        passed = [one.best for one in history if one.best.level in PASSED]
        truths = [truth_of(one.experiment_id, origin_ms) for one in passed]
    finally:
        await server.close()
    acknowledged_ids = set(acknowledged)
    return {
        "ledger": sum(ledger.values()),
        "lost_results": len(acknowledged_ids - set(ledger)),
        "doubled_results": sum(count > 1 for count in ledger.values()),
        "best_changes": len(history),
        "bests_by_level": Counter(str(change.best.level) for change in history),
        "bests_that_passed": len(passed),
        "lost_bests": len(missing) + broken_links(history),
        "regressed_bests": sum(after > before for before, after in pairwise(truths)),
    }


def broken_links(history: Sequence[BestChange]) -> int:
    """Places where a change does not start from the best that was there: one update overwrote another."""
    broken, working = 0, None
    for change in history:
        is_new = working is not None and change.best.experiment_id != working
        broken += is_new and change.previous != working
        working = change.best.experiment_id
    return broken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--claims", type=int, default=100_000)
    parser.add_argument("--publishes", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=4, help="that the clients are spread over")
    options = parser.parse_args()
    if options.clients % options.processes:
        parser.error("--clients must be a multiple of --processes")
    with tempfile.TemporaryDirectory(prefix="bench-contention-") as name:
        report = run(Path(name), options)
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["is_sound"] else 1)


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Both parts and the audit."""
    challenge = make_challenge(folder / "challenge", is_large=False)
    rounds = -(-options.claims // options.clients)
    share = options.clients // options.processes
    origin_ms = int(time.time() * 1000)
    with coordinator_process(folder) as address:
        asyncio.run(open_class(address, folder, challenge))
        job = Job(
            address=address,
            folder=folder,
            tokens=make_tokens(address, folder),
            clients=share,
            first=0,
            rounds=rounds,
            publishes=-(-options.publishes // options.clients),
            origin_ms=origin_ms,
        )
        jobs = [replace(job, first=share * number) for number in range(options.processes)]
        found = run_processes(jobs)
    grants = Counter(number for one in found for number in one.granted)
    claim_s, publish_s = max(one.claim_s for one in found), max(one.publish_s for one in found)
    acknowledged = [result_id for one in found for result_id in one.acknowledged]
    report = {
        "benchmark": "contention",
        "clients": share * options.processes,
        "claims": rounds * share * options.processes,
        "edits": rounds,
        "spellings": len(spellings(0, "0.1")),
        "granted_once": sum(count == 1 for count in grants.values()),
        "double_grants": sum(count > 1 for count in grants.values()),
        "edits_without_grant": rounds - len(grants),
        "verdicts": dict(sum((one.verdicts for one in found), Counter())),
        "claims_per_s": round(rounds * share * options.processes / claim_s, 1),
        "publishes": len(acknowledged),
        "repeats": sum(one.repeats for one in found),
        "double_firsts": sum(one.double_firsts for one in found),
        "publishes_per_s": round(len(acknowledged) / publish_s, 1),
        **asyncio.run(audit(folder, challenge, acknowledged, origin_ms)),
    }
    report["faults"] = faults_of(report, publishes=options.publishes)
    report["is_sound"] = not report["faults"]
    return report


def faults_of(report: Mapping[str, Any], *, publishes: int) -> list[str]:
    """Why a report does not show what it is to show; empty if it does."""
    answered = sum(count for verdict, count in report["verdicts"].items() if not verdict.startswith("asked"))
    needed = {
        "every edit was granted once": report["granted_once"] == report["edits"] > 0,
        "every claim was answered": answered == report["claims"],
        "as much was published as asked for": report["publishes"] >= publishes > 0,
        "the ledger has all that was published": report["ledger"] >= report["publishes"],
        "publishes were repeated": report["repeats"] > 0,
        "the best changed hands": report["best_changes"] > 1,
        "a best passed its test": report["bests_that_passed"] > 0,
    }
    faults = [f"{report[name]} {name.replace('_', ' ')}" for name in WRONGS if report[name]]
    return faults + [f"not so: {what}" for what, is_so in needed.items() if not is_so]


if __name__ == "__main__":
    main()
