"""What the loop asks of whoever has the ideas, and what it tells them.

An agent never trains, never scores and never publishes: it hands over words and a ``train.py``, and the node
does the rest. Everything in a context that came from the swarm is data written by strangers; a backend that
shows it to a model quotes and caps it (``quoting``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from autoresearch.challenge import Challenge
from autoresearch.model import (
    Advice,
    ExperimentSummary,
    Hypothesis,
    IdeaKind,
    Insight,
    NearMatch,
    Result,
    WorkingBest,
)

from node.agent.account import Account
from node.agent.errors import (
    AgentEnded,
    AgentError,
    AgentUnusable,
    BudgetSpent,
    CannotDo,
    EditRefused,
    Outdated,
    UnsuitableParent,
)

__all__ = [
    "Agent",
    "AgentContext",
    "AgentEnded",
    "AgentError",
    "AgentUnusable",
    "BudgetSpent",
    "CannotDo",
    "EditRefused",
    "Failure",
    "Material",
    "NoAgent",
    "Outdated",
    "Proposal",
    "Refusal",
    "UnsuitableParent",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A proposal of this round that was not granted, and what the coordinator said.

    ``question`` is set where saying why the idea differs would be enough; ``nearest`` are the tried ideas
    that are nearest to it.
    """

    hypothesis: Hypothesis
    answer: str
    question: str = ""
    nearest: tuple[NearMatch, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """An experiment whose edit is to be put in, taken out or moved; ``diff`` is against its own parent."""

    summary: ExperimentSummary
    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentContext:
    """What an agent may know: the contest, the code to start from, and what the class has tried and learned.

    ``program`` is the text of the program.md that it is to go by. ``account`` is where it asks before it
    spends, and says what it has spent. ``kind`` says what an idea of somebody else asks of ``edit``: to carry
    out its words or, with the edits of ``materials``, to put them into the parent, to take them out, or to
    move them onto it.
    """

    challenge: Challenge
    program: str
    parent: WorkingBest
    parent_source: str
    history: tuple[ExperimentSummary, ...] = ()
    advice: Advice = field(default_factory=Advice)
    refusals: tuple[Refusal, ...] = ()
    insights: tuple[Insight, ...] = ()
    account: Account = field(default_factory=Account, compare=False, repr=False)
    kind: IdeaKind = IdeaKind.FREE
    materials: tuple[Material, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An idea; ``draft`` is its ``train.py`` where the agent wrote both at once."""

    hypothesis: Hypothesis
    draft: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a run of an agent's code went wrong."""

    kind: str
    reason: str
    log_tail: str = ""


class Agent(Protocol):
    """Something that has ideas. Calls may take minutes and may be cancelled at any moment.

    What a call costs goes to the context's account while it is spent: so it counts whether the call ends
    well, fails or is cancelled. The time that calls take is counted by whoever makes them.
    """

    @property
    def name(self) -> str:
        """What hypotheses are signed with."""

    @property
    def can_propose(self) -> bool:
        """False for an agent that has no ideas of its own: the node then runs queued work only."""

    @property
    def thinks_for_free(self) -> bool:
        """True where an idea costs neither money nor time: one that waits is dropped for a new best."""

    @property
    def reads_program(self) -> bool:
        """True for an agent that goes by the program.md; its proposals say which one that was."""

    async def propose(self, context: AgentContext) -> Proposal:
        """A new idea that nothing in the context rules out. Raises AgentError."""

    async def edit(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        """The parent's code with the hypothesis carried out. Raises AgentError, or CannotDo for what it is
        not made for: the idea then goes to another node.
        """

    async def repair(self, context: AgentContext, source: str, failure: Failure) -> str | None:
        """Mended code for a draft that failed; None to let it go. Raises AgentError."""

    async def reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str | None:
        """A lesson in prose from a finished run of an idea, or None. Raises AgentError."""


class NoAgent:
    """Has no ideas: for nodes that lend their machine to the work of others."""

    name = "none"
    can_propose = False
    thinks_for_free = True
    reads_program = False

    async def propose(self, context: AgentContext) -> Proposal:
        raise AgentError(f"agent 'none' proposes nothing for {context.challenge.name}; use --agent search")

    async def edit(self, context: AgentContext, hypothesis: Hypothesis) -> str:
        raise CannotDo(
            f"agent 'none' writes no code for {context.challenge.name}: {hypothesis.title!r} needs another"
        )

    async def repair(self, context: AgentContext, source: str, failure: Failure) -> str | None:
        del context, source, failure
        return None

    async def reflect(self, context: AgentContext, hypothesis: Hypothesis, result: Result) -> str | None:
        del context, hypothesis, result
        return None
