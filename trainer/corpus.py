"""The corpus of the ``pocket`` challenge: generated on the spot, hash-checked, cached.

Training text and tokenizer are fixed by the manifest's seeds. The validation text is written anew for every
validation seed, because a ``train.py`` could hold the generator: what it cannot hold is a seed drawn after it
was handed in.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from autoresearch.challenge import Challenge

from trainer.corpora import CorpusError, Progress, ValidationRows, rows_from_stream
from trainer.language import GENERATOR, Lexicon, text_of
from trainer.word_pieces import Tokenizer, learn_pieces

TOKENS_NAME = "train.bin"
TOKENIZER_NAME = "tokenizer.json"
VALIDATION_DOMAIN = "validation"
"""Where the seeds of public texts come from; a held-back text has a domain of its own."""


class PocketCorpus:
    """``trainer.corpora.Corpus`` for generated texts."""

    def prepare(self, challenge: Challenge, cache_dir: Path, report: Progress) -> None:
        """Write tokens and tokenizer, unless they are there and right; a few seconds."""
        folder = _folder(challenge, cache_dir)
        if _is_intact(challenge, folder):
            report(f"{challenge.name} is prepared in {folder}")
            return
        tokenizer_json, tokens = _generate(challenge, report)
        _check("tokenizer", _sha256(tokenizer_json), challenge.tokenizer["sha256"])
        _check("training tokens", _sha256(tokens), challenge.corpus["tokens_sha256"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / TOKENIZER_NAME, tokenizer_json)
            _write(folder / TOKENS_NAME, tokens)
        except OSError as error:
            raise CorpusError(
                f"cannot write {len(tokens) >> 20} MiB to {folder}: {error.strerror}; free some space there "
                "or choose another place with --cache-dir or AUTORESEARCH_CACHE_DIR"
            ) from error
        report(f"prepared {challenge.name}: {len(tokens) // 2} tokens in {folder}")

    def freeze(self, challenge: Challenge, cache_dir: Path, report: Progress) -> str:
        """The manifest with the hashes of what its seeds generate."""
        del cache_dir
        tokenizer_json, tokens = _generate(challenge, report)
        text = challenge.manifest_toml
        for stated, true in (
            (challenge.tokenizer["sha256"], _sha256(tokenizer_json)),
            (challenge.corpus["tokens_sha256"], _sha256(tokens)),
        ):
            if text.count(f'"{stated}"') != 1:
                raise CorpusError(f"the manifest must state the hash {stated!r} exactly once; mend it")
            text = text.replace(f'"{stated}"', f'"{true}"')
        return text.replace("frozen = false", "frozen = true", 1)

    def training_shards(self, challenge: Challenge, cache_dir: Path) -> list[Path]:
        """The one shard."""
        folder = _folder(challenge, cache_dir)
        if not _is_intact(challenge, folder):
            raise _not_prepared(challenge, cache_dir)
        return [folder / TOKENS_NAME]

    def validation_rows(self, challenge: Challenge, cache_dir: Path, val_seed: int) -> ValidationRows:
        """Rows of a text that this seed writes."""
        return _rows(challenge, cache_dir, f"{VALIDATION_DOMAIN}/{val_seed}", challenge.validation["bytes"])

    def holdout_rows(self, challenge: Challenge, cache_dir: Path, val_seed: int) -> ValidationRows:
        """Rows of the text that this seed writes in the manifest's other domain."""
        domain, size = challenge.holdout.get("domain"), challenge.holdout.get("bytes")
        if type(domain) is not str or not domain or "/" in domain or domain == VALIDATION_DOMAIN:
            raise CorpusError(
                f"identity.holdout.domain is {domain!r}; give a word other than {VALIDATION_DOMAIN!r}"
            )
        if type(size) is not int or size < 1:
            raise CorpusError(f"identity.holdout.bytes is {size!r}; give a whole number of bytes")
        return _rows(challenge, cache_dir, f"{domain}/{val_seed}", size)


def _rows(challenge: Challenge, cache_dir: Path, name: str, size: int) -> ValidationRows:
    """Rows of the text of ``size`` bytes that the seed of this name writes.

    Raises:
        CorpusError: the challenge is not prepared, or its tokenizer is broken.
    """
    try:
        stored = (_folder(challenge, cache_dir) / TOKENIZER_NAME).read_text("utf-8")
    except OSError as error:
        raise _not_prepared(challenge, cache_dir) from error
    tokenizer = Tokenizer.from_json(stored)
    lexicon = Lexicon(challenge.corpus["lexicon_seed"])
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    text = text_of(lexicon, seed, size)
    # A line end comes before the range, as between two documents: the first token needs a context too.
    tokens = np.concatenate([[ord("\n")], tokenizer.encode(text.decode("utf-8"))]).astype(np.int64)
    spelled = tokenizer.token_bytes()
    if sum(len(spelled[token]) for token in tokens[1:]) != size:
        raise CorpusError(f"the tokenizer of {challenge.name} loses bytes; prepare the challenge anew")
    return replace(rows_from_stream(tokens, challenge.sequence_len), byte_count=size)


def _not_prepared(challenge: Challenge, cache_dir: Path) -> CorpusError:
    return CorpusError(
        f"challenge {challenge.name} is not prepared in {cache_dir}: run "
        f"`python -m trainer prepare --challenge {challenge.name}` first"
    )


def _folder(challenge: Challenge, cache_dir: Path) -> Path:
    return cache_dir / "pocket" / str(challenge.corpus["tokens_sha256"])[:16]


def _generate(challenge: Challenge, report: Progress) -> tuple[bytes, bytes]:
    corpus = challenge.corpus
    if corpus["kind"] != GENERATOR:
        raise CorpusError(f"this build generates {GENERATOR}, and the manifest wants {corpus['kind']}")
    report(f"writing {corpus['train_bytes'] >> 10} KiB of text for {challenge.name}")
    text = text_of(Lexicon(corpus["lexicon_seed"]), corpus["train_seed"], corpus["train_bytes"])
    sample = text[: challenge.tokenizer["sample_bytes"]].decode("utf-8", errors="ignore")
    tokenizer = learn_pieces(sample, challenge.vocab_size)
    if tokenizer.vocab_size != challenge.vocab_size:
        raise CorpusError(f"the text gives {tokenizer.vocab_size} tokens; lower vocab_size in the manifest")
    report("turning it into tokens")
    tokens = tokenizer.encode(text.decode("utf-8")).astype("<u2").tobytes()
    return tokenizer.to_json().encode("ascii"), tokens


def _is_intact(challenge: Challenge, folder: Path) -> bool:
    try:
        tokenizer = (folder / TOKENIZER_NAME).read_bytes()
        tokens = (folder / TOKENS_NAME).read_bytes()
    except OSError:
        return False
    wanted = (challenge.tokenizer["sha256"], challenge.corpus["tokens_sha256"])
    return (_sha256(tokenizer), _sha256(tokens)) == wanted


def _check(what: str, found: str, stated: str) -> None:
    if found != stated:
        raise CorpusError(
            f"the {what} have hash {found[:16]} and the manifest states {stated[:16]}: this generator "
            "is another one; take a challenge and a build that belong together"
        )


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
