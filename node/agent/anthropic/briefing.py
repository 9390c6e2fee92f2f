"""What a model is told: the rules and the code, then as much of what is known as the budget of tokens holds.

Only the system prompt is ours word for word, and it is the same for everybody. All else comes from operators,
other participants and their models: it stands in the user's turn, quoted and cut to length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from string import Template

from autoresearch.challenge import Challenge
from autoresearch.model import (
    INSIGHT_LIMIT_CHARS,
    PROGRAM_LIMIT_BYTES,
    SOURCE_LIMIT_BYTES,
    ExperimentSummary,
    Hypothesis,
    Insight,
    Result,
)

from node.agent.anthropic.conversation import Opening
from node.agent.anthropic.editor import EDITOR_TOOL
from node.agent.anthropic.statement import STATEMENT_TOOL
from node.agent.anthropic.tokens import TokenCounter
from node.agent.base import AgentContext, Failure, UnsuitableParent
from node.agent.prompting import edit_task
from node.agent.quoting import (
    advice_text,
    change_text,
    failure_quote,
    history_table,
    inline,
    numbered,
    quoted,
    refusals_text,
)

TOOLS = (STATEMENT_TOOL, EDITOR_TOOL)
"""Always both, in this order: what is sent before the code is the same in every conversation, and cached."""

INSIGHTS_SHOWN = 20
HISTORY_SHOWN = 200
ANSWERING = "Where you were asked something, you may state the same idea again, with a `distinction`."


class Briefing:
    """Puts openings together within ``budget_tokens``.

    Each raises UnsuitableParent where the rules and the code alone are more than that.
    """

    def __init__(self, *, budget_tokens: int, counter: TokenCounter) -> None:
        self._budget = budget_tokens
        self._counter = counter
        self._system = _text("system.md")

    @property
    def system(self) -> str:
        """The one text that is ours."""
        return self._system

    def to_propose(self, context: AgentContext, *, share: float = 1.0) -> Opening:
        """Everything that helps to find an idea. ``share`` is of the budget."""
        refusals = refusals_text(context.refusals, answering=ANSWERING)
        return self._opening(
            context, context.parent_source, [_start(context), refusals, _text("propose.md")], share
        )

    def to_edit(self, context: AgentContext, hypothesis: Hypothesis, *, share: float = 1.0) -> Opening:
        """An idea to carry out."""
        task = Template(_text("edit.md")).substitute(
            task=edit_task(context, hypothesis), source_kib=str(SOURCE_LIMIT_BYTES // 1024)
        )
        return self._opening(context, context.parent_source, [_start(context), task], share)

    def to_repair(
        self, context: AgentContext, source: str, failure: Failure, *, share: float = 1.0
    ) -> Opening:
        """A draft that failed."""
        task = Template(_text("repair.md")).substitute(failure=failure_quote(failure))
        return self._opening(context, source, [task], share)

    def to_reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str:
        """A finished run, in few words."""
        challenge = context.challenge
        score = result.metrics.get(challenge.metric_name)
        outcome = f"{result.outcome.value} {result.reason}".strip()
        if score is not None:
            outcome += f", {challenge.metric_name} {score:.5f} ({challenge.direction} is better)"
        parent = context.parent
        lines = [
            hypothesis.title,
            f"Outcome: {outcome}",
            f"Started from: {parent.title}, {parent.mean:.5f} (spread of a rerun {parent.spread:.5f})",
            *(change_text(change) for change in hypothesis.changes),
            hypothesis.rationale,
        ]
        return Template(_text("reflect.md")).substitute(experiment=quoted("\n".join(lines)))

    def _opening(self, context: AgentContext, source: str, tasks: Sequence[str], share: float) -> Opening:
        stable = (
            f"The contest:\n{_contest(context.challenge)}\n\n"
            f"Its program.md:\n\n{quoted(context.program, PROGRAM_LIMIT_BYTES)}\n\n"
            f"train.py:\n\n{numbered(source)}"
        )
        needed = [task for task in tasks if task]
        bare = Opening(system=self._system, stable=stable, varying="\n\n".join(needed), tools=TOOLS)
        needed_tokens = bare.estimated_tokens(self._counter)
        if needed_tokens > self._budget:
            raise UnsuitableParent(
                f"the rules and the code alone have about {needed_tokens:,} tokens, over {self._budget:,}; "
                "allow more with --agent-context-tokens"
            )
        known = self._fitting(context, max(0, int(self._budget * share) - needed_tokens))
        return replace(bare, varying="\n\n".join([*known, *needed]))

    def _fitting(self, context: AgentContext, left: int) -> list[str]:
        """What is known, the most telling first, until the budget is used up."""
        parts = []
        advice = advice_text(context.advice)
        for text in (advice, self._insights(context.insights, left // 3)):
            tokens = self._counter.count(text)
            if text and tokens <= left:
                parts.append(text)
                left -= tokens
        history = self._longest(
            lambda rows: history_table(_relevant(context), shown=rows), HISTORY_SHOWN, left
        )
        return [history, *parts] if history else parts

    def _insights(self, insights: Sequence[Insight], limit_tokens: int) -> str:
        def text_of(shown: int) -> str:
            lines = [quoted(inline(one.text, INSIGHT_LIMIT_CHARS)) for one in insights[:shown]]
            return "\n".join(["What others have learned:", "", *lines]) if lines else ""

        return self._longest(text_of, min(INSIGHTS_SHOWN, len(insights)), limit_tokens)

    def _longest(self, text_of: Callable[[int], str], most: int, limit_tokens: int) -> str:
        """The longest of texts that grow with their number which fits; empty where none does."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if self._counter.count(text_of(middle)) <= limit_tokens:
                low = middle
            else:
                high = middle - 1
        return text_of(low) if low else ""


def _start(context: AgentContext) -> str:
    """What is known of the code to start from."""
    parent = context.parent
    facts = f"{inline(parent.title)}: {parent.mean:.5f} on {inline(parent.hardware_class)}"
    return f"What the train.py above is and scores:\n\n> {facts} (a rerun spreads by {parent.spread:.5f})"


def _contest(challenge: Challenge) -> str:
    kind, amount = challenge.budget.kind, challenge.budget.amount
    budget = f"{amount} steps" if kind == "steps" else f"{amount} {kind} seconds"
    return quoted(
        f"metric: {challenge.metric_name} in {challenge.metric.unit}, {challenge.direction} is better\n"
        f"budget: {budget} of training"
    )


def _relevant(context: AgentContext) -> list[ExperimentSummary]:
    """Oldest first, as a history is; what was tried on this parent counts as the newest."""
    parent = context.parent.experiment_id
    here = [summary for summary in context.history if summary.experiment.parent == parent]
    elsewhere = [summary for summary in context.history if summary.experiment.parent != parent]
    return [*elsewhere, *here]


def _text(name: str) -> str:
    return resources.files("node.agent.anthropic").joinpath("prompts", name).read_text(encoding="utf-8")
