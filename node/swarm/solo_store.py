"""What a node alone remembers, in one SQLite file per challenge that its workers share.

Statements only: what they mean is decided in ``solo`` and ``solo_best``. Values are kept as the messages
of the contract, so that what is stored today can be read by a later version.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoresearch import codec
from autoresearch.model import (
    ClaimId,
    Experiment,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    HardwareClass,
    InsightId,
    Outcome,
    Program,
    Purpose,
    Result,
    SourceHash,
    WorkingBest,
)
from autoresearch.v1 import ideas_pb2, types_pb2

from node.swarm.database import open_database, transaction

IDEAS_SEEN_LIMIT = 100
"""Waiting ideas that one choice of a task looks at."""

MEASURED = (Purpose.BASELINE, Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL)
"""Runs whose score nobody picked for being good."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO counter VALUES (1, 0);
CREATE TABLE IF NOT EXISTS classes (
    hardware_class TEXT PRIMARY KEY, working BLOB, swarm_spread REAL
) STRICT;
CREATE TABLE IF NOT EXISTS sources (source_hash TEXT PRIMARY KEY, source BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS experiments (
    experiment_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, hardware_class TEXT NOT NULL,
    source_hash TEXT NOT NULL, title TEXT NOT NULL, node_id TEXT NOT NULL, message BLOB NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', delta REAL, swarm_summary BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS by_class ON experiments (hardware_class, seq);
CREATE TABLE IF NOT EXISTS results (
    result_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, experiment_id TEXT NOT NULL,
    hardware_class TEXT NOT NULL, outcome TEXT NOT NULL, purpose TEXT NOT NULL, score REAL,
    seed INTEGER NOT NULL, verification_id TEXT NOT NULL, message BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_experiment ON results (experiment_id);
CREATE TABLE IF NOT EXISTS claims (
    claim_id TEXT PRIMARY KEY, hardware_class TEXT NOT NULL, kind TEXT NOT NULL, token INTEGER NOT NULL,
    expires_at REAL NOT NULL, fingerprint TEXT NOT NULL, parent_id TEXT, hypothesis BLOB,
    experiment_id TEXT, seed INTEGER, val_seed INTEGER, subject TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS held_keys (
    hardware_class TEXT NOT NULL, key TEXT NOT NULL,
    claim_id TEXT NOT NULL REFERENCES claims (claim_id) ON DELETE CASCADE, PRIMARY KEY (hardware_class, key)
) STRICT;
CREATE TABLE IF NOT EXISTS tried_keys (
    hardware_class TEXT NOT NULL, key TEXT NOT NULL, experiment_id TEXT NOT NULL,
    PRIMARY KEY (hardware_class, key, experiment_id)
) STRICT;
CREATE TABLE IF NOT EXISTS knobs (
    hardware_class TEXT NOT NULL, knob TEXT NOT NULL, value TEXT NOT NULL, experiment_id TEXT NOT NULL,
    PRIMARY KEY (hardware_class, knob, experiment_id)
) STRICT;
CREATE TABLE IF NOT EXISTS verifications (
    verification_id TEXT PRIMARY KEY, hardware_class TEXT NOT NULL, candidate_id TEXT NOT NULL,
    previous BLOB NOT NULL, state TEXT NOT NULL, issued INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS wins (
    experiment_id TEXT PRIMARY KEY, hypothesis_id TEXT NOT NULL, is_settled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS ideas (
    hypothesis_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, message BLOB NOT NULL, fingerprint TEXT NOT NULL,
    is_done INTEGER NOT NULL DEFAULT 0, is_forwarded INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS program (
    one INTEGER PRIMARY KEY CHECK (one = 1), message BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS insights (
    insight_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, message BLOB NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A candidate that is being run against the best before it."""

    verification_id: str
    candidate_id: ExperimentId
    previous: WorkingBest
    issued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One result, as decisions need it; ``score`` is None unless it completed."""

    experiment_id: ExperimentId
    outcome: Outcome
    purpose: Purpose
    score: float | None
    seed: int


class SoloStore:
    """Rows in and out. Methods that write belong into ``transaction()``."""

    def __init__(self, path: Path) -> None:
        self.connection = open_database(path, _SCHEMA)

    def transaction(self) -> AbstractContextManager[None]:
        """All of the block or nothing, alone among the workers."""
        return transaction(self.connection)

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    def next_number(self) -> int:
        """Grows with every call: orders what happened and fences claims."""
        self.connection.execute("UPDATE counter SET last = last + 1")
        return self.last_number()

    def last_number(self) -> int:
        """The latest of these numbers."""
        return int(self.connection.execute("SELECT last FROM counter").fetchone()[0])

    # Sources and experiments

    def put_source(self, source_hash: SourceHash, source: bytes) -> None:
        self.connection.execute("INSERT OR IGNORE INTO sources VALUES (?, ?)", (source_hash, source))

    def source(self, source_hash: SourceHash) -> bytes | None:
        row = self.connection.execute(
            "SELECT source FROM sources WHERE source_hash = ?", (source_hash,)
        ).fetchone()
        return None if row is None else bytes(row["source"])

    def source_of(self, experiment_id: ExperimentId) -> bytes | None:
        row = self.connection.execute(
            "SELECT source FROM sources JOIN experiments USING (source_hash) WHERE experiment_id = ?",
            (experiment_id,),
        ).fetchone()
        return None if row is None else bytes(row["source"])

    def put_experiment(self, experiment: Experiment, state: ExperimentState) -> None:
        """Keeps it if it is new."""
        self.connection.execute(
            "INSERT OR IGNORE INTO experiments"
            " (experiment_id, seq, hardware_class, source_hash, title, node_id, message, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                experiment.experiment_id,
                self.next_number(),
                experiment.hardware_class,
                experiment.source_hash,
                experiment.hypothesis.title,
                experiment.node_id,
                codec.experiment_to_message(experiment).SerializeToString(),
                state,
            ),
        )

    def experiment_row(self, experiment_id: ExperimentId) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.connection.execute(
            "SELECT * FROM experiments WHERE experiment_id = ?", (experiment_id,)
        ).fetchone()
        return row

    def class_rows(self, hardware_class: HardwareClass | None) -> list[sqlite3.Row]:
        return self.connection.execute(
            "SELECT * FROM experiments WHERE ?1 IS NULL OR hardware_class = ?1 ORDER BY seq",
            (hardware_class,),
        ).fetchall()

    def mark(self, experiment_id: ExperimentId, state: ExperimentState, reason: str = "") -> None:
        self.connection.execute(
            "UPDATE experiments SET state = ?, reason = ? WHERE experiment_id = ?",
            (state, reason, experiment_id),
        )

    def set_delta(self, experiment_id: ExperimentId, delta: float) -> None:
        self.connection.execute(
            "UPDATE experiments SET delta = ? WHERE experiment_id = ? AND delta IS NULL",
            (delta, experiment_id),
        )

    def set_summary(self, summary: ExperimentSummary) -> None:
        """What the swarm says of an experiment, for listings."""
        message = codec.experiment_summary_to_message(summary).SerializeToString()
        self.connection.execute(
            "UPDATE experiments SET swarm_summary = ?, state = ?, delta = ? WHERE experiment_id = ?",
            (message, summary.state, summary.delta, summary.experiment.experiment_id),
        )

    # Results

    def result_bytes(self, result_id: str) -> bytes | None:
        row = self.connection.execute(
            "SELECT message FROM results WHERE result_id = ?", (result_id,)
        ).fetchone()
        return None if row is None else bytes(row["message"])

    def put_result(self, result: Result, score: float | None, message: bytes) -> None:
        self.connection.execute(
            "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                result.result_id,
                self.next_number(),
                result.experiment_id,
                result.hardware.hardware_class,
                result.outcome,
                result.purpose,
                score,
                result.seed,
                result.verification_id,
                message,
            ),
        )

    def runs(
        self,
        hardware_class: HardwareClass,
        *,
        experiment_id: ExperimentId | None = None,
        verification: str = "",
    ) -> list[Run]:
        """Runs of a class in order of arrival, of one experiment or one verification if asked."""
        rows = self.connection.execute(
            "SELECT * FROM results WHERE hardware_class = ?1 AND (?2 IS NULL OR experiment_id = ?2)"
            " AND (?3 = '' OR verification_id = ?3) ORDER BY seq",
            (hardware_class, experiment_id, verification),
        )
        return [
            Run(
                experiment_id=ExperimentId(row["experiment_id"]),
                outcome=Outcome(row["outcome"]),
                purpose=Purpose(row["purpose"]),
                score=row["score"],
                seed=row["seed"],
            )
            for row in rows
        ]

    # What agents are told, and what they learned

    def program(self) -> Program | None:
        """The last that a swarm had in force."""
        row = self.connection.execute("SELECT message FROM program").fetchone()
        return None if row is None else codec.program_from_message(types_pb2.Program.FromString(row[0]))

    def set_program(self, program: Program) -> None:
        message = codec.program_to_message(program).SerializeToString()
        self.connection.execute("INSERT OR REPLACE INTO program VALUES (1, ?)", (message,))

    def put_insight(self, insight_id: InsightId, message: bytes) -> None:
        """Keeps it if it is new."""
        self.connection.execute(
            "INSERT OR IGNORE INTO insights VALUES (?, ?, ?)", (insight_id, self.next_number(), message)
        )

    def keep_insights(self, count: int) -> None:
        """Forgets all but the newest."""
        self.connection.execute(
            "DELETE FROM insights WHERE seq NOT IN (SELECT seq FROM insights ORDER BY seq DESC LIMIT ?)",
            (count,),
        )

    def insight_bytes(self, insight_id: InsightId) -> bytes | None:
        row = self.connection.execute(
            "SELECT message FROM insights WHERE insight_id = ?", (insight_id,)
        ).fetchone()
        return None if row is None else bytes(row["message"])

    def insight_messages(self) -> list[bytes]:
        """All of them, newest first."""
        rows = self.connection.execute("SELECT message FROM insights ORDER BY seq DESC")
        return [bytes(row["message"]) for row in rows]

    # Claims and keys

    def claim_row(self, claim_id: ClaimId) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self.connection.execute(
            "SELECT * FROM claims WHERE claim_id = ?", (claim_id,)
        ).fetchone()
        return row

    def live_claims(self, hardware_class: HardwareClass, kind: str, subject: str | None = None) -> int:
        row = self.connection.execute(
            "SELECT count(*) FROM claims WHERE hardware_class = ?1 AND kind = ?2"
            " AND (?3 IS NULL OR subject = ?3)",
            (hardware_class, kind, subject),
        ).fetchone()
        return int(row[0])

    def end_claim(self, claim_id: ClaimId) -> None:
        """Its keys go with it; an experiment that it started and that has no result is lost."""
        self.connection.execute(
            "UPDATE experiments SET state = 'lost' WHERE state = 'running'"
            " AND experiment_id = (SELECT experiment_id FROM claims WHERE claim_id = ?)",
            (claim_id,),
        )
        self.connection.execute("DELETE FROM claims WHERE claim_id = ?", (claim_id,))

    def end_expired(self, now: datetime) -> None:
        rows = self.connection.execute(
            "SELECT claim_id FROM claims WHERE expires_at <= ?", (now.timestamp(),)
        ).fetchall()
        for row in rows:
            self.end_claim(ClaimId(row["claim_id"]))

    def hold_keys(self, hardware_class: HardwareClass, claim_id: ClaimId, keys: Iterable[str]) -> None:
        self.connection.executemany(
            "INSERT OR REPLACE INTO held_keys VALUES (?, ?, ?)",
            [(hardware_class, key, claim_id) for key in keys],
        )

    def holder_of(
        self, hardware_class: HardwareClass, keys: Sequence[str], but: ClaimId
    ) -> tuple[str, sqlite3.Row] | None:
        """Which of the keys another live claim holds, with that claim."""
        for key in keys:
            row = self.connection.execute(
                "SELECT claims.* FROM held_keys JOIN claims USING (claim_id)"
                " WHERE held_keys.hardware_class = ? AND key = ? AND claim_id != ?",
                (hardware_class, key, but),
            ).fetchone()
            if row is not None:
                return key, row
        return None

    def put_tried(self, hardware_class: HardwareClass, keys: Iterable[str], by: ExperimentId) -> None:
        self.connection.executemany(
            "INSERT OR IGNORE INTO tried_keys VALUES (?, ?, ?)", [(hardware_class, key, by) for key in keys]
        )

    def tried_by(self, hardware_class: HardwareClass, keys: Sequence[str]) -> tuple[str, ExperimentId] | None:
        """Which of the keys was tried, and by which experiment that did not get lost."""
        for key in keys:
            row = self.connection.execute(
                "SELECT experiment_id FROM tried_keys JOIN experiments USING (experiment_id)"
                " WHERE tried_keys.hardware_class = ? AND key = ? AND state != 'lost' LIMIT 1",
                (hardware_class, key),
            ).fetchone()
            if row is not None:
                return key, ExperimentId(row["experiment_id"])
        return None

    def put_knobs(
        self, hardware_class: HardwareClass, values: Iterable[tuple[str, str]], by: ExperimentId
    ) -> None:
        self.connection.executemany(
            "INSERT OR IGNORE INTO knobs VALUES (?, ?, ?, ?)",
            [(hardware_class, knob, value, by) for knob, value in values],
        )

    def knob_rows(self, hardware_class: HardwareClass, knob: str) -> list[sqlite3.Row]:
        """Who tried which value of a constant, latest first."""
        return self.connection.execute(
            "SELECT value, experiment_id, delta FROM knobs JOIN experiments USING (experiment_id)"
            " WHERE knobs.hardware_class = ? AND knob = ? AND state NOT IN ('lost', 'running')"
            " ORDER BY seq DESC",
            (hardware_class, knob),
        ).fetchall()

    # Bests

    def class_row(self, hardware_class: HardwareClass) -> sqlite3.Row:
        self.connection.execute(
            "INSERT OR IGNORE INTO classes (hardware_class) VALUES (?)", (hardware_class,)
        )
        row: sqlite3.Row = self.connection.execute(
            "SELECT * FROM classes WHERE hardware_class = ?", (hardware_class,)
        ).fetchone()
        return row

    def working(self, hardware_class: HardwareClass) -> WorkingBest | None:
        row = self.connection.execute(
            "SELECT working FROM classes WHERE hardware_class = ?", (hardware_class,)
        ).fetchone()
        if row is None or row["working"] is None:
            return None
        return best_of(row["working"])

    def set_working(self, best: WorkingBest) -> None:
        self.class_row(best.hardware_class)
        self.connection.execute(
            "UPDATE classes SET working = ? WHERE hardware_class = ?",
            (codec.working_best_to_message(best).SerializeToString(), best.hardware_class),
        )

    def put_win(self, experiment_id: ExperimentId, hypothesis_id: str) -> None:
        self.connection.execute(
            "INSERT OR IGNORE INTO wins (experiment_id, hypothesis_id) VALUES (?, ?)",
            (experiment_id, hypothesis_id),
        )

    def win_rows(self) -> list[sqlite3.Row]:
        """Wins that are not settled and not refuted, with their experiments, oldest first."""
        return self.connection.execute(
            "SELECT experiments.*, wins.hypothesis_id FROM wins JOIN experiments USING (experiment_id)"
            " WHERE is_settled = 0 AND state != 'refuted' ORDER BY seq"
        ).fetchall()

    def waiting_idea_rows(self, hardware_class: HardwareClass) -> list[sqlite3.Row]:
        """The oldest ideas that are not done and that no claim is about."""
        return self.connection.execute(
            "SELECT * FROM ideas WHERE is_done = 0 AND hypothesis_id NOT IN"
            " (SELECT subject FROM claims WHERE subject IS NOT NULL AND hardware_class = ?)"
            " ORDER BY seq LIMIT ?",
            (hardware_class, IDEAS_SEEN_LIMIT),
        ).fetchall()

    def code_of_idea(self, hypothesis_id: str) -> bytes | None:
        """The code that an idea brought, None for one in words."""
        row = self.connection.execute(
            "SELECT message FROM ideas WHERE hypothesis_id = ?", (hypothesis_id,)
        ).fetchone()
        idea = codec.idea_from_message(ideas_pb2.Idea.FromString(row["message"])) if row else None
        return None if idea is None or idea.source_hash is None else self.source(idea.source_hash)

    def finish_idea(self, hypothesis_id: str) -> None:
        self.connection.execute("UPDATE ideas SET is_done = 1 WHERE hypothesis_id = ?", (hypothesis_id,))

    def open_verification(self, hardware_class: HardwareClass) -> Verification | None:
        row = self.connection.execute(
            "SELECT * FROM verifications WHERE hardware_class = ? AND state = 'open'", (hardware_class,)
        ).fetchone()
        if row is None:
            return None
        return Verification(
            verification_id=row["verification_id"],
            candidate_id=ExperimentId(row["candidate_id"]),
            previous=best_of(row["previous"]),
            issued=row["issued"],
        )

    def begin_verification(
        self, verification_id: str, candidate_id: ExperimentId, previous: WorkingBest
    ) -> None:
        self.connection.execute(
            "INSERT INTO verifications (verification_id, hardware_class, candidate_id, previous, state)"
            " VALUES (?, ?, ?, ?, 'open')",
            (
                verification_id,
                previous.hardware_class,
                candidate_id,
                codec.working_best_to_message(previous).SerializeToString(),
            ),
        )

    def count_pair(self, verification_id: str) -> None:
        self.connection.execute(
            "UPDATE verifications SET issued = issued + 1 WHERE verification_id = ?", (verification_id,)
        )

    def end_verification(self, verification_id: str, state: str) -> None:
        self.connection.execute(
            "UPDATE verifications SET state = ? WHERE verification_id = ?", (state, verification_id)
        )
        self.connection.execute(
            "DELETE FROM claims WHERE kind = 'verification' AND subject = ?", (verification_id,)
        )


def best_of(raw: bytes) -> WorkingBest:
    """A working best as it is stored."""
    return codec.working_best_from_message(types_pb2.WorkingBest.FromString(raw))
