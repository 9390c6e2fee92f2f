"""Which rules signatures, canonical changes and readings are made by, for those who keep them."""

from __future__ import annotations

RULES = 1
"""Raised with every change of what a source, an edit or a description is read to: a vocabulary with other
terms, another normalisation, another canonical value. What was kept under another number is read again.
``tests/edits/test_rules.py`` fails where that was forgotten.
"""
