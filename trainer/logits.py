"""Where logits cross from the worker to the harness without passing through a pipe, and their losses.

On a CPU the two share memory; on an accelerator they share a buffer on the device (CUDA IPC), and the harness
reduces it there, so that only losses leave it. Either way the harness first takes a private copy: the worker
could change the shared bytes between two readings, and so give a distribution that does not sum to one.
Log-softmax and loss are computed in float64.
"""

# ruff: noqa: PLC0415 - importing torch takes seconds, and the harness of a CPU challenge never needs it
from __future__ import annotations

import base64
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from trainer.budget import shared_file

if TYPE_CHECKING:
    import torch

SLOTS = 2
"""The worker fills one slot while the harness reads the other."""

_FLOAT_BYTES = 4
_DEVICE_ROWS = 2048  # positions whose float64 logits are on the accelerator at once

Losses = npt.NDArray[np.float64]
Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferShape:
    """float32 logits [SLOTS, B, T, V]."""

    rows: int
    sequence_len: int
    vocab_size: int

    @property
    def slot_floats(self) -> int:
        """Numbers in one slot."""
        return self.rows * self.sequence_len * self.vocab_size


class LogitsBuffer(Protocol):
    """The harness's side of the shared buffer."""

    def describe(self) -> tuple[dict[str, Any], list[int]]:
        """What the worker needs to open it: JSON fields, and file descriptors to pass along."""

    def losses(self, slot: int, targets: Tokens) -> Losses:
        """Copy a slot's logits and give nats [B, T] of the targets; infinite or NaN where logits are."""

    def close(self) -> None:
        """Give the memory back."""


def open_buffer(kind: str, shape: BufferShape) -> LogitsBuffer:
    """A buffer that suits a device kind; the worker opens it with ``WorkerBuffer``."""
    if kind in {"cuda", "rocm"}:
        return DeviceBuffer(shape)
    return HostBuffer(shape)


def warm_up_reader(kinds: Sequence[str]) -> None:
    """Import what a buffer on these kinds of device will need, while the worker imports it too."""
    if {"cuda", "rocm"} & set(kinds):
        import torch  # noqa: F401


class HostBuffer:
    """Shared memory; numpy alone reads it, so the harness of a CPU challenge never imports torch."""

    def __init__(self, shape: BufferShape) -> None:
        self._shape = shape
        self._size = SLOTS * shape.slot_floats * _FLOAT_BYTES
        self._fd = shared_file("autoresearch-logits", self._size)
        self._map = mmap.mmap(self._fd, self._size)

    def describe(self) -> tuple[dict[str, Any], list[int]]:
        """See ``LogitsBuffer``."""
        return {"kind": "host", "size_bytes": self._size}, [self._fd]

    def losses(self, slot: int, targets: Tokens) -> Losses:
        """See ``LogitsBuffer``."""
        shape = self._shape
        start = slot * shape.slot_floats * _FLOAT_BYTES
        taken = np.frombuffer(self._map[start : start + shape.slot_floats * _FLOAT_BYTES], dtype=np.float32)
        rows = taken.reshape(-1, shape.vocab_size)
        return nats(rows, targets.reshape(-1)).reshape(targets.shape)

    def close(self) -> None:
        """See ``LogitsBuffer``."""
        self._map.close()
        os.close(self._fd)


def nats(logits: npt.NDArray[np.float32], targets: Tokens) -> Losses:
    """-log softmax(logits)[target] in float64 for logits [N, V], targets [N]; NaN where logits are wild."""
    with np.errstate(all="ignore"):
        exact = logits.astype(np.float64)
        exact -= exact.max(axis=1, keepdims=True)
        chosen = exact[np.arange(len(targets)), targets].copy()
        np.exp(exact, out=exact)
        return cast("Losses", np.log(exact.sum(axis=1)) - chosen)


