"""What the ``search`` agent makes of hostile contexts: names and values of the parent's code alone."""

from __future__ import annotations

from collections.abc import Iterable

from corpus import Hostile
from slots import hostile_context
from watch import Watch

from node.agent.base import AgentError
from node.agent.search import SearchAgent

CHANGED_MAX = 4


async def watch_search(watch: Watch, texts: Iterable[Hostile]) -> None:
    """Looks at the words and at the lines that were changed."""
    agent = SearchAgent(node_id="n")
    for hostile in texts:
        context = hostile_context(hostile)
        try:
            proposal = await agent.propose(context)
        except AgentError as error:
            watch.expect("search, proposes", str(error), "an idea")
            continue
        watch.without_texts("search, words of an idea", repr(proposal.hypothesis))
        before = set(context.parent_source.split("\n"))
        changed = [line for line in (proposal.draft or "").split("\n") if line not in before]
        watch.expect("search, lines changed", 1 <= len(changed) <= CHANGED_MAX, True)
        watch.without_texts("search, changed lines", "\n".join(changed))
