"""The untrusted process: runs one ``train.py``, then answers batches of tokens with logits.

Started by ``trainer.sandbox.entry``, which has confined this process by then. Nothing that it says is
believed; it tells the harness how it failed only so that people get a good reason.
"""

# ruff: noqa: PLC0415 - torch is imported after the harness has said what to do, once
from __future__ import annotations

import errno
import linecache
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from trainer import devices, processes
from trainer.budget import BudgetView, Phase
from trainer.context import RESERVED_METRICS, Forward, TokenShard
from trainer.logits import BufferShape, WorkerBuffer
from trainer.wire import (
    LOGITS_BODY,
    Kind,
    WireClosed,
    pack,
    pack_json,
    read_frame,
    unpack_batch,
)

if TYPE_CHECKING:
    import torch

REASON_LIMIT_CHARS = 1_000
METRICS_LIMIT = 16
_SOURCE_NAME = "train.py"
_EXIT_FAILED = 1


class _Failed(Exception):
    """The candidate cannot go on; carries the kind of crash that the report shows."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Context:
    """The real ``ctx``; see ``trainer.context.TrainContext``."""

    def __init__(self, channel: socket.socket, view: BudgetView, fields: dict[str, Any]) -> None:
        self.seed: int = fields["seed"]
        self.device = devices.torch_device(fields["device"])
        self.dtype = devices.compute_dtype(fields["device"])
        self.sequence_len: int = fields["sequence_len"]
        self.vocab_size: int = fields["vocab_size"]
        self.scratch = Path(fields["scratch"])
        self._steps_limit: int = fields["steps_limit"]
        self._steps_spent = 0
        self._channel = channel
        self._view = view
        self.has_started = False

    def dummy_batch(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``TrainContext``."""
        import torch

        shape = (batch_size, self.sequence_len + 1)
        rng = np.random.default_rng([self.seed, self._steps_spent])
        tokens = torch.from_numpy(rng.integers(0, self.vocab_size, shape)).to(self.device)
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def start(self) -> list[TokenShard]:
        """See ``TrainContext``."""
        if self.has_started:
            raise RuntimeError("ctx.start() may be called once")
        self._channel.sendall(pack(Kind.START))
        shards: list[TokenShard] = []
        while True:
            frame, fds = read_frame(self._channel)
            if frame.kind != Kind.SHARDS:
                raise RuntimeError(f"expected training shards and got {frame.kind.name}")
            for fd in fds:
                with os.fdopen(fd, "rb") as file:
                    shards.append(np.memmap(file, dtype="<u2", mode="r"))
            if frame.payload == b"last":
                self.has_started = True
                return shards

    def running(self) -> bool:
        """See ``TrainContext``."""
        _progress, phase = self._view.read()
        if phase != Phase.RUNNING:
            return False
        if self._steps_limit:
            if self._steps_spent >= self._steps_limit:
                return False
            self._steps_spent += 1
        return True

    def progress(self) -> float:
        """See ``TrainContext``."""
        if self._steps_limit:
            return min(1.0, max(0, self._steps_spent - 1) / self._steps_limit)
        return self._view.read()[0]

    def log(self, *, step: int, loss: float, **metrics: float) -> None:
        """See ``TrainContext``."""
        chosen = sorted(metrics, key=lambda name: name not in RESERVED_METRICS)[:METRICS_LIMIT]
        fields: dict[str, Any] = {name[:64]: float(metrics[name]) for name in chosen}
        self._channel.sendall(pack_json(Kind.LOG, fields | {"step": int(step), "loss": float(loss)}))


def main() -> None:
    """Serve one harness, then end."""
    processes.die_with_parent()
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    try:
        _serve(channel, BudgetView(int(sys.argv[2])))
    except WireClosed:
        os._exit(0)  # the harness is gone: nobody is left to tell
    except _Failed as failure:
        _tell(channel, failure.kind, str(failure))
    except BaseException as error:  # noqa: BLE001 - the boundary: whatever a candidate raises is told
        traceback.print_exc()
        _tell(channel, *_explain(error))
    else:
        os._exit(0)
    sys.stderr.flush()
    os._exit(_EXIT_FAILED)


