"""``dedup judge``: JSON lines in, JSON lines out, and what it says of a line that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.dedup.pair_lines import LINE_LIMIT_BYTES

runner = CliRunner()
GOOD = {"id": "p1", "a": "DEPTH 8 -> 10", "b": "ten layers instead of eight: depth 8 to 10"}


def lines(*items: object) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def test_each_pair_gets_one_line_with_its_id(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(lines(GOOD, {"a": "DEPTH 8 -> 10", "b": "DEPTH 8 -> 12", "label": 0}))

    result = runner.invoke(app, ["dedup", "judge", str(file)])

    first, second = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 0
    assert (first["id"], first["verdict"]) == ("p1", "block")
    assert second.keys() == {"verdict", "reason"}
    assert second["verdict"] == "allow"


def test_standard_input_is_read_and_blank_lines_are_passed_over() -> None:
    result = runner.invoke(app, ["dedup", "judge", "-"], input=b"\n" + lines(GOOD) + b"  \n")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"not json\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b"[1, 2]\n", "no JSON object"),
        (b'{"a": "x"}\n', "'b' is not a text"),
        (b'{"a": 3, "b": "x"}\n', "'a' is not a text"),
        (b'{"a": "x", "b": "y", "a_code": 7}\n', "'a_code' is not a text"),
        (b'{"a": "x", "b": "y", "a_code": "x = (", "b_code": "x = 1"}\n', "not Python"),
        (b'{"a": "\xff", "b": "y"}\n', "not UTF-8"),
        (b'{"a": "' + b"x" * LINE_LIMIT_BYTES + b'"}\n', "one pair on each line"),
    ],
)
def test_a_bad_line_is_named_after_those_before_it_were_answered(line: bytes, told: str) -> None:
    result = runner.invoke(app, ["dedup", "judge", "-"], input=lines(GOOD, GOOD) + line + lines(GOOD))

    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 2
    assert "line 3" in result.stderr
    assert told in result.stderr


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    result = runner.invoke(app, ["dedup", "judge", str(tmp_path / "none.jsonl")])

    assert result.exit_code == 2
