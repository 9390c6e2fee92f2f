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
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoresearch.model import Usage

from node.agent.base import AgentContext, AgentError
from node.agent.drafting import DraftingAgent
from node.agent.quoting import inline, left_out
from node.agent.scratch import PROMPT, Draft, lay_out, read_back
from node.training.processes import Ended, run_group

OUTPUT_SHOWN_CHARS = 500
DEFAULT_TIME_LIMIT_S = 900.0

PASSED_VARIABLES = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TERM", "TMPDIR", "SHELL")
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


class CommandAgent(DraftingAgent):
    """An agent that is somebody else's program."""

    name = "command"

    def __init__(self, *, command: AgentCommand, environ: Mapping[str, str]) -> None:
        self._command = command
        names = (*PASSED_VARIABLES, *command.variables)
        self._env = {name: environ[name] for name in names if name in environ}
        self.keys = {name: self._env[name] for name in command.variables if name in self._env}

    async def draft(self, context: AgentContext, source: str, prompt: str) -> Draft:
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
            output = self.hidden_in(ended.output)
            said = inline(output[-OUTPUT_SHOWN_CHARS:], OUTPUT_SHOWN_CHARS) or "nothing"
            self._check_ended(ended, said)
            draft = await asyncio.to_thread(read_back, workdir, before)
            return replace(draft, said=said, output=output)

    def _check_ended(self, ended: Ended, said: str) -> None:
        program = self._command.template[0]
        if ended.is_timeout:
            limit_s = self._command.time_limit_s
            raise AgentError(f"{program} was not done after {limit_s:g} s and was ended; it said: {said}")
        if ended.returncode != 0:
            raise AgentError(f"{program} ended with exit code {ended.returncode}; it said: {said}")


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
