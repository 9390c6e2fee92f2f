"""How far the losses of hidden tokens, and of second sights, lie off what is usual for their kind.

Hidden are the tokens behind the secret cuts and the last target of every row: no input shows them, so whoever
looks ahead gains nothing there. What is measured here is judged in ``trainer.evaluate``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.corpora import UNSCORED, ValidationRows

LEVEL_ROWS_MIN = 8
"""Fewer rows than these have no level."""

QUARTERS = 4

EFFECT_SHRINKAGE = 4.0
"""A token's usual loss is believed as if it had been seen so many times more at the level of all."""

Tokens = npt.NDArray[np.int64]
Losses = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Losses in nats less what is usual for their place and tokens.

    ``cut_off`` are of the tokens behind the cuts, and ``quarters`` in which part of the row each stands;
    ``last`` of the last target of each row; ``tails`` the means of rows behind the cut, where their prefix
    came before; ``usual`` and ``rows`` what these are compared with: tokens, and means, of rows without an
    audit.
    """

    cut_off: Losses
    quarters: Tokens
    last: Losses
    tails: Losses
    usual: Losses
    rows: Losses

    @property
    def hidden_gap_nats(self) -> float | None:
        """How much worse hidden tokens are predicted than usual, in nats per token; None if too few are.

        About 0 for an honest model, and for one that looks ahead what it gains by that, wherever in the row:
        both halves of a row count alike. The first is known by cuts alone, and by fewer tokens; the second by
        the last targets too. They are not compared with their neighbours only, because a model could look
        ahead everywhere but there.
        """
        is_early = self.quarters < QUARTERS // 2
        halves = self.cut_off[is_early], np.concatenate([self.cut_off[~is_early], self.last])
        if min(len(half) for half in halves) < LEVEL_ROWS_MIN:
            return None
        mean = math.fsum(float(half.mean()) for half in halves) / len(halves)
        return mean - float(self.usual.mean())


def levels_of(
    losses: Losses, view: ValidationRows, *, auditable: Tokens, audited: Tokens, cuts: Tokens
) -> Levels | None:
    """Levels of the answers to a view: all rows, and behind them the spliced ones of ``audited`` rows.

    Args:
        losses: nats [N, T] of the view's targets.
        view: what was asked.
        auditable: rows that could have been audited; the others are left out as mostly padding.
        audited: rows that were, in the order of their spliced ones.
        cuts: how many tokens of each audited row its spliced one begins with.

    Returns:
        None where there are too few rows to tell.
    """
    count, length = len(losses) - len(cuts), losses.shape[1]
    scored = view.targets != UNSCORED
    is_other = np.isin(np.arange(len(losses)), np.setdiff1d(auditable, audited))
    if len(cuts) < LEVEL_ROWS_MIN or is_other.sum() < LEVEL_ROWS_MIN:
        return None
    usual = scored & is_other[:, None] & (np.arange(length) < length - 1)
    excess = _unusual(losses, view, usual)
    is_tail = scored[audited] & (np.arange(length) >= cuts[:, None])
    return Levels(
        cut_off=excess[count + np.arange(len(cuts)), cuts - 1],
        quarters=(cuts - 1) * QUARTERS // length,
        last=excess[:count, -1][scored[:count, -1]],
        tails=np.ma.masked_array(excess[audited], mask=~is_tail).mean(axis=1).compressed(),
        usual=excess[usual],
        rows=np.ma.masked_array(excess[is_other], mask=~usual[is_other]).mean(axis=1).compressed(),
    )


def _unusual(losses: Losses, view: ValidationRows, usual: npt.NDArray[np.bool_]) -> Losses:
    """How far each loss lies off what is usual for its place, its token and the token before it.

    Most of a loss is the token's own difficulty. Without it two levels are told apart by a quarter of the
    tokens. Effects are additive, learned where ``usual`` (each time without the loss that is judged), and
    shrunk, so that rare tokens teach little.
    """
    places = np.frexp(np.arange(losses.shape[1]))[1]  # 0, 1, 2-3, 4-7, ...: the last is half a row
    targets = np.maximum(view.targets, 0)
    left: Losses = losses - losses[usual].mean()
    for key in (np.broadcast_to(places, losses.shape), targets, view.inputs):
        size = int(key.max()) + 1
        seen = np.bincount(key[usual], minlength=size)
        sums = np.bincount(key[usual], left[usual], minlength=size)
        own = np.where(usual, left, 0.0)
        left = left - (sums[key] - own) / (seen[key] - usual + EFFECT_SHRINKAGE)
    return left
