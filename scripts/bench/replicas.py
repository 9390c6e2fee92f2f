"""Do two coordinators on one Redis ever both grant one edit, when it is asked for in different words?

    python scripts/bench/replicas.py [--rounds 900] [--clients 16]

16 clients, half of them at each coordinator, ask for the same edit in the same instant, each in another
paraphrase. The rounds take turns:

- constants: a new value of a constant, stated or in a sentence. One is granted, the others are refused.
- mechanisms: something new with an amount. One is granted, the others are asked how theirs differs.
- neighbours: a mechanism, while another idea about the same is held, from which all of them differ. One is
  granted, the others are asked.
- begun: a mechanism that one coordinator has just started is claimed at the other in the next instant,
  before anybody has told it. All are asked.

Granted without a question is counted per edit over both coordinators. Prints JSON; exit code 1 if any edit
was granted twice or never, or if only one of the coordinators ever granted: then nothing raced.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoresearch.challenge import Challenge
from autoresearch.errors import LimitExceeded, Unavailable
from autoresearch.model import (
    ConstantChange,
    Duplicate,
    ExperimentId,
    Granted,
    Hypothesis,
    Lease,
    NeedsDistinction,
    Started,
    new_id,
)
from bench_swarm import Client, coordinator_process, make_challenge, percentiles, redis_process

CONSTANTS = {
    "MATRIX_LR": "the matrix learning rate",
    "EMBEDDING_LR": "the embedding learning rate",
    "WEIGHT_DECAY": "the weight decay",
    "ADAM_BETA1": "Adam's beta1",
}
SENTENCES = (
    "{name} {old} -> {new}",
    "set {name} from {old} to {new}",
    "{name}: {new}",
    "{name}={new}",
    "change {words} from {old} to {new}",
    "{words} {new} instead of {old}",
    "try {new} for {words}",
)
MECHANISMS = (
    (
        "add a z-loss of {new}",
        "z-loss with weight {new}",
        "use a z loss (coefficient {new})",
        "try z-loss at {new}",
        "give the loss a z-loss term of {new}",
    ),
    (
        "label smoothing of {new}",
        "add label smoothing {new}",
        "use label smoothing with {new}",
        "try label smoothing = {new}",
        "smooth the labels by {new}",
    ),
    (
        "dropout of {new}",
        "add dropout {new}",
        "use dropout with p={new}",
        "try dropout at {new}",
        "introduce dropout = {new}",
    ),
)
NEIGHBOURS = (
    (
        "learn a gain per head after QK normalisation",
        (
            "attention without QK-norm",
            "attention: drop QK-norm",
            "drop the normalisation of queries and keys",
            "remove QK norm from attention",
        ),
    ),
    (
        "SSSL to SSSSSL (one full-attention layer in six)",
        (
            "SSSL to LLLL",
            "all layers use a full attention window",
            "full attention in every layer",
            "full attention in every layer instead of SSSL",
            "replace SSSL by L",
        ),
    ),
)
KINDS = 4
"""Of rounds, which take turns: each goes through all of its edits."""

RETRIES_MAX = 20


@dataclass(slots=True)
class Found:
    """What the clients were told. ``grants`` without a question, by edit and by coordinator."""

    grants: Counter[str] = field(default_factory=Counter)
    by_coordinator: Counter[int] = field(default_factory=Counter)
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    claims_s: list[float] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Racer:
    """One client and the coordinator it talks to."""

    client: Client
    coordinator: int


class Race:
    """Rounds of claims of one edit by everybody."""

    def __init__(self, racers: Sequence[Racer], challenge: Challenge, parent: ExperimentId) -> None:
        self.found = Found()
        self._racers = racers
        self._challenge = challenge
        self._parent = parent
        self._rng = random.Random(7)

    async def constants(self, number: int) -> None:
        """A value that nobody has set so far; what is granted is given back."""
        name = list(CONSTANTS)[number // KINDS % len(CONSTANTS)]
        old, new = self._value_of(name), f"0.{12_000 + number:05d}"
        ideas = [Hypothesis(title=text.format(**self._names(name, old, new))) for text in SENTENCES]
        ideas += [
            Hypothesis(title="a bolder step", changes=(ConstantChange(name=name, new=f"{new}0"),)),
            Hypothesis(title="as discussed", changes=(ConstantChange(name=name, new=new, old=old),)),
        ]
        for racer, lease in await self._all("constants", f"{name}={new}", ideas, self._racers):
            await racer.client.release(lease)

    async def mechanisms(self, number: int) -> None:
        """A mechanism with an amount of its own; what is granted is given back."""
        texts, new = self._mechanism(number)
        ideas = [Hypothesis(title=text.format(new=new)) for text in texts]
        for racer, lease in await self._all("mechanisms", f"{texts[0]} {new}", ideas, self._racers):
            await racer.client.release(lease)

    async def neighbours(self, number: int) -> None:
        """One is held by somebody who is about the same and says something else."""
        other, texts = NEIGHBOURS[number // KINDS % len(NEIGHBOURS)]
        leases = await self._all(
            "neighbours", f"{other} #{number}", [Hypothesis(title=other)], self._racers[:1]
        )
        ideas = [Hypothesis(title=text) for text in texts]
        leases += await self._all("neighbours", f"{texts[0]} #{number}", ideas, self._racers)
        for racer, lease in leases:
            await racer.client.release(lease)

    async def begun(self, number: int) -> None:
        """One starts; everybody at the other coordinator claims the same the moment it has."""
        texts, new = self._mechanism(number)
        first = self._racers[number % len(self._racers)]
        edit, idea = f"{texts[0]} {new}", Hypothesis(title=texts[0].format(new=new))
        (won,) = await self._all("begun", edit, [idea], [first])
        source = f"{self._challenge.baseline_source}\nBENCH = {number}\n".encode()
        experiment_id = ExperimentId(new_id())
        started = await first.client.start(won[1], experiment_id, source)
        if not isinstance(started, Started):
            sys.exit(f"what was granted was not started: {started}")
        others = [racer for racer in self._racers if racer.coordinator != first.coordinator]
        ideas = [Hypothesis(title=text.format(new=new)) for text in texts[1:]]
        for racer, lease in await self._all("begun", edit, ideas, others):
            await racer.client.release(lease)
        result = first.client.result(experiment_id, source, 1_000.0, seed=started.seed)
        await first.client.publish(first.client.publish_request(result, lease=started.lease))

    async def _all(
        self, kind: str, edit: str, ideas: Sequence[Hypothesis], racers: Sequence[Racer]
    ) -> list[tuple[Racer, Lease]]:
        """One claim of each; the leases that were granted."""
        if edit not in self.found.grants:
            self.found.edits.append(edit)
        offset = self._rng.randrange(len(ideas))
        verdicts = await asyncio.gather(
            *(
                self._claim(racer, ideas[(place + offset) % len(ideas)])
                for place, racer in enumerate(self._rng.sample(racers, len(racers)))
            )
        )
        counts = self.found.verdicts.setdefault(kind, Counter())
        won: list[tuple[Racer, Lease]] = []
        for racer, verdict in verdicts:
            counts[_name(verdict)] += 1
            if isinstance(verdict, Granted):
                self.found.grants[edit] += 1
                self.found.by_coordinator[racer.coordinator] += 1
                won.append((racer, verdict.lease))
        return won

    async def _claim(self, racer: Racer, idea: Hypothesis) -> tuple[Racer, Any]:
        request = racer.client.claim_request(idea, self._parent)
        for _ in range(RETRIES_MAX):
            begun = time.perf_counter()
            try:
                verdict = await racer.client.claim(request)
            except (LimitExceeded, Unavailable):
                await asyncio.sleep(0.05)
                continue
            self.found.claims_s.append(time.perf_counter() - begun)
            return racer, verdict
        raise RuntimeError(f"no answer to a claim of {idea.title!r}")

    def _value_of(self, name: str) -> str:
        found = re.search(rf"^{name} = (\S+)", self._challenge.baseline_source, flags=re.MULTILINE)
        return found[1] if found else sys.exit(f"the baseline has no {name}")

    @staticmethod
    def _names(name: str, old: str, new: str) -> dict[str, str]:
        return {"name": name, "words": CONSTANTS[name], "old": old, "new": new}

    @staticmethod
    def _mechanism(number: int) -> tuple[Sequence[str], str]:
        return MECHANISMS[number // KINDS % len(MECHANISMS)], f"0.{200_000 + number:06d}"


def _name(verdict: object) -> str:
    match verdict:
        case Granted():
            return "granted"
        case Duplicate(level=level):
            return f"refused by {level}"
        case NeedsDistinction():
            return "asked"
    return type(verdict).__name__


async def race(addresses: Sequence[str], options: argparse.Namespace, challenge: Challenge) -> Found:
    racers = [
        Racer(client=Client(addresses[number % len(addresses)]), coordinator=number % len(addresses))
        for number in range(options.clients)
    ]
    for number, racer in enumerate(racers):
        await racer.client.join(name=f"racer-{number}")
    parent = await racers[0].client.open_class(challenge, 1_000.0)
    rounds = Race(racers, challenge, parent)
    kinds = (rounds.constants, rounds.mechanisms, rounds.neighbours, rounds.begun)
    for number in range(options.rounds):
        await kinds[number % KINDS](number)
    for racer in racers:
        await racer.client.channel.close()
    return rounds.found


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    challenge = make_challenge(folder / "challenge", is_large=False)
    flags = ("--embedding-model", "none", "--claims-per-node", "1000000")
    with redis_process(folder / "redis") as url:
        store = ("--store", url, *flags)
        with (
            coordinator_process(folder, *store, name="first") as first,
            coordinator_process(folder, *store, name="second") as second,
        ):
            begun = time.perf_counter()
            found = asyncio.run(race((first, second), options, challenge))
            took_s = time.perf_counter() - begun
    grants = [found.grants[edit] for edit in found.edits]
    report: dict[str, Any] = {
        "benchmark": "replicas",
        "coordinators": 2,
        "clients": options.clients,
        "edits": len(grants),
        "claims": len(found.claims_s),
        "claims_per_s": round(len(found.claims_s) / took_s, 1),
        "claim": percentiles(found.claims_s),
        "verdicts": found.verdicts,
        "granted_by_coordinator": found.by_coordinator,
        "granted_once": sum(count == 1 for count in grants),
        "double_grants": sum(count > 1 for count in grants),
        "edits_without_grant": sum(count == 0 for count in grants),
        "twice": [edit for edit in found.edits if found.grants[edit] > 1][:10],
    }
    is_whole = report["granted_once"] == len(grants) >= options.rounds > 0
    report["is_sound"] = is_whole and len(found.by_coordinator) > 1
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=900)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-replicas-") as name:
        report = run(Path(name), options)
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["is_sound"] else 1)


if __name__ == "__main__":
    main()
