"""A challenge that runs in a second, and a bigram model that learns a little of it."""

from __future__ import annotations

from pathlib import Path

from autoresearch.challenge import Challenge, load_challenge

from trainer.prepare import freeze

MANIFEST = """
schema = 1

[identity]
name = "tiny"
title = "A tiny contest"
evaluator = "bits-per-byte/1"
sequence_len = 32
vocab_size = 300
device_kinds = ["cpu"]
frozen = false

[identity.metric]
name = "val_bpb"
direction = "lower"
unit = "bits per byte"

[identity.budget]
{budget}

[identity.corpus]
kind = "pocket-generator/1"
lexicon_seed = 11
train_seed = 12
train_bytes = 60000
tokens_sha256 = "tokens"

[identity.tokenizer]
kind = "word-pieces/1"
sample_bytes = 30000
sha256 = "tokenizer"

[identity.validation]
kind = "seeded"
bytes = 6000

{holdout}
[policy]
version = 1
prior_sd = 0.02
min_baseline_runs = 3
harness_versions = ["1"]
contribution_licence = "MIT"

[policy.limits]
setup_s = 6
train_wall_s = 5
eval_s = 8
memory_mb = 1500
scratch_mb = 64

[policy.audit]
rows = 24
repeat_rows = 8
batch_rows = 8
leak_nats_max = 0.002

[policy.hidden_gap]
metric = "hidden_gap_bpb"
pair_sd = 0.1
run_sd = 0.2
"""

HOLDOUT = """[identity.holdout]
kind = "seeded"
domain = "holdout"
bytes = 5000
metric = "holdout_bpb"

"""

MODEL = """
import torch

class Bigram(torch.nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.table = torch.nn.Embedding(vocab_size, vocab_size)
        torch.nn.init.zeros_(self.table.weight)

    def forward(self, ids):
        return self.table(ids)
"""

GOOD = (
    MODEL
    + """
def train(ctx):
    torch.manual_seed(ctx.seed)
    model = Bigram(ctx.vocab_size)
    (shard,) = ctx.start()
    tokens = torch.from_numpy(shard.astype("int64"))
    step = 0
    while ctx.running():
        start = torch.randint(0, len(tokens) - 513, (1,)).item()
        logits = model(tokens[start : start + 512])
        loss = torch.nn.functional.cross_entropy(logits, tokens[start + 1 : start + 513])
        loss.backward()
        with torch.no_grad():
            model.table.weight -= 50.0 * model.table.weight.grad
        model.table.weight.grad = None
        step += 1
        ctx.log(step=step, loss=loss.item(), tokens=step * 512)
    return model
"""
)


def tiny_manifest(budget: str) -> str:
    return MANIFEST.format(budget=budget, holdout=HOLDOUT)


def tiny_folder(folder: Path, cache_dir: Path, *, budget: str, source: str = GOOD) -> Path:
    """A frozen and prepared challenge folder."""
    (folder / "challenge.toml").write_text(tiny_manifest(budget))
    (folder / "train.py").write_text(source)
    (folder / "program.md").write_text("Make it better.\n")
    freeze(str(folder), cache_dir, lambda _line: None)
    return folder


def tiny_challenge(folder: Path) -> Challenge:
    return load_challenge(folder)
