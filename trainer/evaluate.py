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

What one run does not catch is a model that looks ahead at so few rows, or with so little weight, that levels
and agreement stay within their tolerance (with replays, six standard errors of the level: 0.2 nats in
``pocket``). So a run tells its ``hidden_gap_bpb`` too, and the pairs of a verification are judged by it.

What this does not catch: one that recognises a splice by its text not going on well; one that knows the
validation text beforehand, because it may read files (see ``trainer.sandbox``) or generate the text of a
public seed; and a model whose replays are right because it stores rows with their answers and looks ahead
nowhere. Memory of the process can only be taken from it by the sandbox.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from autoresearch.challenge import Audit

from trainer.corpora import UNSCORED, ValidationRows
from trainer.levels import LEVEL_ROWS_MIN, QUARTERS, Levels, levels_of

AUDITABLE_SHARE = 0.5
"""A row is audited if at least this share of its targets is scored; padding is not worth it."""

COMPANY_ROWS = 7
"""Rows drawn at random that come among the repeated ones, so that no batch is as it was."""

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
    auditable: Tokens
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
    """What validation gave; leaks are 0 but for rounding.

    ``hidden_gap_bpb`` is how much of the score would be lost, in its own unit, if all tokens were predicted
    as badly as those that no input shows: what a model gains by looking ahead, and about 0 for an honest one.
    One run tells it with much noise; None where too few tokens are hidden.
    ``row_nats`` [N] are the sums of each row's scored losses, in the order of the text. They are all that
    the score is made of: ``bits_per_byte`` = fsum(row_nats) / ln 2 / bytes of the text.
    """

    bits_per_byte: float
    nats_per_token: float
    causality_leak_nats: float
    purity_leak_nats: float
    hidden_gap_bpb: float | None
    row_nats: Losses = field(compare=False)


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
    causality = _judge_splices(committed, losses, plan, audit)
    chosen = plan.order[plan.order < count][: audit.repeat_rows]
    again = rng.permutation(np.concatenate([chosen, rng.permutation(count)[:COMPANY_ROWS]]))
    repeated = _collect(answer, _batches(rows, again, audit.batch_rows), again, rows)
    came_again = np.isin(np.arange(count), chosen)[:, None] & scored
    purity = losses[came_again] - repeated[came_again]
    _judge(purity, audit, "other rows or earlier calls")
    levels = levels_of(answers, plan.view, auditable=plan.auditable, audited=plan.audited, cuts=plan.cuts)
    _judge_levels(levels, audit)
    gap_nats = levels.hidden_gap_nats if levels is not None else None
    row_nats = np.array([math.fsum(row[counts]) for row, counts in zip(losses, scored, strict=True)])
    total, tokens = math.fsum(row_nats), int(scored.sum())
    return Score(
        bits_per_byte=total / math.log(2) / rows.byte_count,
        nats_per_token=total / tokens,
        causality_leak_nats=causality,
        purity_leak_nats=float(purity.mean()),
        hidden_gap_bpb=None if gap_nats is None else gap_nats * tokens / math.log(2) / rows.byte_count,
        row_nats=row_nats,
    )


def rows_digest(rows: ValidationRows) -> str:
    """Names the validation text: two runs that show the same digest were scored on the same rows."""
    digest = hashlib.sha256(rows.inputs.astype("<i8").tobytes())
    digest.update(rows.targets.astype("<i8").tobytes())
    return f"sha256:{digest.hexdigest()}"


def losses_bytes(row_nats: Losses) -> bytes:
    """A score's row losses as they are digested and kept: float64, little endian, in the text's order."""
    return row_nats.astype("<f8").tobytes()


def losses_digest(row_nats: Losses) -> str:
    """Names a model's losses: two runs that show the same digest agree on every row to the last bit."""
    return f"sha256:{hashlib.sha256(losses_bytes(row_nats)).hexdigest()}"


