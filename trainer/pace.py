"""How fast a core is at this moment, against a fixed piece of work: what makes CPU seconds comparable.

A CPU second is worth more or less with the clock rate, and with what neighbours (other programs, other guests
of the host) do to caches and memory: the same code took 930 to 1220 steps in 20 CPU seconds on one machine
within minutes, and its score followed. So the harness does a *reference step* again and again while a run
trains, on the worker's core while the worker stands still, and counts the worker's CPU seconds at the pace
that it finds. The step is the arithmetic of a step of a small GPT (matrix products, attention, softmax,
Adam), since contention slows different work by different amounts.

The worker cannot make the machine look slow: it is stopped meanwhile, with all its descendants, and a step is
long beside the filling of a cache that it left cold.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

REFERENCE_STEP = "reference-step/1"
"""The name under which a challenge asks for this pace; another step gets another number."""

REFERENCE_STEP_S = 0.0122
"""CPU seconds of one step at pace 1: about what an idle core of a 2021 server takes."""

PACE_MIN, PACE_MAX = 0.02, 50.0
"""A pace outside is an error of measurement, and is taken to lie at the border."""

_ROWS, _LENGTH, _CHANNELS, _HEADS, _HIDDEN, _VOCABULARY, _DEPTH = 4, 128, 64, 2, 128, 1024, 2
_WARM_UP_STEPS = 2
_SEED = 0

_Array = npt.NDArray[np.float32]


class ReferenceStep:
    """Calling it does the step once; its numbers mean nothing, only its cost does.

    R = rows times tokens, T = tokens of a row, C = channels, H = heads, D = C / H, V = vocabulary.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(_SEED)

        def matrix(rows: int, columns: int) -> _Array:
            return rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.1)

        tokens = _ROWS * _LENGTH
        self._embedding = matrix(_VOCABULARY, _CHANNELS)
        self._qkv = matrix(_CHANNELS, 3 * _CHANNELS)
        self._out = matrix(_CHANNELS, _CHANNELS)
        self._up = matrix(_CHANNELS, _HIDDEN)
        self._down = matrix(_HIDDEN, _CHANNELS)
        self._unembedding = matrix(_CHANNELS, _VOCABULARY)
        self._ids = rng.integers(0, _VOCABULARY, tokens)
        self._targets = rng.integers(0, _VOCABULARY, tokens)
        self._mask = np.triu(np.full((_LENGTH, _LENGTH), -1e9, np.float32), 1)
        weights = (self._embedding, self._qkv, self._out, self._up, self._down, self._unembedding)
        self._moments = [(np.zeros_like(weight), np.ones_like(weight)) for weight in weights]

    def __call__(self) -> None:
        """One step: forward, backward, update."""
        x = _norm(self._embedding[self._ids])
        for _ in range(_DEPTH):
            x, block_gradients = self._block(x)
        logits = _norm(x) @ self._unembedding  # [R, V]
        logits = _softmax(logits)
        logits[np.arange(len(self._targets)), self._targets] -= 1
        d_unembedding = x.T @ logits
        d_embedding = np.zeros_like(self._embedding)
        np.add.at(d_embedding, self._ids, logits @ self._unembedding.T)
        gradients = (d_embedding, *block_gradients, d_unembedding)
        for moments, gradient in zip(self._moments, gradients, strict=True):
            _adam(*moments, gradient)

    def _block(self, x: _Array) -> tuple[_Array, tuple[_Array, ...]]:
        h = _norm(x)
        split = (h @ self._qkv).reshape(_ROWS, _LENGTH, 3, _HEADS, -1).transpose(2, 0, 3, 1, 4)
        q, k, v = (np.ascontiguousarray(part) for part in split)  # each [rows, H, T, D]
        q, k = _norm(q), _norm(k)
        attention = _softmax(q @ k.transpose(0, 1, 3, 2) + self._mask)
        y = (attention @ v).transpose(0, 2, 1, 3).reshape(len(x), _CHANNELS)
        x = x + y @ self._out
        hidden = np.maximum(_norm(x) @ self._up, 0)
        x = x + (hidden * hidden) @ self._down

        d_hidden = x @ self._down.T
        d_h = d_hidden @ self._up.T
        d_y = (d_h @ self._out.T).reshape(_ROWS, _LENGTH, _HEADS, -1).transpose(0, 2, 1, 3)
        d_attention = d_y @ v.transpose(0, 1, 3, 2)
        d_attention = attention * (d_attention - (d_attention * attention).sum(-1, keepdims=True))
        d_scores = d_attention.transpose(0, 1, 3, 2)
        parts = (d_attention @ k, d_scores @ q, attention.transpose(0, 1, 3, 2) @ d_y)
        d_qkv = np.concatenate([part.transpose(0, 2, 1, 3).reshape(len(x), _CHANNELS) for part in parts], 1)
        gradients = (h.T @ d_qkv, y.T @ d_h, h.T @ d_hidden, hidden.T @ x)
        return x + np.float32(1e-9) * (d_qkv @ self._qkv.T), gradients


def _norm(x: _Array) -> _Array:
    scaled: _Array = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-6))
    return scaled


def _softmax(x: _Array) -> _Array:
    grown: _Array = np.exp(x - x.max(-1, keepdims=True))
    grown /= grown.sum(-1, keepdims=True)
    return grown


def _adam(mean: _Array, square: _Array, gradient: _Array) -> _Array:
    mean *= np.float32(0.9)
    mean += np.float32(0.1) * gradient
    square *= np.float32(0.99)
    square += np.float32(0.01) * (gradient * gradient)
    update: _Array = np.divide(mean, np.sqrt(square) + np.float32(1e-8), dtype=np.float32)
    return update


@dataclass(frozen=True, slots=True)
class Pace:
    """Reference seconds that a CPU second is worth: 1 on the reference core, 0.5 on one half as fast."""

    value: float

    @classmethod
    def of_step(cls, cpu_s: float) -> Pace:
        """The pace of a core on which one reference step takes ``cpu_s`` CPU seconds."""
        return cls(min(PACE_MAX, max(PACE_MIN, REFERENCE_STEP_S / max(cpu_s, 1e-9))))


class Meter(Protocol):
    """What tells a pace."""

    def measure(self) -> Pace:
        """The pace now."""


class PaceMeter:
    """Measures the pace of one core; ``core`` None: of wherever the scheduler puts us."""

    def __init__(self, core: int | None) -> None:
        self._core = core
        self._step = ReferenceStep()
        with self._on_core():
            for _ in range(_WARM_UP_STEPS):
                self._step()

    def measure(self) -> Pace:
        """The pace now; takes one reference step."""
        with self._on_core():
            before_s = time.thread_time()
            self._step()
            return Pace.of_step(time.thread_time() - before_s)

    @contextlib.contextmanager
    def _on_core(self) -> Iterator[None]:
        """One thread, on the core that is measured."""
        with threadpool_limits(1, "blas"):
            if self._core is None:
                yield
                return
            allowed = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {self._core})
            try:
                yield
            finally:
                os.sched_setaffinity(0, allowed)
