"""What the agents of this node may spend, and what they have spent: on disk, whatever happens to the node.

A call reserves the most that it can cost before it is made, and settles what it did cost. Workers of one node
share the file, and each looks and reserves in one transaction:

    worker 1: reserves $0.10, $0.85 of $1 are spent or reserved      -> may call
    worker 2: would reserve $0.10, $0.95 of $1 are spent or reserved -> may not, although less is spent yet

A run that is ended at its limits takes what is left instead of being refused, and no more than half of it
where several workers share the purse: the others are not sent home by a reservation.

What a killed worker had reserved stays counted: its call may have been made, and nobody heard what it cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from autoresearch.model import Usage

from node.agent.account import NO_CAP, Account, Cap
from node.agent.errors import BudgetSpent
from node.swarm.database import open_database, transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    day TEXT PRIMARY KEY,
    usd REAL NOT NULL,
    tokens INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS reserved (
    reservation INTEGER PRIMARY KEY AUTOINCREMENT,
    day TEXT NOT NULL,
    usd REAL NOT NULL,
    tokens INTEGER NOT NULL
)
"""
_SUM = "SELECT coalesce(sum(usd), 0) AS usd, coalesce(sum(tokens), 0) AS tokens FROM"
_BOTH = "(SELECT day, usd, tokens FROM spent UNION ALL SELECT day, usd, tokens FROM reserved)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The caps of a node: on each experiment, on each day (UTC), and on all of it.

    ``is_shared``: several workers spend it at the same time.
    """

    experiment: Cap = NO_CAP
    day: Cap = NO_CAP
    total: Cap = NO_CAP
    is_shared: bool = False


class Purse:
    """The durable side of every account."""

    def __init__(self, path: Path, budget: Budget, *, now: Callable[[], datetime]) -> None:
        """Opens or makes the file at ``path``. Raises StateFileError, and so does whatever uses it."""
        self._connection = open_database(path, _SCHEMA)
        self._budget = budget
        self._now = now

    def open_account(self) -> Account:
        """An account for one experiment."""
        return Account(funds=self, cap=self._budget.experiment)

    def check(self) -> None:
        """Raises BudgetSpent where nothing is left to spend."""
        with transaction(self._connection):
            self._check(Usage())

    def reserve(self, most: Usage) -> int:
        """Sets aside what a call may cost. Raises BudgetSpent."""
        with transaction(self._connection):
            self._check(most)
            return self._set_aside(most)

    def reserve_within(self, wish: Cap, least: Usage) -> tuple[int, Cap]:
        """Sets aside what is left, up to ``wish``; gives that. Raises BudgetSpent under ``least``."""
        with transaction(self._connection):
            self._check(least)
            left = self._budget.day.left(self.spent_today()).lower(
                self._budget.total.left(self.spent_in_total())
            )
            granted = wish.lower(_share(left, least) if self._budget.is_shared else left)
            return self._set_aside(granted.most), granted

    def settle(self, reservation: int, usage: Usage) -> None:
        """Puts what a call did cost in the place of its reservation, on the day of that."""
        with transaction(self._connection):
            row = self._connection.execute(
                "DELETE FROM reserved WHERE reservation = ? RETURNING day", (reservation,)
            ).fetchone()
            self._connection.execute(
                "INSERT INTO spent (day, usd, tokens) VALUES (?, ?, ?)"
                " ON CONFLICT (day) DO UPDATE"
                " SET usd = usd + excluded.usd, tokens = tokens + excluded.tokens",
                (row["day"] if row else self._today(), usage.cost_usd, usage.tokens),
            )

    def spent_today(self) -> Usage:
        """What is spent or reserved since midnight UTC."""
        return self._sum(f"{_BOTH} WHERE day = ?", self._today())

    def spent_in_total(self) -> Usage:
        """What was ever spent or reserved here."""
        return self._sum(_BOTH)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _check(self, most: Usage) -> None:
        refusal = self._budget.day.refusal(self.spent_today(), most)
        if refusal:
            raise BudgetSpent(
                f"the agent's budget of the day is spent: {refusal}; it begins anew at 00:00 UTC, "
                "or raise --budget-*-day"
            )
        refusal = self._budget.total.refusal(self.spent_in_total(), most)
        if refusal:
            raise BudgetSpent(f"the agent's budget is spent: {refusal}; raise --budget-*-total to go on")

    def _set_aside(self, most: Usage) -> int:
        row = self._connection.execute(
            "INSERT INTO reserved (day, usd, tokens) VALUES (?, ?, ?) RETURNING reservation",
            (self._today(), most.cost_usd, most.tokens),
        ).fetchone()
        return int(row["reservation"])

    def _sum(self, where: str, *arguments: str) -> Usage:
        row = self._connection.execute(f"{_SUM} {where}", arguments).fetchone()
        return Usage(cost_usd=row["usd"], input_tokens=row["tokens"])

    def _today(self) -> str:
        return f"{self._now().astimezone(UTC):%Y-%m-%d}"


def _share(left: Cap, least: Usage) -> Cap:
    """Half, of which the run of one worker can still make something."""
    return Cap(
        usd=max(left.usd / 2, least.cost_usd) if left.usd is not None else None,
        tokens=max(left.tokens // 2, least.tokens) if left.tokens is not None else None,
    )
