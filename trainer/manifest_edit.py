"""Changes values in a manifest's TOML and leaves every other character, comments too, as it is."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from trainer.corpora import CorpusError

Place = tuple[str, int]
"""Header of a table as written between its brackets, and which one of an array of tables (0 for a table)."""

_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(?:#.*)?")
_VALUE = re.compile(
    r"""(\s*)([A-Za-z0-9_-]+)(\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s#"'\[{]+)(\s*(?:#.*)?)"""
)


def with_values(manifest_toml: str, edits: Mapping[Place, Mapping[str, str | int]]) -> str:
    """Replaces values that stand on one line each.

    Raises:
        CorpusError: The manifest has no such table or key, or the key's value spans lines.
    """
    wanted = {(place, key): value for place, values in edits.items() for key, value in values.items()}
    done: set[tuple[Place, str]] = set()
    seen: dict[str, int] = {}
    here: Place = ("", 0)
    lines = []
    for line in manifest_toml.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        if header := _HEADER.fullmatch(body):
            here = (header[1], seen.get(header[1], 0))
            seen[header[1]] = here[1] + 1
        elif (found := _VALUE.fullmatch(body)) and (spot := (here, found[2])) in wanted:
            done.add(spot)
            line = f"{found[1]}{found[2]}{found[3]}{_spelled(wanted[spot])}{found[5]}{line[len(body) :]}"  # noqa: PLW2901
        lines.append(line)
    missing = wanted.keys() - done
    if missing:
        (table, index), key = min(missing)
        raise CorpusError(f"the manifest has no line for {key} in [{table}] number {index}; add it")
    edited = "".join(lines)
    _check(edited, edits)
    return edited


def _spelled(value: str | int) -> str:
    return json.dumps(value)  # strings, whole numbers and truth values are spelt alike in TOML


def _check(edited: str, edits: Mapping[Place, Mapping[str, str | int]]) -> None:
    """The edited text says exactly what was meant, by a real parser's judgement."""
    document = tomllib.loads(edited)
    for (table, index), values in edits.items():
        place: Any = document
        for step in table.split("."):
            place = place[step]
        place = place[index] if isinstance(place, list) else place
        for key, value in values.items():
            assert place[key] == value, f"{table}.{key} came out as {place[key]!r}"  # noqa: S101 - our own bug
