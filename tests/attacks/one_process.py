"""The trainer of the original design, which our two processes replace: the scored code scores itself.

``train.py`` is executed in the process that holds the validation text, the targets, the loss and the clock.
Every check on answers is in force here too; what is missing is the wall between the two, and attacks whose
defence is that wall are shown to work here.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from trainer.corpora import Progress, find_corpus
from trainer.devices import DeviceReport
from trainer.evaluate import Batch, ImpureModelError, Losses
from trainer.record import Experiment, Record
from trainer.report import Report

_PRINTED = re.compile(r"^val_bpb: ([0-9.e+-]+)$", re.MULTILINE)


class ScriptsContext:
    """``ctx`` as far as attacks on this design use it; the budget is elapsed time by the script's clock."""

    def __init__(self, experiment: Experiment, shards: list[Path], scratch: Path) -> None:
        self.seed = experiment.seed
        self.vocab_size = experiment.challenge.vocab_size
        self.sequence_len = experiment.challenge.sequence_len
        self.scratch = scratch
        self.logged: dict[str, float] = {}
        self._budget = experiment.challenge.budget
        self._shards = shards
        self._began_s = 0.0
        self._steps = 0

    def start(self):
        self._began_s = time.time()
        return [np.memmap(path, dtype="<u2", mode="r") for path in self._shards]

    def running(self) -> bool:
        self._steps += 1
        limit_s = self._budget.seconds
        return (
            self._steps <= self._budget.amount if limit_s is None else time.time() - self._began_s < limit_s
        )

    def log(self, **metrics: float) -> None:
        self.logged |= metrics


def run_experiment(experiment: Experiment, say: Progress) -> Report:
    """As ``trainer.harness.run_experiment``, in one process; the score is what was printed first."""
    corpus = find_corpus(experiment.challenge)
    rows = corpus.validation_rows(experiment.challenge, experiment.cache_dir, experiment.val_seed)
    shards = corpus.training_shards(experiment.challenge, experiment.cache_dir)
    record = Record(experiment=experiment)
    record.device = DeviceReport(kind="cpu", name="", memory_mb=0, torch="")
    importlib.import_module("torch").set_num_threads(1)
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(printed):
        context = ScriptsContext(experiment, shards, Path(scratch))
        module = ModuleType("candidate")
        sys.modules["candidate"] = module
        exec(compile(experiment.source, "train.py", "exec"), module.__dict__)  # noqa: S102 - that is the design
        forward = module.__dict__["train"](context)
        judge = importlib.import_module("trainer.evaluate")  # after training, as a script does
        try:
            score = judge.evaluate(
                _answers(forward), rows, experiment.challenge.audit, order_seed=experiment.val_seed
            )
        except ImpureModelError as error:
            return record.report("rejected", str(error))
        sys.stdout.write(f"val_bpb: {score.bits_per_byte}\n")
    record.metrics = {"val_bpb": float(_PRINTED.findall(printed.getvalue())[0])} | context.logged
    say(os.linesep.join(printed.getvalue().splitlines()[:3]))
    return record.report("completed", "")


def _answers(forward):
    import torch

    def answer(batches: Iterable[Batch]) -> Iterator[Losses]:
        for batch in batches:
            targets = torch.from_numpy(batch.targets)
            with torch.inference_mode():
                logits = forward(torch.from_numpy(batch.inputs))
                loss = torch.nn.functional.cross_entropy(
                    logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="none"
                )
            yield np.asarray(loss, dtype=np.float64).reshape(targets.shape)

    return answer
