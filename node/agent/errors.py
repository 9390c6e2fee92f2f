"""How agents fail.

AgentError                  could not do what it was asked; asked again later
├── UnsuitableParent        can do nothing with this parent; it may with another
├── CannotDo                is not made for what it was asked; another agent may be
├── Outdated                what it was told is not so any more; asked again at once with what is known now
├── EditRefused             an edit broke a rule
└── AgentEnded              will do nothing any more: the node finishes what it has, and leaves
    ├── BudgetSpent         a cap of the day or in total is reached
    └── AgentUnusable       a key that is refused, a model that does not exist
"""

from __future__ import annotations


class AgentError(Exception):
    """An agent could not do what it was asked; the message says why. The loop asks again later."""


class UnsuitableParent(AgentError):
    """The agent can do nothing with this parent, now or later; it may with another."""


class CannotDo(AgentError):
    """The agent is not made for what it was asked; it is somebody else's to do."""


class Outdated(AgentError):
    """What the agent was told is not so any more: it is asked anew, with what is known now."""


class EditRefused(AgentError):
    """An edit broke a rule: it touched another file, is too large, or changed nothing."""


class AgentEnded(AgentError):
    """The agent will do nothing any more; the node finishes what it has in hand and leaves."""


class BudgetSpent(AgentEnded):
    """What the owner allowed for the day or in total is spent."""


class AgentUnusable(AgentEnded):
    """The agent cannot work as it is set up, now or later; the message says what to mend."""
