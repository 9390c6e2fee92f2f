"""Runs ``python -m trainer run`` for one ``train.py`` and brings back how it ended.

The trainer is another process in a session of its own: the terminal's Ctrl-C does not reach it, it inherits
nothing but a short list of variables, and all that it started can be ended at once. It is told the seeds by
stdin, since a command line is open to every process here, ``train.py`` included; its report comes by stdout,
which ``train.py`` cannot reach, and counts only where the trainer itself ended well. Whatever goes wrong
in it (a crash, a hang, a report that is garbage) comes back as an outcome, never as an exception: only a
cancelled call raises, after the process group is gone.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from autoresearch.challenge import Challenge
from autoresearch.limits import clip_log_tail, clip_text
from autoresearch.model import Outcome, SourceHash, new_id, utc_now

from node.training.processes import Ended, run_group
from node.training.report import REPORT_LIMIT_BYTES, Expected, ReportError, TrainingReport, read_report
from node.training.scrub import Scrub

PASSED_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "AUTORESEARCH_CACHE_DIR",
)
"""The harness finds its data and its accelerator by these; ``train.py`` itself gets none of them."""

NO_REPORT_KIND = "no_report"
TRAINER_KILLED_KIND = "trainer_killed"
BROKEN_TRAINER_KINDS = frozenset({NO_REPORT_KIND, TRAINER_KILLED_KIND})
"""Crashes in which the harness said nothing that counts: its own fault, or that of hostile code."""

GRACE_S = 30.0
NO_SPACE = "No space left on device"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One run: the code, and the seeds that somebody else drew.

    ``is_verification``: it is one of a verification pair, which the held-back text is scored in too.
    """

    source: bytes
    seed: int
    val_seed: int
    is_verification: bool = False

    @property
    def code_hash(self) -> SourceHash:
        """The identity of the code."""
        return SourceHash("sha256:" + hashlib.sha256(self.source).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerCommand:
    """How to start the trainer; tests put a script of their own here."""

    argv: tuple[str, ...]
    challenge_dir: Path
    runs_dir: Path
    device: str = ""
    sandbox: str = "auto"

    def run_argv(self, train: Path) -> list[str]:
        """The command line for one run; what is secret about the run goes by stdin."""
        argv = [*self.argv, "run", "--challenge", str(self.challenge_dir), "--train", str(train)]
        argv += ["--seeds-from-stdin", "--out", "-", "--sandbox", self.sandbox]
        if self.device:
            argv += ["--device", self.device]
        return argv


class SubprocessTrainer:
    """Trains in a subprocess; one at a time."""

    def __init__(
        self, *, command: TrainerCommand, challenge: Challenge, scrub: Scrub, environ: Mapping[str, str]
    ) -> None:
        self._command = command
        self._challenge = challenge
        self._scrub = scrub
        self._env = minimal_environment(environ)

    async def run(self, job: TrainingJob) -> TrainingReport:
        """Trains and measures. Cancelling it ends the trainer and everything it started.

        Raises:
            OSError: There is no room on the disk for the run; nothing was measured.
        """
        folder = self._command.runs_dir / new_id()
        await asyncio.to_thread(folder.mkdir, parents=True, mode=0o700)
        try:
            return await self._run_in(folder, job)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _run_in(self, folder: Path, job: TrainingJob) -> TrainingReport:
        train = folder / "train.py"
        await asyncio.to_thread(train.write_bytes, job.source)
        started_at = utc_now()
        wants_holdout = self._wants_holdout(job)
        limit_s = wall_limit_s(self._challenge, holdout=wants_holdout)
        told = {
            "seed": job.seed,
            "val_seed": job.val_seed,
            "parent": os.getpid(),
            "holdout": wants_holdout,
        }
        ended = await run_group(
            self._command.run_argv(train),
            cwd=folder,
            env={**self._env, "TMPDIR": str(folder)},
            timeout_s=limit_s,
            polite=signal.SIGINT,  # the harness then ends its worker's whole family
            told=json.dumps(told).encode() + b"\n",
            answer_limit_bytes=REPORT_LIMIT_BYTES + 1,
        )
        try:
            if not ended.is_timeout:
                return self._scrubbed(self._accepted(ended, job))
            outcome, kind = Outcome.TIMED_OUT, "harness_timeout"
            reason = f"the trainer was not done after {limit_s:.0f} s and was ended"
        except ReportError as error:
            if NO_SPACE in ended.output:
                raise OSError(errno.ENOSPC, "the trainer found no space on the disk") from error
            outcome, kind = Outcome.CRASHED, TRAINER_KILLED_KIND if ended.returncode < 0 else NO_REPORT_KIND
            reason = f"{error} (trainer's exit code {ended.returncode})"
        _log.warning("trainer failed", reason=reason)
        return self._scrubbed(
            TrainingReport(
                outcome=outcome,
                started_at=started_at,
                finished_at=utc_now(),
                reason=reason,
                crash_kind=kind,
                log_tail=clip_log_tail(ended.output),
                harness_version=self._challenge.harness_versions[-1],
            )
        )

    def _accepted(self, ended: Ended, job: TrainingJob) -> TrainingReport:
        """The report of a trainer that ended well; whatever else stands on stdout is nobody's word."""
        if ended.returncode < 0:
            raise ReportError("the trainer was killed")
        if ended.returncode != 0:
            raise ReportError("the trainer wrote no report")
        held_back = (self._challenge.holdout_metric,) if self._wants_holdout(job) else ()
        expected = Expected(
            seed=job.seed,
            val_seed=job.val_seed,
            code_hash=job.code_hash,
            manifest_hash=self._challenge.manifest_hash,
            metrics=(self._challenge.metric_name, *held_back),
        )
        return read_report(ended.answer, expected)

    def _wants_holdout(self, job: TrainingJob) -> bool:
        return job.is_verification and bool(self._challenge.holdout_metric)

    def _scrubbed(self, report: TrainingReport) -> TrainingReport:
        return replace(
            report,
            reason=clip_text(self._scrub(report.reason)),
            log_tail=clip_log_tail(self._scrub(report.log_tail)),
        )


def minimal_environment(environ: Mapping[str, str], *names: str) -> dict[str, str]:
    """The variables that a trainer needs, and ``names``; no keys, no tokens, no proxies."""
    kept = {name: environ[name] for name in (*PASSED_VARIABLES, *names) if name in environ}
    return {"LANG": "C.UTF-8", **kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def wall_limit_s(challenge: Challenge, *, holdout: bool = False) -> float:
    """More than every stage may take together: past it the harness itself hangs."""
    limits = challenge.limits
    eval_s = limits.eval_s * (2 if holdout else 1)
    stages_s = limits.launch_s + limits.setup_s + limits.train_wall_s + eval_s
    return challenge.patience * stages_s + GRACE_S
