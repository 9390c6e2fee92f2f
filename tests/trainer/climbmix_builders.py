"""A small challenge of the climbmix kind: generated documents, a manifest, and a hub that has them."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from autoresearch.challenge import Challenge, find_challenge, load_challenge, parse_challenge
from fake_hub import FakeHub

from trainer.hub import Hub
from trainer.prepare_climbmix import ClimbmixCorpus

TRAIN_FILES = ("shard_00000.parquet", "shard_00001.parquet")
HELD_OUT_FILE = "shard_00009.parquet"
VOCAB_SIZE = 400
SEQUENCE_LEN = 64
RANGE_BYTES = 20_001

MANIFEST = f"""
schema = 1

[identity]  # what is measured
name = "small-texts"
title = "Small texts"
evaluator = "bits-per-byte/1"
sequence_len = {SEQUENCE_LEN}
vocab_size = {VOCAB_SIZE}
device_kinds = ["cpu"]
frozen = false  # not yet

[identity.metric]
name = "val_bpb"
direction = "lower"
unit = "bits per byte"

[identity.budget]
kind = "steps"
steps = 5

[identity.validation]
source = "{HELD_OUT_FILE}"
source_bytes = 0
source_sha256 = ""
start_byte = 0
bytes = {RANGE_BYTES}
tokens = 0
sha256 = ""

[identity.holdout]
start_byte = {RANGE_BYTES}
bytes = {RANGE_BYTES}
metric = "holdout_bpb"
tokens = 0
sha256 = ""

[identity.tokenizer]
kind = "autoresearch-bpe/1"
split_pattern = '\\s?\\p{{L}}+|\\p{{N}}|[^\\s\\p{{L}}\\p{{N}}]+|\\s+'
train_bytes = 60_000
sha256 = ""

[identity.corpus]
kind = "climbmix-shards/1"
repo = "someone/texts"
revision = "main"
text_column = "text"

[[identity.corpus.train]]
source = "{TRAIN_FILES[0]}"
source_bytes = 0
source_sha256 = ""
tokens = 0
sha256 = ""

[[identity.corpus.train]]
source = "{TRAIN_FILES[1]}"
source_bytes = 0
source_sha256 = ""
tokens = 0
sha256 = ""

[policy]
version = 1
prior_sd = 0.01
min_baseline_runs = 1
harness_versions = ["1"]
contribution_licence = "MIT"

[policy.limits]
setup_s = 60

[policy.audit]
rows = 2
repeat_rows = 2
batch_rows = 4
"""


def documents(seed: int, count: int = 150) -> list[str]:
    """Texts of invented words, some of them outside ASCII, a few documents empty."""
    dice = random.Random(seed)
    syllables = ["ka", "ri", "to", "mé", "nø", "shi", "лу", "za", "漢", "🙂", "un", "ber"]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 4))) for _ in range(300)]
    texts = []
    for _ in range(count):
        sentence = " ".join(dice.choices(words, k=max(0, dice.randint(-20, 120))))
        texts.append(f"{sentence}. {dice.randint(0, 9999)}\n" if sentence else "")
    return texts


def parquet_of(texts: list[str]) -> bytes:
    """A parquet file with a column ``text`` in several row groups."""
    out = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), out, row_group_size=64)
    return out.getvalue()


def small_hub() -> FakeHub:
    """A hub with two training files and one that is held out."""
    names = (*TRAIN_FILES, HELD_OUT_FILE)
    return FakeHub(files={name: parquet_of(documents(seed)) for seed, name in enumerate(names)})


def small_challenge(manifest: str = MANIFEST) -> Challenge:
    """A challenge of a manifest with the real baseline."""
    baseline = (find_challenge("climbmix-5min") / "train.py").read_text()
    return parse_challenge(manifest, baseline, "Lower it.\n")


def real_challenge() -> Challenge:
    """The one that ships."""
    return load_challenge(find_challenge("climbmix-5min"))


def corpus_at(endpoint: str) -> ClimbmixCorpus:
    """The corpus, fetching from a test's hub."""
    return ClimbmixCorpus(Hub(endpoint=endpoint, backoff_first_s=0.001, timeout_s=5))


def freeze(endpoint: str, cache_dir: Path, manifest: str = MANIFEST) -> Challenge:
    """A frozen small challenge, prepared in ``cache_dir``."""
    return small_challenge(corpus_at(endpoint).freeze(small_challenge(manifest), cache_dir, silent))


def silent(_: str) -> None:
    """Reports to nobody."""
