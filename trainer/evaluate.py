"""Bits per byte of a model that is not trusted: splices, purity, levels.

The model sees tokens and returns logits; everything else is ours. Four things are checked, because a model
that sees the token it should predict, or remembers rows, would score well and predict nothing:

1. **Splices.** Some rows come twice: first with the tail of another validation row after a secret cut, later
   whole. Both kinds stand in one secret order, and neither the prefix nor the tail of a spliced row was seen
   before it, so at first sight a model cannot tell whether a row is whole. Its answers up to the cut must be
   the same both times, the answer for the hidden token above all.
2. **Purity.** Rows that came early come again at the end, in other company and other places. Another loss
   now means that rows or earlier calls leaked into the answer.
3. **Level of hidden tokens.** A model that looks ahead, and replays at the second sight what it answered at
   the first, agrees with itself but mispredicts hidden tokens; their loss must be like that of all others.
4. **Level of second sights.** A row whose prefix came before is surely whole; its tail must not be answered
   better than the tails of rows that came once.

Agreement is judged in nats, with a tolerance, because kernels may round differently from call to call; levels
are judged in standard errors.

What this does not catch: a model that looks ahead at so few rows, or with so little weight, that levels and
agreement stay within their tolerance (with replays, some standard errors of the level: tenths of a nat where
few rows are audited); one that recognises a splice by its text not going on well; one that knows the
validation text beforehand, because it may read files (see ``trainer.sandbox``) or generate the text of a
public seed; and a model whose replays are right because it stores rows with their answers and looks ahead
nowhere. Memory of the process can only be taken from it by the sandbox.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from autoresearch.challenge import Audit

from trainer.corpora import UNSCORED, ValidationRows

AUDIT_WINDOW = 8
"""Positions before the cut that are judged by themselves; the last of them has its target hidden."""

IMPURITY_FACTOR = 10.0
"""Answers may differ by this many times the tolerance in either direction (rounding), but not by more."""

LEVEL_SIGMAS = 6.0
"""How many standard errors audited rows may lie off the others' level."""

LEVEL_ROWS_MIN = 8
"""Fewer rows than these have no level."""

_LATER_TOKENS = "tokens that come later in the row"

