"""Freezing and preparing a small challenge of the climbmix kind, over a hub on loopback."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from autoresearch.challenge import parse_challenge
from climbmix_builders import (
    MANIFEST,
    RANGE_BYTES,
    SEQUENCE_LEN,
    TRAIN_FILES,
    corpus_at,
    documents,
    freeze,
    parquet_of,
    real_challenge,
    silent,
    small_challenge,
    small_hub,
)
from fake_hub import COMMIT, serving

from trainer.bpe import BOS, Bpe
from trainer.climbmix_recipe import recipe_of, recorded_hashes
from trainer.corpora import UNSCORED, CorpusError
from trainer.manifest_edit import with_values


def test_freezing_twice_gives_the_same_manifest_to_the_byte(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        first = corpus_at(endpoint).freeze(small_challenge(), tmp_path / "a", silent)
        second = corpus_at(endpoint).freeze(small_challenge(), tmp_path / "b", silent)

    assert first == second


def test_a_frozen_manifest_names_every_byte_and_keeps_its_comments(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path)

    assert challenge.frozen
    assert recipe_of(challenge).revision == COMMIT
    assert all(recorded_hashes(challenge).values())
    assert all(file.sha256 and file.size_bytes for file in recipe_of(challenge).files)
    assert "frozen = true  # not yet" in challenge.manifest_toml
    assert challenge.manifest_toml.count("\n") == MANIFEST.count("\n")


def test_another_machine_prepares_the_same_files_from_the_frozen_manifest(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path / "a")
        corpus_at(endpoint).prepare(challenge, tmp_path / "b", silent)

        ours = corpus_at(endpoint).training_shards(challenge, tmp_path / "a")
        theirs = corpus_at(endpoint).training_shards(challenge, tmp_path / "b")
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs]
    assert len(ours) == len(TRAIN_FILES)


def test_what_is_prepared_needs_no_hub_any_more(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path)
    corpus = corpus_at(endpoint)

    corpus.prepare(challenge, tmp_path, silent)

    assert corpus.training_shards(challenge, tmp_path)


def test_validation_rows_score_each_byte_once_and_no_bos(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path)
        rows = corpus_at(endpoint).validation_rows(challenge, tmp_path, val_seed=3)
    [tokenizer] = tmp_path.glob("climbmix/*/tokenizer.json")
    bpe = Bpe.from_json(tokenizer.read_bytes())

    scored = rows.targets[rows.targets != UNSCORED]
    assert rows.inputs.shape == rows.targets.shape
    assert rows.inputs.shape[1] == SEQUENCE_LEN
    assert rows.inputs[0, 0] == BOS
    assert BOS not in scored
    assert bpe.decode_bytes(scored) == "".join(documents(2)).encode()[:RANGE_BYTES]
    assert rows.byte_count == RANGE_BYTES == int(bpe.byte_lengths()[scored].sum())


def test_the_held_back_range_is_the_text_behind_the_public_one(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path)
        rows = corpus_at(endpoint).holdout_rows(challenge, tmp_path, val_seed=3)
    [tokenizer] = tmp_path.glob("climbmix/*/tokenizer.json")

    scored = rows.targets[rows.targets != UNSCORED]
    text = Bpe.from_json(tokenizer.read_bytes()).decode_bytes(scored)
    assert text == "".join(documents(2)).encode()[RANGE_BYTES : 2 * RANGE_BYTES]
    assert rows.byte_count == RANGE_BYTES


def test_an_unfrozen_challenge_is_refused_with_the_command_that_freezes(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="prepare --challenge small-texts --freeze"):
        corpus_at("http://127.0.0.1:9").prepare(small_challenge(), tmp_path, silent)
    with pytest.raises(CorpusError, match="--freeze"):
        corpus_at("http://127.0.0.1:9").training_shards(small_challenge(), tmp_path)


def test_asking_before_preparing_names_the_command(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path / "a")

    with pytest.raises(CorpusError, match="trainer prepare --challenge small-texts"):
        corpus_at(endpoint).training_shards(challenge, tmp_path / "b")


def test_a_changed_shard_is_noticed_and_mended(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path)
        corpus = corpus_at(endpoint)
        shard = corpus.training_shards(challenge, tmp_path)[0]
        whole = shard.read_bytes()
        shard.write_bytes(whole[:100])

        with pytest.raises(CorpusError, match="was changed"):
            corpus.training_shards(challenge, tmp_path)
        corpus.prepare(challenge, tmp_path, silent)

    assert corpus.training_shards(challenge, tmp_path)[0].read_bytes() == whole


def test_other_bytes_on_the_hub_are_refused(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path / "a")
    other = small_hub()
    other.files[TRAIN_FILES[1]] = parquet_of(documents(99))

    with serving(other) as endpoint, pytest.raises(CorpusError, match=TRAIN_FILES[1]):
        corpus_at(endpoint).prepare(challenge, tmp_path / "b", silent)


def test_a_manifest_that_states_another_hash_is_refused(tmp_path: Path) -> None:
    lie = with_values(MANIFEST, {("identity.tokenizer", 0): {"sha256": "0" * 64}})

    with serving(small_hub()) as endpoint, pytest.raises(CorpusError, match=r"tokenizer\.json has sha256"):
        freeze(endpoint, tmp_path, lie)


def test_freezing_a_frozen_manifest_changes_nothing(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path / "a")

        again = corpus_at(endpoint).freeze(challenge, tmp_path / "b", silent)

    assert again == challenge.manifest_toml


def test_shards_feed_training_as_read_only_uint16_maps(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path)
        paths = corpus_at(endpoint).training_shards(challenge, tmp_path)

    shards = [np.memmap(path, dtype="<u2", mode="r") for path in paths]
    stated = [
        entry["tokens"] for entry in tomllib.loads(challenge.manifest_toml)["identity"]["corpus"]["train"]
    ]
    assert [len(shard) for shard in shards] == stated
    assert all(int(shard.max()) < challenge.vocab_size for shard in shards)


def test_the_shipped_challenge_is_unfrozen_and_invents_no_hash() -> None:
    challenge = real_challenge()
    recipe = recipe_of(challenge)

    assert not challenge.frozen
    assert not any(recorded_hashes(challenge).values())
    assert not any(file.sha256 or file.size_bytes for file in recipe.files)
    assert (challenge.budget.kind, challenge.budget.amount) == ("wall", 300)
    assert (challenge.sequence_len, challenge.vocab_size) == (2048, 8192)
    assert recipe.validation.size == recipe.holdout.size == 32 * 2**20


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('repo = "someone/texts"', 'repo = "../../etc"', "repo"),
        ('source = "shard_00000.parquet"', 'source = "../shard"', "source"),
        ('source = "shard_00009.parquet"', 'source = "shard_00001.parquet"', "twice"),
        (f"start_byte = {RANGE_BYTES}", "start_byte = 5", "overlap"),
        ("train_bytes = 60_000", "train_bytes = -1", "train_bytes"),
        ("vocab_size = 400", "vocab_size = 200", "vocab_size"),
    ],
)
def test_an_impossible_manifest_is_named(old: str, new: str, complaint: str) -> None:
    assert old in MANIFEST

    with pytest.raises(CorpusError, match=complaint):
        recipe_of(small_challenge(MANIFEST.replace(old, new)))


def test_editing_a_manifest_refuses_a_key_that_is_not_there() -> None:
    with pytest.raises(CorpusError, match="no line for colour"):
        with_values(MANIFEST, {("identity.corpus.train", 1): {"colour": "red"}})


def test_editing_reaches_the_meant_table_of_several() -> None:
    edited = with_values(MANIFEST, {("identity.corpus.train", 1): {"tokens": 7}})

    tables = tomllib.loads(edited)["identity"]["corpus"]["train"]
    assert [table["tokens"] for table in tables] == [0, 7]
    assert parse_challenge(edited, "pass\n", "text\n").name == "small-texts"


def test_preparing_again_after_a_broken_line_goes_on(tmp_path: Path) -> None:
    with serving(small_hub()) as endpoint:
        challenge = freeze(endpoint, tmp_path / "a")
    gone = small_hub()
    missing = gone.files.pop(TRAIN_FILES[1])

    with serving(gone) as endpoint:
        with pytest.raises(CorpusError, match=TRAIN_FILES[1]):
            corpus_at(endpoint).prepare(challenge, tmp_path / "b", silent)
        gone.files[TRAIN_FILES[1]] = missing
        corpus_at(endpoint).prepare(challenge, tmp_path / "b", silent)

    assert corpus_at(endpoint).training_shards(challenge, tmp_path / "b")
    assert not [
        name for _, _, names in os.walk(tmp_path / "b") for name in names if name.endswith((".tmp", ".part"))
    ]