def _plan(rows: ValidationRows, wanted: int, rng: np.random.Generator) -> _Plan:
    """Where each spliced row stands among the whole ones: anywhere, but before its row and its tail's row."""
    count, length = rows.inputs.shape
    scored = rows.targets != UNSCORED
    auditable = np.flatnonzero(scored.mean(axis=1) >= AUDITABLE_SHARE)
    drawn = rng.permutation(auditable)
    size = min(wanted, len(drawn) // 2)
    audited, donors = drawn[:size], drawn[size : 2 * size]
    cuts = _cuts(scored[audited, :-1], rng)
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
        auditable=auditable,
        audited=audited,
        cuts=cuts,
    )


def _cuts(can_hide: npt.NDArray[np.bool_], rng: np.random.Generator) -> Tokens:
    """One secret cut for each row, all lengths of prefix alike; it hides the token after a true position.

    Each row draws from its own share of the lengths, so that few rows cannot happen to be cut all alike.
    """
    rows = len(can_hide)
    share = (np.arange(rows) + rng.random(rows)) / max(rows, 1)
    wanted = np.floor(share * can_hide.sum(axis=1))
    first: Tokens = ((can_hide.cumsum(axis=1) > wanted[:, None]) & can_hide).argmax(axis=1)
    return first + 1


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


def _judge_splices(committed: Losses, losses: Losses, plan: _Plan, audit: Audit) -> float:
    """Refuse answers before a cut that depend on what comes after; gives the gain at hidden tokens."""
    scored = plan.view.targets[plan.audited] != UNSCORED
    gain = np.where(scored, committed, 0.0) - np.where(scored, losses[plan.audited], 0.0)
    ahead = plan.cuts[:, None] - 1 - np.arange(gain.shape[1])
    hidden = gain[scored & (ahead == 0)]
    _judge(hidden, audit, _LATER_TOKENS)
    _judge(gain[scored & (ahead >= 0) & (ahead < audit.window)], audit, _LATER_TOKENS)
    _judge(gain[scored & (ahead >= 0)], audit, _LATER_TOKENS)
    return float(hidden.mean()) if len(hidden) else 0.0


def _judge_levels(levels: Levels | None, audit: Audit) -> None:
    """Refuse rows that are answered better, or worse, for being recognised as an audit.

    Two samples must lie at the level of rows without an audit: the losses of hidden tokens, which cannot be
    too bad, and those of tokens after the cut of a row whose prefix came before, which cannot be too good.
    Hidden tokens behind cuts are judged by quarters of the row too, since a model may look ahead in a part of
    it only.
    """
    if levels is None:
        return
    cut_off = levels.cut_off
    _judge_level(np.concatenate([cut_off, levels.last]), levels.usual, audit)
    _judge_level(cut_off, levels.usual, audit)
    for part in range(QUARTERS):
        _judge_level(cut_off[levels.quarters == part], levels.usual, audit)
    _judge_level(-levels.tails, levels.rows, audit)


def _judge_level(excess: Losses, usual: Losses, audit: Audit) -> None:
    """Refuse a sample whose mean is higher than chance allows."""
    if len(excess) < LEVEL_ROWS_MIN:
        return
    error = max(excess.std(), usual.std()) / math.sqrt(len(excess))
    allowed = audit.leak_nats_max + audit.level_sigmas * error
    if excess.mean() > allowed:
        raise ImpureModelError(
            f"the answers know which rows are audited: {excess.mean():.4f} nats per token lie between "
            f"those and others ({allowed:.4f} are allowed); an answer may depend on that row's earlier "
            "tokens only"
        )


def _judge(gain: Losses, audit: Audit, source: str) -> None:
    """Refuse a gain of the later answer, and answers that differ too much either way."""
    if not np.isfinite(gain).all():
        raise NotFiniteError("the loss of an audited position is not finite")
    if not gain.size:
        return
    leak = float(gain.mean())
    if leak > audit.leak_nats_max:
        raise ImpureModelError(
            f"the answers know of {source}: they gain {leak:.4f} nats per token from it "
            f"({audit.leak_nats_max:g} are allowed); an answer may depend on that row's earlier tokens only"
        )
    spread, allowed = float(np.abs(gain).mean()), audit.impurity_factor * audit.leak_nats_max
    if spread > allowed:
        raise ImpureModelError(
            f"the answers change with {source}: by {spread:.4f} nats per token "
            f"({allowed:g} are allowed); return a pure function (no dropout, no state)"
        )
