"""The documents say what the code does: commands, options, settings, links and diagrams are compared."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from coordinator.cli import app as coordinator_app
from node.cli import app as node_app
from node.state import diagram_mermaid

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)
PROGRAMS = {"autoresearch-coordinator": coordinator_app, "autoresearch-node": node_app}
COMMAND = re.compile(r"(?:^|[\s`$])(autoresearch-(?:coordinator|node))((?: +[^\s`|&;<>#]+)*)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def fenced(text: str) -> str:
    return "\n".join(re.findall(r"^```(?:console|sh|bash)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    targets = [
        target.split("#")[0]
        for target in LINK.findall(path.read_text("utf-8"))
        if not target.startswith(("http://", "https://", "#", "mailto:"))
    ]

    missing = [target for target in targets if not (path.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shown_commands_and_their_options_exist(path: Path) -> None:
    wrong = [
        f"{program}{words}"
        for program, words in COMMAND.findall(fenced(path.read_text("utf-8")))
        if not _is_command(program, words.split())
    ]

    assert wrong == []


def test_readme_has_the_two_commands() -> None:
    readme = page("README.md")

    assert "scripts/quickstart" in readme
    assert "scripts/test" in readme


def test_readme_shows_the_states_that_the_node_has() -> None:
    assert diagram_mermaid().strip() in page("README.md")


def test_settings_page_is_what_the_declarations_say() -> None:
    printed = subprocess.run(
        [sys.executable, "scripts/settings_page.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert page("docs/settings.md") == printed, "run scripts/docs and commit"


def test_every_decision_has_its_own_number_and_title() -> None:
    decisions = sorted((ROOT / "docs/adr").glob("*.md"))

    numbers = [int(path.name[:4]) for path in decisions]
    titles = [path.read_text("utf-8").splitlines()[0] for path in decisions]

    assert numbers == list(range(1, len(decisions) + 1))
    assert all(title.startswith(f"# {number}. ") for number, title in zip(numbers, titles, strict=True))


def test_changelog_has_a_place_for_what_comes_next() -> None:
    assert "## Unreleased" in page("CHANGELOG.md")


def test_ci_runs_the_readmes_test_command() -> None:
    assert (ROOT / ".ci/run").read_text("utf-8").rstrip().endswith("exec scripts/test")


def _is_command(program: str, words: list[str]) -> bool:
    command = typer.main.get_command(PROGRAMS[program])
    while words and hasattr(command, "commands"):
        if words[0].startswith("-"):
            break
        if words[0] not in command.commands:
            return False
        command = command.commands[words.pop(0)]
    options = {name: parameter for parameter in command.params for name in parameter.opts}
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    given = 0
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            given += 1
        elif word.split("=")[0] not in options | {"--help": None, "--version": None}:
            return False
        elif "=" not in word and not getattr(options.get(word), "is_flag", True):
            words = words[1:]
    needed = sum(argument.required for argument in arguments)
    return needed <= given <= len(arguments)
