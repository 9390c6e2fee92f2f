"""What a manifest of kind ``climbmix-shards/1`` says, read into types."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from autoresearch.challenge import Challenge

from trainer.bpe import FIRST_MERGED
from trainer.corpora import CorpusError
from trainer.text_shards import ByteRange

TOKENIZER_NAME = "tokenizer.json"
VALIDATION_NAME = "validation.bin"
HOLDOUT_NAME = "holdout.bin"
TRAIN_FILES_MAX = 4096
UINT16_IDS = 1 << 16
RECIPE_VERSION = 1  # of the way bytes are made; a change that alters any byte raises it

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of the hub; size 0 and an empty hash until the manifest is frozen."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides which bytes are built."""

    repo: str
    revision: str
    text_column: str
    train_files: tuple[SourceFile, ...]
    validation_file: SourceFile
    validation: ByteRange
    holdout: ByteRange
    split_pattern: str
    vocab_size: int
    tokenizer_train_bytes: int

    @property
    def files(self) -> tuple[SourceFile, ...]:
        """All sources, the held-out one last."""
        return (*self.train_files, self.validation_file)

    @property
    def key(self) -> str:
        """Names the folder of the built files; sizes and hashes have no part in it, so freezing keeps it."""
        known = asdict(self)
        for file in (*known["train_files"], known["validation_file"]):
            del file["size_bytes"], file["sha256"]
        canonical = json.dumps({"version": RECIPE_VERSION, **known}, sort_keys=True).encode()
        return hashlib.sha256(canonical).hexdigest()[:24]


def recipe_of(challenge: Challenge) -> Recipe:
    """Reads the recipe from a manifest.

    Raises:
        CorpusError: A value is missing or impossible; the message names it.
    """
    corpus, tokenizer, validation = challenge.corpus, challenge.tokenizer, challenge.validation
    train = _get(corpus, "train", list, "identity.corpus")
    if not 1 <= len(train) <= TRAIN_FILES_MAX:
        raise CorpusError(f"the manifest names {len(train)} training files; give 1 to {TRAIN_FILES_MAX}")
    recipe = Recipe(
        repo=_text(corpus, "repo", "identity.corpus", _REPO),
        revision=_text(corpus, "revision", "identity.corpus"),
        text_column=_text(corpus, "text_column", "identity.corpus"),
        train_files=tuple(_source(entry, "identity.corpus.train") for entry in train),
        validation_file=_source(validation, "identity.validation"),
        validation=_range(validation, "identity.validation"),
        holdout=_range(challenge.holdout, "identity.holdout"),
        split_pattern=_text(tokenizer, "split_pattern", "identity.tokenizer"),
        vocab_size=challenge.vocab_size,
        tokenizer_train_bytes=_whole(tokenizer, "train_bytes", "identity.tokenizer", low=1),
    )
    _check(recipe)
    return recipe


def recorded_hashes(challenge: Challenge) -> dict[str, str]:
    """sha256 of each built file by name, as far as the manifest states it."""
    hashes = {
        TOKENIZER_NAME: _hash(challenge.tokenizer, "sha256", "identity.tokenizer"),
        VALIDATION_NAME: _hash(challenge.validation, "sha256", "identity.validation"),
        HOLDOUT_NAME: _hash(challenge.holdout, "sha256", "identity.holdout"),
    }
    for index, entry in enumerate(_get(challenge.corpus, "train", list, "identity.corpus")):
        hashes[shard_name(index)] = _hash(entry, "sha256", "identity.corpus.train")
    return hashes


def shard_name(index: int) -> str:
    """The file of the tokens of the training file number ``index``."""
    return f"train_{index:05d}.bin"


def is_commit(revision: str) -> bool:
    """Whether a revision can never come to mean other bytes."""
    return _COMMIT.fullmatch(revision) is not None


def _check(recipe: Recipe) -> None:
    names = [file.path for file in recipe.files]
    if len({name.rpartition("/")[2] for name in names}) != len(names):
        raise CorpusError("the manifest names a source file twice; held-out text must not be trained on")
    first, second = sorted((recipe.validation, recipe.holdout), key=lambda cut: cut.start)
    if first.start + first.size > second.start:
        raise CorpusError("the validation range and the held-back one overlap; part them")
    if not FIRST_MERGED < recipe.vocab_size <= UINT16_IDS:
        raise CorpusError(f"vocab_size is {recipe.vocab_size}; give {FIRST_MERGED + 1} to {UINT16_IDS}")


def _source(table: Any, where: str) -> SourceFile:
    if not isinstance(table, Mapping):
        raise CorpusError(f"the manifest's {where} holds {table!r}; give tables")
    return SourceFile(
        path=_text(table, "source", where, _FILE),
        size_bytes=_whole(table, "source_bytes", where, low=0),
        sha256=_hash(table, "source_sha256", where),
    )


def _range(table: Mapping[str, Any], where: str) -> ByteRange:
    return ByteRange(
        start=_whole(table, "start_byte", where, low=0), size=_whole(table, "bytes", where, low=1)
    )


def _hash(table: Mapping[str, Any], key: str, where: str) -> str:
    value = _get(table, key, str, where)
    if value and _SHA256.fullmatch(value) is None:
        raise CorpusError(f"the manifest's {where}.{key} is {value!r}; give 64 hex digits, or nothing yet")
    return cast("str", value)


def _text(table: Mapping[str, Any], key: str, where: str, pattern: re.Pattern[str] | None = None) -> str:
    value = _get(table, key, str, where)
    if not value or (pattern is not None and pattern.fullmatch(value) is None):
        raise CorpusError(f"the manifest's {where}.{key} is {value!r}; mend it")
    return cast("str", value)


def _whole(table: Mapping[str, Any], key: str, where: str, *, low: int) -> int:
    value = _get(table, key, int, where)
    if isinstance(value, bool) or value < low:
        raise CorpusError(f"the manifest's {where}.{key} is {value!r}; give a whole number from {low}")
    return cast("int", value)


def _get(table: Mapping[str, Any], key: str, kind: type[Any], where: str) -> Any:
    value = table.get(key)
    if not isinstance(value, kind):
        raise CorpusError(f"the manifest's {where}.{key} is {value!r}; give a {kind.__name__}")
    return value
