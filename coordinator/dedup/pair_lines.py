"""Pairs of edits as JSON lines, and their verdicts: what ``dedup judge`` reads and prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from autoresearch.edits import EditError

from coordinator.dedup.pairs import Pair, judge_pair

LINE_LIMIT_BYTES = 1_000_000
"""Three sources of 64 KiB, escaped, and two descriptions are below half of it."""

_EXAMPLE = '{"a": "MATRIX_LR 0.04 -> 0.05", "b": "raise the Muon LR to 0.05"}'
_CODES = ("a_code", "b_code", "parent_code")


class PairLineError(ValueError):
    """A line cannot be judged; the message names it and says what to give."""


def judge_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """One JSON line for each pair, as soon as it is judged; blank lines are passed over.

    Raises:
        PairLineError: A line is no pair; all lines before it have been answered.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = _read_fields(line)
            verdict = judge_pair(_read_pair(fields))
        except (PairLineError, EditError) as error:
            raise PairLineError(f"line {number}: {error}") from error
        answer = {"verdict": verdict.answer.value, "reason": verdict.reason}
        known = {"id": fields["id"]} if "id" in fields else {}
        yield json.dumps(known | answer)


def _read_fields(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_LIMIT_BYTES:
        raise PairLineError(f"it has over {LINE_LIMIT_BYTES:,} bytes; give one pair on each line")
    try:
        fields = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PairLineError(f"it is not UTF-8; give an object such as {_EXAMPLE}") from error
    except (ValueError, RecursionError) as error:
        raise PairLineError(f"it is not JSON; give an object such as {_EXAMPLE}") from error
    if not isinstance(fields, dict):
        raise PairLineError(f"it is no JSON object; give one such as {_EXAMPLE}")
    return fields


def _read_pair(fields: dict[str, Any]) -> Pair:
    for name in ("a", "b"):
        if not isinstance(fields.get(name), str):
            raise PairLineError(f"{name!r} is not a text; give two descriptions, such as {_EXAMPLE}")
    codes: dict[str, str] = {}
    for name in _CODES:
        code = fields.get(name)
        if code is not None and not isinstance(code, str):
            raise PairLineError(f"{name!r} is not a text; give the source of a train.py or leave it out")
        codes[name] = code or ""
    return Pair(a=fields["a"], b=fields["b"], **codes)
