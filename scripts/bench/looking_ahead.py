"""How much can a model gain in ``pocket`` by looking ahead with a memory? Run it alone; prints JSON.

    python scripts/bench/looking_ahead.py [--seconds 20] [--texts 6]

Honest codes (the baseline over seeds, and edits of several kinds) are trained here, in this process, for the
challenge's budget, and scored by the trainer's own ``evaluate`` with the manifest's audit; only clock and
sandbox are missing. Each is paired with the baselines of other seeds on one validation text, as in a
verification: that gives the manifest's ``pair_sd`` and ``run_sd``, and how often the coordinator's rule
refuses an honest code.

Then the baseline cheats (``tests/trainer/peeking_model.py``): p = (1 - weight) * honest + weight * onehot of
the next token, in the whole row or its first half, and it answers again as it did first. ``gain`` is what
that gains over its own honest answers, ``caught_in_one_run`` the share of runs that are rejected, ``gap`` the
mean difference of the hidden gap from the control's, ``refused`` the share of draws of so many pairs that the
rule refuses.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from autoresearch.challenge import Challenge, HiddenGap, find_challenge, load_challenge
from autoresearch.model import ExperimentId, NodeId, OwnerId

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "trainer")]

from peeking_model import HonestLosses, LookingAhead  # noqa: E402
from pocket import RATE_NAMES, scaled  # noqa: E402

from coordinator.domain.class_state import Pair, Rules, Slot  # noqa: E402
from coordinator.domain.hidden_gap import why_it_looks_ahead  # noqa: E402
from trainer.corpora import default_cache_dir, find_corpus  # noqa: E402
from trainer.evaluate import Answer, Batch, ImpureModelError, Losses, evaluate  # noqa: E402
from trainer.logits import nats  # noqa: E402

BASELINE_SEEDS = 4
WEIGHTS = (0.0003, 0.001, 0.002, 0.004, 0.008, 0.016)
PARTS = (1.0, 0.5)
LOOKS = (3, 5, 8)
DRAWS = 4000
VAL_SEED_BASE = 2000
LENIENT_SIGMAS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run told; ``score`` is None where it was rejected."""

    score: float | None
    gap: float


