"""A model that looks ahead with a small weight and remembers, so that it contradicts itself nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from trainer.evaluate import Batch, Losses, Tokens

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
    _rows: list[Tokens] = field(default_factory=list, init=False)
    _ahead: list[Tokens] = field(default_factory=list, init=False)

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
        if self._rows:
            differs = np.stack(self._rows) != row
            common = np.where(differs.any(axis=1), differs.argmax(axis=1), len(row))
            nearest = int(common.argmax())
            ahead[: common[nearest]] = self._ahead[nearest][: common[nearest]]
        self._rows.append(row)
        self._ahead.append(ahead)
        return ahead
