"""The pinned tokenizer of a text challenge: byte-pair encoding, trained once, kept as JSON.

Ids: 0 to 255 are the bytes, 256 is BOS, and from 257 on come the merged tokens in the order in which training
found them. Training is greedy, so the first ``n`` ids are themselves the tokenizer that training with a
vocabulary of ``n`` would have given: vocabularies nest.
"""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainer.corpora import CorpusError

if TYPE_CHECKING:
    import tiktoken

FORMAT = "autoresearch-bpe/1"
BYTE_COUNT = 256
BOS = 256
FIRST_MERGED = 257
TRAINING_BUFFER_DOCS = 8192
TOKEN_BYTES_LIMIT = 1024
CHAR_BYTES_LIMIT = 4  # of UTF-8

# A word with the one sign or space before it; one or two digits; signs; line ends; other white space.
SPLIT_PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, kw_only=True)
class Bpe:
    """A byte-level tokenizer. Safe to share between threads.

    Attributes:
        pattern: Regular expression that cuts text into the pieces that merges never cross.
        merges: Bytes of the tokens from id 257 on.
    """

    pattern: str
    merges: tuple[bytes, ...]

    @property
    def vocab_size(self) -> int:
        """Number of ids: bytes, BOS and merged tokens."""
        return FIRST_MERGED + len(self.merges)

    def truncated(self, vocab_size: int) -> Bpe:
        """The nested tokenizer of a smaller vocabulary."""
        if not FIRST_MERGED <= vocab_size <= self.vocab_size:
            raise CorpusError(
                f"a vocabulary of {vocab_size} cannot be cut from one of {self.vocab_size}; "
                f"choose {FIRST_MERGED} to {self.vocab_size}"
            )
        return Bpe(pattern=self.pattern, merges=self.merges[: vocab_size - FIRST_MERGED])

    def encode(self, texts: Sequence[str], *, threads: int = 1) -> list[list[int]]:
        """Tokens of each text; text that looks like a special token is ordinary text."""
        return self._encoding.encode_ordinary_batch(list(texts), num_threads=threads)

    def encode_bytes(self, raw: bytes) -> list[int]:
        """Tokens of a slice of UTF-8 that may begin and end inside a character: no byte is lost or changed.

        The bytes of a cut character become byte tokens.

        Raises:
            UnicodeDecodeError: The slice is broken elsewhere than at its ends.
        """
        head = 0
        while head < min(len(raw), CHAR_BYTES_LIMIT - 1) and raw[head] & 0xC0 == 0x80:  # noqa: PLR2004 - 10xxxxxx continues
            head += 1
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(raw[head:])
        tail = decoder.getstate()[0]
        return [*raw[:head], *self._encoding.encode_ordinary(text), *tail]

    def decode_bytes(self, tokens: Iterable[int]) -> bytes:
        """The bytes that tokens stand for; BOS stands for none."""
        table = self._token_table
        return b"".join(table[token] for token in tokens)

    def byte_lengths(self) -> npt.NDArray[np.int64]:
        """Bytes per id, [vocab_size]; BOS has none."""
        return np.array([len(token) for token in self._token_table], dtype=np.int64)

    def to_json(self) -> bytes:
        """The canonical file: equal tokenizers give equal bytes."""
        merges = [base64.b64encode(token).decode("ascii") for token in self.merges]
        document = {"format": FORMAT, "bos": BOS, "pattern": self.pattern, "merges": merges}
        return json.dumps(document, indent=0, sort_keys=True, ensure_ascii=True).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, raw: bytes) -> Bpe:
        """Reads what ``to_json`` wrote.

        Raises:
            CorpusError: It is something else.
        """
        try:
            document = json.loads(raw)
            if document["format"] != FORMAT or document["bos"] != BOS:
                raise CorpusError(f"the tokenizer is not of the format {FORMAT}; prepare the challenge again")
            merges = tuple(base64.b64decode(token, validate=True) for token in document["merges"])
            pattern = str(document["pattern"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"the tokenizer's file is broken ({error}); prepare the challenge again"
            ) from error
        if len(set(merges)) != len(merges) or not all(
            1 < len(token) <= TOKEN_BYTES_LIMIT for token in merges
        ):
            raise CorpusError("the tokenizer's file repeats or mangles tokens; prepare the challenge again")
        return cls(pattern=pattern, merges=merges)

    @cached_property
    def _token_table(self) -> tuple[bytes, ...]:
        return (*(bytes([value]) for value in range(BYTE_COUNT)), b"", *self.merges)

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        import tiktoken  # noqa: PLC0415 - loaded when text is encoded, not for --help

        ranks = {token: number for number, token in enumerate(self._token_table) if number != BOS}
        return tiktoken.Encoding(
            name=FORMAT, pat_str=self.pattern, mergeable_ranks=ranks, special_tokens={"<|bos|>": BOS}
        )


def train_bpe(documents: Iterable[str], vocab_size: int, pattern: str = SPLIT_PATTERN) -> Bpe:
    """Trains a tokenizer; the same documents in the same order give the same bytes on every machine.

    Raises:
        CorpusError: The text is too small or too uniform for the vocabulary.
    """
    import rustbpe  # noqa: PLC0415 - only whoever prepares needs it

    trainer = rustbpe.Tokenizer()
    # BOS has an id of its own among ours and none in the trainer's.
    trainer.train_from_iterator(
        iter(documents), vocab_size - 1, buffer_size=TRAINING_BUFFER_DOCS, pattern=pattern
    )
    ranked = sorted((rank, bytes(token)) for token, rank in trainer.get_mergeable_ranks())
    if len(ranked) != vocab_size - 1:
        raise CorpusError(
            f"the training text yields {len(ranked) + 1} tokens and the manifest wants {vocab_size}; "
            "give the tokenizer more text"
        )
    merges = tuple(token for rank, token in ranked if rank >= BYTE_COUNT)
    return Bpe(pattern=pattern, merges=merges)