def nats_on_device(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """What ``nats`` gives, in float64 on the device where the logits are; a share of them at a time."""
    import torch

    pieces = []
    for start in range(0, len(targets), _DEVICE_ROWS):
        exact = logits[start : start + _DEVICE_ROWS].double()
        chosen = exact.gather(1, targets[start : start + _DEVICE_ROWS, None]).squeeze(1)
        pieces.append(torch.logsumexp(exact, dim=1) - chosen)
    return torch.cat(pieces)


class DeviceBuffer:
    """A buffer on the accelerator that the worker opens through its CUDA (or HIP) IPC handle."""

    def __init__(self, shape: BufferShape) -> None:
        import torch

        self._shape = shape
        size = (SLOTS, shape.rows, shape.sequence_len, shape.vocab_size)
        self._buffer = torch.zeros(size, dtype=torch.float32, device="cuda")
        torch.cuda.synchronize()

    def describe(self) -> tuple[dict[str, Any], list[int]]:
        """See ``LogitsBuffer``; the handle travels as base64, never as a pickle."""
        from torch.multiprocessing.reductions import reduce_tensor

        _rebuild, parts = cast("Any", reduce_tensor)(self._buffer)
        (_cls, size, stride, offset, _storage, _dtype, device, handle, storage_bytes, storage_offset) = parts[
            :10
        ]
        _grad, counter, counter_offset, event, needs_sync = parts[10:]
        fields = {
            "kind": "device",
            "size": list(size),
            "stride": list(stride),
            "offset": offset,
            "device": device,
            "handle": _as_text(handle),
            "storage_bytes": storage_bytes,
            "storage_offset": storage_offset,
            "counter": _as_text(counter),
            "counter_offset": counter_offset,
            "event": _as_text(event),
            "needs_sync": needs_sync,
        }
        return fields, []

    def losses(self, slot: int, targets: Tokens) -> Losses:
        """See ``LogitsBuffer``; only [B, T] losses leave the accelerator."""
        import torch

        private = self._buffer[slot].clone().view(-1, self._shape.vocab_size)
        wanted = torch.from_numpy(targets.reshape(-1)).to(private.device)
        return cast("Losses", nats_on_device(private, wanted).cpu().numpy().reshape(targets.shape))

    def close(self) -> None:
        """See ``LogitsBuffer``."""
        del self._buffer


class WorkerBuffer:
    """The worker's side: a tensor that it writes logits into, slot by slot."""

    def __init__(self, fields: dict[str, Any], fds: list[int], shape: BufferShape) -> None:
        self._shape = shape
        self._on_device = fields["kind"] == "device"
        self._tensor = _open_on_device(fields) if self._on_device else _open_on_host(fields, fds, shape)

    def write(self, slot: int, logits: torch.Tensor) -> None:
        """Put the logits of one batch [B, T, V] where the harness reads them; returns when they are there."""
        import torch

        self._tensor[slot].copy_(logits)
        if self._on_device:
            torch.cuda.synchronize()


def _open_on_host(fields: dict[str, Any], fds: list[int], shape: BufferShape) -> torch.Tensor:
    import torch

    mapped = mmap.mmap(fds[0], fields["size_bytes"])
    flat = torch.frombuffer(mapped, dtype=torch.float32)
    return flat.view(SLOTS, shape.rows, shape.sequence_len, shape.vocab_size)


def _open_on_device(fields: dict[str, Any]) -> torch.Tensor:
    import torch
    from torch.multiprocessing.reductions import rebuild_cuda_tensor

    opened = cast("Any", rebuild_cuda_tensor)(
        torch.Tensor,
        torch.Size(fields["size"]),
        tuple(fields["stride"]),
        fields["offset"],
        torch.storage.TypedStorage,
        torch.float32,
        fields["device"],
        _as_bytes(fields["handle"]),
        fields["storage_bytes"],
        fields["storage_offset"],
        False,
        _as_bytes(fields["counter"]),
        fields["counter_offset"],
        _as_bytes(fields["event"]),
        fields["needs_sync"],
    )
    return cast("torch.Tensor", opened)


def _as_text(handle: bytes | None) -> str | None:
    return None if handle is None else base64.b64encode(handle).decode("ascii")


def _as_bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
