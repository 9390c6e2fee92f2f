"""Bits per byte of a model that is not trusted: commit, reveal, purity.

The model sees tokens and returns logits; everything else is ours. Three things are checked, because a model
that sees the token it should predict, or remembers rows, would score well and predict nothing:

1. **Commit.** Before any validation row is whole, audited prefixes are sent, spliced onto foreign text (from
   the training tokens), and the losses of their true next tokens are kept. The true continuation was never
   sent, so these losses cannot have peeked.
2. **Reveal.** All rows in a secret order give the score. At audited positions the losses must agree with the
   commitment: a lower loss now means that later tokens of the row leaked into the answer.
3. **Purity.** Rows of the first batch come again at the end, in other company and other places. Another loss
   now means that rows or earlier calls leaked into the answer.

Agreement is judged in nats, with a tolerance, because kernels may round differently from call to call.

What this does not catch: a model that stores every row with its answers, recognises each repetition and
replays the answer given before. Memory of the process can only be taken from it by the sandbox.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from autoresearch.challenge import Audit

from trainer.corpora import UNSCORED, ValidationRows

AUDIT_WINDOW = 8
"""Positions before the cut that must agree; the last of them is the one whose target was hidden."""

IMPURITY_FACTOR = 10.0
"""Answers may differ by this many times the tolerance in either direction (rounding), but not by more."""

Tokens = npt.NDArray[np.int64]
Losses = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows to be answered, int64 [B, T], and the targets whose losses are wanted; none is negative."""

    inputs: Tokens
    targets: Tokens


Answer = Callable[[Iterable[Batch]], Iterator[Losses]]
"""Sends batches to the model and gives each one's losses in nats [B, T], in order."""


class ImpureModelError(Exception):
    """The answers depend on what they may not depend on; the message says on what and by how much."""


class NotFiniteError(Exception):
    """Logits hold NaN or infinity where the loss needs a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What validation gave; leaks are 0 but for rounding."""

    bits_per_byte: float
    nats_per_token: float
    causality_leak_nats: float
    purity_leak_nats: float