class InProcess:
    """A ``ctx`` whose budget is CPU seconds of this process."""

    def __init__(self, challenge: Challenge, shard: Path, seed: int, seconds: float) -> None:
        self.seed, self._seconds, self._shard = seed, seconds, shard
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.sequence_len, self.vocab_size = challenge.sequence_len, challenge.vocab_size
        self._began_s = 0.0

    def dummy_batch(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.randint(0, self.vocab_size, (batch_size, self.sequence_len + 1))
        return tokens[:, :-1], tokens[:, 1:]

    def start(self) -> list[Any]:
        self._began_s = time.process_time()
        return [np.fromfile(self._shard, "<u2")]

    def progress(self) -> float:
        return min(1.0, (time.process_time() - self._began_s) / self._seconds)

    def running(self) -> bool:
        return self.progress() < 1

    def log(self, **_metrics: float) -> None:
        """Nobody reads it here."""


def kinds_of(baseline: str) -> dict[str, str]:
    """Honest codes by name."""

    def edited(pattern: str, text: str, source: str = baseline) -> str:
        changed, count = re.subn(pattern, text, source, flags=re.MULTILINE)
        if not count:
            raise SystemExit(f"the baseline has nothing like {pattern}")
        return changed

    def window(tokens: int) -> str:
        mask = f"(i[:, None] >= i) & (i[:, None] - i < {tokens})"
        attend = f"i = torch.arange(T)\n        y = F.scaled_dot_product_attention(q, k, v, attn_mask={mask})"
        return edited(r"y = F.scaled_dot_product_attention\(.*\)$", attend)

    tied = edited(
        r"nn.init.zeros_\(self.unembedding.weight\)",
        "nn.init.normal_(self.embedding.weight, std=0.02); self.unembedding.weight = self.embedding.weight",
    )
    tied = edited(r'^ *\{"params": model.unembedding.*\n', "", tied)
    return {
        "the same": baseline,
        "wider": edited("^MODEL_DIM = 64", "MODEL_DIM = 96"),
        "narrower": edited("^MODEL_DIM = 64", "MODEL_DIM = 32"),
        "one layer less": edited("^DEPTH = 2", "DEPTH = 1"),
        "one layer more": edited("^DEPTH = 2", "DEPTH = 3"),
        "rates x2": scaled(baseline, RATE_NAMES, 2.0),
        "rates x0.5": scaled(baseline, RATE_NAMES, 0.5),
        "no decay": edited(r"^WARMDOWN_FRAC = [0-9.]+", "WARMDOWN_FRAC = 0.0"),
        "batch of 8": edited("^BATCH_SIZE = 4", "BATCH_SIZE = 8"),
        "larger MLP": edited("^MLP_RATIO = 2", "MLP_RATIO = 4"),
        "tied weights": edited("^EMBEDDING_LR = 0.1", "EMBEDDING_LR = 0.02", tied),
        "context of 16": window(16),
        "context of 4": window(4),
    }


def trained(source: str, ctx: InProcess) -> HonestLosses:
    """The losses of a code's model, each batch worked out once."""
    module = types.ModuleType("candidate")
    exec(source, module.__dict__)  # noqa: S102 - the challenge's own code
    model = module.train(ctx)
    known: dict[bytes, Losses] = {}

    def answer(batch: Batch) -> Losses:
        key = batch.inputs.tobytes() + batch.targets.tobytes()
        if key not in known:
            with torch.inference_mode():
                logits = model(torch.from_numpy(batch.inputs)).reshape(-1, ctx.vocab_size)
            known[key] = nats(logits.numpy(), batch.targets.reshape(-1)).reshape(batch.targets.shape)
        return known[key]

    return answer


class Scorer:
    """Runs of models on validation texts."""

    def __init__(self, challenge: Challenge, texts: int) -> None:
        self.challenge = challenge
        corpus = find_corpus(challenge)
        seeds = range(VAL_SEED_BASE, VAL_SEED_BASE + texts)
        self.texts = {seed: corpus.validation_rows(challenge, default_cache_dir(), seed) for seed in seeds}

    def run(self, answer: Answer, text: int, *, is_lenient: bool = False) -> Run:
        """One run; ``is_lenient`` lets levels pass, to know what a rejected one would have told."""
        audit = self.challenge.audit
        if is_lenient:
            audit = replace(audit, level_sigmas=LENIENT_SIGMAS)
        try:
            score = evaluate(answer, self.texts[text], audit, order_seed=text)
        except ImpureModelError:
            return Run(score=None, gap=math.nan)
        if score.hidden_gap_bpb is None:
            raise SystemExit("the text has too few rows")
        return Run(score=score.bits_per_byte, gap=score.hidden_gap_bpb)


def pair_of(candidate: Run, control: Run) -> Pair | None:
    if candidate.score is None or control.score is None:
        return None
    slot = Slot(candidate_id=ExperimentId("x"), control_id=ExperimentId("b"), is_vote=True, number=0)
    return Pair(
        verification_id="",
        slot=slot,
        owner_id=OwnerId("o"),
        node_id=NodeId("n"),
        candidate_score=candidate.score,
        control_score=control.score,
        hidden_gap=candidate.gap,
        control_hidden_gap=control.gap,
    )


def pairs_of(runs: dict[tuple[int, int], Run], controls: dict[tuple[int, int], Run]) -> list[Pair]:
    """Every run against the controls of other seeds on its text."""
    pairs = [
        pair_of(run, control)
        for (seed, text), run in runs.items()
        for (other, same_text), control in controls.items()
        if text == same_text and seed != other
    ]
    return [pair for pair in pairs if pair is not None]


def refused(pairs: Sequence[Pair], rules: Rules, rng: np.random.Generator) -> dict[str, float | None]:
    """Share of draws of so many pairs that the coordinator's rule refuses."""
    shares: dict[str, float | None] = {}
    for look in LOOKS:
        if len(pairs) < look:
            shares[str(look)] = None
            continue
        draws = (rng.choice(len(pairs), look, replace=False) for _ in range(DRAWS))
        hits = sum(why_it_looks_ahead([pairs[int(one)] for one in draw], rules) is not None for draw in draws)
        shares[str(look)] = hits / DRAWS
    return shares


def differences(pairs: Iterable[Pair]) -> list[float]:
    return [
        pair.hidden_gap - pair.control_hidden_gap
        for pair in pairs
        if pair.hidden_gap is not None and pair.control_hidden_gap is not None
    ]


def rms(values: Iterable[float]) -> float:
    return math.sqrt(statistics.fmean(value**2 for value in values))


def told(message: str) -> None:
    sys.stderr.write(message + "\n")


def measure(seconds: float, texts: int) -> dict[str, Any]:
    challenge = load_challenge(find_challenge("pocket"))
    policy = challenge.hidden_gap
    if policy is None:
        raise SystemExit("pocket has no [policy.hidden_gap]")
    rules = rules_of(challenge, policy)
    (shard,) = find_corpus(challenge).training_shards(challenge, default_cache_dir())
    scorer, rng = Scorer(challenge, texts), np.random.default_rng(0)
    models: dict[tuple[str, int], HonestLosses] = {}
    for number, (kind, source) in enumerate(kinds_of(challenge.baseline_source).items()):
        for seed in range(BASELINE_SEEDS) if number == 0 else (BASELINE_SEEDS + number,):
            told(f"training {kind}, seed {seed}")
            models[kind, seed] = trained(source, InProcess(challenge, shard, seed, seconds))
    honest: dict[str, dict[tuple[int, int], Run]] = {}
    for (kind, seed), model in models.items():
        for text in scorer.texts:
            answer = LookingAhead(honest=model, weight=0.0).answer
            honest.setdefault(kind, {})[seed, text] = scorer.run(answer, text)
    controls = honest["the same"]
    all_pairs = {kind: pairs_of(runs, controls) for kind, runs in honest.items()}
    every = [pair for pairs in all_pairs.values() for pair in pairs]
    return {
        "challenge": challenge.name,
        "policy": {"pair_sd": policy.pair_sd, "run_sd": policy.run_sd, "sigmas": policy.sigmas},
        "prior_sd": challenge.prior_sd,
        "honest": {
            "pairs": len(every),
            "pair_rms": round(rms(differences(every)), 4),
            "run_rms": round(rms(run.gap for runs in honest.values() for run in runs.values()), 4),
            "caught_in_one_run": sum(run.score is None for runs in honest.values() for run in runs.values()),
            "kinds": {kind: honest_row(pairs, rules, rng) for kind, pairs in all_pairs.items()},
        },
        "looking_ahead": list(cheats(models, scorer, controls, lambda pairs: refused(pairs, rules, rng))),
    }


def rules_of(challenge: Challenge, policy: HiddenGap) -> Rules:
    return Rules(
        direction=challenge.direction,
        prior_sd=challenge.prior_sd,
        baseline_runs=challenge.min_baseline_runs,
        hidden_gap=policy,
    )


def honest_row(pairs: Sequence[Pair], rules: Rules, rng: np.random.Generator) -> dict[str, Any]:
    gaps = differences(pairs)
    return {
        "gain": round(statistics.fmean(pair.control_score - pair.candidate_score for pair in pairs), 4),
        "gap": round(statistics.fmean(gaps), 4),
        "gap_sd": round(statistics.stdev(gaps), 4),
        "refused": refused(pairs, rules, rng),
    }


def cheats(
    models: dict[tuple[str, int], HonestLosses],
    scorer: Scorer,
    controls: dict[tuple[int, int], Run],
    refused_of: Callable[[Sequence[Pair]], dict[str, float | None]],
) -> Iterator[dict[str, Any]]:
    for part in PARTS:
        for weight in WEIGHTS:
            told(f"looking ahead with weight {weight} in {part} of the row")
            runs, lenient = {}, {}
            for key in controls:
                cheat = LookingAhead(honest=models["the same", key[0]], weight=weight, part=part)
                runs[key] = lenient[key] = scorer.run(cheat.answer, key[1])
                if runs[key].score is None:
                    cheat = LookingAhead(honest=models["the same", key[0]], weight=weight, part=part)
                    lenient[key] = scorer.run(cheat.answer, key[1], is_lenient=True)
            gains = [
                control.score - run.score
                for key, run in lenient.items()
                if (control := controls[key]).score is not None and run.score is not None
            ]
            pairs = pairs_of(lenient, controls)
            yield {
                "weight": weight,
                "part_of_row": part,
                "gain": round(statistics.fmean(gains), 4),
                "caught_in_one_run": round(sum(run.score is None for run in runs.values()) / len(runs), 3),
                "gap": round(statistics.fmean(differences(pairs)), 4),
                "refused": refused_of(pairs),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="CPU seconds of training of each code")
    parser.add_argument("--texts", type=int, default=6, help="validation texts")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(measure(given.seconds, given.texts), indent=2) + "\n")


if __name__ == "__main__":
    main()
