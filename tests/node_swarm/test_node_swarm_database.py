import sqlite3

import pytest
from autoresearch.model import utc_now

from node.exit_codes import ExitCode, exit_code_of
from node.swarm.database import (
    StateFileDamaged,
    StateFileError,
    check_database,
    open_database,
    transaction,
)
from node.swarm.outbox import Outbox
from node.swarm.solo_store import SoloStore

SCHEMA = "CREATE TABLE IF NOT EXISTS texts (text BLOB)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.sqlite"


@pytest.fixture
def connection(path):
    opened = open_database(path, SCHEMA)
    yield opened
    opened.close()


def fill(connection):
    connection.execute("PRAGMA max_page_count = 1")  # SQLite takes what is there for the least
    for size in (100_000, 100):
        with transaction(connection):
            connection.execute("INSERT INTO texts VALUES (?)", (b"x" * size,))


def test_full_disk_names_the_file_and_asks_for_room(connection, path):
    with pytest.raises(StateFileError, match="make room") as caught:
        fill(connection)

    assert str(path) in caught.value.message
    assert caught.value.__cause__.sqlite_errorname == "SQLITE_FULL"
    assert not isinstance(caught.value, StateFileDamaged)


def test_file_serves_on_once_there_is_room(connection):
    with pytest.raises(StateFileError):
        fill(connection)
    connection.execute("PRAGMA max_page_count = 1000000")

    with transaction(connection):
        connection.execute("INSERT INTO texts VALUES ('kept')")

    assert [row["text"] for row in connection.execute("SELECT text FROM texts")] == ["kept"]


def test_file_that_may_not_be_written_is_about_permissions(connection):
    connection.execute("PRAGMA query_only = ON")

    with pytest.raises(StateFileError, match="permissions"):
        connection.execute("INSERT INTO texts VALUES ('x')")


@pytest.mark.parametrize("use", [lambda path: Outbox(path, now=utc_now), SoloStore, check_database])
def test_garbage_is_damaged_and_says_what_to_do(path, use):
    path.write_bytes(b"garbage\n")

    with pytest.raises(
        StateFileDamaged, match=r"is damaged \(file is not a database\); move it aside"
    ) as caught:
        use(path)

    assert "\n" not in caught.value.message
    assert exit_code_of(caught.value) is ExitCode.FAILURE


def test_page_that_is_overwritten_is_found_by_the_check(path):
    opened = open_database(path, SCHEMA)
    opened.executemany("INSERT INTO texts VALUES (?)", [(b"x" * 3000,)] * 20)
    opened.close()
    check_database(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])

    with pytest.raises(StateFileDamaged, match="move it aside"):
        check_database(path)


def test_bug_of_ours_is_not_told_as_a_damaged_file(connection):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.execute("SELECT 1 FROM nowhere")
