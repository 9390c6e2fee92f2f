"""Which rules signatures, canonical changes and readings are made by, for those who keep them."""

from __future__ import annotations

RULES = 1
"""Raised with every change of what a source, an edit or a description is read to: a vocabulary with other
terms, another normalisation, another canonical value, another scheme of a digest. What was kept under another
number is read again, and what blocks by it is written again. ``tests/edits/test_rules.py`` and
``tests/coordinator_dedup/test_tried_keys.py`` fail where that was forgotten.
"""
