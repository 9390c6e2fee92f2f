"""Git is the lab notebook: one repository per challenge, a branch per run, a commit per experiment.

A kept experiment advances the branch; a discarded one hangs off its parent and stays reachable under
``refs/experiments/<id>``, so nothing that was ever trained is lost. ``results.tsv`` beside ``train.py`` lists
every run in five columns and is not committed. Commits are made with git's plumbing, which needs no lock on
the index and never disturbs what a reader has open in the working tree.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from autoresearch.challenge import Challenge
from autoresearch.model import RATIONALE_LIMIT_CHARS, ExperimentId, Outcome, Purpose, Result

from node.agent.quoting import quoted
from node.record import NotebookError, Page

TRAIN_NAME = "train.py"
PROGRAM_NAME = "program.md"
RESULTS_NAME = "results.tsv"
GIT_TIMEOUT_S = 30.0
BASELINE_REF = "refs/experiments/baseline"
HASH_SHOWN = 7
DESCRIPTION_LIMIT_CHARS = 200


class Workspace:
    """The notebook of one node for one challenge. Not for use from two threads at once."""

    def __init__(self, *, root: Path, branch: str, metric: str) -> None:
        self._root = root
        self._metric = metric
        self._branch = f"refs/heads/{branch}"

    @classmethod
    def open(cls, root: Path, challenge: Challenge, run_name: str) -> Self:
        """The repository at ``root``, made if it is not there, on a new branch for this run.

        Raises:
            NotebookError: The repository is damaged, locked or read-only; the message says what to do.
        """
        workspace = cls(root=root, branch=f"run/{run_name}", metric=challenge.metric_name)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotebookError(f"cannot make the notebook {root} ({error.strerror})") from error
        if not (root / ".git").exists():
            workspace._git("init", "--quiet")
        workspace._begin(challenge)
        return workspace

    @property
    def root(self) -> Path:
        """Where it is."""
        return self._root

    def record(self, page: Page) -> None:
        """One run: a commit for an experiment of this node, and a line of ``results.tsv`` for each run."""
        if page.context is None:
            is_baseline = page.run.purpose is Purpose.BASELINE
            ref = BASELINE_REF if is_baseline else _ref(page.run.experiment.experiment_id)
            commit = self._find(ref) or ""
        else:
            commit = self._commit_experiment(page)
        self._append(commit, page)

    def _begin(self, challenge: Challenge) -> None:
        """The run's branch starts where the notebook's baseline is."""
        base = self._find(BASELINE_REF)
        if base is None:
            files = {TRAIN_NAME: challenge.baseline_source, PROGRAM_NAME: challenge.program_md}
            base = self._commit(files, parents=(), message=f"baseline of {challenge.name}")
            self._git("update-ref", BASELINE_REF, base)
        self._git("update-ref", self._branch, base)
        self._git("symbolic-ref", "HEAD", self._branch)
        exclude = self._root / ".git" / "info" / "exclude"
        try:
            exclude.parent.mkdir(exist_ok=True)
            exclude.write_text(f"{RESULTS_NAME}\n", encoding="utf-8")
            results = self._root / RESULTS_NAME
            if not results.exists():
                results.write_text("\t".join(_header(self._metric)) + "\n", encoding="utf-8")
        except OSError as error:
            raise NotebookError(f"cannot write in {self._root} ({error.strerror})") from error
        self._check_out()

    def _commit_experiment(self, page: Page) -> str:
        assert page.context is not None, "the caller asked for an own experiment"  # noqa: S101
        experiment = page.run.experiment
        parent = self._parent_commit(page)
        files = {TRAIN_NAME: page.run.source.decode(), PROGRAM_NAME: page.context.program}
        commit = self._commit(
            files, parents=(parent,), message=_message(page, _score(page.result, self._metric))
        )
        self._git("update-ref", _ref(experiment.experiment_id), commit)
        if page.is_kept:
            self._git("update-ref", self._branch, commit)
            self._check_out()
        return commit

    def _parent_commit(self, page: Page) -> str:
        """The commit that holds the parent's code; another node's best is adopted by a commit of its own."""
        assert page.context is not None, "the caller asked for an own experiment"  # noqa: S101
        parent = page.context.parent
        known = self._find(_ref(parent.experiment_id))
        if known is not None:
            return known
        head = self._git("rev-parse", self._branch)
        if self._git("show", f"{head}:{TRAIN_NAME}") == page.context.parent_source.strip():
            self._git("update-ref", _ref(parent.experiment_id), head)
            return head
        files = {TRAIN_NAME: page.context.parent_source, PROGRAM_NAME: page.context.program}
        title = _line(parent.title) or parent.experiment_id
        message = f"adopt {title}\n\nExperiment: {parent.experiment_id}\nLevel: {parent.level.value}\n"
        commit = self._commit(files, parents=(head,), message=message)
        self._git("update-ref", _ref(parent.experiment_id), commit)
        self._git("update-ref", self._branch, commit)
        self._check_out()
        return commit

    def _commit(self, files: Mapping[str, str], *, parents: Sequence[str], message: str) -> str:
        lines = []
        for name, text in sorted(files.items()):
            blob = self._git("hash-object", "-w", "--stdin", stdin=text)
            lines.append(f"100644 blob {blob}\t{name}")
        tree = self._git("mktree", stdin="\n".join(lines) + "\n")
        ancestry = [argument for parent in parents for argument in ("-p", parent)]
        return self._git("commit-tree", tree, *ancestry, stdin=message)

    def _check_out(self) -> None:
        """The working tree shows the branch's head, for whoever looks."""
        self._git("reset", "--quiet", "--hard")

    def _append(self, commit: str, page: Page) -> None:
        try:
            with (self._root / RESULTS_NAME).open("a", encoding="utf-8") as file:
                file.write("\t".join(_row(commit, page, _score(page.result, self._metric))) + "\n")
        except OSError as error:
            raise NotebookError(f"cannot write {self._root / RESULTS_NAME} ({error.strerror})") from error

    def _find(self, ref: str) -> str | None:
        found = self._git("for-each-ref", "--format=%(objectname)", ref)
        return found.splitlines()[0] if found else None

    def _git(self, *arguments: str, stdin: str = "") -> str:
        """Runs git where nothing of the user's configuration counts. Raises NotebookError."""
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=self._root,
                env=_environment(),
                input=stdin.encode(),
                capture_output=True,
                timeout=GIT_TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError as error:
            raise NotebookError("git is not installed; the notebook needs it") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotebookError(f"git {arguments[0]} in {self._root} failed ({error})") from error
        if done.returncode != 0:
            raise NotebookError(_complaint(self._root, arguments[0], done.stderr.decode(errors="replace")))
        return done.stdout.decode(errors="replace").strip()


