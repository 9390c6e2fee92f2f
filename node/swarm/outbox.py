"""What the coordinator has not acknowledged, kept on disk until it has, and offered again if it forgets.

A result goes in before it is published, so that neither a lost coordinator nor a killed node loses it.
Acknowledged results stay for 7 days with the position that acknowledged them: where the coordinator's
epoch changes (a failover, a restored backup) or its position goes back, they are offered once more, which
is harmless, because publishing is idempotent by result id. What can never be accepted is set aside with
the reason, and never deleted. Several workers of one machine may share one outbox.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from autoresearch import codec
from autoresearch.calls import PublishCall
from autoresearch.errors import Conflict, Internal, InvalidArgument, NotFound, SwarmError, UnknownChallenge
from autoresearch.model import ChallengeId, ExperimentId, Lease, Position, Published, ResultId
from autoresearch.v1 import swarm_pb2, types_pb2

from node.swarm.database import open_database, transaction
from node.swarm.insight_outbox import SCHEMA as INSIGHTS_SCHEMA
from node.swarm.insight_outbox import InsightOutbox, Share
from node.swarm.protocol import Publication

KEPT_FOR = timedelta(days=7)
BATCH = 50
INTERNAL_ATTEMPTS = 5
"""Failures of the coordinator over one entry after which the entry is held to be the cause."""
SHOWN_LIMIT = 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    result_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'acknowledged', 'set_aside')),
    publication BLOB NOT NULL,
    lease BLOB,
    put_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER,
    stream_id TEXT,
    settled_at REAL,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS by_state ON entries (state, seq);
CREATE TABLE IF NOT EXISTS seen (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    stream_id TEXT NOT NULL
) STRICT;
"""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """A result that the coordinator will never take, and why."""

    result_id: ResultId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """What ``status`` shows; ``set_aside`` has the latest few of ``set_aside_count``."""

    waiting: int
    acknowledged: int
    set_aside_count: int
    set_aside: tuple[SetAside, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What one replay did. ``error`` says why it stopped early, None where it came to the end.

    ``refused`` was set aside. Results of a challenge that the coordinator does not host go on waiting.
    """

    published: tuple[Published, ...] = ()
    refused: Mapping[ResultId, SwarmError] = field(default_factory=dict)
    error: SwarmError | None = None


class Outbox:
    """A durable queue of publications."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        """Opens or makes the queue at ``path``; ``now`` is the wall clock."""
        self._connection = open_database(path, _SCHEMA + INSIGHTS_SCHEMA)
        self.insights = InsightOutbox(self._connection, now=now, kept_for=KEPT_FOR)
        self._lock_path = path.with_name(path.name + ".replay")
        self._replaying = asyncio.Lock()
        self._unhosted: frozenset[ChallengeId] = frozenset()
        self._now = now

    def put(self, publication: Publication) -> None:
        """On disk when it returns; harmless if repeated. Children go in after their parents.

        A result that was set aside and is put again waits again.
        """
        lease = publication.lease
        with transaction(self._connection):
            self._connection.execute(
                "INSERT INTO entries (result_id, state, publication, lease, put_at)"
                " VALUES (?, 'waiting', ?, ?, ?)"
                " ON CONFLICT (result_id) DO UPDATE SET state = 'waiting', attempts = 0, reason = ''"
                " WHERE state = 'set_aside'",
                (
                    publication.result.result_id,
                    _publication_bytes(publication),
                    None if lease is None else codec.lease_to_message(lease).SerializeToString(),
                    self._now().timestamp(),
                ),
            )

    def waiting_count(self) -> int:
        """How many are not acknowledged."""
        return self._count("waiting")

    def acknowledge(self, published: Published) -> None:
        """The coordinator has it on disk."""
        self._connection.execute(
            "UPDATE entries SET state = 'acknowledged', epoch = ?, stream_id = ?, settled_at = ?,"
            " lease = NULL WHERE result_id = ?",
            (
                published.position.epoch,
                published.position.stream_id,
                self._now().timestamp(),
                published.result_id,
            ),
        )

    def set_aside(self, result_id: ResultId, reason: str) -> None:
        """The coordinator will never take it; it stays on disk and is shown."""
        self._connection.execute(
            "UPDATE entries SET state = 'set_aside', reason = ?, settled_at = ? WHERE result_id = ?",
            (reason, self._now().timestamp(), result_id),
        )
        _log.error("result set aside", result_id=result_id, reason=reason)

    def seen(self) -> Position | None:
        """Where the coordinator stood when any worker heard of it last; None if none ever has."""
        row = self._connection.execute("SELECT epoch, stream_id FROM seen").fetchone()
        return None if row is None else Position(epoch=row["epoch"], stream_id=row["stream_id"])

    def notice(self, position: Position, *, asked_at: Position | None) -> int:
        """Compares where the coordinator stands with where it stood; returns how many are offered again.

        ``asked_at`` is what was seen when the answer that brings ``position`` was asked for: answers to
        several workers overtake each other, and only what goes back behind its own question is forgetful.

            worker 1 asks at 7           worker 2 asks at 7, hears 9: seen is 9
            worker 1 hears 8: behind 9, but not behind 7: nothing is forgotten
        """
        with transaction(self._connection):
            latest = self.seen()
            has_gone_back = asked_at is not None and _key(position) < _key(asked_at)
            is_another_epoch = asked_at is not None and position.epoch != asked_at.epoch
            if latest is None or has_gone_back or _key(position) > _key(latest):
                self._connection.execute(
                    "INSERT INTO seen (one, epoch, stream_id) VALUES (1, ?, ?)"
                    " ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, stream_id = excluded.stream_id",
                    (position.epoch, position.stream_id),
                )
            if is_another_epoch:
                again = self._offer_again(lambda epoch, _: epoch != position.epoch)
            elif has_gone_back:
                now_at = _stream_key(position.stream_id)
                again = self._offer_again(lambda _, stream_id: _stream_key(stream_id) > now_at)
            else:
                return 0
            self.insights.offer_again()
        if again:
            _log.warning("the coordinator may have forgotten results; offering them again", results=again)
        return again

    def prune(self) -> int:
        """Drops what was acknowledged more than 7 days ago; returns how many."""
        before = (self._now() - KEPT_FOR).timestamp()
        return self._connection.execute(
            "DELETE FROM entries WHERE state = 'acknowledged' AND settled_at < ?", (before,)
        ).rowcount

    def status(self) -> OutboxStatus:
        """Counts, and the latest that were set aside."""
        rows = self._connection.execute(
            "SELECT result_id, reason FROM entries WHERE state = 'set_aside'"
            " ORDER BY settled_at DESC LIMIT ?",
            (SHOWN_LIMIT,),
        )
        return OutboxStatus(
            waiting=self._count("waiting"),
            acknowledged=self._count("acknowledged"),
            set_aside_count=self._count("set_aside"),
            set_aside=tuple(
                SetAside(result_id=ResultId(row["result_id"]), reason=row["reason"]) for row in rows
            ),
        )

    async def replay(self, publish: Callable[[Publication], Awaitable[Published]]) -> Replay | None:
        """Publishes what waits, oldest first, to the end or until the coordinator cannot take it.

        Returns None where another worker is at it.
        """
        async with self._replaying:
            with _held_file(self._lock_path) as is_ours:
                if not is_ours:
                    return None
                return await self._replay(publish)

    async def replay_insights(self, share: Share) -> SwarmError | None:
        """Shares the insights that wait, but for those whose experiments wait themselves.

        Returns why it stopped early, None otherwise or where another worker is at it.
        """
        if not self.insights.waiting_count():
            return None
        async with self._replaying:
            with _held_file(self._lock_path) as is_ours:
                if not is_ours:
                    return None
                return await self.insights.replay(share, held_back=self._experiments_waiting())

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    async def _replay(self, publish: Callable[[Publication], Awaitable[Published]]) -> Replay:
        done: list[Published] = []
        refused: dict[ResultId, SwarmError] = {}
        unhosted: Counter[ChallengeId] = Counter()
        last = 0
        while batch := self._oldest_waiting(after=last):
            for row in batch:
                last = row["seq"]
                try:
                    publication = _publication_of(row)
                    published = await publish(publication)
                except UnknownChallenge:
                    # Another challenge's result must not hold up those of this one.
                    unhosted[publication.result.challenge_id] += 1
                except SwarmError as error:
                    if not self._is_entry_at_fault(row["seq"], error):
                        return Replay(published=tuple(done), refused=refused, error=error)
                    refused[ResultId(row["result_id"])] = error
                    self.set_aside(ResultId(row["result_id"]), f"{error.code}: {error.message}")
                else:
                    self.acknowledge(published)
                    done.append(published)
        self._tell_unhosted(unhosted)
        self.prune()
        return Replay(published=tuple(done), refused=refused)

    def _experiments_waiting(self) -> frozenset[ExperimentId]:
        rows = self._connection.execute("SELECT publication FROM entries WHERE state = 'waiting'")
        messages = (swarm_pb2.PublishRequest.FromString(row["publication"]) for row in rows)
        return frozenset(ExperimentId(message.result.experiment_id) for message in messages)

    def _tell_unhosted(self, unhosted: Mapping[ChallengeId, int]) -> None:
        """Said once, until the coordinator takes results of the challenge."""
        for challenge_id, results in unhosted.items():
            if challenge_id not in self._unhosted:
                _log.info("results wait for their challenge", challenge_id=challenge_id, results=results)
        self._unhosted = frozenset(unhosted)

    def _oldest_waiting(self, *, after: int) -> list[sqlite3.Row]:
        return self._connection.execute(
            "SELECT seq, result_id, publication, lease FROM entries WHERE state = 'waiting' AND seq > ?"
            " ORDER BY seq LIMIT ?",
            (after, BATCH),
        ).fetchall()

    def _is_entry_at_fault(self, seq: int, error: SwarmError) -> bool:
        """Refused for what it is (True), or because of the coordinator or this node's standing (False)?"""
        if isinstance(error, (InvalidArgument, Conflict, NotFound)):
            return True
        if not isinstance(error, Internal):
            return False
        self._connection.execute("UPDATE entries SET attempts = attempts + 1 WHERE seq = ?", (seq,))
        row = self._connection.execute("SELECT attempts FROM entries WHERE seq = ?", (seq,)).fetchone()
        return bool(row["attempts"] >= INTERNAL_ATTEMPTS)

    def _offer_again(self, is_forgotten: Callable[[int, str], bool]) -> int:
        rows = self._connection.execute(
            "SELECT seq, epoch, stream_id FROM entries WHERE state = 'acknowledged'"
        ).fetchall()
        forgotten = [(row["seq"],) for row in rows if is_forgotten(row["epoch"], row["stream_id"])]
        self._connection.executemany("UPDATE entries SET state = 'waiting' WHERE seq = ?", forgotten)
        return len(forgotten)

    def _count(self, state: str) -> int:
        row = self._connection.execute("SELECT count(*) FROM entries WHERE state = ?", (state,)).fetchone()
        return int(row[0])


def _publication_bytes(publication: Publication) -> bytes:
    call = PublishCall(
        challenge_id=publication.result.challenge_id,
        result=publication.result,
        experiment=publication.experiment,
        source=publication.source,
    )
    return codec.publish_call_to_message(call).SerializeToString()


def _publication_of(row: sqlite3.Row) -> Publication:
    # Read without the caps: whether it can be accepted is for the coordinator to say.
    message = swarm_pb2.PublishRequest.FromString(row["publication"])
    lease: Lease | None = None
    if row["lease"] is not None:
        lease = codec.lease_from_message(types_pb2.Lease.FromString(row["lease"]))
    return Publication(
        result=codec.result_from_message(message.result),
        experiment=codec.experiment_from_message(message.experiment),
        source=message.source,
        lease=lease,
    )


def _stream_key(stream_id: str) -> tuple[int, int]:
    """Stream ids are two numbers and a dash; anything else is before them all."""
    first, _, second = stream_id.partition("-")
    if first.isascii() and first.isdigit() and (not second or (second.isascii() and second.isdigit())):
        return int(first), int(second or 0)
    return -1, 0


def _key(position: Position) -> tuple[int, int, int]:
    """Positions in order: epochs only grow, and so does the stream within one."""
    return (position.epoch, *_stream_key(position.stream_id))


@contextmanager
def _held_file(path: Path) -> Iterator[bool]:
    """True for the one process that holds the lock; the kernel drops it with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
