"""Every text of the corpus in every place that strangers fill: none gets where it could be obeyed."""

from __future__ import annotations

from collections import Counter

import pytest
from corpus import CORPUS, FAMILIES, MARK, marker
from everything import parts_in
from slots import CONTEXT_SLOTS, FAILURE_SLOTS, HYPOTHESIS_SLOTS, NOT_SHOWN, RESULT_SLOTS
from watch import Watch

TEXTS_MIN, FAMILIES_MIN = 60, 10
DELIVERED_MIN = 0.9
"""Of the texts in each place: some are cut before their marker, and two places take turns."""
TURNS = ("histname", "histwhat")


def told(watch):
    """Leaks in short, for a failed assertion."""
    return Counter((leak.place, leak.what, leak.shown) for leak in watch.leaks).most_common(12)


def test_the_corpus_is_large_and_each_text_can_be_recognised():
    assert len(CORPUS) >= TEXTS_MIN
    assert len(FAMILIES) >= FAMILIES_MIN
    assert all(MARK in hostile.template for hostile in CORPUS)


LOOKS_MIN = 5
"""The trainer's part has the fewest."""

PARTS = ("anthropic", "command", "mcp", "search", "notebook", "terminal", "trainer", "swarm", "gullible")


@pytest.mark.parametrize("name", PARTS)
async def test_no_text_reaches_a_privileged_place_and_no_secret_leaves(tmp_path, name):
    home, parts = parts_in(tmp_path)
    watch = Watch(home.secrets)

    await parts[name](watch)

    assert told(watch) == []
    assert watch.places.total() >= LOOKS_MIN
    assert set(parts) == {*PARTS}
    if name == "anthropic":
        assert undelivered(watch) == []


def undelivered(watch):
    """Places in which the texts were not seen even as data: nothing would be found there."""
    slots = {*CONTEXT_SLOTS, *HYPOTHESIS_SLOTS, *FAILURE_SLOTS, *RESULT_SLOTS} - NOT_SHOWN - {*TURNS}
    wanted = DELIVERED_MIN * len(CORPUS)
    return [
        slot
        for slot in sorted(slots)
        if sum(marker(hostile.number, slot) in watch.reached for hostile in CORPUS) < wanted
    ]
