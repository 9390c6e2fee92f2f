"""What the ``search`` agent makes of hostile contexts: names and values of the parent's code alone."""

from __future__ import annotations

from collections.abc import Iterable

from autoresearch.model import ConstantChange, Hypothesis
from corpus import Hostile
from slots import hostile_context
from watch import Watch

from node.agent.base import AgentError
from node.agent.search import SearchAgent

CHANGED_MAX = 4


async def watch_search(watch: Watch, texts: Iterable[Hostile]) -> None:
    """Looks at the words, and at the lines that are changed for its own idea and for one of a stranger."""
    agent = SearchAgent(node_id="n")
    for hostile in texts:
        context = hostile_context(hostile)
        hypothesis = (await agent.propose(context)).hypothesis
        watch.without_texts("search, words of an idea", repr(hypothesis))
        changed = _changed(context.parent_source, await agent.edit(context, hypothesis))
        watch.expect("search, lines changed", 1 <= len(changed) <= CHANGED_MAX, True)
        watch.without_texts("search, changed lines", "\n".join(changed))
        theirs = ConstantChange(name="MATRIX_LR", old="0.04", new=hostile.at("new"))
        try:
            source = await agent.edit(context, Hypothesis(title="theirs", changes=(theirs,)))
        except AgentError:
            watch.places["search, values that are no constants are refused"] += 1
        else:
            watch.without_texts("search, changed lines", "\n".join(_changed(context.parent_source, source)))


def _changed(before: str, after: str) -> list[str]:
    known = set(before.split("\n"))
    return [line for line in after.split("\n") if line not in known]