def evaluate(
    answer: Answer, rows: ValidationRows, audit: Audit, *, foreign: npt.NDArray[np.uint16], order_seed: int
) -> Score:
    """Score a model on all rows.

    Args:
        answer: the model behind its wall.
        rows: the validation text.
        audit: how many rows are audited, and the tolerance.
        foreign: training tokens, more than one row of them.
        order_seed: fixes the secret order; the same for runs that are to be compared bit for bit.

    Raises:
        ImpureModelError: a check failed.
        NotFiniteError: a loss that is needed is not finite.
    """
    rng = np.random.default_rng([order_seed & ((1 << 63) - 1), len(rows.inputs)])
    order = rng.permutation(len(rows.inputs))
    audited = rng.permutation(len(rows.inputs))[: audit.rows]
    cuts = rng.integers(rows.inputs.shape[1] // 4, rows.inputs.shape[1] - 1, len(audited))
    committed = _commit(answer, rows, audited, cuts, batch_rows=audit.batch_rows, foreign=foreign, rng=rng)
    losses = _collect(answer, _batches(rows, order, audit.batch_rows), order, rows)
    scored = rows.targets != UNSCORED
    if not np.isfinite(losses[scored]).all():
        raise NotFiniteError(
            "the validation loss is not finite: logits are NaN, or rule out a token that comes"
        )
    causality = _audited_gain(committed, losses, audited, cuts)
    _judge(causality, audit.leak_nats_max, "tokens that come later in the row")
    again = rng.permutation(np.concatenate([order[: audit.repeat_rows], rng.permutation(len(order))[:7]]))
    repeated = _collect(answer, _batches(rows, again, audit.batch_rows), again, rows)
    chosen = np.isin(np.arange(len(order)), order[: audit.repeat_rows])[:, None] & scored
    purity = losses[chosen] - repeated[chosen]
    _judge(purity, audit.leak_nats_max, "other rows or earlier calls")
    total = math.fsum(losses[scored].tolist())
    return Score(
        bits_per_byte=total / math.log(2) / rows.byte_count,
        nats_per_token=total / int(scored.sum()),
        causality_leak_nats=float(causality[:, -1].mean()),
        purity_leak_nats=float(purity.mean()),
    )


def rows_digest(rows: ValidationRows) -> str:
    """Names the validation text: two runs that show the same digest were scored on the same rows."""
    digest = hashlib.sha256(rows.inputs.astype("<i8").tobytes())
    digest.update(rows.targets.astype("<i8").tobytes())
    return digest.hexdigest()


def _commit(
    answer: Answer,
    rows: ValidationRows,
    audited: Tokens,
    cuts: Tokens,
    *,
    batch_rows: int,
    foreign: npt.NDArray[np.uint16],
    rng: np.random.Generator,
) -> Losses:
    """Losses [A, T] of the true targets when each row goes on with foreign text after its cut."""
    length = rows.inputs.shape[1]
    spliced = rows.inputs[audited].copy()
    for row, cut in zip(spliced, cuts, strict=True):
        start = int(rng.integers(0, len(foreign) - length))
        row[cut:] = foreign[start : start + length - cut]
    view = ValidationRows(inputs=spliced, targets=rows.targets[audited], byte_count=rows.byte_count)
    everyone = np.arange(len(audited))
    return _collect(answer, _batches(view, everyone, batch_rows), everyone, view)


def _batches(rows: ValidationRows, order: Tokens, batch_rows: int) -> Iterator[Batch]:
    """Batches of one shape; the last is filled up with rows from the beginning of the order."""
    for start in range(0, len(order), batch_rows):
        chosen = np.resize(order[start : start + batch_rows], batch_rows)
        targets = rows.targets[chosen]
        yield Batch(inputs=rows.inputs[chosen], targets=np.where(targets == UNSCORED, 0, targets))


def _collect(answer: Answer, batches: Iterator[Batch], order: Tokens, rows: ValidationRows) -> Losses:
    """Losses [N, T] at the places of their rows; rows that were not asked stay 0."""
    losses = np.zeros(rows.inputs.shape, dtype=np.float64)
    at = 0
    for given in answer(batches):
        chosen = order[at : at + len(given)]
        losses[chosen] = given[: len(chosen)]
        at += len(given)
    return losses


def _audited_gain(committed: Losses, revealed: Losses, audited: Tokens, cuts: Tokens) -> Losses:
    """Nats [A, AUDIT_WINDOW] that each audited position won when its true continuation was shown."""
    window = np.arange(-AUDIT_WINDOW, 0)
    positions = np.maximum(cuts[:, None] + window, 0)
    row = np.arange(len(audited))[:, None]
    return cast("Losses", committed[row, positions] - revealed[audited[:, None], positions])


def _judge(gain: Losses, tolerance: float, source: str) -> None:
    """Refuse a gain of the later answer, and answers that differ too much either way."""
    if not np.isfinite(gain).all():
        raise NotFiniteError("the loss of an audited position is not finite")
    leak = float(gain[:, -1].mean()) if gain.ndim > 1 else float(gain.mean())
    leak = max(leak, float(gain.mean()))
    if leak > tolerance:
        raise ImpureModelError(
            f"the answers know of {source}: they gain {leak:.4f} nats per token from it "
            f"({tolerance:g} are allowed); an answer may depend on that row's earlier tokens only"
        )
    spread = float(np.abs(gain).mean())
    if spread > IMPURITY_FACTOR * tolerance:
        raise ImpureModelError(
            f"the answers change with {source}: by {spread:.4f} nats per token "
            f"({IMPURITY_FACTOR * tolerance:g} are allowed); return a pure function (no dropout, no state)"
        )