Tokens = npt.NDArray[np.int64]
Losses = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows to be answered, int64 [B, T], and the targets whose losses are wanted; none is negative."""

    inputs: Tokens
    targets: Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """All rows with the spliced ones behind them, the order they are asked in, and what was spliced where."""

    view: ValidationRows
    order: Tokens
    full: Tokens
    audited: Tokens
    cuts: Tokens


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


def evaluate(answer: Answer, rows: ValidationRows, audit: Audit, *, order_seed: int) -> Score:
    """Score a model on all rows.

    Args:
        answer: the model behind its wall.
        rows: the validation text.
        audit: how many rows are audited (half of them at most), and the tolerance.
        order_seed: fixes the secret order; the same for runs that are to be compared bit for bit.

    Raises:
        ImpureModelError: a check failed.
        NotFiniteError: a loss that is needed is not finite.
    """
    rng = np.random.default_rng([order_seed & ((1 << 63) - 1), len(rows.inputs)])
    count = len(rows.inputs)
    plan = _plan(rows, audit.rows, rng)
    answers = _collect(answer, _batches(plan.view, plan.order, audit.batch_rows), plan.order, plan.view)
    losses, committed = answers[:count], answers[count:]
    scored = rows.targets != UNSCORED
    if not np.isfinite(losses[scored]).all():
        raise NotFiniteError(
            "the validation loss is not finite: logits are NaN, or rule out a token that comes"
        )
    causality = _judge_splices(committed, losses, plan, audit.leak_nats_max)
    chosen = plan.order[plan.order < count][: audit.repeat_rows]
    again = rng.permutation(np.concatenate([chosen, rng.permutation(count)[:7]]))
    repeated = _collect(answer, _batches(rows, again, audit.batch_rows), again, rows)
    purity = (losses - repeated)[np.isin(np.arange(count), chosen)[:, None] & scored]
    _judge(purity, audit.leak_nats_max, "other rows or earlier calls")
    _judge_levels(committed, losses, plan, audit.leak_nats_max)
    total = math.fsum(losses[scored].tolist())
    return Score(
        bits_per_byte=total / math.log(2) / rows.byte_count,
        nats_per_token=total / int(scored.sum()),
        causality_leak_nats=causality,
        purity_leak_nats=float(purity.mean()),
    )


def rows_digest(rows: ValidationRows) -> str:
    """Names the validation text: two runs that show the same digest were scored on the same rows."""
    digest = hashlib.sha256(rows.inputs.astype("<i8").tobytes())
    digest.update(rows.targets.astype("<i8").tobytes())
    return digest.hexdigest()


def _plan(rows: ValidationRows, wanted: int, rng: np.random.Generator) -> _Plan:
    """Where each spliced row stands among the whole ones: anywhere, but before its row and its tail's row."""
    count, length = rows.inputs.shape
    full = np.flatnonzero((rows.targets != UNSCORED).all(axis=1))
    drawn = rng.permutation(full)
    size = min(wanted, len(drawn) // 2)
    audited, donors = drawn[:size], drawn[size : 2 * size]
    cuts = rng.integers(1, length, size)
    spliced = np.where(np.arange(length) < cuts[:, None], rows.inputs[audited], rows.inputs[donors])
    places: Losses = rng.random((count,))
    splice_places: Losses = rng.random((size,))
    for later in (audited, donors):
        places[later] = splice_places + (1 - splice_places) * rng.random(size)
    return _Plan(
        view=ValidationRows(
            inputs=np.concatenate([rows.inputs, spliced]),
            targets=np.concatenate([rows.targets, rows.targets[audited]]),
            byte_count=rows.byte_count,
        ),
        order=np.argsort(np.concatenate([places, splice_places])),
        full=full,
        audited=audited,
        cuts=cuts,
    )


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


def _judge_splices(committed: Losses, losses: Losses, plan: _Plan, tolerance: float) -> float:
    """Refuse answers before a cut that depend on what comes after; gives the gain at hidden tokens."""
    gain = committed - losses[plan.audited]
    ahead = plan.cuts[:, None] - 1 - np.arange(gain.shape[1])
    _judge(gain[ahead == 0], tolerance, _LATER_TOKENS)
    _judge(gain[(ahead >= 0) & (ahead < AUDIT_WINDOW)], tolerance, _LATER_TOKENS)
    _judge(gain[ahead >= 0], tolerance, _LATER_TOKENS)
    return float(gain[ahead == 0].mean()) if len(gain) else 0.0


def _judge_levels(committed: Losses, losses: Losses, plan: _Plan, tolerance: float) -> None:
    """Refuse rows that are answered better, or worse, for being recognised as an audit.

    Two samples must lie at the level of rows without an audit: the losses of hidden tokens, which cannot be
    too bad, and those of tokens after the cut of a row whose prefix came before, which cannot be too good.
    """
    others = np.setdiff1d(plan.full, plan.audited)
    if len(plan.cuts) < LEVEL_ROWS_MIN or len(others) < LEVEL_ROWS_MIN:
        return
    level = losses[others].mean(axis=0)
    every = np.arange(len(plan.cuts))
    hidden = committed[every, plan.cuts - 1] - level[plan.cuts - 1]
    after = np.arange(losses.shape[1]) >= plan.cuts[:, None]
    tails = ((losses[plan.audited] - level) * after).sum(axis=1) / after.sum(axis=1)
    typical = losses[others] - level
    for excess, spread in ((hidden, typical), (-tails, typical.mean(axis=1))):
        allowed = tolerance + LEVEL_SIGMAS * max(excess.std(), spread.std()) / math.sqrt(len(excess))
        if excess.mean() > allowed:
            raise ImpureModelError(
                f"the answers know which rows are audited: {excess.mean():.4f} nats per token lie between "
                f"those and others ({allowed:.4f} are allowed); an answer may depend on that row's earlier "
                "tokens only"
            )


def _judge(gain: Losses, tolerance: float, source: str) -> None:
    """Refuse a gain of the later answer, and answers that differ too much either way."""
    if not np.isfinite(gain).all():
        raise NotFiniteError("the loss of an audited position is not finite")
    if not gain.size:
        return
    leak = float(gain.mean())
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
