"""What a score is made of: every byte once, whatever the batches; rows of several documents audited too."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from autoresearch.challenge import Audit
from tiny_challenge import tiny_challenge

from trainer.corpora import UNSCORED, ValidationRows, rows_from_stream
from trainer.corpus import PocketCorpus
from trainer.evaluate import Batch, ImpureModelError, Score, evaluate, losses_digest
from trainer.logits import nats, nats_on_device
from trainer.word_pieces import Tokenizer

VOCAB = 16
BOS = 0
AUDIT = Audit(rows=24, repeat_rows=8, batch_rows=8, leak_nats_max=0.002)
Logits = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Model = Callable[[Ids], Logits]


def rows_of_documents(document_tokens: int, rows: int = 60, length: int = 32) -> ValidationRows:
    """Documents of about so many tokens, each behind a BOS that is context and never scored."""
    rng = np.random.default_rng(4)
    tokens = rng.integers(1, VOCAB, rows * length + 1)
    tokens[rng.random(len(tokens)) < 1 / document_tokens] = BOS
    tokens[0] = BOS
    cut = rows_from_stream(tokens, length)
    targets = np.where(cut.targets == BOS, UNSCORED, cut.targets)
    return replace(cut, targets=targets, byte_count=3 * int((targets != UNSCORED).sum()))


def score_of(model: Model, rows: ValidationRows, audit: Audit = AUDIT, order_seed: int = 3) -> Score:
    def answer(batches: Iterable[Batch]) -> Iterator[npt.NDArray[np.float64]]:
        for batch in batches:
            logits = model(batch.inputs).reshape(-1, VOCAB)
            yield nats(logits, batch.targets.reshape(-1)).reshape(batch.targets.shape)

    return evaluate(answer, rows, audit, order_seed=order_seed)


def prefix_sums(ids: Ids) -> Logits:
    """Causal; rules the token 0 out, as a model may that knows BOS to be never scored."""
    logits = 2 * np.eye(VOCAB, dtype=np.float32)[np.cumsum(ids, axis=1) % VOCAB]
    logits[..., BOS] = -np.inf
    return logits


def peeks_where_documents_end(ids: Ids) -> Logits:
    """Looks ahead in rows with the beginning of a document inside; honest in others."""
    ahead = 6 * np.eye(VOCAB, dtype=np.float32)[np.roll(ids, -1, axis=1)]
    has_end = (ids[:, 1:] == BOS).any(axis=1)[:, None, None]
    return np.where(has_end, ahead, prefix_sums(ids))


@pytest.mark.parametrize("document_tokens", [8, 40])
def test_a_model_that_looks_ahead_only_in_rows_of_several_documents_is_refused(document_tokens: int) -> None:
    rows = rows_of_documents(document_tokens)

    for order_seed in range(5):
        with pytest.raises(ImpureModelError):
            score_of(peeks_where_documents_end, rows, order_seed=order_seed)


@pytest.mark.parametrize("document_tokens", [4, 8, 40])
def test_an_honest_model_passes_whatever_it_says_of_targets_that_are_not_scored(document_tokens: int) -> None:
    rows = rows_of_documents(document_tokens)

    scores = {score_of(prefix_sums, rows, order_seed=seed).bits_per_byte for seed in range(50)}

    assert len(scores) == 1


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 7, 8, 31, 60, 61, 500])
def test_the_score_and_its_digest_are_the_same_for_any_batch_size(batch_rows: int) -> None:
    rows = rows_of_documents(20)
    expected = score_of(prefix_sums, rows)

    score = score_of(prefix_sums, rows, replace(AUDIT, batch_rows=batch_rows))

    assert score.bits_per_byte == expected.bits_per_byte
    assert losses_digest(score.row_nats) == losses_digest(expected.row_nats)


@pytest.mark.parametrize("batch_rows", [1, 5, 16])
def test_a_network_scores_alike_for_any_batch_size(batch_rows: int) -> None:
    rows = rows_of_documents(20)
    torch.manual_seed(0)
    embed, recur = torch.nn.Embedding(VOCAB, 24), torch.nn.GRU(24, 24, batch_first=True)
    head = torch.nn.Linear(24, VOCAB)

    def model(ids: Ids) -> Logits:
        with torch.inference_mode():
            return head(recur(embed(torch.from_numpy(ids)))[0]).numpy()

    score = score_of(model, rows, replace(AUDIT, batch_rows=batch_rows))

    assert score.bits_per_byte == pytest.approx(score_of(model, rows).bits_per_byte, abs=1e-6)
    assert abs(score.causality_leak_nats) < 1e-5


def test_the_score_is_the_sum_over_rows_by_raw_bytes() -> None:
    rows = rows_of_documents(20)
    by_hand = nats(prefix_sums(rows.inputs).reshape(-1, VOCAB), np.maximum(rows.targets, 0).reshape(-1))
    scored = (rows.targets != UNSCORED).reshape(-1)

    score = score_of(prefix_sums, rows)

    assert math.fsum(score.row_nats) == pytest.approx(math.fsum(by_hand[scored]), rel=1e-12)
    assert score.bits_per_byte == math.fsum(score.row_nats) / math.log(2) / rows.byte_count


def test_a_digest_of_losses_is_that_of_a_file_of_little_endian_doubles(tmp_path: Path) -> None:
    score = score_of(prefix_sums, rows_of_documents(20))
    (tmp_path / "losses").write_bytes(b"".join(np.float64(value).tobytes() for value in score.row_nats))

    digest = hashlib.sha256((tmp_path / "losses").read_bytes()).hexdigest()

    assert losses_digest(score.row_nats) == f"sha256:{digest}"


def test_generated_text_is_scored_byte_by_byte_each_once(steps_challenge: Path, cache_dir: Path) -> None:
    challenge = tiny_challenge(steps_challenge)
    [stored] = cache_dir.glob(f"pocket/{challenge.corpus['tokens_sha256'][:16]}/tokenizer.json")
    spelled = Tokenizer.from_json(stored.read_text()).token_bytes()

    rows = PocketCorpus().validation_rows(challenge, cache_dir, 5)

    scored = rows.targets[rows.targets != UNSCORED]
    text = b"".join(spelled[token] for token in scored)
    assert len(text) == rows.byte_count == challenge.validation["bytes"]
    assert text.decode("utf-8")
    assert (rows.inputs.reshape(-1)[1 : len(scored)] == scored[:-1]).all()


def test_losses_on_an_accelerator_are_those_of_the_host() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (5000, VOCAB)).astype(np.float32)
    logits[17, 3], logits[18, 4], logits[19, 5] = np.inf, np.nan, -np.inf
    targets = rng.integers(0, VOCAB, 5000)
    targets[19] = 5

    on_device = nats_on_device(torch.from_numpy(logits), torch.from_numpy(targets)).numpy()

    on_host = nats(logits, targets)
    is_finite = np.isfinite(on_host)
    assert (np.isfinite(on_device) == is_finite).all()
    assert is_finite.sum() == 5000 - 3
    np.testing.assert_allclose(on_device[is_finite], on_host[is_finite], rtol=1e-12, atol=1e-12)
