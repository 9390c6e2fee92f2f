"""A reading as a few short texts: thousands are kept, and most are asked for nothing but their terms.

The first text counts what the others are, in the order of `_COUNTED` and without the zeros at its end. Five
texts follow for each setting: subject, old value, new value, factor, and what is left of it. No name has a
tab in it and no stem a blank, so that these part them; a value may have any.
"""

from __future__ import annotations

from collections.abc import Iterator

from autoresearch.edits.words.reading import Reading, Setting

PackedReading = tuple[str, ...]
"""Empty where there is no reading."""

_SETS = ("added", "removed", "words", "amounts", "rest", "mentioned", "replaced", "context", "before")
_COUNTED = ("settings", "added", "removed", "is_specific", *_SETS[2:], "has_details")
_SETTING_TEXTS = 5
_BETWEEN = "\t"
_MARKS = {"u": "up", "d": "down"}
_MECHANISM_MARK = "m"


def pack_reading(reading: Reading | None) -> PackedReading:
    """A reading in its short form."""
    if reading is None:
        return ()
    counts = [_count(getattr(reading, name)) for name in _COUNTED]
    while len(counts) > 1 and not counts[-1]:
        del counts[-1]
    texts = [",".join(map(str, counts))]
    for setting in reading.settings.values():
        texts += [_joined(setting.subject), setting.old, setting.new, setting.factor, _marks(setting)]
    for name in _SETS:
        texts.extend(sorted(getattr(reading, name)))
    return tuple(texts)


def unpack_reading(packed: PackedReading) -> Reading | None:
    """The reading that ``pack_reading`` was given."""
    if not packed:
        return None
    counts = _counts(packed)
    settings = [_setting(*texts) for texts in _setting_texts(packed, counts["settings"])]
    sets: dict[str, frozenset[str]] = {}
    at = 1 + _SETTING_TEXTS * len(settings)
    for name in _SETS:
        sets[name] = frozenset(packed[at : at + counts[name]])
        at += counts[name]
    return Reading(
        settings={setting.subject: setting for setting in settings},
        is_specific=bool(counts["is_specific"]),
        has_details=bool(counts["has_details"]),
        **sets,
    )


def packed_terms(packed: PackedReading) -> tuple[str, ...]:
    """What a packed reading is about: its knobs with their scopes, then its mechanisms; each once."""
    if not packed:
        return ()
    settings, *counts = map(int, packed[0].split(","))
    at = 1 + _SETTING_TEXTS * settings
    terms = packed[1:at:_SETTING_TEXTS]
    mechanisms = packed[at : at + sum(counts[:2])]
    return tuple(dict.fromkeys(terms + mechanisms)) if mechanisms else terms


def _count(value: object) -> int:
    return int(value) if isinstance(value, bool) else len(value)  # type: ignore[arg-type]


def _counts(packed: PackedReading) -> dict[str, int]:
    counts = [int(text) for text in packed[0].split(",")]
    return dict(zip(_COUNTED, counts + [0] * (len(_COUNTED) - len(counts)), strict=True))


def _joined(terms: frozenset[str]) -> str:
    return _BETWEEN.join(sorted(terms))


def _marks(setting: Setting) -> str:
    """Direction and kind in a word of their own, then the qualifiers."""
    marks = setting.direction[:1] + (_MECHANISM_MARK if setting.is_mechanism else "")
    return " ".join([marks, *sorted(setting.qualifiers)]).rstrip()


def _setting_texts(packed: PackedReading, count: int) -> Iterator[PackedReading]:
    for at in range(1, 1 + _SETTING_TEXTS * count, _SETTING_TEXTS):
        yield packed[at : at + _SETTING_TEXTS]


def _setting(subject: str, old: str, new: str, factor: str, rest: str) -> Setting:
    marks, _, qualifiers = rest.partition(" ")
    return Setting(
        subject=frozenset(subject.split(_BETWEEN)) if subject else frozenset(),
        old=old,
        new=new,
        factor=factor,
        direction=_MARKS.get(marks[:1], ""),
        qualifiers=frozenset(qualifiers.split()),
        is_mechanism=marks.endswith(_MECHANISM_MARK),
    )
