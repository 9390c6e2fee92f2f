"""What a researcher has in the works, one ticket for each piece.

    idea:    judging -> granted ---------\
    asked:   (somebody's idea) granted ---+-> starting -> queued -> finished
    repair:  (of a crash) granted -------/

From any of them but the last two it may end as refused (a duplicate) or dropped (given up, given back, too
late). ``queued`` lasts through the training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from autoresearch.model import (
    Advice,
    ClaimId,
    Duplicate,
    ExperimentId,
    ExperimentState,
    Hypothesis,
    NeedsDistinction,
    Result,
    StartRefused,
)

from node.agent.base import AgentContext, Failure


class Kind(StrEnum):
    """Whose idea it is, and what is wanted of it."""

    IDEA = "idea"
    ASKED = "asked"
    REPAIR = "repair"


class Stage(StrEnum):
    """How far it is."""

    JUDGING = "judging"
    GRANTED = "granted"
    STARTING = "starting"
    QUEUED = "queued"
    FINISHED = "finished"
    REFUSED = "refused"
    DROPPED = "dropped"


Verdict = Duplicate | NeedsDistinction | StartRefused
ENDS = frozenset({Stage.FINISHED, Stage.REFUSED, Stage.DROPPED})


class LessonStage(StrEnum):
    """Whether a lesson from a run is wanted."""

    NOT_YET = "not yet"
    GIVEN = "given"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One piece; ``base_source`` is the code that edits are made to, ``why`` is of one that was dropped."""

    ticket_id: str
    kind: Kind
    stage: Stage
    hypothesis: Hypothesis
    context: AgentContext
    base_source: str
    source: str | None = None
    failure: Failure | None = None
    repairs: str = ""
    claim_id: ClaimId | None = None
    experiment_id: ExperimentId | None = None
    verdict: Verdict | None = None
    advice: Advice = field(default_factory=Advice)
    flags: tuple[str, ...] = ()
    result: Result | None = None
    state: ExperimentState | None = None
    why: str = ""
    lesson: str = ""
    lesson_stage: LessonStage = LessonStage.NOT_YET

    @property
    def is_over(self) -> bool:
        """True where nothing more will come of it."""
        return self.stage in ENDS

    @property
    def question(self) -> str:
        """What was asked of it, where saying why it differs would be enough."""
        return self.verdict.question if isinstance(self.verdict, NeedsDistinction | StartRefused) else ""
