"""Drives any headless coding agent: an argv template, run in a scratch folder that only it can spoil.

The folder holds ``train.py``, ``program.md``, ``history.md`` and the prompt. Afterwards ``train.py`` is read
back, and the edit is refused if any other file was changed or made: what the agent may do is decided here,
not by what it was told. Its command line holds our own words alone: what it quotes of others stands in the
prompt's file, since command lines are open to every process of a machine. It gets the variables of a short
list and those that its owner named, so that its own key reaches it and nothing else does, and it is ended
with all its children when its time is over.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoresearch.model import Hypothesis, Result, Usage

from node.agent.base import AgentContext, AgentError, EditRefused, Failure, Proposal
from node.agent.prompting import edit_task, filled_prompt
from node.agent.quoting import failure_quote, inline, left_out, quoted, refusals_text
from node.agent.scratch import PROMPT, Draft, lay_out, read_back
from node.agent.words import hypothesis_of
from node.training.processes import Ended, run_group

OUTPUT_SHOWN_CHARS = 500
DEFAULT_TIME_LIMIT_S = 900.0

PASSED_VARIABLES = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TERM", "TMPDIR", "SHELL")
KEY_MIN_CHARS = 8
"""Shorter values of the variables that an owner named are switches, and stand in any code."""
PLACEHOLDERS = ("{prompt}", "{prompt_file}", "{workdir}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCommand:
    """What to run, for how long, and which further variables it may see."""

    template: tuple[str, ...]
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    variables: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, *, time_limit_s: float, variables: Sequence[str]) -> AgentCommand:
        """A command line as it would be typed; no shell ever sees it.

        Raises:
            AgentError: It is empty, ill quoted, or hands the prompt to nobody.
        """
        try:
            template = tuple(shlex.split(text))
        except ValueError as error:
            raise AgentError(
                f"--agent-command {text!r} cannot be read ({error}); check its quotes"
            ) from error
        if not template:
            raise AgentError("--agent command needs --agent-command, for example 'claude -p {prompt}'")
        if not any(mark in word for word in template for mark in PLACEHOLDERS):
            raise AgentError(f"--agent-command hands over no task; use one of {', '.join(PLACEHOLDERS)}")
        return cls(template=template, time_limit_s=time_limit_s, variables=tuple(variables))

    def argv(self, prompt: str, workdir: Path) -> list[str]:
        """The template with its placeholders filled, each within its own word."""
        values = {"{prompt}": prompt, "{prompt_file}": str(workdir / PROMPT), "{workdir}": str(workdir)}
        return [_filled(word, values) for word in self.template]


class CommandAgent:
    """An agent that is somebody else's program."""

    name = "command"
    can_propose = True
    thinks_for_free = False
    reads_program = True

    def __init__(self, *, command: AgentCommand, environ: Mapping[str, str]) -> None:
        self._command = command
        names = (*PASSED_VARIABLES, *command.variables)
        self._env = {name: environ[name] for name in names if name in environ}
        self._keys = {
            name: self._env[name]
            for name in command.variables
            if len(self._env.get(name, "")) >= KEY_MIN_CHARS
        }

    async def propose(self, context: AgentContext) -> Proposal:
        """Words and code at once: the program edits first and says what it did."""
        prompt = filled_prompt(
            "propose.md",
            context,
            parent=_parent(context),
            refusals=refusals_text(context.refusals),
        )
        draft = await self._edit(context, context.parent_source, prompt)
        if draft.source == context.parent_source:
            raise EditRefused(f"the agent changed nothing in train.py; it said: {draft.said}")
        was_asked = any(refusal.question for refusal in context.refusals)
        hypothesis = await asyncio.to_thread(
            hypothesis_of, context.parent_source, draft, agent=self.name, was_asked=was_asked
        )
        return Proposal(hypothesis=hypothesis, draft=draft.source)

    async def edit(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        task = edit_task(context, hypothesis)
        prompt = filled_prompt("edit.md", context, task=task, parent=_parent(context))
        draft = await self._edit(context, context.parent_source, prompt)
        if draft.source == context.parent_source:
            raise EditRefused(f"the agent changed nothing in train.py; it said: {draft.said}")
        return draft.source

    async def repair(self, context: AgentContext, source: str, failure: Failure) -> str | None:
        prompt = filled_prompt("repair.md", context, failure=failure_quote(failure))
        draft = await self._edit(context, source, prompt)
        return None if draft.source == source else draft.source

    async def reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str | None:
        """Nothing: a second run of a paid program for a lesson that nobody asked for would be waste."""
        del context, hypothesis, result
        return None

    async def _edit(self, context: AgentContext, source: str, prompt: str) -> Draft:
        with tempfile.TemporaryDirectory(prefix="autoresearch-agent-") as name:
            workdir = Path(name)
            before = await asyncio.to_thread(lay_out, workdir, context, source, prompt)
            with context.account.call(Usage()):  # nobody tells beforehand what it will cost
                ended = await run_group(
                    self._command.argv(left_out(prompt, PROMPT), workdir),
                    cwd=workdir,
                    env=self._env,
                    timeout_s=self._command.time_limit_s,
                )
            output = self._without_keys(ended.output)
            said = inline(output[-OUTPUT_SHOWN_CHARS:], OUTPUT_SHOWN_CHARS) or "nothing"
            self._check_ended(ended, said)
            draft = await asyncio.to_thread(read_back, workdir, before)
            self._check_keys(draft)
            return replace(draft, said=said, output=output)

    def _without_keys(self, text: str) -> str:
        for name, key in self._keys.items():
            text = text.replace(key, f"[{name}]")
        return text

    def _check_keys(self, draft: Draft) -> None:
        """Whatever the program was told to do with its owner's keys, they do not leave as they are."""
        told = draft.source + json.dumps(draft.words, ensure_ascii=False)
        for name, key in self._keys.items():
            if key in told:
                raise EditRefused(f"the agent wrote the value of {name} into its edit; it goes nowhere")

    def _check_ended(self, ended: Ended, said: str) -> None:
        program = self._command.template[0]
        if ended.is_timeout:
            limit_s = self._command.time_limit_s
            raise AgentError(f"{program} was not done after {limit_s:g} s and was ended; it said: {said}")
        if ended.returncode != 0:
            raise AgentError(f"{program} ended with exit code {ended.returncode}; it said: {said}")


def _parent(context: AgentContext) -> str:
    """What the file is and scores, with the unit that the operator calls it by."""
    parent, unit = context.parent, inline(context.challenge.metric.unit)
    return quoted(f"{inline(parent.title)}: {parent.mean:.5f} {unit}")


def _filled(word: str, values: Mapping[str, str]) -> str:
    """One pass over the template's own text: braces inside a prompt are not placeholders."""
    filled, rest = "", word
    while rest:
        mark = min((m for m in values if m in rest), key=rest.index, default="")
        if not mark:
            return filled + rest
        head, _, rest = rest.partition(mark)
        filled += head + values[mark]
    return filled
