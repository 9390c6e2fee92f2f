"""Scoring a worker that has trained: the public text and then, where it is asked for, the held-back one.

The worker is not told which text a batch is of. Each text has its own audit and its own time limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from trainer.corpora import Corpus, Progress, ValidationRows
from trainer.deadline import Deadline
from trainer.evaluate import (
    ImpureModelError,
    NotFiniteError,
    Score,
    evaluate,
    losses_bytes,
    losses_digest,
    rows_digest,
)
from trainer.forward import Forwarder
from trainer.link import RunEnded, WorkerLink, crashed
from trainer.logits import BufferShape, LogitsBuffer, open_buffer
from trainer.record import Experiment, Record, Scored
from trainer.scoring_time import ScoringTime, WorkerClock, lazy_allowance_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What a run is scored on; ``held_back`` is None but in verification runs."""

    public: ValidationRows
    held_back: ValidationRows | None


def texts_of(corpus: Corpus, experiment: Experiment, record: Record) -> Texts:
    """The texts of an experiment, whose digests are recorded at once.

    Raises:
        CorpusError: they are not prepared.
    """
    asked = experiment.challenge, experiment.cache_dir, experiment.val_seed
    public = corpus.validation_rows(*asked)
    record.scored = Scored(rows_digest=rows_digest(public))
    held_back = corpus.holdout_rows(*asked) if experiment.holdout else None
    if held_back is not None:
        record.holdout = Scored(rows_digest=rows_digest(held_back))
    return Texts(public=public, held_back=held_back)


class Scoring:
    """One worker's answers turned into metrics and digests of its record.

    Args:
        link: to the worker.
        record: gets what is found.
        clock: what the worker spends.
        spent: counts since the end of training.
        trained_s: what training took by that clock.
        pace: what its CPU seconds were worth while it trained.
        say: tells a person.
    """

    def __init__(
        self,
        link: WorkerLink,
        record: Record,
        *,
        clock: WorkerClock,
        spent: ScoringTime,
        trained_s: float,
        pace: float,
        say: Progress,
    ) -> None:
        self._link = link
        self._record = record
        self._experiment = record.experiment
        self._challenge = record.experiment.challenge
        self._clock = clock
        self._spent = spent
        self._trained_s = trained_s
        self._pace = pace
        self._say = say

    def run(self, texts: Texts) -> None:
        """Score everything.

        Raises:
            RunEnded: an answer was refused, came too late, or took time to learn in.
        """
        shape = BufferShape(
            rows=self._challenge.audit.batch_rows,
            sequence_len=self._challenge.sequence_len,
            vocab_size=self._challenge.vocab_size,
        )
        buffer = open_buffer(self._record.device.kind, shape)
        try:
            forward = self._forwarder(buffer, shape, self._spent)
            forward.connect()
            with self._timed("eval_s"):
                score = self._measure(forward, texts.public, "order of validation rows")
            self._refuse_learning(self._spent)
            self._keep_public(score)
            if texts.held_back is not None:
                spent = ScoringTime(self._clock.now)
                forward = self._forwarder(buffer, shape, spent)
                with self._timed("holdout_s"):
                    score = self._measure(forward, texts.held_back, "order of held-back rows")
                self._refuse_learning(spent)
                self._keep_held_back(score)
        finally:
            buffer.close()

    def _forwarder(self, buffer: LogitsBuffer, shape: BufferShape, spent: ScoringTime) -> Forwarder:
        limit_s, patience = self._challenge.limits.eval_s, self._challenge.patience
        deadline = Deadline(self._link.tree, limit_s, patience=patience)
        return Forwarder(self._link, buffer, shape, deadline=deadline, spent=spent)

    def _measure(self, forward: Forwarder, rows: ValidationRows, purpose: str) -> Score:
        order_seed = _derive(self._experiment.val_seed, purpose)
        try:
            return evaluate(forward.answer, rows, self._challenge.audit, order_seed=order_seed)
        except ImpureModelError as error:
            raise RunEnded("rejected", str(error)) from error
        except NotFiniteError as error:
            raise crashed("nan", str(error)) from error

    def _refuse_learning(self, spent: ScoringTime) -> None:
        cap_s = self._challenge.limits.eval_cpu_s
        total_s = spent.total_s * self._pace if self._clock.is_cpu_time else 0.0
        if cap_s and total_s > cap_s:
            raise RunEnded(
                "rejected",
                f"scoring took {total_s:.1f} CPU seconds ({cap_s} are allowed); nothing may be learned while "
                "the model is asked, and a model must be quick to ask",
            )
        excess_s = spent.excess_s()
        allowed_s = lazy_allowance_s(self._trained_s, is_cpu_time=self._clock.is_cpu_time)
        if excess_s > allowed_s:
            raise RunEnded(
                "rejected",
                f"some calls while scoring took {excess_s:.1f} s more than the others ({allowed_s:.1f} s are "
                "allowed); train and prepare the model before train() returns",
            )

    def _keep_public(self, score: Score) -> None:
        record = self._record
        record.metrics["val_nats_per_token"] = score.nats_per_token
        record.metrics["causality_leak_nats"] = score.causality_leak_nats
        record.metrics["purity_leak_nats"] = score.purity_leak_nats
        policy = self._challenge.hidden_gap
        if policy is not None and score.hidden_gap_bpb is not None:
            record.metrics[policy.metric] = score.hidden_gap_bpb
        record.scored = replace(record.scored, losses_digest=losses_digest(score.row_nats))
        if self._experiment.losses_to is not None:
            self._experiment.losses_to.write_bytes(losses_bytes(score.row_nats))
        self._keep(self._challenge.metric_name, score)

    def _keep_held_back(self, score: Score) -> None:
        record = self._record
        record.holdout = replace(record.holdout, losses_digest=losses_digest(score.row_nats))
        self._keep(self._challenge.holdout_metric, score)

    def _keep(self, metric: str, score: Score) -> None:
        self._record.metrics[metric] = score.bits_per_byte
        self._say(f"{metric} {score.bits_per_byte:.4f}")

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began_s = time.monotonic()
        try:
            yield
        finally:
            self._record.spans_s[name] = time.monotonic() - began_s


def _derive(seed: int, purpose: str) -> int:
    """A seed for one purpose that tells nothing of the seed it comes from."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "big") >> 1