def _header(metric: str) -> tuple[str, str, str, str, str]:
    return ("commit", metric, "memory_gb", "status", "description")


def _row(commit: str, page: Page, score: float | None) -> tuple[str, str, str, str, str]:
    memory_gb = page.result.metrics.get("peak_memory_mb", 0.0) / 1024.0
    status = "crash" if score is None else "keep" if page.is_kept else "discard"
    return (
        commit[:HASH_SHOWN] or "-",
        f"{score or 0.0:.6f}",
        f"{memory_gb:.1f}",
        status,
        _line(page.title)[:DESCRIPTION_LIMIT_CHARS],
    )


def _score(result: Result, metric: str) -> float | None:
    return result.metrics.get(metric) if result.outcome is Outcome.COMPLETED else None


def _message(page: Page, score: float | None) -> str:
    """Title, reasons and what came of it. The reasons are quoted: they can forge no outcome."""
    hypothesis = page.run.experiment.hypothesis
    lines = [_line(hypothesis.title), ""]
    if hypothesis.rationale:
        lines += [quoted(hypothesis.rationale, RATIONALE_LIMIT_CHARS), ""]
    lines += [
        f"Experiment: {page.run.experiment.experiment_id}",
        f"Outcome: {page.result.outcome.value}",
        f"Score: {'none' if score is None else f'{score:.6f}'}",
        f"Status: {'keep' if page.is_kept else 'discard'}",
    ]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """A text of others on one line, without anything that a terminal or a TSV would obey."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _ref(experiment_id: ExperimentId) -> str:
    """The ref of an experiment; ids come from others too, so anything but id characters is replaced."""
    safe = "".join(
        char if char.isascii() and (char.isalnum() or char == "-") else "-" for char in experiment_id
    )
    return f"refs/experiments/{safe[:80] or 'unnamed'}"


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": os.sep,
        **{
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", "autoresearch-node"), ("EMAIL", "node@autoresearch.invalid"))
        },
    }


def _complaint(root: Path, command: str, stderr: str) -> str:
    """What is wrong and what to do, in one sentence."""
    first = next(iter(stderr.strip().splitlines()), "no message")[:DESCRIPTION_LIMIT_CHARS]
    if ".lock" in stderr:
        return (
            f"the notebook {root} is locked ({first}); wait for the other git, "
            "or delete that .lock file if none runs"
        )
    if "No space left" in stderr:
        return f"the disk of the notebook {root} is full; make room"
    if "ermission denied" in stderr:
        return f"the notebook {root} may not be written ({first}); mend its permissions"
    return f"the notebook {root} is damaged: git {command} says {first!r}; move it away and start again"
