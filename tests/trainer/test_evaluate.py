from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from autoresearch.challenge import Audit

from trainer.corpora import UNSCORED, ValidationRows, rows_from_stream
from trainer.evaluate import Batch, ImpureModelError, NotFiniteError, evaluate, rows_digest
from trainer.logits import nats

VOCAB = 16
AUDIT = Audit(rows=24, repeat_rows=8, batch_rows=8, leak_nats_max=0.002)
Model = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]


def stream(seed: int, length: int = 1601) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, VOCAB, length)


def validation_rows() -> ValidationRows:
    rows = rows_from_stream(stream(1), 32)
    return ValidationRows(inputs=rows.inputs, targets=rows.targets, byte_count=4000)


def score_of(model: Model, audit: Audit = AUDIT, order_seed: int = 3):
    def answer(batches: Iterable[Batch]) -> Iterator[npt.NDArray[np.float64]]:
        for batch in batches:
            logits = model(batch.inputs).reshape(-1, VOCAB)
            yield nats(logits, batch.targets.reshape(-1)).reshape(batch.targets.shape)

    return evaluate(answer, validation_rows(), audit, order_seed=order_seed)


def uniform(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    return np.zeros((*ids.shape, VOCAB), dtype=np.float32)


def prefix_sums(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Causal: each answer depends on all earlier tokens of its row."""
    return np.eye(VOCAB, dtype=np.float32)[np.cumsum(ids, axis=1) % VOCAB]


def seer(strength: float) -> Model:
    """Looks at the token it should predict."""

    def model(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        following = np.roll(ids, -1, axis=1)
        return strength * np.eye(VOCAB, dtype=np.float32)[following]

    return model


def row_mean(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Favours what is frequent in the whole row, the rest of it too."""
    return np.eye(VOCAB, dtype=np.float32)[ids].mean(axis=1, keepdims=True).repeat(ids.shape[1], axis=1) * 8


def across_rows(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Looks at its neighbours in the batch."""
    return prefix_sums(np.roll(ids, 1, axis=0)) * 2


class Rememberer:
    """Learns the rows that it is asked about."""

    def __init__(self) -> None:
        self.counts = np.zeros((VOCAB, VOCAB), dtype=np.float32)

    def __call__(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        answer = np.log1p(self.counts)[ids]
        np.add.at(self.counts, (ids[:, :-1].ravel(), ids[:, 1:].ravel()), 1.0)
        return answer


class Dropout:
    """Forgot to turn its noise off."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return prefix_sums(ids) * 3 * (self.rng.random((*ids.shape, 1)) < 0.8).astype(np.float32)


def peek(logits: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Knows each next token of one row; has no idea of the one after the last."""
    seen = logits.copy()
    seen[:-1] = 12 * np.eye(VOCAB, dtype=np.float32)[ids[1:]]
    return seen


class Cheat:
    """Remembers rows and looks ahead where ``dares`` says that it is safe; honest elsewhere."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, ...], npt.NDArray[np.int64]] = {}
        self.calls = 0

    def __call__(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        self.calls += 1
        return np.stack([self.row(row) for row in ids])

    def row(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        key = tuple(ids[:5].tolist())
        known = self.seen.setdefault(key, ids)
        honest = prefix_sums(ids[None])[0] * 2
        return self.answer(honest, ids, None if known is ids else known)

    def answer(self, honest, ids, known):
        raise AssertionError


class PrefixCollector(Cheat):
    """Honest in the first calls and for the prefixes seen there; looks ahead for all others."""

    def answer(self, honest, ids, known):
        if self.calls <= 3:
            return honest
        if known is not None:
            return honest
        self.seen.pop(tuple(ids[:5].tolist()))
        return peek(honest, ids)


class Newcomer(Cheat):
    """Looks ahead at first sight, is honest at the second."""

    def answer(self, honest, ids, known):
        return peek(honest, ids) if known is None else honest


class Latecomer(Cheat):
    """Looks ahead at first sights of the second half only."""

    def answer(self, honest, ids, known):
        return peek(honest, ids) if known is None and self.calls > 5 else honest


class Replayer(Cheat):
    """Looks ahead always, and answers where two rows agree as it did the first time."""

    def answer(self, honest, ids, known):
        answer = peek(honest, ids)
        if known is not None:
            cut = int(np.argmax(np.append(known != ids, True)))
            answer[:cut] = peek(honest, known)[:cut]
        return answer


class SecondLook(Cheat):
    """Looks ahead where a row goes on otherwise than when its prefix came first: then it must be whole."""

    def answer(self, honest, ids, known):
        answer = honest.copy()
        if known is not None and (known != ids).any():
            cut = int(np.argmax(known != ids))
            answer[cut:] = peek(honest, ids)[cut:]
        return answer


def early_peeker(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Looks ahead in the first quarter of each row only."""
    honest = prefix_sums(ids)
    quarter = ids.shape[1] // 4
    honest[:, :quarter] = seer(8.0)(ids)[:, :quarter]
    return honest


CHEATS = (PrefixCollector, Newcomer, Latecomer, Replayer, SecondLook, lambda: early_peeker)


@pytest.mark.parametrize("order_seed", range(5))
@pytest.mark.parametrize("cheat", CHEATS)
def test_a_model_that_knows_how_it_is_audited_is_refused(cheat, order_seed: int) -> None:
    with pytest.raises(ImpureModelError):
        score_of(cheat(), order_seed=order_seed)


@pytest.mark.parametrize("strength", [0.0, 0.5, 2.0, 8.0])
def test_an_honest_model_passes_under_any_order(strength: float) -> None:
    scores = {
        score_of(lambda ids: prefix_sums(ids) * strength, order_seed=seed).bits_per_byte
        for seed in range(200)
    }

    assert len(scores) == 1


def test_a_spliced_row_is_all_new_when_it_comes_and_the_audit_is_cheap() -> None:
    rows = {row.tobytes() for row in validation_rows().inputs}
    seen: list[npt.NDArray[np.int64]] = []

    def model(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        seen.extend(ids)
        return uniform(ids)

    score_of(model)

    spliced = {row.tobytes(): at for at, row in reversed([*enumerate(seen)]) if row.tobytes() not in rows}
    assert len(spliced) >= AUDIT.rows - 4  # a tail of one token may be the true one
    assert len(seen) <= 50 + AUDIT.rows + AUDIT.repeat_rows + 7 + 2 * AUDIT.batch_rows
    assert max(spliced.values()) > len(seen) // 2
    for at in spliced.values():
        earlier = seen[:at]
        assert seen[at][-8:].tobytes() not in {row[-8:].tobytes() for row in earlier}
        assert seen[at][:8].tobytes() not in {row[:8].tobytes() for row in earlier}


def test_a_uniform_model_scores_its_known_bits() -> None:
    score = score_of(uniform)

    assert score.bits_per_byte == pytest.approx(1600 * math.log2(VOCAB) / 4000, rel=1e-12)
    assert score.nats_per_token == pytest.approx(math.log(VOCAB), rel=1e-12)


def test_a_causal_model_leaks_exactly_nothing() -> None:
    score = score_of(prefix_sums)

    assert (score.causality_leak_nats, score.purity_leak_nats) == (0.0, 0.0)


@pytest.mark.parametrize("model", [seer(8.0), seer(0.1), row_mean], ids=["seer", "shy seer", "row mean"])
def test_a_model_that_sees_later_tokens_is_refused(model: Model) -> None:
    with pytest.raises(ImpureModelError, match="come later in the row"):
        score_of(model)


@pytest.mark.parametrize("model", [across_rows, Rememberer(), Dropout()], ids=["batch", "memory", "dropout"])
def test_a_model_that_is_not_pure_is_refused(model: Model) -> None:
    with pytest.raises(ImpureModelError):
        score_of(model)


def test_rounding_noise_is_forgiven() -> None:
    rng = np.random.default_rng(0)

    score = score_of(
        lambda ids: prefix_sums(ids) + rng.normal(0, 1e-4, (*ids.shape, VOCAB)).astype(np.float32)
    )

    assert abs(score.causality_leak_nats) < 1e-3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_wild_logit_is_found_wherever_it_is(bad: float) -> None:
    def model(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        logits = uniform(ids)
        logits[(ids == 3) & (np.cumsum(ids, axis=1) % 97 == 0)] = bad
        return logits

    with pytest.raises(NotFiniteError):
        score_of(model)


def test_a_ruled_out_token_that_never_comes_does_no_harm() -> None:
    def model(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        wide = uniform(ids)
        wide[..., 0] = np.where(ids == -1, 0.0, wide[..., 0])
        return wide

    assert math.isfinite(score_of(model).bits_per_byte)


def test_the_order_of_rows_does_not_change_the_score() -> None:
    assert (
        score_of(prefix_sums, order_seed=1).bits_per_byte == score_of(prefix_sums, order_seed=2).bits_per_byte
    )


def test_every_token_after_the_first_is_a_target_exactly_once() -> None:
    tokens = stream(4, 100)

    rows = rows_from_stream(tokens, 32)

    scored = rows.targets != UNSCORED
    assert (rows.targets[scored] == tokens[1:]).all()
    assert (rows.inputs[scored] == tokens[:-1]).all()
    assert rows.inputs.shape == (4, 32)


def test_the_digest_names_the_rows() -> None:
    rows = validation_rows()
    other = ValidationRows(inputs=rows.inputs, targets=np.roll(rows.targets, 1), byte_count=rows.byte_count)

    assert rows_digest(rows) == rows_digest(validation_rows())
    assert rows_digest(rows) != rows_digest(other)
