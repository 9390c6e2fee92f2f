"""Where a challenge's tokens come from: one small Protocol, and the table of the kinds that exist.

The harness asks a corpus for training shards and for one validation text; it never learns how they are made.
``[identity.corpus] kind`` names the entry of ``CORPORA``; modules are imported only when they are asked for.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import platformdirs
from autoresearch.challenge import Challenge, ChallengeError

Progress = Callable[[str], None]
"""Takes one line for a person; the command line prints it to stderr."""

UNSCORED = -1
"""Target of a position that no byte of the validation range belongs to."""

CORPORA = {
    "pocket-generator/1": "trainer.corpus:PocketCorpus",
    "climbmix-shards/1": "trainer.prepare_climbmix:ClimbmixCorpus",
}
"""``[identity.corpus] kind`` -> ``module:class``; the class is called with no arguments."""


class CorpusError(Exception):
    """The tokens cannot be had (not prepared, wrong hash, disk full); the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRows:
    """The validation text as rows, each byte of the range under exactly one scored target.

    ``inputs`` and ``targets`` are int64 [N, T]; a target of ``UNSCORED`` counts for nothing. ``byte_count``
    is the number of raw UTF-8 bytes of the fixed range, the divisor of bits per byte.
    """

    inputs: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    byte_count: int


class Corpus(Protocol):
    """One kind of corpus; ``cache_dir`` is the root of everything prepared on this machine."""

    def prepare(self, challenge: Challenge, cache_dir: Path, report: Progress) -> None:
        """Build or download what is missing and check it against the manifest's hashes; idempotent.

        Raises:
            CorpusError: it cannot be done; nothing half-written is left behind.
        """

    def freeze(self, challenge: Challenge, cache_dir: Path, report: Progress) -> str:
        """Build everything from the sources and return the manifest's text with its true hashes, frozen.

        Raises:
            CorpusError: the sources cannot be reached or disagree with what the manifest already states.
        """

    def training_shards(self, challenge: Challenge, cache_dir: Path) -> list[Path]:
        """Files of little-endian uint16 tokens, at most 4,096 of them, in the order ``ctx.start`` gives them.

        Raises:
            CorpusError: they are not prepared; the message names the command that does.
        """

    def validation_rows(self, challenge: Challenge, cache_dir: Path, val_seed: int) -> ValidationRows:
        """The validation rows; a corpus with a fixed range ignores ``val_seed``.

        Raises:
            CorpusError: they are not prepared; the message names the command that does.
        """

    def holdout_rows(self, challenge: Challenge, cache_dir: Path, val_seed: int) -> ValidationRows:
        """Rows of the held-back text, which has no byte in common with the validation rows' range.

        Called only where the manifest has ``[identity.holdout]``.

        Raises:
            CorpusError: they are not prepared, or the manifest's table makes no sense to this corpus.
        """


def find_corpus(challenge: Challenge) -> Corpus:
    """The corpus that the manifest names.

    Raises:
        ChallengeError: this build knows no corpus of that kind.
    """
    kind = challenge.corpus.get("kind")
    if kind not in CORPORA:
        raise ChallengeError(
            f"challenge {challenge.name} wants a corpus of kind {kind!r} and this build knows "
            f"{', '.join(sorted(CORPORA))}; update autoresearch-swarm"
        )
    module, _, name = CORPORA[kind].partition(":")
    return cast("Corpus", getattr(importlib.import_module(module), name)())


def default_cache_dir() -> Path:
    """``$AUTORESEARCH_CACHE_DIR``, or the user's cache directory for this program."""
    chosen = os.environ.get("AUTORESEARCH_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("autoresearch"))


def rows_from_stream(tokens: npt.NDArray[np.int64], sequence_len: int) -> ValidationRows:
    """Cut one token stream into rows so that every token but the first is a target exactly once.

    ``tokens[0]`` is context before the range. The last row is padded with token 0 and ``UNSCORED`` targets.
    ``byte_count`` is left 0 for the caller to fill in, since only the tokenizer knows bytes.
    """
    count = len(tokens) - 1
    rows = -(-count // sequence_len)
    inputs = np.zeros(rows * sequence_len, dtype=np.int64)
    targets = np.full(rows * sequence_len, UNSCORED, dtype=np.int64)
    inputs[:count] = tokens[:-1]
    targets[:count] = tokens[1:]
    return ValidationRows(
        inputs=inputs.reshape(rows, sequence_len), targets=targets.reshape(rows, sequence_len), byte_count=0
    )
