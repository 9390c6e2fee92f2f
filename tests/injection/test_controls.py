"""Parts that leak on purpose: whatever is looked at, a leak there is found."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from anthropic_builders import agent_for
from canaries import Home, watch_gullible_node
from commands import watch_commands
from corpus import CORPUS
from node_builders import BASELINE
from notebooks import watch_notebook
from prompts import watch_prompts
from researchers import watch_researcher
from terminals import watch_terminal
from watch import Watch

from node import rendering
from node.agent.command import CommandAgent
from node.agent.mcp import progress, tools
from node.workspace import Workspace

FEW = CORPUS[::12]
SPOILING = [hostile for hostile in CORPUS if hostile.family in ("git", "tables of values")]


def leaky_agent(leak):
    """A maker of agents whose openings are spoilt by ``leak``, a function of the context and the opening."""

    def make(server, **options):
        agent = agent_for(server, **options)
        briefing = agent._briefing
        for name in ("to_propose", "to_edit", "to_repair"):
            whole = getattr(briefing, name)

            def spoilt(context, *rest, whole=whole, **more):
                return leak(context, whole(context, *rest, **more))

            setattr(briefing, name, spoilt)
        return agent

    return make


@pytest.mark.parametrize(
    ("leak", "place"),
    [
        (lambda c, o: replace(o, system=f"{o.system}\n{c.parent.title}"), "anthropic, system prompt"),
        (lambda c, o: replace(o, varying=f"{c.insights[0].text}\n\n{o.varying}"), "anthropic, propose"),
        (lambda c, o: replace(o, varying=f"> {c.insights[0].text}\n\n{o.varying}"), "anthropic, propose"),
        (
            lambda c, o: replace(o, tools=[{**t, "description": c.parent.title} for t in o.tools]),
            "anthropic, tools",
        ),
    ],
)
async def test_a_prompt_that_leaks_is_found(leak, place):
    watch = Watch()

    await watch_prompts(watch, FEW, leaky_agent(leak))

    assert place in {found.place for found in watch.leaks}


async def test_an_answer_to_a_researcher_that_does_not_quote_is_found(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(progress, "title_line", lambda ticket: f"title: {ticket.hypothesis.title}")
    monkeypatch.setattr(tools, "quoted", lambda text, limit: text[:limit])

    await watch_researcher(watch, FEW)

    found = {leak.place for leak in watch.leaks}
    assert {"mcp, asked", "mcp, granted", "mcp, best, refused"} <= found


class LeakyCommand(CommandAgent):
    """Names the parent on its command line, and hands all variables on."""

    def __init__(self, *, command, environ):
        super().__init__(command=command, environ=environ)
        self._env = dict(environ)

    async def draft(self, context, source, prompt):
        first, *rest = self._command.template
        self._command = replace(self._command, template=(first, *rest[:3], f"--title={context.parent.title}"))
        return await super().draft(context, source, prompt)


async def test_a_program_that_is_told_too_much_is_found(tmp_path):
    home = Home(tmp_path / "home")
    watch = Watch(home.secrets)
    plain = [hostile for hostile in FEW if "\0" not in hostile.template]

    await watch_commands(watch, plain, tmp_path / "command", home.environ, LeakyCommand)

    found = {leak.place for leak in watch.leaks}
    assert {"command, propose, command line", "command, propose, secrets"} <= found


class LeakyNotebook(Workspace):
    """Puts titles on git's command line and, as they are, into its messages and its table."""

    def record(self, page):
        super().record(page)
        title = page.title.replace("\0", "")
        commit = self._git("rev-parse", "HEAD")
        raw = self._git("commit-tree", f"{commit}^{{tree}}", "-m", title or "x")
        self._git("update-ref", f"refs/experiments/raw-{page.run.experiment.experiment_id}", raw)
        with (self.root / "results.tsv").open("a") as file:
            file.write(f"-\t0.0\t0.0\tkeep\t{title}\n")


def test_a_notebook_that_takes_titles_as_they_are_is_found(tmp_path):
    watch = Watch()

    watch_notebook(watch, SPOILING, tmp_path, LeakyNotebook)

    found = {leak.place for leak in watch.leaks}
    assert {
        "git, command line and environment",
        "notebook, commit messages",
        "notebook, messages outside of their quotations",
        "results.tsv, rows",
    } <= found


async def test_a_terminal_that_shows_text_as_it_is_is_found(tmp_path, monkeypatch):
    watch = Watch()
    monkeypatch.setattr(
        rendering, "to_json", lambda value: json.dumps(value, default=str, ensure_ascii=False)
    )
    monkeypatch.setattr(rendering, "one_line", lambda text: text)

    await watch_terminal(watch, CORPUS[30:80], tmp_path)

    found = {leak.place for leak in watch.leaks}
    assert {"terminal, show --json", "terminal, show", "terminal, status, lines of its own"} <= found


async def test_a_model_that_is_shown_a_secret_tells_it_and_that_is_found(tmp_path):
    home = Home(tmp_path / "home")
    watch = Watch(home.secrets)

    await watch_gullible_node(watch, home, f"# {home.secrets[0]}\n{BASELINE}", tmp_path)

    found = {leak.place.removesuffix(", secrets").removeprefix("node, ") for leak in watch.leaks}
    assert {"requests to the model", "log", "files of its state", "objects of the notebook"} <= found


def test_a_secret_is_found_wherever_it_stands():
    watch = Watch(["canary-1"])

    watch.without_secrets("a log", "key=canary-1")
    watch.without_secrets("a file", b"\xff canary-1")

    assert [leak.place for leak in watch.leaks] == ["a log, secrets", "a file, secrets"]
