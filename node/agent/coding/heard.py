"""What was heard of a tool while it works: what it spent, what it said, and why it gave up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from autoresearch.model import Usage

LINE_LIMIT_BYTES = 4 * 1024 * 1024
"""Tools repeat whole files in their output; a line that is longer tells nothing that we read."""

SAID_LIMIT_CHARS = 64 * 1024
TOKENS_LIMIT = 10**12
"""More than any model reads in a day: a larger count is an error."""


@dataclass(slots=True)
class Heard:
    """What has come so far.

    ``calls`` are the calls of models by a name of each: it is set again where a later line knows more of it.
    ``whole`` is the tool's own sum, where it tells one. ``told_usd`` is what it says that the whole has cost.
    ``problem`` is why it failed, in its words; ``is_refused`` where the key or the model was, which no second
    attempt mends.
    """

    calls: dict[str, Usage] = field(default_factory=dict)
    whole: tuple[Usage, ...] = ()
    told_usd: float | None = None
    said: str = ""
    problem: str = ""
    is_refused: bool = False

    def say(self, text: object) -> None:
        """More of what the model says."""
        if isinstance(text, str):
            self.said = (self.said + text)[-SAID_LIMIT_CHARS:]

    def fail(self, text: object, *, is_refused: bool = False) -> None:
        """The tool says that it failed."""
        self.problem = text if isinstance(text, str) and text else "it does not say why"
        self.is_refused = self.is_refused or is_refused

    @property
    def usages(self) -> tuple[Usage, ...]:
        """What was spent, call by call; by model where the tool's sum knows more than its calls."""
        calls = tuple(self.calls.values())
        return self.whole if total(self.whole).tokens > total(calls).tokens else calls


class Lines:
    """Cuts a stream of bytes into lines of JSON; what is none, or too long, is passed over."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_skipping = False

    def take(self, piece: bytes) -> list[Mapping[str, Any]]:
        """The objects that ``piece`` completes."""
        *lines, last = piece.split(b"\n")
        found = []
        for line in lines:
            whole = bytes(self._rest) + line
            self._rest.clear()
            if not self._is_skipping and len(whole) <= LINE_LIMIT_BYTES:
                found += _parsed(whole)
            self._is_skipping = False
        self._rest += last
        if len(self._rest) > LINE_LIMIT_BYTES:
            self._rest.clear()
            self._is_skipping = True
        return found

    def end(self) -> list[Mapping[str, Any]]:
        """What a last line without an end holds."""
        rest = b"" if self._is_skipping else bytes(self._rest)
        self._rest.clear()
        return _parsed(rest)


def total(usages: tuple[Usage, ...]) -> Usage:
    """All of them together."""
    return reduce(add, usages, Usage())


def part(value: object, *names: str) -> Mapping[str, Any]:
    """The object within an object that the names lead to; an empty one where they lead nowhere."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    return value if isinstance(value, int) and 0 <= value <= TOKENS_LIMIT else 0


def dollars(value: object) -> float | None:
    """A sum of money; None for what is none."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0.0 <= value < TOKENS_LIMIT else None  # type: ignore[arg-type, operator]


def text(value: object) -> str:
    """A text; empty for what is none."""
    return value if isinstance(value, str) else ""


def _parsed(line: bytes) -> list[Mapping[str, Any]]:
    if not line.lstrip().startswith(b"{"):
        return []
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return [event] if isinstance(event, dict) else []
