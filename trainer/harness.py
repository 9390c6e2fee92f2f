"""The trusted side of a run: owns the clock, the seed, the validation text, the targets and the loss.

``run_experiment`` never imports the candidate and always returns a report: whatever a ``train.py`` does is an
outcome with a reason. Only what is wrong on our side (tokens not prepared, an unknown corpus) is an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from autoresearch.challenge import ChallengeError

from trainer import processes
from trainer.budget import BudgetClock, BudgetPage, Phase
from trainer.corpora import Corpus, CorpusError, Progress, find_corpus
from trainer.deadline import Deadline
from trainer.devices import DeviceReport
from trainer.link import RunEnded, WorkerLink, crashed, json_of
from trainer.logits import warm_up_reader
from trainer.pace import PaceMeter
from trainer.record import Experiment, Record, whole_field
from trainer.report import Outcome, Report
from trainer.sandbox import Order, claimed_core, launch
from trainer.scoring import Scoring, Texts, texts_of
from trainer.scoring_time import ScoringTime, WorkerClock
from trainer.wire import FDS_PER_FRAME, Kind, number_field, pack, pack_json, text_field

SEED_LIMIT = 1 << 63
SHARDS_LIMIT = 4096
QUARTERS = 4


def draw_val_seed() -> int:
    """A validation seed that nobody can know in advance."""
    return secrets.randbelow(SEED_LIMIT)


def run_experiment(experiment: Experiment, say: Progress) -> Report:
    """Train and score one ``train.py``.

    Raises:
        CorpusError: the challenge's tokens are not prepared on this machine.
        ChallengeError: this build cannot run the challenge at all.
        LaunchError: the worker could not be held by the sandbox that was planned for it.
        OSError: this machine lacks the means to run anything (no disk space, no processes).
    """
    processes.adopt_orphans()
    if experiment.holdout and not experiment.challenge.holdout_metric:
        raise ChallengeError(f"challenge {experiment.challenge.name} has no [identity.holdout] to score")
    corpus = find_corpus(experiment.challenge)
    shards = corpus.training_shards(experiment.challenge, experiment.cache_dir)
    if not 0 < len(shards) <= SHARDS_LIMIT:
        raise CorpusError(f"the corpus has {len(shards)} training shards; 1 to {SHARDS_LIMIT} are allowed")
    record = Record(experiment=experiment)
    try:
        _check_source(experiment)
    except RunEnded as ended:
        return record.report(ended.outcome, ended.reason, ended.crash_kind)
    scratch = Path(tempfile.mkdtemp(prefix="autoresearch-run-"))
    try:
        with claimed_core() as core:
            on_cpu = experiment.challenge.budget.kind != "wall"
            run = _Run(
                experiment,
                record,
                corpus=corpus,
                shards=shards,
                scratch=scratch,
                core=core if on_cpu else None,
                say=say,
            )
            return run.report()
    finally:
        if experiment.keep_scratch:
            say(f"kept {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)


def _check_source(experiment: Experiment) -> None:
    """Refuse what no worker need look at."""
    limit = experiment.challenge.limits.source_bytes
    if len(experiment.source) > limit:
        raise RunEnded("rejected", f"train.py has {len(experiment.source)} bytes; {limit} are allowed")
    try:
        text = experiment.source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise crashed("syntax", f"train.py is not UTF-8: {error.reason} at byte {error.start}") from error
    if "\0" in text:
        raise crashed("syntax", "train.py holds a NUL character")


class _Run:
    """One launched worker, taken through its phases in order."""

    def __init__(
        self,
        experiment: Experiment,
        record: Record,
        *,
        corpus: Corpus,
        shards: list[Path],
        scratch: Path,
        core: int | None,
        say: Progress,
    ) -> None:
        self.experiment = experiment
        self.challenge = experiment.challenge
        self.record = record
        self.corpus = corpus
        self.shards = shards
        self.say = say
        self.page = BudgetPage()
        self.launched_s = time.monotonic()
        self.trained_s = 0.0
        self._quarter = 0
        launched = launch(
            experiment.plan,
            Order(
                scratch=scratch,
                limits=self.challenge.limits,
                patience=self.challenge.patience,
                device_kinds=self.challenge.device_kinds,
                page_fd=self.page.fd,
                compile_cache=self._compile_cache(),
                core=core,
                keeps_scratch=experiment.keep_scratch,
            ),
        )
        record.layers = launched.layers
        self.scratch_inside = launched.scratch
        self.link = WorkerLink(launched, self.challenge.limits, scratch)
        self.launching = Deadline(
            self.link.tree,
            self.challenge.limits.launch_s,
            patience=self.challenge.patience,
            of_launch=self.launched_s,
        )
        meter = PaceMeter(core) if self.challenge.budget.pace else None
        self.clock = BudgetClock(self.challenge.budget, self.link.tree, meter=meter)

    def report(self) -> Report:
        """Take the worker through its life and tell how it went."""
        outcome: Outcome = "completed"
        reason, crash_kind = "", None
        try:
            self._configure()
            texts = texts_of(self.corpus, self.experiment, self.record)
            if self.experiment.device != "cpu":
                warm_up_reader(self.challenge.device_kinds)
            self._await_device()
            self._set_up()
            self._train()
            self._score(texts)
        except RunEnded as ended:
            outcome, reason, crash_kind = ended.outcome, ended.reason, ended.crash_kind
        finally:
            self.link.close()
            self.page.close()
            self.record.log_tail = self.link.log_tail
            if self.record.device.kind in {"cpu", ""}:  # an accelerator's own peak is the worker's to tell
                self.record.peak_memory_mb = self.link.tree.peak_memory_mb
        return self.record.report(outcome, reason, crash_kind)

    def _compile_cache(self) -> Path | None:
        """Compiled kernels persist per source, so that no candidate can poison another's."""
        if self.challenge.device_kinds == ("cpu",):
            return None
        name = hashlib.sha256(self.experiment.source).hexdigest()[:32]
        folder = self.experiment.cache_dir / "compiled" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _configure(self) -> None:
        budget = self.challenge.budget
        fields = {
            "seed": self.experiment.seed,
            "device": self.experiment.device,
            "device_kinds": list(self.challenge.device_kinds),
            "sequence_len": self.challenge.sequence_len,
            "vocab_size": self.challenge.vocab_size,
            "batch_rows": self.challenge.audit.batch_rows,
            "steps_limit": budget.amount if budget.kind == "steps" else 0,
            "one_thread": budget.kind != "wall",
            "scratch": self.scratch_inside,
        }
        self.link.send(pack_json(Kind.CONFIG, fields), deadline=self.launching)
        self.link.send(pack(Kind.SOURCE, self.experiment.source), deadline=self.launching)

    def _await_device(self) -> None:
        frame = self.link.receive(
            wanted=(Kind.READY,),
            deadline=self.launching,
            late=lambda after: crashed(
                "launch_timeout", f"the worker was not ready after {after}; is the machine busy?"
            ),
        )
        fields = json_of(frame)
        self.record.device = DeviceReport(
            kind=text_field(fields, "kind"),
            name=text_field(fields, "name"),
            memory_mb=int(number_field(fields, "memory_mb") or 0),
            torch=text_field(fields, "torch"),
        )
        self.clock.ready()
        self._span("start_s", self.launched_s)
        self.say(f"training on {self.record.device.name}")

    def _set_up(self) -> None:
        began = time.monotonic()
        try:
            self.link.receive(
                wanted=(Kind.START,),
                deadline=self._deadline(self.challenge.limits.setup_s),
                late=lambda after: crashed(
                    "setup_timeout", f"train() had not called ctx.start() after {after}"
                ),
            )
        finally:
            self._span("setup_s", began)

    def _train(self) -> None:
        self.worker_clock = WorkerClock.of(self.link.tree, self.record.device.kind)
        began, spent_before_s = time.monotonic(), self.worker_clock.now()
        self.clock.start()
        self.page.write(0.0, Phase.RUNNING)
        self._release_tokens()
        budget = self.challenge.budget
        deadline = self._deadline(self.challenge.limits.train_wall_s)
        try:
            while True:
                frame = self.link.receive(
                    wanted=(Kind.LOG, Kind.TRAINED),
                    deadline=deadline,
                    late=lambda after: RunEnded(
                        "timed_out", f"training had not spent its budget after {after}"
                    ),
                    tick=self._tick,
                )
                if frame.kind == Kind.TRAINED:
                    break
                self.record.take_log(json_of(frame), self.clock.progress())
        finally:
            self.record.used_s, self.record.pace = self.clock.used_s, self.clock.pace
            self.page.write(1.0, Phase.OVER)
            self._span("train_s", began)
            # From here on, since a child of the worker may go on learning at once.
            self.spent = ScoringTime(self.worker_clock.now)
            self.trained_s = self.worker_clock.now() - spent_before_s
        fields = json_of(frame)
        self.record.peak_memory_mb = min(number_field(fields, "peak_memory_mb") or 0.0, 1e9)
        self.record.num_params = self.record.num_params or whole_field(fields, "num_params")
        used = f"{self.record.used_s:.1f} s" if budget.kind != "steps" else f"{self.record.steps} steps"
        self.say(f"trained for {used}")

    def _release_tokens(self) -> None:
        deadline = self._deadline(self.challenge.limits.setup_s)
        for start in range(0, len(self.shards), FDS_PER_FRAME):
            with contextlib.ExitStack() as stack:
                files = [
                    stack.enter_context(path.open("rb"))
                    for path in self.shards[start : start + FDS_PER_FRAME]
                ]
                is_last = start + FDS_PER_FRAME >= len(self.shards)
                frame = pack(Kind.SHARDS, b"last" if is_last else b"more")
                self.link.send(frame, tuple(file.fileno() for file in files), deadline=deadline)

    def _tick(self) -> None:
        """Show the worker its progress, and end a run that goes on after its budget."""
        self.clock.follow_pace()
        progress = self.clock.progress()
        limit_s = self.challenge.budget.seconds
        overrun_s = self.challenge.limits.overrun_ms / 1000
        self.page.write(progress, Phase.OVER if progress >= 1.0 else Phase.RUNNING)
        if limit_s is not None and progress >= 1.0 and self.clock.used_s > limit_s + overrun_s:
            raise RunEnded(
                "timed_out",
                f"train() had not returned {overrun_s:g} s after its {limit_s:g} s were spent; return when "
                "ctx.running() turns false",
            )
        quarter = int(progress * QUARTERS)
        if self._quarter < quarter < QUARTERS:
            self._quarter = quarter
            self.say(
                f"{100 * quarter // QUARTERS} % of the budget, step {self.record.steps}, {self._last_loss()}"
            )

    def _last_loss(self) -> str:
        return f"loss {self.record.curve[-1][1]:.3f}" if self.record.curve else "no loss logged"

    def _score(self, texts: Texts) -> None:
        Scoring(
            self.link,
            self.record,
            clock=self.worker_clock,
            spent=self.spent,
            trained_s=self.trained_s,
            pace=self.clock.pace,
            say=self.say,
        ).run(texts)

    def _span(self, name: str, began_s: float) -> None:
        self.record.spans_s[name] = time.monotonic() - began_s

    def _deadline(self, limit_s: float) -> Deadline:
        return Deadline(self.link.tree, limit_s, patience=self.challenge.patience)
