"""Ideas that wait, in the process's memory."""

from __future__ import annotations

from autoresearch.errors import Conflict, PermissionDenied
from autoresearch.model import PRIORITY_MAX, EventKind, HardwareClass, HypothesisId, Idea, NodeId, OwnerId

from coordinator.storage.base import IDEAS_PER_TURN, NewSource
from coordinator.storage.fingerprints import idea_fingerprint
from coordinator.storage.memory.tables import ChallengeTables, WaitingIdea


class MemoryQueue:
    """Ideas that wait."""

    _t: ChallengeTables

    async def enqueue(self, idea: Idea, source: NewSource | None, *, max_per_node: int) -> bool | None:
        t = self._t
        fingerprint = idea_fingerprint(idea)
        known = t.proposed.get(idea.hypothesis_id)
        if known is not None:
            if known != fingerprint:
                raise Conflict(f"hypothesis id {idea.hypothesis_id} was used for another idea")
            return False
        if sum(one.idea.node_id == idea.node_id for one in t.ideas.values()) >= max_per_node:
            return None
        t.keep_source(source)
        t.ideas[idea.hypothesis_id] = WaitingIdea(idea=idea, turn=self._take_turn(idea))
        t.proposed[idea.hypothesis_id] = fingerprint
        t.append(
            EventKind.PROPOSED,
            hardware_class=HardwareClass(""),
            node_id=idea.node_id,
            experiment_id=idea.origin_experiment_id,
            text=idea.hypothesis.title,
        )
        return True

    async def list_ideas(self, *, start: int = 0, limit: int = 100) -> tuple[Idea, ...]:
        in_order = sorted(self._t.ideas.values(), key=lambda one: one.place)
        return tuple(one.idea for one in in_order[start : start + limit])

    async def remove_idea(self, hypothesis_id: HypothesisId) -> bool:
        return self._t.take_off(hypothesis_id, is_settled=True)

    async def withdraw_idea(self, hypothesis_id: HypothesisId, *, node_id: NodeId, owner_id: OwnerId) -> bool:
        waiting = self._t.ideas.get(hypothesis_id)
        if waiting is not None and waiting.owner != owner_id and waiting.idea.node_id != node_id:
            raise PermissionDenied(f"idea {hypothesis_id} is another owner's")
        return self._t.take_off(hypothesis_id, is_settled=False)

    def _take_turn(self, idea: Idea) -> int:
        """Gives the idea the first slot that its owner has free, from the present turn on."""
        t = self._t
        owner = WaitingIdea(idea=idea, turn=0).owner
        used = (t.next_slots.get((owner, level), 0) for level in range(idea.priority, PRIORITY_MAX + 1))
        slot = max(t.turn * IDEAS_PER_TURN, *used)
        t.next_slots[owner, idea.priority] = slot + 1
        return slot // IDEAS_PER_TURN
