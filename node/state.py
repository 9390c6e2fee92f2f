"""What a node is doing, as two small tables of transitions and no I/O.

Two regions move at the same time: the *work* (connecting, exploring, training, publishing, paused, draining,
stopped) and the *link* to the swarm (online or solo). A node that loses its coordinator in the middle of a
training keeps training: only its link changes. ``diagram_mermaid`` is drawn from the tables, so the README
cannot drift from the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class Work(StrEnum):
    """What the worker does."""

    CONNECTING = "connecting"
    EXPLORING = "exploring"
    TRAINING = "training"
    PUBLISHING = "publishing"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"


class Link(StrEnum):
    """Whether the coordinator answers."""

    ONLINE = "online"
    SOLO = "solo"


class WorkEvent(StrEnum):
    """What moves the work on."""

    SESSION_OPENED = "session opened"
    RUN_BEGAN = "run began"
    RUN_ENDED = "run ended"
    RESULT_KEPT = "result kept"
    RUN_DROPPED = "run dropped"
    PAUSE_BEGAN = "pause began"
    PAUSE_OVER = "pause over"
    STOP_ASKED = "stop asked"
    WORK_GIVEN_BACK = "work given back"
    FAILED = "failed"


class LinkEvent(StrEnum):
    """What moves the link."""

    COORDINATOR_LOST = "coordinator lost"
    COORDINATOR_BACK = "coordinator back"


WORK_TABLE: Mapping[Work, Mapping[WorkEvent, Work]] = MappingProxyType(
    {
        Work.CONNECTING: {
            WorkEvent.SESSION_OPENED: Work.EXPLORING,
            WorkEvent.STOP_ASKED: Work.DRAINING,
            WorkEvent.FAILED: Work.STOPPED,
        },
        # Exploring: nothing trains, the next run is awaited (with an agent that keeps up: hardly ever).
        Work.EXPLORING: {
            WorkEvent.RUN_BEGAN: Work.TRAINING,
            WorkEvent.PAUSE_BEGAN: Work.PAUSED,
            WorkEvent.RUN_DROPPED: Work.EXPLORING,
            WorkEvent.STOP_ASKED: Work.DRAINING,
            WorkEvent.FAILED: Work.STOPPED,
        },
        Work.TRAINING: {
            WorkEvent.RUN_ENDED: Work.PUBLISHING,
            # The owner wants the machine now: the run's claim is given back.
            WorkEvent.RUN_DROPPED: Work.EXPLORING,
            WorkEvent.STOP_ASKED: Work.DRAINING,
            WorkEvent.FAILED: Work.STOPPED,
        },
        Work.PUBLISHING: {
            # The second run of a verification pair follows at once.
            WorkEvent.RUN_BEGAN: Work.TRAINING,
            WorkEvent.RESULT_KEPT: Work.EXPLORING,
            WorkEvent.RUN_DROPPED: Work.EXPLORING,
            WorkEvent.STOP_ASKED: Work.DRAINING,
            WorkEvent.FAILED: Work.STOPPED,
        },
        # Paused: no work is taken, the heartbeats go on.
        Work.PAUSED: {
            WorkEvent.PAUSE_OVER: Work.EXPLORING,
            WorkEvent.STOP_ASKED: Work.DRAINING,
            WorkEvent.FAILED: Work.STOPPED,
        },
        # Draining: the run in hand is finished and published, nothing new is begun.
        Work.DRAINING: {
            WorkEvent.RUN_BEGAN: Work.DRAINING,
            WorkEvent.RUN_ENDED: Work.DRAINING,
            WorkEvent.RESULT_KEPT: Work.DRAINING,
            WorkEvent.RUN_DROPPED: Work.DRAINING,
            WorkEvent.PAUSE_OVER: Work.DRAINING,
            WorkEvent.STOP_ASKED: Work.DRAINING,
            WorkEvent.WORK_GIVEN_BACK: Work.STOPPED,
            WorkEvent.FAILED: Work.STOPPED,
        },
        Work.STOPPED: {},
    }
)

LINK_TABLE: Mapping[Link, Mapping[LinkEvent, Link]] = MappingProxyType(
    {
        Link.ONLINE: {LinkEvent.COORDINATOR_LOST: Link.SOLO, LinkEvent.COORDINATOR_BACK: Link.ONLINE},
        Link.SOLO: {LinkEvent.COORDINATOR_BACK: Link.ONLINE, LinkEvent.COORDINATOR_LOST: Link.SOLO},
    }
)


class IllegalTransition(AssertionError):
    """The table has no such step: a bug of ours, not something the world did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """Both regions at one moment."""

    work: Work = Work.CONNECTING
    link: Link = Link.ONLINE

    @property
    def label(self) -> str:
        """The state in the words of a status line."""
        if self.link is Link.SOLO and self.work is not Work.STOPPED:
            return f"{self.work.value} (solo)"
        return self.work.value


def advance(state: NodeState, event: WorkEvent | LinkEvent) -> NodeState:
    """The state after ``event``.

    Raises:
        IllegalTransition: The tables have no such step.
    """
    if isinstance(event, LinkEvent):
        return replace(state, link=LINK_TABLE[state.link][event])
    following = WORK_TABLE[state.work].get(event)
    if following is None:
        raise IllegalTransition(f"a node that is {state.work.value} has no step for '{event.value}'")
    return replace(state, work=following)


def diagram_mermaid() -> str:
    """The two regions as a mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += ['    state "work" as work_region {', "        [*] --> connecting"]
    lines += [f"        {line}" for line in _edges(WORK_TABLE)]
    lines += ["        stopped --> [*]", "    }"]
    lines += ['    state "link" as link_region {', "        [*] --> online"]
    lines += [f"        {line}" for line in _edges(LINK_TABLE)]
    lines += ["    }"]
    return "\n".join(lines) + "\n"


def _edges(
    table: Mapping[Work, Mapping[WorkEvent, Work]] | Mapping[Link, Mapping[LinkEvent, Link]],
) -> list[str]:
    """Each step that leads elsewhere; staying where one is would only clutter the picture."""
    return [
        f"{source.value} --> {target.value}: {event.value}"
        for source, steps in table.items()
        for event, target in steps.items()
        if target is not source
    ]
