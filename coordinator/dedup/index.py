"""Every edit tried, in memory: by file, by edit, by stated changes, by the constants it turns.

Exact, rebuilt from the store and kept current by whoever follows its events. ``Neighbours`` is what
ranks and advises; the judge itself needs equality only.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from itertools import islice
from operator import itemgetter
from typing import Protocol

from autoresearch.edits.words import PackedReading, Reading, pack_reading, packed_terms, unpack_reading
from autoresearch.model import ExperimentId, HardwareClass

from coordinator.dedup.embedder import Near
from coordinator.domain.ordered import OrderedKeys

SCAN_LIMIT = 24
"""Edits of one constant on each side of a value, or latest with one word, that a search looks at."""

WORD_SCAN_LIMIT = 500
"""Latest edits of a class with one word that a search by words looks at."""

WORDS_LIMIT = 16
"""Words of a text that a search goes by: the rarest."""

TERM_SCAN_LIMIT = 64
"""Latest edits of a class with one term that are compared with a reading."""

UNLIKE = 10.0
"""Distance of values that cannot be compared, and of an edit that leaves the constant alone."""

_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedEdit:
    """What the index knows of one experiment. Empty texts are unknown.

    ``knobs``: canonical new value by constant. ``stated_key`` comes from the hypothesis,
    ``code_key`` from code that words can describe, in the same terms. ``size`` is the code's length.
    ``said`` is what the hypothesis says, read against the parent.
    """

    experiment_id: ExperimentId
    hardware_class: HardwareClass
    parent_id: ExperimentId | None
    title: str
    knobs: Mapping[str, str] = field(default_factory=dict)
    stated_key: str = ""
    code_key: str = ""
    edit_key: str = ""
    file_signature: str = ""
    size: int = 0
    said: PackedReading = ()

    @property
    def is_read(self) -> bool:
        """True once its code has been read."""
        return bool(self.file_signature)

    @property
    def reading(self) -> Reading | None:
        """What its hypothesis says; unpacked at each call."""
        return unpack_reading(self.said)


_Ids = dict[ExperimentId, None] | tuple[ExperimentId, ...]

_KINDS = ("file", "edit", "changes", "title", "knob", "value", "word", "term")


class _ClassIndex:
    """The places of one class: the experiments that are found there, oldest first, by kind and value.

    Most places have one experiment, whose id then stands there by itself: a collection for each would be most
    of the time and of the memory that an index takes.
    """

    __slots__ = ("numbers", "places", "size")

    def __init__(self) -> None:
        self.size = 0
        self.places: dict[str, dict[str, ExperimentId | dict[ExperimentId, None]]] = {
            kind: {} for kind in _KINDS
        }
        self.numbers: defaultdict[str, OrderedKeys[tuple[float, ExperimentId]]] = defaultdict(OrderedKeys)

    def add(self, edit: TriedEdit) -> None:
        self.size += 1
        key = edit.experiment_id
        for kind, values in _places(edit):
            place = self.places[kind]
            for value in values:
                known = place.get(value)
                if known is None:
                    place[value] = key
                elif isinstance(known, dict):
                    known[key] = None
                elif known != key:
                    place[value] = {known: None, key: None}
        for knob, value in edit.knobs.items():
            number = _number(value)
            if number is not None:
                self.numbers[knob].add((number, key))

    def remove(self, edit: TriedEdit) -> None:
        self.size -= 1
        key = edit.experiment_id
        for kind, values in _places(edit):
            place = self.places[kind]
            for value in values:
                known = place.get(value)
                if isinstance(known, dict):
                    known.pop(key, None)
                elif known == key:
                    del place[value]
        for knob, value in edit.knobs.items():
            number = _number(value)
            if number is not None:
                self.numbers[knob].remove((number, key))


def _places(edit: TriedEdit) -> Iterator[tuple[str, Sequence[str]]]:
    """Where an edit is found: values by kind."""
    if edit.file_signature:
        yield "file", (edit.file_signature,)
    if edit.edit_key:
        yield "edit", (edit.edit_key,)
    yield "changes", [value for value in (edit.stated_key, edit.code_key) if value]
    if title := plain(edit.title):
        yield "title", (title,)
    if edit.knobs:
        yield "knob", tuple(edit.knobs)
        yield "value", [f"{knob}={value}" for knob, value in edit.knobs.items()]
    yield "word", words_of(edit.title)
    yield "term", packed_terms(edit.said)


class Neighbours(Protocol):
    """Finds the tried edits that are nearest to an idea."""

    def nearest(
        self, hardware_class: HardwareClass, knobs: Mapping[str, str], title: str, *, limit: int
    ) -> tuple[ExperimentId, ...]:
        """Nearest first; the same class only."""


class EditIndex:
    """The exact index of one challenge; it ranks neighbours by the constants they share."""

    def __init__(self) -> None:
        self._edits: dict[ExperimentId, TriedEdit] = {}
        self._classes: dict[HardwareClass, _ClassIndex] = {}
        self._unread: dict[ExperimentId, None] = {}
        self._skipped: set[ExperimentId] = set()

    def __len__(self) -> int:
        return len(self._edits)

    def put(self, edit: TriedEdit) -> None:
        """Adds an edit, or replaces what was known of it."""
        key = edit.experiment_id
        known = self._edits.get(key)
        if known == edit:
            return
        if known is not None:
            self._classes[known.hardware_class].remove(known)
        found = self._classes.get(edit.hardware_class)
        if found is None:
            found = self._classes[edit.hardware_class] = _ClassIndex()
        found.add(edit)
        self._edits[key] = edit
        if edit.is_read:
            self._unread.pop(key, None)
        elif key not in self._skipped:
            self._unread[key] = None

    def get(self, experiment_id: ExperimentId) -> TriedEdit | None:
        """What is known of one experiment."""
        return self._edits.get(experiment_id)

    def classes(self) -> tuple[HardwareClass, ...]:
        """Every class that an edit is known of."""
        return tuple(self._classes)

    def added_after(self, count: int) -> tuple[TriedEdit, ...]:
        """The experiments that came after the first ``count``, oldest first."""
        return tuple(islice(self._edits.values(), count, None))

    def unread(self) -> tuple[ExperimentId, ...]:
        """Experiments whose code has not been read yet, latest first."""
        return tuple(reversed(self._unread))

    def skip(self, experiment_id: ExperimentId) -> None:
        """Its code cannot be read; its words are all there is."""
        self._skipped.add(experiment_id)
        self._unread.pop(experiment_id, None)

    def same_file(self, hardware_class: HardwareClass, signature: str) -> tuple[TriedEdit, ...]:
        """Experiments whose files do the same, oldest first."""
        return self._at(hardware_class, "file", signature)

    def same_edit(self, hardware_class: HardwareClass, edit_key: str) -> tuple[TriedEdit, ...]:
        """Experiments whose edits do the same, on whatever parent, oldest first."""
        return self._at(hardware_class, "edit", edit_key)

    def same_changes(self, hardware_class: HardwareClass, key: str) -> tuple[TriedEdit, ...]:
        """Experiments that state or make the same changes, on whatever parent, oldest first."""
        return self._at(hardware_class, "changes", key)

    def same_title(self, hardware_class: HardwareClass, title: str) -> tuple[TriedEdit, ...]:
        """Experiments with the same title but for case and blanks, oldest first."""
        return self._at(hardware_class, "title", plain(title))

    def with_knob(
        self, hardware_class: HardwareClass, knob: str, *, limit: int = SCAN_LIMIT
    ) -> tuple[TriedEdit, ...]:
        """The latest edits of one constant, latest first."""
        return self._latest(hardware_class, "knob", knob, limit=limit)

    def count(self, hardware_class: HardwareClass, knob: str, value: str) -> int:
        """How often a constant was given a value."""
        return self._count(hardware_class, "value", f"{knob}={value}")

    def nearest(
        self, hardware_class: HardwareClass, knobs: Mapping[str, str], title: str, *, limit: int
    ) -> tuple[ExperimentId, ...]:
        """By distance of the values of the same constants; by shared words of titles without any."""
        if knobs:
            found = {
                edit.experiment_id: edit
                for knob, value in knobs.items()
                for edit in self._around(hardware_class, knob, value)
            }
            ranked = sorted(found.values(), key=lambda edit: (_distance(knobs, edit.knobs), _newness(edit)))
            return tuple(edit.experiment_id for edit in ranked[:limit])
        sharing = self.sharing_words(title, limit=limit, hardware_class=hardware_class, scan_limit=SCAN_LIMIT)
        return tuple(near.experiment_id for near in sharing)

    def sharing_words(
        self,
        text: str,
        *,
        limit: int,
        hardware_class: HardwareClass | None = None,
        accepts: Callable[[ExperimentId], bool] | None = None,
        scan_limit: int = WORD_SCAN_LIMIT,
    ) -> tuple[Near, ...]:
        """Experiments whose titles share words with a text; what share of them, rare ones counting more."""
        classes = tuple(self._classes) if hardware_class is None else (hardware_class,)
        experiments = sum(self._classes[one].size for one in classes if one in self._classes)
        having = {word: sum(self._count(one, "word", word) for one in classes) for word in words_of(text)}
        rarest = sorted(having, key=lambda word: having[word])[:WORDS_LIMIT]
        weights = {word: math.log((experiments + 1) / (having[word] + 0.5)) for word in rarest}
        shared: dict[ExperimentId, float] = defaultdict(float)
        for word, weight in weights.items():
            for one in classes:
                for edit in self._latest(one, "word", word, limit=scan_limit):
                    shared[edit.experiment_id] += weight
        total = math.fsum(weights.values())
        accepted = (key for key in shared if accepts is None or accepts(key))
        nearest = nlargest(limit, accepted, key=lambda key: (shared[key], -_newness(self._edits[key])))
        return tuple(Near(key, shared[key] / total) for key in nearest)

    def sharing_terms(
        self, hardware_class: HardwareClass, reading: Reading, *, limit: int
    ) -> tuple[TriedEdit, ...]:
        """Edits whose titles set the same knobs or name the same mechanisms, the most alike first."""
        terms = terms_of(reading)
        found: dict[ExperimentId, TriedEdit] = {}
        shared: dict[ExperimentId, int] = defaultdict(int)
        for term in terms:
            for edit in self._latest(hardware_class, "term", term, limit=TERM_SCAN_LIMIT):
                found[edit.experiment_id] = edit
                shared[edit.experiment_id] += 1
        sizes = {key: len(packed_terms(edit.said)) for key, edit in found.items()}
        nearest = nsmallest(
            limit, found, key=lambda key: (sizes[key] - 2 * shared[key], _newness(found[key]))
        )
        return tuple(found[key] for key in nearest)

    def _ids(self, hardware_class: HardwareClass, kind: str, value: str) -> _Ids:
        """The experiments at one place, oldest first."""
        found = self._classes.get(hardware_class)
        ids = found.places[kind].get(value) if found is not None else None
        if ids is None:
            return ()
        return ids if isinstance(ids, dict) else (ids,)

    def _count(self, hardware_class: HardwareClass, kind: str, value: str) -> int:
        return len(self._ids(hardware_class, kind, value))

    def _at(self, hardware_class: HardwareClass, kind: str, value: str) -> tuple[TriedEdit, ...]:
        if not value:
            return ()
        return tuple(self._edits[key] for key in self._ids(hardware_class, kind, value))

    def _around(self, hardware_class: HardwareClass, knob: str, value: str) -> Iterable[TriedEdit]:
        """Edits that give a constant this value, then those with the next smaller and larger numbers."""
        yield from self._latest(hardware_class, "value", f"{knob}={value}")
        number = _number(value)
        if number is None:
            yield from self._latest(hardware_class, "knob", knob)
            return
        found = self._classes.get(hardware_class)
        numbers = found.numbers[knob].all() if found is not None and knob in found.numbers else ()
        below = bisect_left(numbers, (number,))
        above = bisect_right(numbers, number, key=itemgetter(0))
        for _, key in (*numbers[max(0, below - SCAN_LIMIT) : below], *numbers[above : above + SCAN_LIMIT]):
            yield self._edits[key]

    def _latest(
        self, hardware_class: HardwareClass, kind: str, value: str, *, limit: int = SCAN_LIMIT
    ) -> tuple[TriedEdit, ...]:
        ids = self._ids(hardware_class, kind, value)
        return tuple(self._edits[key] for key in islice(reversed(ids), limit))


def plain(text: str) -> str:
    """A title without its case and blanks."""
    return " ".join(text.casefold().split())


def words_of(text: str) -> Sequence[str]:
    """The words and figures of a text, each once, in order; the parts of ``MATRIX_LR`` are two of them."""
    return tuple(dict.fromkeys(_WORD.findall(text.casefold())))


def terms_of(reading: Reading) -> tuple[str, ...]:
    """The mechanisms of a reading, and its knobs with their scopes."""
    return packed_terms(pack_reading(reading))


def _newness(edit: TriedEdit) -> int:
    """Sorts later ids, which are times, first."""
    return -int(edit.experiment_id.replace("-", ""), 16)


def _distance(asked: Mapping[str, str], tried: Mapping[str, str]) -> float:
    return math.fsum(
        _value_distance(value, tried[knob]) if knob in tried else UNLIKE for knob, value in asked.items()
    ) + len(set(tried) - set(asked))


def _value_distance(one: str, other: str) -> float:
    if one == other:
        return 0.0
    left, right = _number(one), _number(other)
    if left is not None and right is not None and left > 0 and right > 0:
        return min(UNLIKE, abs(math.log(left) - math.log(right)))
    return 1.0


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
