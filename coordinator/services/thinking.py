"""What a node without hardware is told: the class's working best, to have an idea on it for the queue."""

from __future__ import annotations

from autoresearch.limits import IDEAS_LISTED_LIMIT
from autoresearch.model import ExploreTask, HardwareClass, IdleTask

from coordinator.domain.class_state import working_best
from coordinator.domain.scheduling import IDLE_RETRY_S
from coordinator.services.context import ChallengeContext


class Thinking:
    """Tasks that need a head and nothing else. They are exclusive to nobody, so they come without a lease."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context

    async def next_task(
        self, hardware_class: HardwareClass | None, *, can_propose: bool
    ) -> ExploreTask | IdleTask:
        """What to think about; idle while nobody could run what came of it."""
        if not can_propose:
            return _idle("a node without hardware and without an agent has nothing to do")
        if len(await self._c.store.list_ideas(limit=IDEAS_LISTED_LIMIT)) == IDEAS_LISTED_LIMIT:
            return _idle(f"{IDEAS_LISTED_LIMIT} ideas wait already")
        chosen = hardware_class or await self._busiest()
        if chosen is None:
            return _idle("no node has measured the baseline yet")
        state = (await self._c.classes.get(chosen)).state
        if state.working is None:
            return _idle(f"no node of {chosen} has measured the baseline yet")
        return ExploreTask(parent=working_best(state.working, state, self._c.rules))

    async def _busiest(self) -> HardwareClass | None:
        """Among classes that can be built on; of equally busy ones that with the most experiments."""
        catalog = self._c.catalog
        built_on = [state.hardware_class for state in catalog.classes() if state.working is not None]
        return await self._c.activity.busiest(sorted(built_on, key=catalog.count, reverse=True))


def _idle(reason: str) -> IdleTask:
    return IdleTask(retry_after_s=IDLE_RETRY_S, reason=reason)
