"""From parquet files of documents to shards of tokens, byte for byte the same on every machine.

A shard is a file of little-endian uint16 tokens: for each document in order, BOS and then its tokens. A
text range is cut from the concatenation of a file's documents in UTF-8, at exact byte offsets.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from trainer.bpe import BOS, Bpe
from trainer.corpora import CorpusError

ROWS_PER_READ = 1024
TEXTS_PER_BATCH = 512
THREADS_MAX = 32
TOKEN_DTYPE = np.dtype("<u2")


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """``size`` bytes from ``start`` of a file's documents, put end to end in UTF-8."""

    start: int
    size: int


def documents_of(path: Path, column: str) -> Iterator[str]:
    """The texts of a parquet file in order; empty ones are left out.

    Raises:
        CorpusError: The file is no parquet file or lacks the column.
    """
    import pyarrow as pa  # noqa: PLC0415 - only whoever prepares needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(path) as table:
            if column not in table.schema_arrow.names:
                raise CorpusError(f"{path} has no column {column!r}; check the manifest's text_column")
            for batch in table.iter_batches(batch_size=ROWS_PER_READ, columns=[column]):
                yield from (text for text in batch.column(0).to_pylist() if text)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(
            f"{path} cannot be read as parquet ({error}); delete it and prepare again"
        ) from error


def first_bytes(documents: Iterable[str], limit: int) -> Iterator[str]:
    """Documents up to ``limit`` bytes of UTF-8 in all; the last one is cut at a character."""
    left = limit
    for text in documents:
        raw = text.encode()
        if len(raw) >= left:
            yield raw[:left].decode("utf-8", errors="ignore")
            return
        left -= len(raw)
        yield text


def cut_range(documents: Iterable[str], cut: ByteRange) -> list[bytes]:
    """The pieces of documents that lie in a byte range; together exactly ``cut.size`` bytes.

    Raises:
        CorpusError: The documents end before the range does.
    """
    pieces: list[bytes] = []
    position = 0
    end = cut.start + cut.size
    for text in documents:
        raw = text.encode()
        piece = raw[max(cut.start - position, 0) : max(end - position, 0)]
        if piece:
            pieces.append(piece)
        position += len(raw)
        if position >= end:
            return pieces
    raise CorpusError(
        f"the held-out text has {position:,} bytes and the manifest's range ends at {end:,}; "
        "it is another file than the manifest means"
    )


def write_shard(documents: Iterable[str], bpe: Bpe, target: Path, *, threads: int | None = None) -> int:
    """Writes the tokens of documents, each behind a BOS.

    Returns:
        The number of tokens; it does not depend on ``threads``.

    Raises:
        CorpusError: The disk is full.
    """
    workers = min(threads or os.cpu_count() or 1, THREADS_MAX)
    count = 0
    source = iter(documents)
    with whole_file(target) as out:
        while texts := list(islice(source, TEXTS_PER_BATCH)):
            for tokens in bpe.encode(texts, threads=workers):
                count += len(tokens) + 1
                out.write(np.array([BOS, *tokens], dtype=TOKEN_DTYPE).tobytes())
    return count


def write_range(pieces: Sequence[bytes], bpe: Bpe, target: Path) -> int:
    """Writes the tokens of a text range, each piece behind a BOS, and proves that no byte was lost.

    Returns:
        The number of tokens.

    Raises:
        CorpusError: The disk is full, or the tokens do not spell the range.
    """
    count = 0
    with whole_file(target) as out:
        for piece in pieces:
            tokens = bpe.encode_bytes(piece)
            if bpe.decode_bytes(tokens) != piece:
                raise CorpusError(f"the tokenizer does not spell the bytes of {target.name}; it is broken")
            count += len(tokens) + 1
            out.write(np.array([BOS, *tokens], dtype=TOKEN_DTYPE).tobytes())
    return count


@contextlib.contextmanager
def whole_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name once it is complete and on the disk; a failure leaves nothing.

    Raises:
        CorpusError: The disk is full.
    """
    growing = target.with_name(target.name + ".tmp")
    try:
        with growing.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        growing.replace(target)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise CorpusError(
            f"the disk of {target.parent} is full; make room or move AUTORESEARCH_CACHE_DIR, prepare again"
        ) from error
    finally:
        growing.unlink(missing_ok=True)
