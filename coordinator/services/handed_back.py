"""Ideas that nodes gave back: somebody else's turn.

Known to this process alone. Each replica of a coordinator may so hand an idea to a node once; what matters is
that no node is handed the same idea again and again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from autoresearch.model import HypothesisId, NodeId

PATIENCE = timedelta(hours=1)
"""After so long a node is asked once more: it may have another agent by then, or may have stopped halfway."""

HANDED_BACK_LIMIT = 100_000


class HandedBack:
    """Remembers who gave back what, and forgets it after a while."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._since: OrderedDict[tuple[NodeId, HypothesisId], datetime] = OrderedDict()

    def add(self, node_id: NodeId, hypothesis_id: HypothesisId) -> None:
        """A node gave an idea back, whether it could not or would not."""
        self._since[node_id, hypothesis_id] = self._clock()
        self._since.move_to_end((node_id, hypothesis_id))
        while len(self._since) > HANDED_BACK_LIMIT:
            self._since.popitem(last=False)

    def has(self, node_id: NodeId, hypothesis_id: HypothesisId) -> bool:
        """True while the idea is for others."""
        since = self._since.get((node_id, hypothesis_id))
        return since is not None and self._clock() - since < PATIENCE