def _serve(channel: socket.socket, view: BudgetView) -> None:
    frame, _fds = read_frame(channel)
    fields = _parse_trusted(frame.payload)
    source = read_frame(channel)[0].payload.decode("utf-8")
    import torch

    if fields["one_thread"]:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)  # numbers near zero cost up to 100 times the CPU time
    try:
        fields["device"] = devices.choose_device(fields["device"], tuple(fields["device_kinds"]))
    except devices.NoDeviceError as error:
        raise _Failed("no_device", str(error)) from error
    device = devices.describe_device(fields["device"])
    ready = {"kind": device.kind, "name": device.name, "memory_mb": device.memory_mb, "torch": device.torch}
    channel.sendall(pack_json(Kind.READY, ready))
    context = Context(channel, view, fields)
    forward = _train(source, context)
    channel.sendall(
        pack_json(
            Kind.TRAINED,
            {
                "peak_memory_mb": devices.peak_accelerator_mb(device.kind),
                "num_params": _count_params(forward),
            },
        )
    )
    if device.kind in {"cuda", "rocm"}:
        torch.cuda.empty_cache()  # the harness needs room for the logits on the same card
    shape = BufferShape(
        rows=fields["batch_rows"], sequence_len=context.sequence_len, vocab_size=context.vocab_size
    )
    with torch.inference_mode():
        _answer(channel, forward, shape, context.device)


def _train(source: str, context: Context) -> Forward:
    train = _load(source, context.scratch)
    forward: Forward = train(context)
    if not context.has_started:
        raise _Failed("no_start", "train() returned without calling ctx.start(), so nothing was trained")
    if not callable(forward):
        raise _Failed(
            "no_model", f"train() returned {type(forward).__name__}; return a function int64 [B, T] -> logits"
        )
    return forward


def _load(source: str, scratch: Path) -> Callable[[Any], Any]:
    """Execute the candidate as a module and give its ``train``."""
    path = str(scratch / _SOURCE_NAME)
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        traceback.print_exc(limit=0)
        raise _Failed("syntax", f"{type(error).__name__}: {error}"[:REASON_LIMIT_CHARS]) from error
    module = ModuleType("candidate")
    module.__file__ = path
    sys.modules["candidate"] = module  # torch.compile and dataclasses look a function's module up
    exec(code, module.__dict__)  # noqa: S102 - running the candidate is what this process is for
    train = module.__dict__.get("train")
    if not callable(train):
        raise _Failed("no_train", "train.py defines no function train(ctx)")
    return cast("Callable[[Any], Any]", train)


def _answer(channel: socket.socket, forward: Forward, shape: BufferShape, device: torch.device) -> None:
    """Turn every batch into logits until the harness hangs up."""
    import torch

    buffer: WorkerBuffer | None = None
    while True:
        frame, fds = read_frame(channel)
        if frame.kind == Kind.BUFFER:
            buffer = WorkerBuffer(_parse_trusted(frame.payload), fds, shape)
            continue
        slot, tokens = unpack_batch(frame.payload)
        logits = forward(torch.from_numpy(tokens).to(device))
        expected = (*tokens.shape, shape.vocab_size)
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
            found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise _Failed("bad_logits", f"the returned function gave {found}; expected {list(expected)}")
        if not logits.is_floating_point():
            raise _Failed("bad_logits", f"the returned function gave {logits.dtype}; expected floats")
        if buffer is None:
            raise _Failed("exception", "the harness sent tokens before it sent a buffer")
        buffer.write(slot, logits)
        channel.sendall(pack(Kind.LOGITS, LOGITS_BODY.pack(slot, *expected)))


def _parse_trusted(payload: bytes) -> dict[str, Any]:
    import json

    fields: dict[str, Any] = json.loads(payload)
    return fields


def _count_params(forward: Forward) -> int | None:
    import torch

    if isinstance(forward, torch.nn.Module):
        return sum(parameter.numel() for parameter in forward.parameters())
    return None


def _explain(error: BaseException) -> tuple[str, str]:
    place = _place(error)
    reason = f"{type(error).__name__}: {error}"[: REASON_LIMIT_CHARS - len(place)] + place
    text = reason.lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "oom", reason
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EFBIG}:
        return "scratch", f"the scratch space is full: {reason}"
    return "exception", reason


def _place(error: BaseException) -> str:
    """The line of the candidate that it left last, in the words of a syntax error; nothing for another's."""
    lines = [
        line
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename.endswith(f"/{_SOURCE_NAME}")
    ]
    return f" ({_SOURCE_NAME}, line {lines[-1]})" if lines else ""


def _tell(channel: socket.socket, kind: str, reason: str) -> None:
    try:
        channel.sendall(pack_json(Kind.FAILED, {"kind": kind, "reason": reason}))
    except OSError:
        return  # the harness is gone; the traceback is on stderr
