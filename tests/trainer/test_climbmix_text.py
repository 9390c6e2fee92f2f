"""Tokenizer, shards and text ranges: exact to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from climbmix_builders import documents, parquet_of
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.bpe import BOS, FIRST_MERGED, SPLIT_PATTERN, Bpe, train_bpe
from trainer.corpora import CorpusError
from trainer.text_shards import (
    TOKEN_DTYPE,
    ByteRange,
    cut_range,
    documents_of,
    first_bytes,
    whole_file,
    write_range,
    write_shard,
)

TEXTS = [text for text in documents(7) if text]
BPE = train_bpe(TEXTS, 500)


def test_training_twice_gives_the_same_file() -> None:
    again = train_bpe(iter(TEXTS), 500)

    assert again.to_json() == BPE.to_json()


def test_the_file_is_json_and_gives_the_tokenizer_back() -> None:
    raw = BPE.to_json()

    assert json.loads(raw)["format"] == "autoresearch-bpe/1"
    assert Bpe.from_json(raw) == BPE
    assert BPE.vocab_size == 500


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b"\x80\x04pickle",
        BPE.to_json().replace(b"autoresearch-bpe/1", b"autoresearch-bpe/9"),
    ],
)
def test_a_broken_tokenizer_file_is_refused(raw: bytes) -> None:
    with pytest.raises(CorpusError):
        Bpe.from_json(raw)


def test_a_smaller_vocabulary_is_what_training_it_would_have_given() -> None:
    trained = train_bpe(TEXTS, 320)

    assert BPE.truncated(320) == trained


def test_too_little_text_for_the_vocabulary_is_refused() -> None:
    with pytest.raises(CorpusError, match="more text"):
        train_bpe(["aaaa"], 5000)


def test_tokens_have_the_lengths_of_their_bytes_and_bos_has_none() -> None:
    lengths = BPE.byte_lengths()

    tokens = BPE.encode(TEXTS)

    assert lengths[BOS] == 0
    assert (np.delete(lengths, BOS) > 0).all()
    assert [int(lengths[ids].sum()) for ids in tokens] == [len(text.encode()) for text in TEXTS]
    assert max(max(ids) for ids in tokens) >= FIRST_MERGED


def test_threads_do_not_change_tokens() -> None:
    assert BPE.encode(TEXTS, threads=4) == BPE.encode(TEXTS, threads=1)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_comes_back_byte_for_byte(text: str) -> None:
    for pattern in (BPE, Bpe(pattern=SPLIT_PATTERN, merges=BPE.merges)):
        tokens = pattern.encode_bytes(text.encode())

        assert pattern.decode_bytes(tokens) == text.encode()
        assert BOS not in tokens


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aé漢🙂 ", max_size=30), st.integers(0, 40), st.integers(0, 40))
def test_a_slice_that_cuts_characters_comes_back_byte_for_byte(text: str, start: int, size: int) -> None:
    raw = text.encode()[start : start + size]

    tokens = BPE.encode_bytes(raw)

    assert BPE.decode_bytes(tokens) == raw


def test_text_that_looks_like_bos_is_ordinary_text() -> None:
    [tokens] = BPE.encode(["<|bos|>"])

    assert BOS not in tokens


def test_two_ranges_side_by_side_share_no_byte_and_lose_none() -> None:
    whole = "".join(TEXTS).encode()

    first = b"".join(cut_range(TEXTS, ByteRange(start=0, size=10_001)))
    second = b"".join(cut_range(TEXTS, ByteRange(start=10_001, size=9_998)))

    assert first + second == whole[:19_999]


def test_a_range_beyond_the_text_is_refused() -> None:
    with pytest.raises(CorpusError, match="ends at"):
        cut_range(TEXTS, ByteRange(start=0, size=1 << 30))


def test_the_tokenizers_share_ends_at_a_character() -> None:
    taken = list(first_bytes(["aé", "漢字", "never"], 5))

    assert taken == ["aé", ""]


def test_a_shard_is_each_document_behind_a_bos(tmp_path: Path) -> None:
    count = write_shard(TEXTS, BPE, tmp_path / "shard.bin", threads=2)

    tokens = np.fromfile(tmp_path / "shard.bin", dtype=TOKEN_DTYPE)
    starts = np.flatnonzero(tokens == BOS)
    assert count == len(tokens)
    assert starts[0] == 0
    assert [BPE.decode_bytes(part) for part in np.split(tokens, starts[1:])] == [
        text.encode() for text in TEXTS
    ]


def test_a_range_file_spells_the_range(tmp_path: Path) -> None:
    pieces = cut_range(TEXTS, ByteRange(start=3, size=5_000))

    count = write_range(pieces, BPE, tmp_path / "range.bin")

    tokens = np.fromfile(tmp_path / "range.bin", dtype=TOKEN_DTYPE)
    assert count == len(tokens)
    assert int(BPE.byte_lengths()[tokens].sum()) == 5_000


def test_documents_come_in_the_order_of_the_file_without_the_empty_ones(tmp_path: Path) -> None:
    texts = documents(3)
    (tmp_path / "a.parquet").write_bytes(parquet_of(texts))

    found = list(documents_of(tmp_path / "a.parquet", "text"))

    assert found == [text for text in texts if text]
    assert len(found) < len(texts)


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really", parquet_of(TEXTS)[:-200]])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)

    with pytest.raises(CorpusError, match=r"a\.parquet"):
        list(documents_of(tmp_path / "a.parquet", "text"))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet_of(TEXTS))

    with pytest.raises(CorpusError, match="'body'"):
        list(documents_of(tmp_path / "a.parquet", "body"))


def test_a_failure_midway_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError), whole_file(tmp_path / "a.bin") as out:
        out.writelines([b"half", None])  # type: ignore[list-item]

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.bin.tmp").symlink_to("/dev/full")

    with pytest.raises(CorpusError, match="is full"), whole_file(tmp_path / "a.bin") as out:
        out.write(b"x" * 100_000)
