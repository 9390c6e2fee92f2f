"""What agents are asked, from the texts in ``prompts``: the same for whichever backend drives a model."""

from __future__ import annotations

from importlib import resources
from string import Template

from autoresearch.model import SOURCE_LIMIT_BYTES, TITLE_LIMIT_CHARS, Hypothesis, IdeaKind

from node.agent.base import AgentContext
from node.agent.quoting import hypothesis_quote, materials_text

TASKS = {
    IdeaKind.FREE: "idea.md",
    IdeaKind.REBASE: "rebase.md",
    IdeaKind.COMBINE: "combine.md",
    IdeaKind.ABLATE: "ablate.md",
}


def edit_task(context: AgentContext, hypothesis: Hypothesis) -> str:
    """What to do with an idea of somebody else, as its kind asks for; not by which means."""
    text = _text(TASKS[context.kind if context.materials else IdeaKind.FREE])
    return (
        Template(text)
        .substitute(hypothesis=hypothesis_quote(hypothesis), materials=materials_text(context.materials))
        .strip()
    )


def filled_prompt(name: str, context: AgentContext, **parts: str) -> str:
    """A text of ``prompts`` with the contest's own figures and ``parts`` filled in."""
    text = _text(name)
    challenge = context.challenge
    kind, amount = challenge.budget.kind, challenge.budget.amount
    budget = f"{amount} steps" if kind == "steps" else f"{amount} {kind} seconds"
    return Template(text).substitute(
        metric=challenge.metric_name,
        direction=challenge.direction,
        budget=budget,
        source_kib=str(SOURCE_LIMIT_BYTES // 1024),
        title_limit=str(TITLE_LIMIT_CHARS),
        **parts,
    )


def _text(name: str) -> str:
    return resources.files("node.agent").joinpath("prompts", name).read_text(encoding="utf-8")
