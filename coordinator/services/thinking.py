"""What a node without hardware is told: the class's working best, to have an idea on it for the queue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from autoresearch.limits import IDEAS_LISTED_LIMIT
from autoresearch.model import ExploreTask, HardwareClass, IdleTask

from coordinator.domain.class_state import working_best
from coordinator.domain.scheduling import IDLE_RETRY_S
from coordinator.services.context import ChallengeContext
from coordinator.services.waiting import waiting_ideas


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
        active = await self._c.activity.by_class()
        chosen = hardware_class or self._busiest(active)
        if chosen is None:
            return _idle("no node that is active has measured the baseline yet")
        state = (await self._c.classes.get(chosen)).state
        if state.working is None:
            return _idle(f"no node of {chosen} has measured the baseline yet")
        if not active[chosen]:
            return _idle(f"no node of {chosen} has been active lately")
        fits = partial(self._c.catalog.is_idea_of, hardware_class=chosen)
        waiting = await waiting_ideas(self._c.store, fits, limit=IDEAS_LISTED_LIMIT)
        if len(waiting) == IDEAS_LISTED_LIMIT:
            return _idle(f"{IDEAS_LISTED_LIMIT} ideas wait for {chosen} already")
        return ExploreTask(parent=working_best(state.working, state, self._c.rules))

    def _busiest(self, active: Mapping[HardwareClass, int]) -> HardwareClass | None:
        """Among classes that can be built on; of equally busy ones that with the most experiments."""
        catalog = self._c.catalog
        classes = [state.hardware_class for state in catalog.classes() if state.working is not None]
        busy = [one for one in classes if active.get(one)]
        return max(busy, key=lambda one: (active[one], catalog.count(one)), default=None)


def _idle(reason: str) -> IdleTask:
    return IdleTask(retry_after_s=IDLE_RETRY_S, reason=reason)
