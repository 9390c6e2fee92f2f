"""Opens the node's SQLite files: shared by its workers, on disk when a statement returns.

What the world does to a file (no room, no permission, damage) is an error of ours that names the file and
the way out; what only a bug can do stays sqlite3's.

    SwarmError
    └── StateFileError          the file cannot be used now; nothing was decided, and it may pass
        └── StateFileDamaged    the file is no database (any more); it will not pass
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from autoresearch.errors import SwarmError

BUSY_LIMIT_S = 30.0
"""How long a worker waits for another's transaction, each of which takes milliseconds."""

_PRIMARY = 0xFF
"""SQLite's extended codes have the plain one in their low byte."""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FIXES = {
    sqlite3.SQLITE_FULL: "make room on its disk",
    sqlite3.SQLITE_BUSY: "another program holds it; end that program",
    sqlite3.SQLITE_LOCKED: "another program holds it; end that program",
    sqlite3.SQLITE_READONLY: "mend its permissions and those of its folder",
    sqlite3.SQLITE_CANTOPEN: "mend its permissions and those of its folder",
    sqlite3.SQLITE_PERM: "mend its permissions and those of its folder",
    sqlite3.SQLITE_IOERR: "look at its disk",
    sqlite3.SQLITE_PROTOCOL: "look at its disk: SQLite needs locks, which network disks may lack",
}


class StateFileError(SwarmError):
    """A file of this node's state cannot be used now."""

    code: ClassVar[str] = "state_file"

    def __init__(self, seen: str, fix: str) -> None:
        super().__init__(f"{seen}; {fix}")
        self.seen = seen
        self.fix = fix


class StateFileDamaged(StateFileError):
    """A file of this node's state is no database, or holds nonsense."""

    code: ClassVar[str] = "state_file_damaged"


class _Cursor(sqlite3.Cursor):
    """Every way to a row, since a disk may fail at any of them."""

    def execute(self, *arguments: Any) -> Self:
        with self._named():
            super().execute(*arguments)
        return self

    def executemany(self, *arguments: Any) -> Self:
        with self._named():
            super().executemany(*arguments)
        return self

    def fetchone(self) -> Any:
        with self._named():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with self._named():
            return super().fetchall()

    def __next__(self) -> Any:
        with self._named():
            return super().__next__()

    def _named(self) -> AbstractContextManager[None]:
        connection = self.connection
        assert isinstance(connection, _Connection), "cursors come from open_database"  # noqa: S101
        return _named(connection.path)


class _Connection(sqlite3.Connection):
    path: Path

    def execute(self, *arguments: Any) -> _Cursor:
        return self.cursor(_Cursor).execute(*arguments)

    def executemany(self, *arguments: Any) -> _Cursor:
        return self.cursor(_Cursor).executemany(*arguments)


def open_database(path: Path, schema: str = "") -> sqlite3.Connection:
    """A connection in autocommit mode; ``schema`` is a script that may run at every start.

    WAL lets readers in beside a writer; FULL makes every commit wait for the disk.

    Raises:
        StateFileError: The file cannot be opened or made, is damaged, or its disk is full. So may whatever
            uses the connection.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _named(path):
        connection = sqlite3.connect(path, timeout=BUSY_LIMIT_S, isolation_level=None, factory=_Connection)
    connection.path = path
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        with transaction(connection):
            for statement in schema.split(";"):
                connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def check_database(path: Path) -> None:
    """Reads every page of a file that is there. Raises StateFileError."""
    connection = open_database(path)
    try:
        complaint = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    finally:
        connection.close()
    if complaint != "ok":
        raise _damaged(path, str(complaint))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; takes the writer's place at once, so that no read grows stale."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
        if code in _DAMAGED:
            raise _damaged(path, str(error)) from error
        if code in _FIXES:
            raise StateFileError(f"{path} cannot be used ({error})", _FIXES[code]) from error
        raise


def _damaged(path: Path, complaint: str) -> StateFileDamaged:
    reason = " ".join(complaint.split())
    return StateFileDamaged(
        f"{path} is damaged ({reason})",
        f"move it aside with its companions (mv {path}* elsewhere) and start again with a new one; "
        "only what it held is missing then",
    )
