"""Builds the files of one climbmix recipe, each once, and records what was built."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer.bpe import Bpe, train_bpe
from trainer.climbmix_recipe import HOLDOUT_NAME, TOKENIZER_NAME, VALIDATION_NAME, Recipe, shard_name
from trainer.corpora import Progress
from trainer.hub import sha256_of
from trainer.text_shards import (
    ByteRange,
    cut_range,
    documents_of,
    first_bytes,
    whole_file,
    write_range,
    write_shard,
)

STAMP_NAME = "prepared.json"
STAMP_FORMAT = "autoresearch-prepared/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFile:
    """One prepared file; ``count`` is its tokens (of the tokenizer: its vocabulary)."""

    name: str
    count: int
    size_bytes: int
    sha256: str
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Makes the prepared files of one recipe, each once."""

    recipe: Recipe
    folder: Path
    sources: Path
    report: Progress

    def steps(self) -> dict[str, Callable[[Path], int]]:
        """What makes each file, in order; the tokenizer first, since the rest needs it."""
        shards = {
            shard_name(index): self._shard(self.sources / file.path)
            for index, file in enumerate(self.recipe.train_files)
        }
        return {
            TOKENIZER_NAME: self._tokenizer,
            VALIDATION_NAME: self._range(self.recipe.validation),
            HOLDOUT_NAME: self._range(self.recipe.holdout),
            **shards,
        }

    def build(self, before: dict[str, BuiltFile]) -> dict[str, BuiltFile]:
        """Builds what is missing; without its tokenizer nothing that was built before counts."""
        steps = self.steps()
        built = {
            name: known
            for name, known in before.items()
            if name in steps and is_unchanged(self.folder / name, known)
        }
        if TOKENIZER_NAME not in built:
            built = {}
        for name, make in steps.items():
            if name not in built:
                self.report(f"building {name}")
                path = self.folder / name
                built[name] = _describe(path, make(path))
                write_stamp(self.folder, built)
        return built

    def _tokenizer(self, target: Path) -> int:
        column = self.recipe.text_column
        documents = itertools.chain.from_iterable(
            documents_of(self.sources / file.path, column) for file in self.recipe.train_files
        )
        bpe = train_bpe(
            first_bytes(documents, self.recipe.tokenizer_train_bytes),
            self.recipe.vocab_size,
            self.recipe.split_pattern,
        )
        with whole_file(target) as out:
            out.write(bpe.to_json())
        return bpe.vocab_size

    def _shard(self, source: Path) -> Callable[[Path], int]:
        def make(target: Path) -> int:
            return write_shard(documents_of(source, self.recipe.text_column), self._bpe(), target)

        return make

    def _range(self, cut: ByteRange) -> Callable[[Path], int]:
        def make(target: Path) -> int:
            source = self.sources / self.recipe.validation_file.path
            return write_range(
                cut_range(documents_of(source, self.recipe.text_column), cut), self._bpe(), target
            )

        return make

    def _bpe(self) -> Bpe:
        return Bpe.from_json((self.folder / TOKENIZER_NAME).read_bytes())


def read_stamp(folder: Path) -> dict[str, BuiltFile]:
    """What was built in a folder; empty where nothing was, or where the stamp is not ours."""
    try:
        document = json.loads((folder / STAMP_NAME).read_bytes())
        if document["format"] != STAMP_FORMAT:
            return {}
        return {entry["name"]: BuiltFile(**entry) for entry in document["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_stamp(folder: Path, built: dict[str, BuiltFile]) -> None:
    """Records what was built, so that a run can trust names, sizes and times instead of hashing gigabytes."""
    entries = [{key: getattr(file, key) for key in BuiltFile.__slots__} for file in built.values()]
    with whole_file(folder / STAMP_NAME) as out:
        out.write(json.dumps({"format": STAMP_FORMAT, "files": entries}, indent=1).encode())


def _describe(path: Path, count: int) -> BuiltFile:
    status = path.stat()
    return BuiltFile(
        name=path.name,
        count=count,
        size_bytes=status.st_size,
        sha256=sha256_of(path),
        mtime_ns=status.st_mtime_ns,
    )


def is_unchanged(path: Path, known: BuiltFile) -> bool:
    """Whether a file is still the one that was recorded, by size and time of change."""
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (known.size_bytes, known.mtime_ns)
