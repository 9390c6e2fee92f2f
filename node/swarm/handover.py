"""What was found alone goes to the coordinator: wins that need a new base, and ideas."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import structlog
from autoresearch.errors import (
    Conflict,
    InvalidArgument,
    NodeBanned,
    NotFound,
    PermissionDenied,
    SwarmError,
    Unavailable,
)
from autoresearch.model import ExperimentId, Hypothesis, HypothesisId, Idea, Intent

from node.swarm.protocol import BestSource, Swarm
from node.swarm.solo import SoloSwarm

REBASES_LIMIT = 32
"""Wins found alone that are proposed at one return; there are more only after a very long absence."""

_log = structlog.get_logger(__name__)


class Online(Swarm, Protocol):
    """A coordinator's swarm, which also tells which ideas wait."""

    async def ideas(self) -> tuple[Idea, ...]:
        """The waiting hypotheses."""


async def hand_over_wins(online: Online, solo: SoloSwarm, known: BestSource | None) -> None:
    """A win on a parent that is not the best any more is proposed anew, on what is the best now."""
    wins = solo.unsettled_wins(known.best if known else None)
    outdated = [win for win in wins if win.is_outdated]
    waiting = {idea.origin_experiment_id for idea in await online.ideas()} if outdated else set()
    for win in wins[-REBASES_LIMIT:]:
        origin = win.experiment.experiment_id
        is_best = known is not None and known.best.experiment_id == origin
        if win.is_outdated and not is_best and origin not in waiting:
            hypothesis = replace(win.experiment.hypothesis, intent=Intent.REBASE)
            if not await _offer(online, win.hypothesis_id, hypothesis, None, origin):
                return
            _log.info("win proposed on the new best", title=hypothesis.title, origin=origin)
        solo.settle_win(win)


async def hand_over_ideas(online: Online, solo: SoloSwarm) -> None:
    """Ideas that were proposed to this machine alone join the swarm's queue."""
    for idea, source in solo.unforwarded_ideas():
        origin = idea.origin_experiment_id
        offered = await _offer(
            online,
            idea.hypothesis_id,
            idea.hypothesis,
            source,
            origin,
            priority=idea.priority,
            parent=idea.parents[0] if idea.parents else None,
        )
        if not offered:
            return
        solo.mark_forwarded(idea.hypothesis_id)


async def _offer(
    online: Online,
    hypothesis_id: HypothesisId,
    hypothesis: Hypothesis,
    source: bytes | None,
    origin: ExperimentId | None,
    *,
    priority: int = 0,
    parent: ExperimentId | None = None,
) -> bool:
    """False where the queue takes nothing now; what it will never take counts as offered.

    An idea that may not have its priority joins the queue without, and so does one on a parent that nobody
    else knows.
    """
    try:
        await online.propose(hypothesis_id, hypothesis, source, origin, priority=priority, parent=parent)
    except PermissionDenied as error:
        if priority and not isinstance(error, NodeBanned):
            return await _offer(online, hypothesis_id, hypothesis, source, origin, parent=parent)
        _log.warning("ideas wait", reason=error.message)
        return False
    except (InvalidArgument, Conflict, NotFound) as error:
        if parent is not None and isinstance(error, NotFound):
            return await _offer(online, hypothesis_id, hypothesis, source, origin, priority=priority)
        _log.warning("idea refused", title=hypothesis.title, reason=error.message)
    except Unavailable:
        raise
    except SwarmError as error:
        _log.warning("ideas wait", reason=error.message)
        return False
    return True
