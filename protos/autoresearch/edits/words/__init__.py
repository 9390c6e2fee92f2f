"""Reads a one-line description of an edit, in whatever words, to what can be compared."""

from autoresearch.edits.words.canonical import changes_from_reading
from autoresearch.edits.words.packing import (
    PackedReading,
    pack_reading,
    packed_terms,
    unpack_reading,
)
from autoresearch.edits.words.parent import read_text
from autoresearch.edits.words.reading import Reading, Setting
from autoresearch.edits.words.stated import reading_of_changes

__all__ = [
    "PackedReading",
    "Reading",
    "Setting",
    "changes_from_reading",
    "pack_reading",
    "packed_terms",
    "read_text",
    "reading_of_changes",
    "unpack_reading",
]
