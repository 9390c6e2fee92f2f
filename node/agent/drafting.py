"""An agent that is a program in a scratch folder: it edits first, and the difference says what it did."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping

from autoresearch.model import Hypothesis, Result

from node.agent.base import AgentContext, EditRefused, Failure, Proposal
from node.agent.prompting import edit_task, filled_prompt
from node.agent.quoting import failure_quote, inline, quoted, refusals_text
from node.agent.scratch import Draft
from node.agent.words import hypothesis_of

KEY_MIN_CHARS = 8
"""Shorter values of the variables that an owner named are switches, and stand in any code."""


class DraftingAgent(ABC):
    """Proposes, edits and repairs by one run of a program each; which program, ``draft`` decides.

    ``keys`` are the values that the program was given to know and nobody else is to, by the names of their
    variables: an edit that holds one is refused.
    """

    name: str
    keys: Mapping[str, str]
    can_propose = True
    thinks_for_free = False
    reads_program = True

    @abstractmethod
    async def draft(self, context: AgentContext, source: str, prompt: str) -> Draft:
        """What the program makes of ``source`` when it is asked ``prompt``. Raises AgentError."""

    async def propose(self, context: AgentContext) -> Proposal:
        """Words and code at once: the program edits first and says what it did."""
        prompt = filled_prompt(
            "propose.md",
            context,
            parent=_parent(context),
            refusals=refusals_text(context.refusals),
        )
        draft = await self._checked(context, context.parent_source, prompt)
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
        draft = await self._checked(context, context.parent_source, prompt)
        if draft.source == context.parent_source:
            raise EditRefused(f"the agent changed nothing in train.py; it said: {draft.said}")
        return draft.source

    async def repair(self, context: AgentContext, source: str, failure: Failure) -> str | None:
        prompt = filled_prompt("repair.md", context, failure=failure_quote(failure))
        draft = await self._checked(context, source, prompt)
        return None if draft.source == source else draft.source

    async def reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str | None:
        """Nothing: a second run of a paid program for a lesson that nobody asked for would be waste."""
        del context, hypothesis, result
        return None

    def hidden_in(self, text: str) -> str:
        """A text with its keys taken out."""
        for name, key in self._long_keys():
            text = text.replace(key, f"[{name}]")
        return text

    async def _checked(self, context: AgentContext, source: str, prompt: str) -> Draft:
        """Whatever the program was told to do with its owner's keys, they do not leave as they are."""
        draft = await self.draft(context, source, prompt)
        told = draft.source + json.dumps(draft.words, ensure_ascii=False)
        for name, key in self._long_keys():
            if key in told:
                raise EditRefused(f"the agent wrote the value of {name} into its edit; it goes nowhere")
        return draft

    def _long_keys(self) -> list[tuple[str, str]]:
        return [(name, key) for name, key in self.keys.items() if len(key) >= KEY_MIN_CHARS]


def _parent(context: AgentContext) -> str:
    """What the file is and scores, with the unit that the operator calls it by."""
    parent, unit = context.parent, inline(context.challenge.metric.unit)
    return quoted(f"{inline(parent.title)}: {parent.mean:.5f} {unit}")
