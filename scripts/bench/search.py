"""Does the `search` agent find more than random search of the same size? Prints JSON.

    python scripts/bench/search.py [--seeds 20] [--experiments 24] [--jobs 2] [--out runs.jsonl]

The contest is `pocket` with --steps steps of training instead of CPU seconds and a shorter validation text.
A code that takes more than --limit times the arithmetic of the baseline (6 x parameters x tokens) counts as
timed out: a limit of elapsed time would ask how busy the machine is. Codes are trained and scored in this
process, without clock, sandbox and audit, so that hundreds of experiments take minutes.

- search: the agent as a node has it. Its parent is the working best: a code whose run beats the best's score
  by more than half a standard deviation of a rerun is built on, as the coordinator's screening has it.
- random: the baseline with one to three constants (in the agent's proportions) set to values drawn evenly
  from the whole scale on which the agent may move them.

Each side has the same number of experiments per seed. Then it chooses: its three best by their one run are
run twice more, and the best mean wins; the baseline is in the choice. What it chose is rescored on five fresh
seeds, the same ones for both sides. ``difference`` is random minus search, so above zero where search found
more, with the 95 % interval of a paired t test over the seeds. With --out each finished side of a seed is
written down, and a run that was stopped goes on there. Exit code 1 where the interval reaches zero.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import random
import re
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from autoresearch.challenge import Challenge, find_challenge, load_challenge
from autoresearch.model import (
    ConstantChange,
    Experiment,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    HardwareClass,
    Hypothesis,
    Level,
    NodeId,
    OwnerId,
    SourceHash,
    WorkingBest,
)

from node.agent.base import AgentContext, AgentError
from node.agent.knobs import Knob, format_value, read_knobs, round_value, searchable, set_knobs
from node.agent.search import CHANGE_COUNT_WEIGHTS, CHANGES_MAX, SearchAgent
from trainer.corpora import UNSCORED, default_cache_dir, find_corpus
from trainer.logits import nats

SIDES = ("search", "random")
BASELINE_RUNS = 6
FINALISTS = 3
FINAL_RUNS = 2
FRESH_SEEDS = 5
SCREEN_SD = 0.5
ROWS_AT_ONCE = 50
TRAIN_SEEDS, FINAL_SEEDS, FRESH = 0, 500, 900
"""Run seeds of one contest seed: its experiments', its finalists', and those of the last word."""

VAL_SEED = 31
CLASS = HardwareClass("cpu-bench/torch")
T_975 = {9: 2.262, 14: 2.145, 19: 2.093, 24: 2.064, 29: 2.045, 39: 2.023}
"""Student's t, two-sided 95 %, by degrees of freedom; between them the larger one is taken."""


class TimedOutError(Exception):
    """The training takes more arithmetic than the contest allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One experiment of a side; ``score`` is None where it failed."""

    number: int
    parent: int
    changes: tuple[ConstantChange, ...]
    source: str
    score: float | None


