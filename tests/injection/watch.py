"""Looks for markers and secrets where none may be, and writes down where it looked."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MARKER = re.compile(r"zq\d{3}x[a-wyz]+x")
DATA_LINE = re.compile(r"\s*> |\| .* \|$|\|(?:-{3}\|)+$|\s*\d+\| ")
"""Quotations, rows of tables and numbered code: what the system prompt says is data."""

ROW_BARS = 6
BLOCK = "<data>"
SHOWN_CHARS = 120
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Something in a place that is not for it."""

    place: str
    what: str
    shown: str


class Watch:
    """Collects leaks. ``places`` counts looks, ``reached`` are markers seen where they belong."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.leaks: list[Leak] = []
        self.places: Counter[str] = Counter()
        self.reached: set[str] = set()
        self._secrets = tuple(secrets)

    def without_texts(self, place: str, text: str) -> None:
        """Nothing of the corpus may be in it."""
        self.places[place] += 1
        for found in MARKER.findall(text):
            self._tell(place, found, text[max(0, text.index(found) - 40) :])

    def quoted(self, place: str, text: str) -> None:
        """The corpus may be in it, on lines that are data, and nothing that nobody sees."""
        self.visible(place, text, allowed="\n\t")
        for line in text.split("\n"):
            found = MARKER.findall(line)
            if not found:
                continue
            if DATA_LINE.match(line) and (line[0] != "|" or line.count("|") == ROW_BARS):
                self.reached.update(found)
            else:
                self._tell(place, found[0], line)

    def same_frame(self, place: str, text: str, plain: str) -> None:
        """Our own words around the data are those that stand around harmless data."""
        self.places[f"{place}, our own words"] += 1
        if frame(text) != frame(plain):
            differing = [line for line in frame(text) if line not in frame(plain)]
            self._tell(f"{place}, our own words", "another frame", " / ".join(differing) or "fewer blocks")

    def visible(self, place: str, text: str, *, allowed: str = "\n") -> None:
        """No control characters, and none that a model reads and nobody sees."""
        self.places[place] += 1
        for char in set(text) - set(allowed):
            if is_hidden(char):
                at = text.index(char)
                self._tell(place, f"U+{ord(char):04X}", repr(text[max(0, at - 40) : at + 40]))

    def without_secrets(self, place: str, text: str | bytes) -> None:
        """None of the canaries may be in it."""
        self.places[f"{place}, secrets"] += 1
        whole = text if isinstance(text, str) else text.decode("utf-8", errors="replace")
        for secret in self._secrets:
            if secret in whole:
                self._tell(f"{place}, secrets", "a canary", whole[max(0, whole.index(secret) - 40) :])

    def expect(self, place: str, seen: object, wanted: object) -> None:
        """Anything else that has to be as it is."""
        self.places[place] += 1
        if seen != wanted:
            self._tell(place, f"not {wanted!r:.60}", repr(seen))

    def lacking(self, wanted: Sequence[str]) -> list[str]:
        """Markers that reached no place for data: a harness that delivers nothing finds nothing."""
        return [one for one in wanted if one not in self.reached]

    def _tell(self, place: str, what: str, shown: str) -> None:
        self.leaks.append(Leak(place=place, what=what, shown=shown[:SHOWN_CHARS]))


def frame(text: str) -> list[str]:
    """The text with each unbroken run of data as one line."""
    lines: list[str] = []
    for line in text.split("\n"):
        if DATA_LINE.match(line):
            if lines[-1:] != [BLOCK]:
                lines.append(BLOCK)
        else:
            lines.append(line)
    return lines


def is_hidden(char: str) -> bool:
    """True for controls, and for what has no shape of its own."""
    is_selector = 0xFE00 <= ord(char) <= 0xFE0F or 0xE0100 <= ord(char) <= 0xE01EF
    return unicodedata.category(char) in HIDDEN_CATEGORIES or char in FILLERS or is_selector
