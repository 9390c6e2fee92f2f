"""What agents spend on one experiment, and the caps on it.

An agent asks its account before each paid call, with the most that the call can cost, and says afterwards
what it did cost. So no cap is passed by more than an estimate's error, however a call ends: what is cut off
is counted as far as it was heard, and what nobody heard of again stays counted in full. A run that can be
ended at any sum asks for as much as it would like, and gets what is left.
"""

from __future__ import annotations

import math
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

    def left(self, spent: Usage) -> Cap:
        """What may still be spent after ``spent``."""
        is_capped = self.usd is not None and math.isfinite(self.usd)
        return Cap(
            usd=max(0.0, self.usd - spent.cost_usd) if is_capped and self.usd is not None else None,
            tokens=max(0, self.tokens - spent.tokens) if self.tokens is not None else None,
        )

    def lower(self, other: Cap) -> Cap:
        """The lower of the two, in dollars and in tokens."""
        return Cap(
            usd=min((usd for usd in (self.usd, other.usd) if usd is not None), default=None),
            tokens=min(
                (tokens for tokens in (self.tokens, other.tokens) if tokens is not None), default=None
            ),
        )

    @property
    def most(self) -> Usage:
        """All that may be spent, as a bill; nothing of what has no limit."""
        return Usage(calls=1, input_tokens=self.tokens or 0, cost_usd=self.usd or 0.0, is_estimate=True)


NO_CAP = Cap()


class Funds(Protocol):
    """Whoever pays for all experiments together."""

    def reserve(self, most: Usage) -> int:
        """Sets aside what a call may cost; a number to settle it by. Raises BudgetSpent."""

    def reserve_within(self, wish: Cap, least: Usage) -> tuple[int, Cap]:
        """Sets aside what is left, up to ``wish``; gives that. Raises BudgetSpent under ``least``."""

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
        self._check(most)
        reservation = self._funds.reserve(most) if self._funds else 0
        with self._billed(most, reservation) as bill:
            yield bill

    @contextmanager
    def call_within(self, wish: Cap, *, least: Usage) -> Iterator[tuple[Bill, Cap]]:
        """One paid run that its caller ends at the limits that this gives: what is left, up to ``wish``.

        Args:
            wish: The most that the run would be given.
            least: With less than this nothing would come of it.

        Raises:
            AgentError: Less is left under the cap per experiment.
            BudgetSpent: Less is left under the caps of the day or in total.
        """
        self._check(least)
        granted, reservation = wish.lower(self._cap.left(self._usage or NOTHING)), 0
        if self._funds:
            reservation, granted = self._funds.reserve_within(granted, least)
        with self._billed(granted.most, reservation) as bill:
            yield bill, granted

    def _check(self, most: Usage) -> None:
        refusal = self._cap.refusal(self._usage or NOTHING, most)
        if refusal:
            raise AgentError(f"the budget of one experiment is spent: {refusal}; raise --budget-*-experiment")

    @contextmanager
    def _billed(self, most: Usage, reservation: int) -> Iterator[Bill]:
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
