"""Asking the worker for losses: batches go out as frames, logits come back through the shared buffer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from trainer.deadline import Deadline
from trainer.evaluate import Batch, Losses
from trainer.link import RunEnded, WorkerLink
from trainer.logits import SLOTS, BufferShape, LogitsBuffer
from trainer.scoring_time import ScoringTime
from trainer.wire import LOGITS_BODY, Kind, pack_batch, pack_json


class Forwarder:
    """Sends batches to the worker and reads their losses, one batch ahead: both sides work at once."""

    def __init__(
        self,
        link: WorkerLink,
        buffer: LogitsBuffer,
        shape: BufferShape,
        *,
        deadline: Deadline,
        spent: ScoringTime,
    ) -> None:
        self._link = link
        self._buffer = buffer
        self._shape = shape
        self._deadline = deadline
        self._spent = spent
        self._sent = 0

    def connect(self) -> None:
        """Tell the worker where to write."""
        fields, fds = self._buffer.describe()
        self._link.send(pack_json(Kind.BUFFER, fields), tuple(fds), deadline=self._deadline)

    def answer(self, batches: Iterable[Batch]) -> Iterator[Losses]:
        """Losses of each batch in order; ends the run when the worker misbehaves."""
        ahead: list[tuple[int, npt.NDArray[np.int64]]] = []
        for batch in batches:
            slot = self._sent % SLOTS
            self._sent += 1
            self._link.send(pack_batch(slot, batch.inputs), deadline=self._deadline)
            ahead.append((slot, batch.targets))
            if len(ahead) == SLOTS:
                yield self._take(*ahead.pop(0))
        for slot, targets in ahead:
            yield self._take(slot, targets)

    def _take(self, slot: int, targets: npt.NDArray[np.int64]) -> Losses:
        frame = self._link.receive(wanted=(Kind.LOGITS,), deadline=self._deadline, late=_too_slow)
        self._spent.call_ended()
        expected = (slot, *targets.shape, self._shape.vocab_size)
        if len(frame.payload) != LOGITS_BODY.size or LOGITS_BODY.unpack(frame.payload) != expected:
            raise RunEnded(
                "rejected", "the worker broke the protocol: it sent LOGITS of another batch or shape"
            )
        return self._buffer.losses(slot, targets)


def _too_slow(deadline: Deadline) -> RunEnded:
    return RunEnded("timed_out", f"scoring took more than {deadline}; the model is too slow")
