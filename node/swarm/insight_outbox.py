"""Lessons that the coordinator has not taken yet, on disk beside the results that they were learned from."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta

import structlog
from autoresearch import codec
from autoresearch.errors import (
    Conflict,
    Internal,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    ProtocolMismatch,
    SwarmError,
    UnknownChallenge,
)
from autoresearch.model import ExperimentId, Insight, InsightId
from autoresearch.v1 import types_pb2

from node.swarm.database import transaction

WAITING_LIMIT = 1_000
"""One more that waits makes room of the oldest: a lesson is worth less than the disk of a node that is alone
for months."""

PAUSE_MAX_S = 3_600.0
"""A coordinator that takes no more today, or is too old to take any, is asked again by then."""

BATCH = 50
INTERNAL_ATTEMPTS = 5
"""As for results: after so many failures of the coordinator over one of them it is held to be the cause."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS insights (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    insight_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'acknowledged', 'set_aside')),
    message BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    settled_at REAL,
    reason TEXT NOT NULL DEFAULT ''
) STRICT
"""
_log = structlog.get_logger(__name__)

Share = Callable[[Insight], Awaitable[None]]


class InsightOutbox:
    """A durable queue of insights; who shares them holds the outbox's lock."""

    def __init__(
        self, connection: sqlite3.Connection, *, now: Callable[[], datetime], kept_for: timedelta
    ) -> None:
        self._connection = connection
        self._now = now
        self._kept_for = kept_for
        self._not_before = datetime.min.replace(tzinfo=now().tzinfo)

    def put(self, insight: Insight) -> None:
        """On disk when it returns; harmless if repeated."""
        with transaction(self._connection):
            self._connection.execute(
                "INSERT OR IGNORE INTO insights (insight_id, state, message) VALUES (?, 'waiting', ?)",
                (insight.insight_id, codec.insight_to_message(insight).SerializeToString()),
            )
            self._connection.execute(
                "DELETE FROM insights WHERE state = 'waiting' AND seq NOT IN"
                " (SELECT seq FROM insights WHERE state = 'waiting' ORDER BY seq DESC LIMIT ?)",
                (WAITING_LIMIT,),
            )

    def waiting_count(self) -> int:
        """How many the coordinator has not taken."""
        row = self._connection.execute("SELECT count(*) FROM insights WHERE state = 'waiting'").fetchone()
        return int(row[0])

    def offer_again(self) -> None:
        """The coordinator may have forgotten what it has taken: to share it once more is harmless."""
        self._connection.execute("UPDATE insights SET state = 'waiting' WHERE state = 'acknowledged'")

    async def replay(self, share: Share, *, held_back: Collection[ExperimentId]) -> SwarmError | None:
        """Shares what waits, oldest first; what the coordinator will never take is set aside.

        Args:
            share: A ``Swarm.share``.
            held_back: Experiments that the coordinator may not know yet: what was learned from them waits.

        Returns:
            Why it stopped early, None where it came to the end or is told to come back later.
        """
        if self._now() < self._not_before:
            return None
        last = 0
        while batch := self._oldest_waiting(after=last):
            for row in batch:
                last = row["seq"]
                insight = codec.insight_from_message(types_pb2.Insight.FromString(row["message"]))
                if any(experiment_id in held_back for experiment_id in insight.experiment_ids):
                    continue
                error = await self._offer(share, insight, row["seq"])
                if error is not None:
                    return None if self._now() < self._not_before else error
        self._prune()
        return None

    async def _offer(self, share: Share, insight: Insight, seq: int) -> SwarmError | None:
        """What keeps the coordinator from taking anything now."""
        try:
            await share(insight)
        except UnknownChallenge:
            return None  # it waits for a coordinator of its challenge
        except (LimitExceeded, ProtocolMismatch) as error:
            pause_s = min(error.retry_after_s or PAUSE_MAX_S, PAUSE_MAX_S)
            self._not_before = self._now() + timedelta(seconds=pause_s)
            _log.info("insights wait", waiting=self.waiting_count(), reason=error.message)
            return error
        except SwarmError as error:
            if not self._is_at_fault(seq, error):
                return error
            self._settle(insight.insight_id, "set_aside", f"{error.code}: {error.message}")
            _log.warning("insight set aside", insight_id=insight.insight_id, reason=error.message)
        else:
            self._settle(insight.insight_id, "acknowledged")
        return None

    def _is_at_fault(self, seq: int, error: SwarmError) -> bool:
        if isinstance(error, (InvalidArgument, Conflict, NotFound)):
            return True
        if not isinstance(error, Internal):
            return False
        self._connection.execute("UPDATE insights SET attempts = attempts + 1 WHERE seq = ?", (seq,))
        row = self._connection.execute("SELECT attempts FROM insights WHERE seq = ?", (seq,)).fetchone()
        return bool(row["attempts"] >= INTERNAL_ATTEMPTS)

    def _settle(self, insight_id: InsightId, state: str, reason: str = "") -> None:
        self._connection.execute(
            "UPDATE insights SET state = ?, reason = ?, settled_at = ? WHERE insight_id = ?",
            (state, reason, self._now().timestamp(), insight_id),
        )

    def _oldest_waiting(self, *, after: int) -> list[sqlite3.Row]:
        return self._connection.execute(
            "SELECT seq, message FROM insights WHERE state = 'waiting' AND seq > ? ORDER BY seq LIMIT ?",
            (after, BATCH),
        ).fetchall()

    def _prune(self) -> None:
        before = (self._now() - self._kept_for).timestamp()
        self._connection.execute(
            "DELETE FROM insights WHERE state != 'waiting' AND settled_at < ?", (before,)
        )
