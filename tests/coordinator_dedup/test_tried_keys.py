"""What blocks an edit is known by the rules that made it, like what was read of it."""

from __future__ import annotations

from hashlib import blake2b

from autoresearch.edits import RULES
from autoresearch.model import HardwareClass

from coordinator.dedup.keys import edit_key, file_key, words_key
from coordinator.storage.redis.keys import edit_key_id

KEYS_BY_RULES = {1: "c8acff7dd3165e00"}
"""The digest of some tried keys, by the rules that their signatures are made by. Other keys match nothing
that was kept: raise ``RULES``, so that they are written anew, and add a line.
"""


def test_other_tried_keys_are_another_number_of_the_rules() -> None:
    file, edit, words = "fs_" + "0a" * 16, "es_" + "1b" * 16, "cs_" + "2c" * 16
    keys = (file_key(file), edit_key(file, edit), words_key(file, words))

    digest = blake2b(digest_size=8)
    for key in keys:
        digest.update(edit_key_id(HardwareClass("cpu"), key))

    assert KEYS_BY_RULES.get(RULES) == digest.hexdigest(), "raise RULES, and add its line to KEYS_BY_RULES"
