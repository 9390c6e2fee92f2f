"""Whose outcome settles an edit, and whose only warns of it.

One run of an owner who has not earned trust may be forged, to keep others from an edit that is good. So it
settles the edit for that owner alone; others are warned, and may run it again if they say why. It settles
the edit for everybody once its owner is trusted, or once a second owner with a vote has come to a like end:
nobody can make a swarm run one edit for ever. Who is believed is asked when an edit is judged, never when a
result comes in, so trust that is earned or lost later counts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from autoresearch.model import ExperimentId, ExperimentState, OwnerId

JUDGED = frozenset(
    {
        ExperimentState.CANDIDATE,
        ExperimentState.REFUTED,
        ExperimentState.BEST,
        ExperimentState.SUPERSEDED,
    }
)
"""States of what others measure or have measured: a candidate, and what became of one."""

DONE = JUDGED | {ExperimentState.COMPLETED, ExperimentState.REJECTED}
"""States of experiments that ran to their end; crashes may have been the machine's."""

OWNERS_TO_SETTLE = 2
"""Owners with a vote whose like outcomes settle an edit although none of them is trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """An experiment that is over and did the same, and whose word that is."""

    experiment_id: ExperimentId
    owner_id: OwnerId
    state: ExperimentState
    is_baseline: bool = False

    @property
    def has_crashed(self) -> bool:
        """True where it did not run to its end."""
        return self.state not in DONE

    @property
    def has_score(self) -> bool:
        """True where the run counts; else the code failed or broke the measuring rules."""
        return self.state in DONE and self.state is not ExperimentState.REJECTED

    @property
    def is_judged(self) -> bool:
        """True where it does not rest on its owner's word alone."""
        return self.is_baseline or self.state in JUDGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Whose word counts for one asker, as things stand now.

    ``find`` gives what is known of an experiment; None for one that is not over, or that blocks no machine
    like the asker's. ``is_running`` tells those that somebody trains at this moment. ``voting`` are the
    owners with a vote, active or not.
    """

    owner_id: OwnerId
    find: Callable[[ExperimentId], Precedent | None]
    is_running: Callable[[ExperimentId], bool]
    is_trusted: Callable[[OwnerId], bool]
    voting: Collection[OwnerId]

    def settling(self, precedents: Sequence[Precedent]) -> Precedent | None:
        """Of precedents of one edit the one that settles it: the latest of the surest kind."""
        judged = [one for one in precedents if one.is_judged]
        trusted = [one for one in precedents if self.is_trusted(one.owner_id)]
        own = [one for one in precedents if one.owner_id == self.owner_id]
        ran = self._agreeing(precedents, has_score=True)
        failed = self._agreeing(precedents, has_score=False)
        kinds = (judged, trusted, ran, failed, own)
        return next((latest(found) for found in kinds if found), None)

    def _agreeing(self, precedents: Sequence[Precedent], *, has_score: bool) -> list[Precedent]:
        """Those that ended alike and are of owners with a vote, if the owners are enough."""
        alike = [one for one in precedents if one.has_score is has_score and one.owner_id in self.voting]
        return alike if len({one.owner_id for one in alike}) >= OWNERS_TO_SETTLE else []


def latest(precedents: Sequence[Precedent]) -> Precedent:
    """The latest of some precedents: their ids are times."""
    return max(precedents, key=lambda one: one.experiment_id)
