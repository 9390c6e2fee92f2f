"""A plan of the sandbox with layers left out, to test the others; the trainer itself cannot leave one out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from trainer.sandbox import Layer, Plan


def leave_out(plan: Plan, layers: Iterable[Layer]) -> Plan:
    """The plan without these layers and what builds on them; none of them counts as lacking."""
    left = plan.layers - frozenset(layers)
    if (
        Layer.FILE_VIEW not in left
    ):  # the tmpfs, and the way to an interpreter in root's home, are parts of it
        left -= {Layer.CAPPED_SCRATCH, Layer.OTHER_USER}
    if Layer.CAPPED_SCRATCH in plan.layers - left:
        left |= {Layer.SCRATCH_DIRECTORY}
    return replace(plan, layers=left)
