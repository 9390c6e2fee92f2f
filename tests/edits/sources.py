"""A small train.py and what the tests of this folder do with it."""

from __future__ import annotations

PARENT = '''"""One page of training."""

import math
from dataclasses import dataclass

import torch


@dataclass
class Config:
    """Shape of the model."""

    n_layer: int = 8
    n_head: int = 4
    dropout: float = 0.0


class GPT:
    """The model."""

    def __init__(self, config):
        self.config = config

    def forward(self, x):
        """Run it."""
        x = norm(x)
        for block in self.blocks:
            x = x + block(x)
        if self.training:
            x = scale(x)
        return x


# knobs
DEPTH = 8
ASPECT_RATIO = 64
MODEL_DIM = DEPTH * ASPECT_RATIO
TOTAL_BATCH_SIZE = 2**18  # tokens
EMBEDDING_LR = 0.6
MATRIX_LR = 0.04
WARMDOWN_RATIO = 0.5
ADAM_BETAS = (0.8, 0.95)
WINDOW_PATTERN = "SSSL"
USE_NORM = True
SCHEDULE = {"warmup": 10, "kind": "cosine"}


def train(ctx):
    model = GPT(Config(n_layer=DEPTH))
    for step in range(1000):
        lr = EMBEDDING_LR * math.cos(step * 2 * 1024)
        model.step(lr, betas=ADAM_BETAS)
    return model
'''


def edited(*replacements: tuple[str, str]) -> str:
    """PARENT with each text, which has to be there, replaced."""
    source = PARENT
    for old, new in replacements:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    return source
