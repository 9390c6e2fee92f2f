"""What an edit of ``train.py`` does, so that duplicates are judged by that and not by how it sounds.

Node and coordinator compute all of this from the same texts, so neither has to trust the other. Nothing
here runs the code, does I/O or needs more than the standard library; every function is bounded in time
for hostile input and raises `EditError`, a sentence, for what it cannot judge. Three levels:

1. **The file.** `file_signature` is equal for two files that do the same. Comments, docstrings,
   formatting, the spelling and arithmetic of constants and their order are gone; values stay.
2. **The edit.** `edit_signature` compares a file with its parent: the constants that were set, with
   resolved values, and the normalised rest. Its key does not name the parent, so that the same edit is
   recognised on another one.
3. **The words.** `canonical_changes` brings the structured changes of a hypothesis into the terms of
   level 2, `changes_from_title` does it for a title that is an exact statement, ``words`` for one in free
   words that comes to the same. `changes_of_edit` gives an edit's key on this level: a claim in words and
   a start with code meet there. `words_match` says where a hypothesis and its own edit differ.

`constants_of` lists what there is to turn in a file, `program_size` says how long it is, and `merge.merge`
puts edits of one parent together. `RULES` numbers the rules that all of this is made by.
"""

from autoresearch.edits.agreement import words_match
from autoresearch.edits.changes import CanonicalChanges, canonical_changes, changes_of_edit
from autoresearch.edits.constants import Constant, ConstantTable
from autoresearch.edits.reading import constants_of
from autoresearch.edits.rules import RULES
from autoresearch.edits.signatures import EditSignature, edit_signature, file_signature
from autoresearch.edits.size import is_shorter, program_size
from autoresearch.edits.source import EditError
from autoresearch.edits.titles import changes_from_title

__all__ = [
    "RULES",
    "CanonicalChanges",
    "Constant",
    "ConstantTable",
    "EditError",
    "EditSignature",
    "canonical_changes",
    "changes_from_title",
    "changes_of_edit",
    "constants_of",
    "edit_signature",
    "file_signature",
    "is_shorter",
    "program_size",
    "words_match",
]
