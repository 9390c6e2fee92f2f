"""Reads a one-line description of an edit, in whatever words, to what can be compared."""

from autoresearch.edits.words.parent import read_text
from autoresearch.edits.words.reading import Reading, Setting

__all__ = ["Reading", "Setting", "read_text"]
