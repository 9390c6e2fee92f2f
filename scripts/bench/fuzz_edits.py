"""Feeds the readers of edits with generated inputs and checks what they promise; prints JSON.

    python scripts/bench/fuzz_edits.py [--inputs 100000] [--programs 1000] [--scripts 10000] [--seed 0]

Inputs are titles (any letters, words of the vocabulary in any order, real ones with a few changes, long
ones), programs that were cut to pieces, and structured changes with hostile values; each goes through all
that reads it. Counted are crashes (anything but an `EditError`), stalls (over 100 ms of CPU for all that a
title is asked, over 5 s for a source), and broken promises: that judging is symmetric, that nothing differs
from itself, and that all answers are the same when asked again, and in a process with another hash seed.

Programs are rewritten in ways that change nothing, which has to leave the signatures of file and edit alone,
and changed in one place, which has to change them. Scripts are run: two with one signature print the same.

Two processes share the work. Each input is made of the seed and its number alone; the report says which ones
failed. The exit status is 1 if any did.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.fuzz_checks import Failure, check_input, check_program, check_scripts, kind_of, warm_up

FAILURES_SHOWN = 8
"""Of each broken promise."""

PROCESSES = 2
SHARED_EVERY = 10
"""Of so many inputs both processes read one, and have to agree."""


@dataclass(slots=True, kw_only=True)
class Part:
    """What one process found: times by kind, digests of the shared inputs, failures."""

    times_ms: dict[str, list[float]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    digests: dict[int, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--programs", type=int, default=1_000)
    parser.add_argument("--scripts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    report = fuzzed(
        inputs=arguments.inputs, programs=arguments.programs, scripts=arguments.scripts, seed=arguments.seed
    )
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["sound"] else 1)


def fuzzed(*, inputs: int, programs: int, scripts: int, seed: int) -> dict[str, Any]:
    """The report of a run; ``sound`` if nothing failed."""
    context = multiprocessing.get_context("spawn")
    before = os.environ.get("PYTHONHASHSEED")
    pools: list[ProcessPoolExecutor] = []
    futures: list[Future[Part]] = []
    try:
        for number in range(PROCESSES):
            os.environ["PYTHONHASHSEED"] = str(number + 1)
            pools.append(ProcessPoolExecutor(1, mp_context=context))
            futures.append(pools[-1].submit(run_part, number, inputs, programs, scripts, seed))
        parts = [future.result() for future in futures]
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
        os.environ.pop("PYTHONHASHSEED")
        os.environ |= {} if before is None else {"PYTHONHASHSEED": before}
    return report_of(parts, seed)


def run_part(number: int, inputs: int, programs: int, scripts: int, seed: int) -> Part:
    """This process's share of the inputs, and of the shared ones all."""
    part = Part()
    warm_up(seed)
    for index in range(inputs):
        is_own, is_shared = index % PROCESSES == number, index % SHARED_EVERY == 0
        if not is_own and not is_shared:
            continue
        outcome = check_input(seed, index, again=is_shared)
        if is_own:
            part.times_ms.setdefault(outcome.kind, []).append(outcome.cpu_ms)
            part.refused[outcome.kind] += outcome.is_refused
            part.failures += outcome.failures
            part.checks += outcome.checks
        if is_shared:
            part.digests[index] = outcome.digest
    for index in range(number, programs, PROCESSES):
        outcome = check_program(seed, index)
        part.failures += outcome.failures
        part.checks += outcome.checks
    for index in range(number, scripts, PROCESSES):
        outcome = check_scripts(seed, index)
        part.failures += outcome.failures
        part.checks += outcome.checks
    return part


def report_of(parts: Sequence[Part], seed: int) -> dict[str, Any]:
    """All parts together, with what they disagree about."""
    failures = [failure for part in parts for failure in part.failures]
    first, *others = parts
    shared = len(first.digests) * len(others)
    for other in others:
        failures += [
            Failure("same_in_another_process", kind_of(seed, index), index, "")
            for index, digest in first.digests.items()
            if other.digests[index] != digest
        ]
    kinds = sorted({kind for part in parts for kind in part.times_ms})
    times = {kind: sorted(ms for part in parts for ms in part.times_ms.get(kind, [])) for kind in kinds}
    broken = Counter(failure.promise for failure in failures)
    checks = sum((part.checks for part in parts), Counter(same_in_another_process=shared))
    return {
        "seed": seed,
        "inputs": sum(map(len, times.values())),
        "kinds": {
            kind: {
                "inputs": len(ms),
                "refused": sum(part.refused[kind] for part in parts),
                "crashes": sum(one.promise == "no_crash" and one.kind == kind for one in failures),
                "stalls": sum(one.promise == "no_stall" and one.kind == kind for one in failures),
                "p99_ms": round(ms[int(len(ms) * 0.99)], 2),
                "slowest_ms": round(ms[-1], 2),
            }
            for kind, ms in times.items()
        },
        "promises": {
            name: {"checks": checks[name], "broken": broken[name]} for name in sorted(checks | broken)
        },
        "failures": list(_shown(failures)),
        "sound": not failures,
    }


def _shown(failures: Sequence[Failure]) -> Iterator[dict[str, object]]:
    seen: Counter[str] = Counter()
    for failure in failures:
        seen[failure.promise] += 1
        if seen[failure.promise] <= FAILURES_SHOWN:
            yield failure.shown()


if __name__ == "__main__":
    main()
