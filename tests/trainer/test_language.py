from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from autoresearch.challenge import load_challenge
from hypothesis import given
from hypothesis import strategies as st

from trainer.corpora import CorpusError
from trainer.corpus import PocketCorpus
from trainer.language import Dice, Lexicon, documents, text_of
from trainer.word_pieces import Tokenizer, learn_pieces

KNOWN_TEXT = "749e060db1d2bb3609ab18d200506fa69c9262c234a65a69dda4023685fa1a29"
KNOWN_TOKENIZER = "f6b2f10f121839e171e4a1405fa3723e8d9c4f47c3c0835add88cc79901f08c0"


def quiet(_line: str) -> None:
    pass


def test_the_dice_are_split_mix_64() -> None:
    dice = Dice(1234567)

    drawn = [dice.below(1 << 64) for _ in range(3)]

    assert drawn == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_seed_writes_the_same_bytes_on_every_machine() -> None:
    text = text_of(Lexicon(3), 4, 50_000)
    tokenizer = learn_pieces(text.decode("utf-8", errors="ignore"), 400)

    assert hashlib.sha256(text).hexdigest() == KNOWN_TEXT
    assert hashlib.sha256(tokenizer.to_json().encode()).hexdigest() == KNOWN_TOKENIZER


@given(st.integers(1, 3000), st.integers(0, 1 << 64))
def test_a_text_has_exactly_its_size_and_is_utf_8(size: int, seed: int) -> None:
    text = text_of(Lexicon(3), seed, size)

    assert len(text) == size
    assert text.decode("utf-8")


def test_every_kind_of_document_comes_in_turn() -> None:
    first = list(itertools.islice(documents(Lexicon(3), 4), 5))

    assert all(document.endswith("\n\n") for document in first)
    assert any("+" in document for document in first)
    assert any("{" in document or "(" in document for document in first)


@given(st.text(alphabet="abeoktø éÉ019+.()[]{}\n\tZß漢", max_size=200))
def test_no_text_loses_a_byte_in_the_tokenizer(text: str) -> None:
    tokenizer = learn_pieces("kato beko 12 13 kato. (kato) 12 beko beko\n\n", 280)
    spelled = tokenizer.token_bytes()

    assert b"".join(spelled[token] for token in tokenizer.encode(text)) == text.encode("utf-8")


def test_a_tokenizer_survives_its_json() -> None:
    tokenizer = learn_pieces("kato beko kato beko", 260)

    assert Tokenizer.from_json(tokenizer.to_json()) == tokenizer


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format":"word-pieces/1","merges":[[300,1]]}', '{"merges":[[1]]}']
)
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a tokenizer"):
        Tokenizer.from_json(text)


def test_each_validation_seed_gives_its_own_text(steps_challenge: Path, cache_dir: Path) -> None:
    challenge, corpus = load_challenge(steps_challenge), PocketCorpus()

    one, same, other = (corpus.validation_rows(challenge, cache_dir, seed) for seed in (1, 1, 2))

    assert np.array_equal(one.inputs, same.inputs)
    assert not np.array_equal(one.inputs[:5], other.inputs[:5])
    assert one.byte_count == other.byte_count == 6000


def test_a_damaged_shard_is_never_trained_on(steps_challenge: Path, tmp_path: Path) -> None:
    challenge, corpus = load_challenge(steps_challenge), PocketCorpus()
    corpus.prepare(challenge, tmp_path, quiet)
    (shard,) = corpus.training_shards(challenge, tmp_path)
    shard.write_bytes(b"\0\0" + shard.read_bytes()[2:])

    with pytest.raises(CorpusError, match="not prepared"):
        corpus.training_shards(challenge, tmp_path)

    corpus.prepare(challenge, tmp_path, quiet)
    assert corpus.training_shards(challenge, tmp_path) == [shard]
