"""What ``train.py`` is given: the ``ctx`` of ``def train(ctx)``.

    def train(ctx):
        model = build(ctx)                          # untimed, but capped: set-up and compilation
        model(ctx.dummy_batch(32)[0])               # ... on random tokens
        tokens = ctx.start()                        # the harness's clock runs from here
        while ctx.running():
            loss = step(model, tokens, ctx.progress())
            ctx.log(step=i, loss=loss, tokens=seen)
        return lambda ids: model(ids)               # int64 [B, T] -> logits [B, T, vocab_size]

Under a budget of CPU seconds all but the first second (or twentieth of the budget) of set-up counts too.

The returned function must be pure: its answer at a position depends on that row's tokens up to that position
and on nothing else (no other row, no later token, no earlier call). The harness checks this.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

TokenShard = npt.NDArray[np.uint16]
"""A read-only 1-D memory map of consecutive training tokens."""

Forward = Callable[["torch.Tensor"], "torch.Tensor"]
"""What ``train`` returns: int64 [B, T] -> logits [B, T, vocab_size], floating, on ``ctx.device``."""

RESERVED_METRICS = ("tokens", "num_params", "flops_per_token")
"""Names in ``ctx.log`` that the report shows by name: training tokens seen so far, number of parameters, and
training FLOPs per token (forward and backward; gives MFU on cards whose peak is known)."""


class TrainContext(Protocol):
    """The contract between a challenge's harness and any ``train.py``."""

    @property
    def seed(self) -> int:
        """Drawn by the harness; seed every random choice with it."""

    @property
    def device(self) -> torch.device:
        """Where to train and where the logits must be."""

    @property
    def dtype(self) -> torch.dtype:
        """The compute dtype that suits the device: bfloat16, float16 or float32."""

    @property
    def sequence_len(self) -> int:
        """T: the length of every row that will be scored."""

    @property
    def vocab_size(self) -> int:
        """V: token ids are below it and logits have exactly this width."""

    @property
    def scratch(self) -> Path:
        """An empty directory of this run, deleted afterwards; the working directory too."""

    def dummy_batch(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Random inputs and targets, int64 [batch_size, T] on the device, for set-up before ``start``."""

    def start(self) -> list[TokenShard]:
        """Release the training tokens and start the harness's clock; may be called once."""

    def running(self) -> bool:
        """True while the budget lasts. Under a ``steps`` budget each call that answers True spends one step.

        Return from ``train`` soon after it turns False: an overrun of more than 0.5 s is killed.
        """

    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1; what schedules should follow."""

    def log(self, *, step: int, loss: float, **metrics: float) -> None:
        """Record the training loss (nats per token) after ``step`` steps; see ``RESERVED_METRICS``.

        Call it as often as once a step; the harness keeps a thinned curve. A non-finite loss is recorded as
        the reason if the run fails.
        """
