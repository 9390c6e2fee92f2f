"""What a clause means where that depends on its value: which batch, which pattern, which of two betas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from autoresearch.edits.words.clause import Clause
from autoresearch.edits.words.tokens import number_of

BETAS = "betas"
"""The knob of both betas at once."""

OFF = "off"
"""The value of a knob that is not in use: none, or zero where that does the same."""

_TOKENS_IN_TOTAL_BATCH_MIN = 4_096
_ROWS_IN_DEVICE_BATCH_MAX = 1_024
OFF_AT_ZERO = frozenset({"wd", "warmup", "warmdown", "dropout", "drop_path", "label_smoothing", "z_loss"})
OFF_AT_ZERO |= {"grad_clip", "x0_lambda"}
"""Knobs that are out of use at zero."""

_STEPS_MAX = 20
"""Iterations that an orthogonalisation may take."""

_MULTIPLES = frozenset({"mlp_ratio", "rope_cache"})
"""Knobs whose value is written as a multiple: "4x" is no change by four."""


def settle(clause: Clause) -> None:
    """Replaces names that depend on the value by what they mean."""
    if "batch" in clause.knobs:
        clause.knobs = (clause.knobs - {"batch"}) | {_batch(clause)}
    if clause.factor and (clause.knobs & _MULTIPLES or _is_of_context(clause)):
        if not clause.new:
            clause.new = clause.factor
        elif not clause.old:
            clause.old = clause.factor  # "4x -> 3x"
        clause.factor = ""
    if clause.new and set(clause.new) <= set("SL"):
        clause.knobs = (clause.knobs - {"short_window"}) | {"window"}
    _settle_removal(clause)
    if clause.ideas == {"newton_schulz"} and not clause.knobs and _is_count(clause.new):
        clause.knobs, clause.ideas = {"ns_steps"}, set()
    if clause.knobs == {"init"} and number_of(clause.new) == 0:
        clause.knobs, clause.ideas, clause.new = set(), clause.ideas | {"zero_init"}, ""
    if clause.new == clause.old:
        clause.old = ""


def _settle_removal(clause: Clause) -> None:
    """What is left where a knob's mechanism is gone: every layer sees all, one pass makes a step."""
    rest = {"short_window": ("window", "L"), "grad_accum": ("grad_accum", "1")}
    if clause.verb == "remove" and not clause.new and len(clause.knobs) == 1 and clause.knobs <= rest.keys():
        knob, clause.new = rest[min(clause.knobs)]
        clause.knobs, clause.verb = {knob}, ""


def settled_value(subject: frozenset[str], value: str, *, is_removed: bool) -> str:
    """A new value, where it may say that the knob is off."""
    is_zero = number_of(value) == 0 and len(subject) == 1 and bool(subject & OFF_AT_ZERO)
    return OFF if is_zero or value == "none" or (is_removed and not value) else value


def split_betas(old: str, new: str) -> Iterator[tuple[str, str, str]]:
    """Name, old and new value of each beta that changes; both where the old ones are not known."""
    olds: Sequence[str] = old.split(",") if "," in old else ("", "")
    for name, before, after in zip(("beta1", "beta2"), olds, new.split(","), strict=False):
        if before != after:
            yield name, before, after


def _is_count(value: str) -> bool:
    return value.isdigit() and int(value) <= _STEPS_MAX


def _is_of_context(clause: Clause) -> bool:
    """True for a window that is a share of the context: "half the context"."""
    return {"short_window", "seq_len"} <= clause.knobs or (
        "short_window" in clause.knobs and bool({"context", "sequence"} & set(clause.words))
    )


def _batch(clause: Clause) -> str:
    """Tokens of an optimizer step or rows of a forward pass, by the size of the number."""
    numbers = [number_of(value) or Decimal(0) for value in (clause.old, clause.new) if value]
    if not numbers:
        return "batch"
    if max(numbers) >= _TOKENS_IN_TOTAL_BATCH_MIN:
        return "total_batch"
    return "device_batch" if max(numbers) < _ROWS_IN_DEVICE_BATCH_MAX else "batch"
