"""The corpus of ``climbmix-5min``: documents from a Hugging Face hub, made into tokens on this machine.

    cache_dir/climbmix/sources/<repo>/<revision>/*.parquet     as downloaded, verified
    cache_dir/climbmix/<recipe>/tokenizer.json                 trained from the first training file's text
                               /train_00000.bin ...            one shard per training file
                               /validation.bin, holdout.bin
                               /prepared.json                  what was built, with hashes: written last

``<recipe>`` hashes everything in the manifest that decides the bytes, so another recipe is another folder,
and freezing, which only adds hashes, keeps it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from autoresearch.challenge import Challenge, parse_challenge

from trainer.bpe import BOS
from trainer.climbmix_build import Builder, BuiltFile, is_unchanged, read_stamp
from trainer.climbmix_recipe import (
    HOLDOUT_NAME,
    TOKENIZER_NAME,
    VALIDATION_NAME,
    Recipe,
    is_commit,
    recipe_of,
    recorded_hashes,
    shard_name,
)
from trainer.corpora import UNSCORED, CorpusError, Progress, ValidationRows, rows_from_stream
from trainer.hub import Hub, HubFile, sha256_of
from trainer.manifest_edit import Place, with_values
from trainer.meter import terminal_meter
from trainer.text_shards import (
    TOKEN_DTYPE,
)


class ClimbmixCorpus:
    """Implements ``trainer.corpora.Corpus`` for manifests of kind ``climbmix-shards/1``.

    Args:
        hub: Where sources come from; by default as ``HF_ENDPOINT`` and ``HF_TOKEN`` say.
    """

    def __init__(self, hub: Hub | None = None) -> None:
        self._hub = hub

    def prepare(self, challenge: Challenge, cache_dir: Path, report: Progress) -> None:
        """Downloads, trains the tokenizer, writes the shards, and checks each file against the manifest.

        Idempotent; a run that was cut goes on with the first file that is not whole.

        Raises:
            CorpusError: The manifest is not frozen, a source cannot be had, or a file differs from it.
        """
        self._build(_frozen_recipe(challenge), cache_dir, report, expected=recorded_hashes(challenge))

    def freeze(self, challenge: Challenge, cache_dir: Path, report: Progress) -> str:
        """Builds everything and returns the manifest with revision, sizes and hashes, marked as frozen.

        Raises:
            CorpusError: A source cannot be had, or a value that the manifest states already is not true.
        """
        recipe = recipe_of(challenge)
        pinned = replace(recipe, revision=self._commit(recipe))
        self._download(pinned, _sources_folder(pinned, cache_dir), report)
        built = self._build(pinned, cache_dir, report, expected=recorded_hashes(challenge))
        manifest = with_values(challenge.manifest_toml, self._values(pinned, cache_dir, built))
        frozen = parse_challenge(manifest, challenge.baseline_source, challenge.program_md)
        report(f"frozen as {frozen.challenge_id}")
        return manifest

    def training_shards(self, challenge: Challenge, cache_dir: Path) -> list[Path]:
        """The shards, in the manifest's order.

        Raises:
            CorpusError: They are not prepared, or were changed since.
        """
        names = [shard_name(index) for index in range(len(_frozen_recipe(challenge).train_files))]
        return self._prepared(challenge, cache_dir, names)

    def validation_rows(self, challenge: Challenge, cache_dir: Path, val_seed: int) -> ValidationRows:
        """The public validation range; the seed changes nothing here.

        Raises:
            CorpusError: It is not prepared, or was changed since.
        """
        del val_seed
        size = _frozen_recipe(challenge).validation.size
        return self._rows(challenge, cache_dir, VALIDATION_NAME, byte_count=size)

    def holdout_rows(self, challenge: Challenge, cache_dir: Path, val_seed: int) -> ValidationRows:
        """The second range, for confirmations only; the seed changes nothing here.

        Raises:
            CorpusError: It is not prepared, or was changed since.
        """
        del val_seed
        size = _frozen_recipe(challenge).holdout.size
        return self._rows(challenge, cache_dir, HOLDOUT_NAME, byte_count=size)

    def _rows(self, challenge: Challenge, cache_dir: Path, name: str, *, byte_count: int) -> ValidationRows:
        [path] = self._prepared(challenge, cache_dir, [name])
        rows = rows_from_stream(np.fromfile(path, dtype=TOKEN_DTYPE).astype(np.int64), challenge.sequence_len)
        # Where a document ends is no byte of the text: BOS is context and never scored.
        targets = np.where(rows.targets == BOS, UNSCORED, rows.targets)
        return ValidationRows(inputs=rows.inputs, targets=targets, byte_count=byte_count)

    def _prepared(self, challenge: Challenge, cache_dir: Path, names: list[str]) -> list[Path]:
        folder = _folder(_frozen_recipe(challenge), cache_dir)
        built = read_stamp(folder)
        expected = recorded_hashes(challenge)
        paths = []
        for name in names:
            path = folder / name
            known = built.get(name)
            if known is None or not is_unchanged(path, known):
                raise CorpusError(
                    f"{path} is missing or was changed; "
                    f"run: python -m trainer prepare --challenge {challenge.name}"
                )
            _check_hash(known, expected.get(name, ""))
            paths.append(path)
        return paths

    def _commit(self, recipe: Recipe) -> str:
        if is_commit(recipe.revision):
            return recipe.revision
        return self._source_hub().commit_of(recipe.repo, recipe.revision)

    def _source_hub(self) -> Hub:
        return self._hub if self._hub is not None else Hub.from_environment(os.environ)

    def _build(
        self, recipe: Recipe, cache_dir: Path, report: Progress, *, expected: dict[str, str]
    ) -> dict[str, BuiltFile]:
        folder = _folder(recipe, cache_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder):
            builder = Builder(
                recipe=recipe, folder=folder, sources=_sources_folder(recipe, cache_dir), report=report
            )
            built = read_stamp(folder)
            if not all(
                name in built and is_unchanged(folder / name, built[name]) for name in builder.steps()
            ):
                self._download(recipe, builder.sources, report)
                built = builder.build(built)
            for file in built.values():
                _check_hash(file, expected.get(file.name, ""))
        report(f"prepared: {len(recipe.train_files)} shards in {folder}")
        return built

    def _download(self, recipe: Recipe, sources: Path, report: Progress) -> None:
        hub = self._source_hub()
        report(f"fetching {len(recipe.files)} files of {recipe.repo} from {hub.endpoint}")
        files = [
            HubFile(
                repo=recipe.repo,
                revision=recipe.revision,
                path=file.path,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
            )
            for file in recipe.files
        ]
        with terminal_meter() as meter:
            hub.download_all(files, sources, meter)

    def _values(
        self, recipe: Recipe, cache_dir: Path, built: dict[str, BuiltFile]
    ) -> dict[Place, dict[str, str | int]]:
        sources = _sources_folder(recipe, cache_dir)
        edits: dict[Place, dict[str, str | int]] = {
            ("identity", 0): {"frozen": True},
            ("identity.corpus", 0): {"revision": recipe.revision},
            ("identity.tokenizer", 0): {"sha256": built[TOKENIZER_NAME].sha256},
            ("identity.validation", 0): {
                **_source_values(sources / recipe.validation_file.path),
                "tokens": built[VALIDATION_NAME].count,
                "sha256": built[VALIDATION_NAME].sha256,
            },
            ("identity.holdout", 0): {
                "tokens": built[HOLDOUT_NAME].count,
                "sha256": built[HOLDOUT_NAME].sha256,
            },
        }
        for index, file in enumerate(recipe.train_files):
            shard = built[shard_name(index)]
            edits["identity.corpus.train", index] = {
                **_source_values(sources / file.path),
                "tokens": shard.count,
                "sha256": shard.sha256,
            }
        return edits


def _check_hash(file: BuiltFile, expected: str) -> None:
    if expected and file.sha256 != expected:
        raise CorpusError(
            f"{file.name} has sha256 {file.sha256} and the manifest says {expected}; this machine builds "
            "other bytes than the one that froze it: compare the versions of rustbpe, tiktoken and pyarrow"
        )


def _source_values(path: Path) -> dict[str, str | int]:
    return {"source_bytes": path.stat().st_size, "source_sha256": sha256_of(path)}


def _sources_folder(recipe: Recipe, cache_dir: Path) -> Path:
    return cache_dir / "climbmix" / "sources" / recipe.repo.replace("/", "--") / recipe.revision


def _folder(recipe: Recipe, cache_dir: Path) -> Path:
    return cache_dir / "climbmix" / recipe.key


def _frozen_recipe(challenge: Challenge) -> Recipe:
    recipe = recipe_of(challenge)
    if not (challenge.frozen and is_commit(recipe.revision) and all(recorded_hashes(challenge).values())):
        raise CorpusError(
            f"{challenge.name} is not frozen: its manifest names no bytes yet, so no two runs compare. "
            f"On a connected machine run: python -m trainer prepare --challenge {challenge.name} --freeze"
        )
    return recipe


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two nodes of one machine prepare one after the other; the second finds the work done."""
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
