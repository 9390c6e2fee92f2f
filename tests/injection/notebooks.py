"""What git is run with for hostile experiments, and what the notebook then holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from autoresearch.model import ExperimentId
from commands import watch_for_files
from corpus import Hostile
from node_builders import make_challenge
from slots import hostile_context, hostile_hypothesis
from terminals import watch_printed
from test_workspace import make_page
from watch import Watch

from node.workspace import Workspace

ADOPTED_EVERY = 6
COLUMNS = 5
STATUSES = {"keep", "discard", "crash"}
SHIM = """#!/bin/sh
{{ printf '%s\\n' "$@"; export -p; }} >> {log}
exec {git} "$@"
"""


class Notebooks:
    """A notebook whose git is watched."""

    def __init__(self, folder: Path, workspace_of: type[Workspace] = Workspace) -> None:
        self.calls, self.root = folder / "calls", folder / "lab"
        git = shutil.which("git")
        bin_dir = folder / "bin"
        bin_dir.mkdir(parents=True)
        shim = bin_dir / "git"
        shim.write_text(SHIM.format(log=self.calls, git=git))
        shim.chmod(0o755)
        self._path = f"{bin_dir}:{os.environ['PATH']}"
        self._workspace_of = workspace_of

    def fill(self, texts: Iterable[Hostile]) -> int:
        """One experiment for each text, with another parent after every sixth; how many were written."""
        count = 0
        with patch.dict(os.environ, {"PATH": self._path}):
            workspace = self._workspace_of.open(self.root, make_challenge(), "one")
            for hostile in texts:
                context = hostile_context(hostile)
                adopted = hostile.number // ADOPTED_EVERY
                parent = replace(context.parent, experiment_id=ExperimentId(f"parent{adopted}"))
                page = make_page(f"e{hostile.number}", context.parent_source, score=1.5, kept=bool(count % 2))
                hypothesis = hostile_hypothesis(hostile)
                run = replace(page.run, experiment=replace(page.run.experiment, hypothesis=hypothesis))
                context = replace(context, parent=parent)
                workspace.record(replace(page, run=run, title=hypothesis.title, context=context))
                count += 1
        return count

    def git(self, *arguments: str) -> str:
        """The answer of git itself."""
        done = subprocess.run(["git", *arguments], cwd=self.root, check=True, capture_output=True)
        return done.stdout.decode(errors="replace")  # trees hold hashes as they are


def watch_notebook(
    watch: Watch, texts: Iterable[Hostile], folder: Path, workspace_of: type[Workspace] = Workspace
) -> None:
    """Looks at git's command lines, names, messages and files."""
    notebook = Notebooks(folder, workspace_of)
    count = notebook.fill(texts)
    watch.without_texts("git, command line and environment", notebook.calls.read_text())
    watch.without_secrets("git, command line and environment", notebook.calls.read_text())
    watch.without_texts("notebook, names of refs", notebook.git("for-each-ref", "--format=%(refname)"))
    committed = set(notebook.git("log", "--all", "--format=", "--name-only", "-z").strip("\0").split("\0"))
    watch.expect("notebook, names of committed files", committed - {""}, {"program.md", "train.py"})
    _watch_messages(watch, notebook)
    _watch_results(watch, (notebook.root / "results.tsv").read_bytes().decode(), count)
    objects = notebook.git("cat-file", "--batch-all-objects", "--batch", "--buffer")
    watch.without_secrets("notebook, objects", objects)
    for path in sorted(notebook.root.rglob("*")):
        name = str(path.relative_to(notebook.root))
        watch.without_texts("notebook, names of files", name)
        is_for_texts = name in ("train.py", "program.md", "results.tsv") or name.startswith(".git/objects")
        if path.is_file() and not is_for_texts:
            watch.without_texts("notebook, other files", path.read_bytes().decode(errors="replace"))
    watch_for_files(watch, "notebook", folder)


def _watch_messages(watch: Watch, notebook: Notebooks) -> None:
    """A subject of one line, quoted reasons, and trailers of ours alone."""
    messages = notebook.git("log", "--all", "--format=%B%x00").split("\0")
    for message in messages:
        lines = message.strip("\n").split("\n")
        watch_printed(watch, "notebook, commit messages", "\n".join(lines))
        body = "\n".join(lines[1:])
        outside = "\n".join(line for line in lines[1:] if not line.startswith("> "))
        watch.without_texts("notebook, messages outside of their quotations", outside)
        told = sum(line.startswith(("Score: ", "Status: ", "Outcome: ")) for line in body.split("\n"))
        watch.expect("notebook, outcomes told in a message", told in (0, 3), True)


def _watch_results(watch: Watch, results: str, count: int) -> None:
    rows = [line.split("\t") for line in results.split("\n")[:-1]]
    watch_printed(watch, "results.tsv", results)
    watch.expect("results.tsv, rows", len(rows), count + 1)
    watch.expect("results.tsv, columns", {len(row) for row in rows}, {COLUMNS})
    watch.expect(
        "results.tsv, statuses", {row[3] for row in rows[1:] if len(row) == COLUMNS} <= STATUSES, True
    )
    for row in rows[1:]:
        watch.without_texts("results.tsv, columns of the node's own", "\t".join(row[:4]))
