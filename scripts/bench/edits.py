"""Microseconds per signature and per canonical change, on a generated 26 kB train.py; prints JSON.

    python scripts/bench/edits.py [--rounds 30]

Sources are made distinct in each round, so that nothing is answered from a cache but where the name of
the figure says so. Ratios are to `ast.parse` of the same source in the same run.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import time
from collections.abc import Callable

from autoresearch.edits import canonical_changes, changes_from_title, edit_signature, file_signature
from autoresearch.model import ConstantChange

SIZE_BYTES = 26_000

_HEAD = '''"""Generated, of the size and density of a real train.py."""

import math

import torch

DEPTH = 8
ASPECT_RATIO = 64
MODEL_DIM = DEPTH * ASPECT_RATIO
TOTAL_BATCH_SIZE = 2**18
EMBEDDING_LR = 0.6
MATRIX_LR = 0.04
ADAM_BETAS = (0.8, 0.95)
WINDOW_PATTERN = "SSSL"
'''

_LAYER = '''

class Layer{n}(torch.nn.Module):
    """Layer {n}: attention, then a gated feed-forward part."""

    def __init__(self, config, index):
        super().__init__()
        self.width, self.index = config.width, index
        self.query = torch.nn.Linear(config.width, config.heads * config.head_dim, bias=False)
        self.gate = torch.nn.Parameter(torch.full((config.width,), 0.1 * {n}))

    def forward(self, x, rotation, window=None):
        batch, length, width = x.shape  # B, T, C
        query = self.query(x).view(batch, length, -1, self.width // {n})
        scores = (query[:, :-1] @ query.transpose(1, 2)) / math.sqrt(width * 2 + {n})
        if window is not None and self.index % 2 == 0:
            scores = scores.masked_fill(torch.arange(length) > window[0], float("-inf"))
        for step in range(1, {n}):
            x = x + torch.softmax(scores, dim=-1) * self.gate * rotation[step]
        return x
'''


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of judging an edit by what it does.")
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    parent = generated_source()
    sources = [f"{parent}LATE_{index} = {index}\n" for index in range(rounds)]
    parents = [f"{parent}EARLY_{index} = {index}\n" for index in range(rounds)]
    edits = [source.replace("0.04", "0.05").replace("* 2 + 3", "* 2 + 1") for source in sources]
    change = [
        ConstantChange(name="matrix_lr", old="0.04", new="5e-2"),
        ConstantChange(name="DEPTH", new="10"),
    ]
    parse_us = measured(lambda index: ast.parse(sources[index]), rounds)
    figures = {
        "ast_parse": parse_us,
        "file_signature": measured(lambda index: file_signature(sources[index]), rounds),
        "edit_signature_new_parent": measured(
            lambda index: edit_signature(parents[index], edits[index]), rounds
        ),
        "edit_signature_known_parent": known_parent(parent, edits),
        "canonical_changes_new_parent": measured(
            lambda index: canonical_changes(change, edits[index]), rounds
        ),
        "canonical_changes_known_parent": measured(lambda _: canonical_changes(change, parent), rounds),
        "title_known_parent": measured(
            lambda _: changes_from_title("MATRIX_LR 0.04 -> 0.05", parent), rounds
        ),
    }
    report = {
        "source_bytes": len(parent.encode()),
        "rounds": rounds,
        "median_us": {name: round(value, 1) for name, value in figures.items()},
        "ratio_to_ast_parse": {name: round(value / parse_us, 3) for name, value in figures.items()},
    }
    print(json.dumps(report, indent=2))


def generated_source() -> str:
    source, layer = _HEAD, 1
    while len(source) < SIZE_BYTES:
        source += _LAYER.format(n=layer)
        layer += 1
    return source + "\n"


def known_parent(parent: str, edits: list[str]) -> float:
    edit_signature(parent, parent)
    return measured(lambda index: edit_signature(parent, edits[-1 - index] + "\nx_knob = 1\n"), len(edits))


def measured(call: Callable[[int], object], rounds: int) -> float:
    """Median microseconds of one call."""
    times = []
    for index in range(rounds):
        start = time.perf_counter()
        call(index)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


if __name__ == "__main__":
    main()
