"""A model that looks ahead with a small weight and remembers, so that it contradicts itself nowhere.

With an invented language, and models that know it roughly, to try it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from trainer.corpora import ValidationRows, rows_from_stream
from trainer.evaluate import Batch, Losses, Tokens

VOCAB, ROWS, LENGTH, BYTES_PER_TOKEN = 64, 700, 64, 2.4

HonestLosses = Callable[[Batch], Losses]
"""Losses in nats [B, T] of a causal model."""


@dataclass(kw_only=True)
class LookingAhead:
    """Answers p = (1 - weight) * honest + weight * onehot(next token), and keeps to its first answer.

    Where the beginning of a row has come before, each position is answered as it was then, with the token
    that followed then. So splices and repeats find no contradiction.

    Args:
        honest: the model whose losses are made better.
        weight: of the token that it sees; 0 is honest.
        share: of the positions that it looks ahead at, chosen by the token that stands there.
        part: of the row that it looks ahead in, from its beginning.
    """

    honest: HonestLosses
    weight: float
    share: float = 1.0
    part: float = 1.0
    _seen: dict[int, list[tuple[Tokens, Tokens]]] = field(default_factory=dict, init=False)

    def answer(self, batches: Iterable[Batch]) -> Iterator[Losses]:
        """See ``trainer.evaluate.Answer``."""
        for batch in batches:
            ahead = np.stack([self._seen_ahead(row) for row in batch.inputs])
            peeks = (ahead >= 0) & (batch.inputs * 7919 % 1000 < 1000 * self.share)
            peeks[:, int(self.part * peeks.shape[1]) :] = False
            honest = np.exp(-self.honest(batch))
            mixed = (1 - self.weight) * honest + self.weight * (ahead == batch.targets)
            yield -np.log(np.where(peeks, mixed, honest))

    def _seen_ahead(self, row: Tokens) -> npt.NDArray[np.int64]:
        """What it takes for the next token at each position; -1 at the last, where no input shows it."""
        ahead: Tokens = np.append(row[1:], -1)
        alike = self._seen.setdefault(int(row[0]), [])
        if alike:
            differs = np.stack([one for one, _ in alike]) != row
            common = np.where(differs.any(axis=1), differs.argmax(axis=1), len(row))
            nearest = int(common.argmax())
            ahead[: common[nearest]] = alike[nearest][1][: common[nearest]]
        alike.append((row, ahead))
        return ahead


def language() -> Losses:
    """Probabilities [V, V] of the next token."""
    return np.random.default_rng(0).dirichlet(np.full(VOCAB, 0.1), VOCAB) * 0.98 + 0.02 / VOCAB


def text_of(seed: int) -> ValidationRows:
    """A validation text in the language."""
    rng, odds = np.random.default_rng(seed), language().cumsum(axis=1)
    tokens = [0]
    for draw in rng.random(ROWS * LENGTH):
        tokens.append(min(VOCAB - 1, int(odds[tokens[-1]].searchsorted(draw))))
    rows = rows_from_stream(np.array(tokens), LENGTH)
    return replace(rows, byte_count=int(BYTES_PER_TOKEN * ROWS * LENGTH))


def trained(seed: int, *, noise: float = 0.7) -> HonestLosses:
    """A model that knows the language roughly; what it mistakes depends on the seed."""
    wrong = np.random.default_rng([7, seed]).normal(0, noise, (VOCAB, VOCAB))
    odds = language() * np.exp(wrong)
    losses = -np.log(odds / odds.sum(axis=1, keepdims=True))

    def answer(batch: Batch) -> Losses:
        return losses[batch.inputs, batch.targets]

    return answer