class StepContext:
    """A ``ctx`` whose budget is steps, in this process."""

    def __init__(self, contest: Contest, seed: int) -> None:
        challenge = contest.challenge
        self.seed, self._contest = seed, contest
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.sequence_len, self.vocab_size = challenge.sequence_len, challenge.vocab_size
        self._steps = 0

    def dummy_batch(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.randint(0, self.vocab_size, (batch_size, self.sequence_len + 1))
        return tokens[:, :-1], tokens[:, 1:]

    def start(self) -> list[Any]:
        return [self._contest.tokens]

    def progress(self) -> float:
        return min(1.0, self._steps / self._contest.steps)

    def running(self) -> bool:
        self._steps += 1
        return self._steps <= self._contest.steps

    def log(self, *, step: int, tokens: float, num_params: float, **_metrics: float) -> None:
        self._contest.spend(num_params * tokens / step)


class Contest:
    """The variant of `pocket`: trains and scores codes."""

    def __init__(self, folder: Path, *, steps: int, val_bytes: int, limit: float) -> None:
        self.steps, self._allowed = steps, math.inf
        self.challenge = variant(folder, steps, val_bytes)
        corpus = find_corpus(self.challenge)
        shards = corpus.training_shards(self.challenge, default_cache_dir())
        self.tokens = np.concatenate([np.fromfile(shard, "<u2") for shard in shards])
        self._rows = corpus.validation_rows(self.challenge, default_cache_dir(), VAL_SEED)
        self._most = 0.0
        self.score(self.challenge.baseline_source, 0)
        self._allowed = limit * self._most

    def spend(self, each_step: float) -> None:
        """Parameters times tokens of a step. Raises TimedOutError for too many."""
        self._most = max(self._most, each_step)
        if each_step > self._allowed:
            raise TimedOutError

    def score(self, source: str, seed: int) -> float | None:
        """Bits per byte of one run; None for a code that crashes, takes too long or learns nothing finite."""
        module = types.ModuleType("candidate")
        try:
            exec(source, module.__dict__)  # noqa: S102 - the challenge's own code with other constants
            forward = module.train(StepContext(self, seed))
            value = self._bits_per_byte(forward)
        except (TimedOutError, RuntimeError, ValueError, ArithmeticError, AssertionError):
            return None
        return value if math.isfinite(value) else None

    def _bits_per_byte(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> float:
        total = 0.0
        for begin in range(0, len(self._rows.inputs), ROWS_AT_ONCE):
            inputs = self._rows.inputs[begin : begin + ROWS_AT_ONCE]
            targets = self._rows.targets[begin : begin + ROWS_AT_ONCE].reshape(-1)
            with torch.inference_mode():
                logits = forward(torch.from_numpy(inputs)).reshape(-1, self.challenge.vocab_size)
            scored = targets != UNSCORED
            total += math.fsum(nats(logits.numpy(), np.maximum(targets, 0))[scored])
        return total / math.log(2) / self._rows.byte_count


def variant(folder: Path, steps: int, val_bytes: int) -> Challenge:
    """`pocket` with a budget of steps and a shorter validation text, as a challenge of its own."""
    pocket = find_challenge("pocket")
    text = (pocket / "challenge.toml").read_text(encoding="utf-8")
    budget = f'[identity.budget]\nkind = "steps"\nsteps = {steps}\n'
    text = re.sub(r"\[identity\.budget\]\n(?:\w.*\n)+", budget, text)
    text = re.sub(r"(\[identity\.validation\]\nkind = .*\nbytes = )\d+", rf"\g<1>{val_bytes}", text)
    (folder / "challenge.toml").write_text(text, encoding="utf-8")
    for name in ("train.py", "program.md"):
        (folder / name).write_bytes((pocket / name).read_bytes())
    return load_challenge(folder)


class Side:
    """One side's search for one seed."""

    def __init__(self, contest: Contest, seed: int, spread: float) -> None:
        self._contest, self._seed, self._spread = contest, seed, spread
        self.tried = [self._run(0, 0, (), contest.challenge.baseline_source)]
        self._best = self.tried[0]

    def search(self, experiments: int) -> None:
        """The agent proposes, and builds on what passes the screen."""
        agent = SearchAgent(node_id=f"bench {self._seed}")
        while len(self.tried) <= experiments:
            context = self._context()
            proposal = asyncio.run(agent.propose(context))
            source = asyncio.run(agent.edit(context, proposal.hypothesis))
            changes = tuple(c for c in proposal.hypothesis.changes if isinstance(c, ConstantChange))
            latest = self._run(len(self.tried), self._best.number, changes, source)
            self.tried.append(latest)
            if _loss(latest) < _loss(self._best) - SCREEN_SD * self._spread:
                self._best = latest

    def draw(self, experiments: int) -> None:
        """Random search around the baseline."""
        rng = random.Random(f"random {self._seed}")
        baseline = self._contest.challenge.baseline_source
        knobs = searchable(read_knobs(baseline))
        while len(self.tried) <= experiments:
            (count,) = rng.choices(range(1, CHANGES_MAX + 1), weights=CHANGE_COUNT_WEIGHTS)
            values = {name: drawn(knobs[name], rng) for name in rng.sample(sorted(knobs), count)}
            texts = {name: format_value(knobs[name], value) for name, value in values.items()}
            if any(value == knobs[name].value for name, value in values.items()):
                continue
            changes = tuple(ConstantChange(name=n, old=knobs[n].text, new=t) for n, t in texts.items())
            self.tried.append(self._run(len(self.tried), 0, changes, set_knobs(baseline, texts)))

    def choose(self) -> Tried:
        """The best mean among the best by one run, with some runs more."""
        finalists = sorted(self.tried, key=_loss)[:FINALISTS]
        means = {}
        for one in finalists:
            again = [self._score(one.source, FINAL_SEEDS + number) for number in range(FINAL_RUNS)]
            means[one.number] = statistics.fmean([_loss(one), *(_finite(score) for score in again)])
        return min(finalists, key=lambda one: means[one.number])

    def fresh(self, source: str) -> float:
        """The mean over the fresh seeds."""
        return statistics.fmean(_finite(self._score(source, FRESH + number)) for number in range(FRESH_SEEDS))

    def _run(self, number: int, parent: int, changes: tuple[ConstantChange, ...], source: str) -> Tried:
        score = self._score(source, TRAIN_SEEDS + number)
        return Tried(number=number, parent=parent, changes=changes, source=source, score=score)

    def _score(self, source: str, number: int) -> float | None:
        return self._contest.score(source, 1000 * self._seed + number)

    def _context(self) -> AgentContext:
        best = self._best
        return AgentContext(
            challenge=self._contest.challenge,
            program="",
            parent=WorkingBest(
                experiment_id=_id(best.number),
                hardware_class=CLASS,
                source_hash=SourceHash(""),
                level=Level.PROVISIONAL,
                mean=_loss(best),
                runs=1,
                spread=self._spread,
                since=datetime.now(UTC),
            ),
            parent_source=best.source,
            history=tuple(self._summary(one) for one in self.tried),
        )

    def _summary(self, one: Tried) -> ExperimentSummary:
        parent = self.tried[one.parent] if one.number else None
        is_known = parent is not None and parent.score is not None and one.score is not None
        return ExperimentSummary(
            experiment=Experiment(
                experiment_id=_id(one.number),
                challenge_id=self._contest.challenge.challenge_id,
                hypothesis=Hypothesis(title=f"experiment {one.number}", changes=one.changes),
                source_hash=SourceHash(""),
                parents=(_id(parent.number),) if parent else (),
                node_id=NodeId("bench"),
                owner_id=OwnerId("bench"),
                hardware_class=CLASS,
                created_at=datetime.now(UTC),
            ),
            state=ExperimentState.CRASHED if one.score is None else ExperimentState.COMPLETED,
            score=one.score,
            interval=None,
            runs=0 if one.score is None else 1,
            delta=one.score - parent.score if is_known else None,  # type: ignore[operator, union-attr]
            level=None,
        )


def drawn(knob: Knob, rng: random.Random) -> float:
    """A value from the whole scale of a knob, all places alike."""
    low, high = sorted(map(knob.place, knob.bounds()))
    return round_value(knob, knob.value_at(rng.uniform(low, high)))


def run_side(job: tuple[str, int], *, spread: float, options: argparse.Namespace) -> dict[str, Any]:
    """One side of one seed, in a process of its own."""
    torch.set_num_threads(1)
    name, seed = job
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        side = Side(contest_of(options, Path(folder)), seed, spread)
        try:
            (side.search if name == "search" else side.draw)(options.experiments)
        except AgentError as error:
            sys.stderr.write(f"seed {seed}: {name} ended after {len(side.tried)}: {error}\n")
        chosen = side.choose()
        return {
            "side": name,
            "seed": seed,
            "experiments": len(side.tried) - 1,
            "failed": sum(one.score is None for one in side.tried),
            "found_at": chosen.number,
            "one_run": chosen.score,
            "fresh": side.fresh(chosen.source),
            "baseline_fresh": side.fresh(side.tried[0].source) if name == "random" else None,
            "changed": changed(side.tried[0].source, chosen.source),
            "took_s": round(time.monotonic() - begun, 1),
        }


def changed(before: str, after: str) -> dict[str, str]:
    old, new = read_knobs(before), read_knobs(after)
    return {name: f"{old[name].text} -> {new[name].text}" for name in old if old[name].text != new[name].text}


def contest_of(options: argparse.Namespace, folder: Path) -> Contest:
    return Contest(folder, steps=options.steps, val_bytes=options.val_bytes, limit=options.limit)


def spread_of(options: argparse.Namespace) -> float:
    """The standard deviation of a rerun, from runs of the baseline."""
    with tempfile.TemporaryDirectory() as folder:
        contest = contest_of(options, Path(folder))
        source = contest.challenge.baseline_source
        return statistics.stdev(_finite(contest.score(source, 900_000 + n)) for n in range(BASELINE_RUNS))


def finished(options: argparse.Namespace, spread: float) -> Iterator[dict[str, Any]]:
    """Every side of every seed: what was written down, then the rest as it is done."""
    known = read_rows(options.out)
    yield from known
    done = {(row["side"], row["seed"]) for row in known}
    jobs = [(side, seed) for seed in range(options.seeds) for side in SIDES if (side, seed) not in done]
    work = partial(run_side, spread=spread, options=options)
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for row in pool.imap_unordered(work, jobs):
            if options.out is not None:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            sys.stderr.write(f"{row['side']} {row['seed']}: {row['fresh']:.4f} in {row['took_s']} s\n")
            yield row


def read_rows(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report_of(rows: list[dict[str, Any]], spread: float, options: argparse.Namespace) -> dict[str, Any]:
    sides = {name: {row["seed"]: row for row in rows if row["side"] == name} for name in SIDES}
    seeds = sorted(set.intersection(*(set(side) for side in sides.values())))
    differences = [sides["random"][seed]["fresh"] - sides["search"][seed]["fresh"] for seed in seeds]
    mean = statistics.fmean(differences)
    half = t_975(len(seeds) - 1) * statistics.stdev(differences) / math.sqrt(len(seeds))
    baseline = [sides["random"][seed]["baseline_fresh"] for seed in seeds]
    return {
        "benchmark": "search",
        "steps": options.steps,
        "experiments_each": options.experiments,
        "seeds": len(seeds),
        "rerun_sd_bpb": round(spread, 4),
        "baseline_bpb": round(statistics.fmean(baseline), 4),
        "sides": {
            name: {
                "fresh_bpb": round(statistics.fmean(side[seed]["fresh"] for seed in seeds), 4),
                "failed": sum(side[seed]["failed"] for seed in seeds),
                "took_s": round(statistics.fmean(side[seed]["took_s"] for seed in seeds), 1),
            }
            for name, side in sides.items()
        },
        "search_found_more": sum(difference > 0 for difference in differences),
        "difference_bpb": round(mean, 4),
        "interval_95_bpb": [round(mean - half, 4), round(mean + half, 4)],
        "is_above_zero": mean - half > 0,
    }


def t_975(freedom: int) -> float:
    return next((t for known, t in sorted(T_975.items(), reverse=True) if known <= freedom), math.inf)


def _id(number: int) -> ExperimentId:
    return ExperimentId(f"00000000-0000-7000-8000-{number:012d}")


def _loss(tried: Tried) -> float:
    return _finite(tried.score)


FAILED_BPB = 10.0
"""What a run that failed counts: uniform guesses of bytes have 8."""


def _finite(score: float | None) -> float:
    return FAILED_BPB if score is None else score


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--experiments", type=int, default=24, help="of each side, per seed")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--val-bytes", type=int, default=30_000)
    parser.add_argument("--limit", type=float, default=2.5, help="of a code's arithmetic, in baselines")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON lines of finished sides, to go on from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spread = spread_of(options)
    report = report_of(list(finished(options, spread)), spread, options)
    print(json.dumps(report, indent=2))
    sys.exit(0 if report["is_above_zero"] else 1)


if __name__ == "__main__":
    main()
