"""What agents spend on one experiment, and the caps on it.

An agent asks its account before each paid call, with the most that the call can cost, and says afterwards
what it did cost. So no cap is passed by more than an estimate's error, however a call ends: what is cut off
is counted as far as it was heard, and what nobody heard of again stays counted in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from autoresearch.model import Usage

from node.agent.errors import AgentError

NOTHING = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """The most that may be spent, in dollars and in tokens; None for no limit."""

    usd: float | None = None
    tokens: int | None = None

    def refusal(self, spent: Usage, most: Usage) -> str:
        """Why a call that costs up to ``most`` is too much after ``spent``; empty where it is not."""
        if self.usd is not None and (spent.cost_usd >= self.usd or spent.cost_usd + most.cost_usd > self.usd):
            return (
                f"${spent.cost_usd:.4f} of ${self.usd:g} are spent and a call may cost ${most.cost_usd:.4f}"
            )
        if self.tokens is not None and (
            spent.tokens >= self.tokens or spent.tokens + most.tokens > self.tokens
        ):
            return f"{spent.tokens:,} of {self.tokens:,} tokens are spent and a call may take {most.tokens:,}"
        return ""


NO_CAP = Cap()


class Funds(Protocol):
    """Whoever pays for all experiments together."""

    def reserve(self, most: Usage) -> int:
        """Sets aside what a call may cost; a number to settle it by. Raises BudgetSpent."""

    def settle(self, reservation: int, usage: Usage) -> None:
        """Puts what the call did cost in its place."""


class Bill:
    """One paid call; ``usage`` is what it is taken to have cost so far, and may be set again."""

    def __init__(self, most: Usage) -> None:
        self.usage = most


class Account:
    """The spending on one experiment. For one event loop."""

    def __init__(self, *, funds: Funds | None = None, cap: Cap = NO_CAP) -> None:
        self._funds = funds
        self._cap = cap
        self._usage: Usage | None = None

    @property
    def usage(self) -> Usage | None:
        """All of it so far; None where nothing was added."""
        return self._usage

    def add(self, usage: Usage) -> None:
        """Counts what nobody pays for, such as time."""
        self._usage = (self._usage or NOTHING) + usage

    @contextmanager
    def call(self, most: Usage) -> Iterator[Bill]:
        """One paid call, within every cap. Whatever ends the block, its bill is settled.

        Args:
            most: The most that the call can cost.

        Raises:
            AgentError: It does not fit under the cap per experiment.
            BudgetSpent: It does not fit under the caps of the day or in total.
        """
        refusal = self._cap.refusal(self._usage or NOTHING, most)
        if refusal:
            raise AgentError(f"the budget of one experiment is spent: {refusal}; raise --budget-*-experiment")
        reservation = self._funds.reserve(most) if self._funds else 0
        bill = Bill(most)
        try:
            yield bill
        finally:
            self.add(bill.usage)
            if self._funds:
                self._funds.settle(reservation, bill.usage)


def sum_of(first: Usage | None, second: Usage | None) -> Usage | None:
    """Both together, where there is anything."""
    return first + second if first and second else first or second
