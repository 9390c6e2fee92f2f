"""How well the baseline of climbmix-5min uses a GPU: one run through the real harness, figures as JSON.

    python scripts/bench/climbmix_gpu.py [--seconds 300] [--shards 4] [--train FILE] [--folder DIR]

The tokens are generated in the shape of the real ones (uint16, BOS between documents of some hundred
tokens, frequencies by Zipf's law, half of the tokens following from the one before), so throughput, memory
and overhead are the real ones and the score means nothing. Without a CUDA device: one sentence, exit code 2.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from autoresearch.challenge import Challenge, find_challenge, load_challenge, parse_challenge, write_challenge

from trainer.bpe import BOS, FIRST_MERGED
from trainer.climbmix_build import BuiltFile, write_stamp
from trainer.climbmix_recipe import (
    HOLDOUT_NAME,
    TOKENIZER_NAME,
    VALIDATION_NAME,
    recipe_of,
    shard_name,
)
from trainer.hub import sha256_of
from trainer.manifest_edit import Place, with_values
from trainer.text_shards import TOKEN_DTYPE

NO_DEVICE = 2
SHARD_TOKENS = 64_000_000
DOCUMENT_TOKENS = 700  # on average
BYTES_PER_TOKEN = 4
GENERATED_COMMIT = "0" * 40
RUN_MARGIN_S = 1800  # for launch, compilation and scoring


def main() -> int:
    arguments = parse_arguments()
    if not has_gpu():
        print(
            "climbmix_gpu: no CUDA device is visible to torch here; run it on a machine with one.",
            file=sys.stderr,
        )
        return NO_DEVICE
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="climbmix-gpu-"))
    try:
        challenge = generate(folder, seconds=arguments.seconds, shards=arguments.shards)
        report = run(challenge, folder, arguments.train)
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures(report, arguments.seconds), indent=1))
    return 0 if report["outcome"] == "completed" else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=300, help="the training budget")
    parser.add_argument("--shards", type=int, default=4, help=f"training shards of {SHARD_TOKENS:,} tokens")
    parser.add_argument("--train", type=Path, help="a train.py instead of the baseline")
    parser.add_argument("--folder", type=Path, help="where generated files are kept, to be used again")
    return parser.parse_args()


def has_gpu() -> bool:
    """Asked in another process, so that this one holds no memory of the card."""
    question = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", question], capture_output=True, check=False).returncode == 0


def generate(folder: Path, *, seconds: int, shards: int) -> Challenge:
    """A frozen copy of the challenge over generated tokens, prepared in ``folder/cache``."""
    shipped = load_challenge(find_challenge("climbmix-5min"))
    count = len(shipped.corpus["train"])
    edits: dict[Place, dict[str, str | int]] = {
        ("identity", 0): {"frozen": True},
        ("identity.budget", 0): {"seconds": seconds},
        ("policy.limits", 0): {"train_wall_s": seconds + 30},
        ("identity.corpus", 0): {"repo": "generated/zipf", "revision": GENERATED_COMMIT},
    }
    manifest = with_values(shipped.manifest_toml, edits)
    recipe = recipe_of(parse_challenge(manifest, shipped.baseline_source, shipped.program_md))
    place = folder / "cache" / "climbmix" / recipe.key
    place.mkdir(parents=True, exist_ok=True)
    held_out = recipe.validation.size // BYTES_PER_TOKEN
    built = {TOKENIZER_NAME: write_tokens(place / TOKENIZER_NAME, 1, seed=0)}
    for seed, name in enumerate((VALIDATION_NAME, HOLDOUT_NAME), start=1):
        built[name] = write_tokens(place / name, held_out, seed=seed)
    for index in range(min(shards, count)):
        built[shard_name(index)] = write_tokens(place / shard_name(index), SHARD_TOKENS, seed=10 + index)
    for index in range(shards, count):  # named by the manifest and not wanted
        built[shard_name(index)] = write_tokens(place / shard_name(index), 1, seed=0)
    write_stamp(place, built)
    hashes: dict[Place, dict[str, str | int]] = {
        ("identity.tokenizer", 0): {"sha256": built[TOKENIZER_NAME].sha256},
        ("identity.validation", 0): {"sha256": built[VALIDATION_NAME].sha256},
        ("identity.holdout", 0): {"sha256": built[HOLDOUT_NAME].sha256},
    }
    for index in range(count):
        hashes["identity.corpus.train", index] = {"sha256": built[shard_name(index)].sha256}
    manifest = with_values(manifest, hashes)
    challenge = parse_challenge(manifest, shipped.baseline_source, shipped.program_md)
    write_challenge(challenge, folder / "challenge")
    return challenge


def write_tokens(path: Path, count: int, *, seed: int) -> BuiltFile:
    """Tokens with something to learn; a file that is there already is kept."""
    if not path.exists() or path.stat().st_size != count * TOKEN_DTYPE.itemsize:
        rng = np.random.default_rng(seed)
        words = 8192 - FIRST_MERGED
        tokens = FIRST_MERGED + np.minimum(rng.zipf(1.2, count), 1 << 40) % words
        follows = rng.random(count) < 0.5
        tokens[1:][follows[1:]] = FIRST_MERGED + (tokens[:-1][follows[1:]] * 31 + 7) % words
        tokens[rng.random(count) < 1 / DOCUMENT_TOKENS] = BOS
        tokens[0] = BOS
        tokens.astype(TOKEN_DTYPE).tofile(path)
    status = path.stat()
    return BuiltFile(
        name=path.name,
        count=count,
        size_bytes=status.st_size,
        sha256=sha256_of(path),
        mtime_ns=status.st_mtime_ns,
    )


def run(challenge: Challenge, folder: Path, train: Path | None) -> dict[str, object]:
    """One run by the command that people use; its words go to stderr."""
    out = folder / "report.json"
    command = [
        sys.executable,
        "-m",
        "trainer",
        "run",
        "--challenge",
        str(folder / "challenge"),
        "--out",
        str(out),
    ]
    command += ["--cache-dir", str(folder / "cache"), "--device", challenge.device_kinds[0]]
    command += ["--train", str(train)] if train else []
    limit_s = challenge.budget.amount + RUN_MARGIN_S
    subprocess.run(command, check=True, timeout=limit_s, env=dict(os.environ))
    report: dict[str, object] = json.loads(out.read_text())
    return report


def figures(report: dict, budget_s: int) -> dict[str, object]:
    """What the run says about the use of the card."""
    timings = report["timings"]
    train_s = timings["train_s"]
    return {
        "benchmark": "climbmix_gpu",
        "outcome": report["outcome"],
        "reason": report["reason"],
        "device": report["device"],
        "budget_s": budget_s,
        "steps": report["steps"],
        "tokens": report["tokens"],
        "tokens_per_s": round(report["tokens"] / train_s) if train_s else None,
        "mfu": report["mfu"],
        "num_params": report["num_params"],
        "peak_memory_mb": report["peak_memory_mb"],
        "train_loss_last": report["metrics"].get("train_loss_last"),
        "causality_leak_nats": report["metrics"].get("causality_leak_nats"),
        "purity_leak_nats": report["metrics"].get("purity_leak_nats"),
        "overrun_s": round(train_s - budget_s, 3) if train_s else None,
        "overhead_s": timings["overhead_s"],
        "timings": timings,
        "log_tail": report["log_tail"].splitlines()[-5:],
    }


if __name__ == "__main__":
    sys.exit(main())
