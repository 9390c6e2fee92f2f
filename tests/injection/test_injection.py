"""Every text of the corpus in every place that strangers fill: none gets where it could be obeyed."""

from __future__ import annotations

from collections import Counter

from corpus import CORPUS, MARK
from prompts import watch_prompts
from watch import Watch

TEXTS_MIN = 60


def told(watch):
    """Leaks in short, for a failed assertion."""
    return Counter((leak.place, leak.what, leak.shown) for leak in watch.leaks).most_common(12)


def test_the_corpus_is_large_and_each_text_can_be_recognised():
    assert len(CORPUS) >= TEXTS_MIN
    assert all(MARK in hostile.template for hostile in CORPUS)


async def test_texts_of_strangers_reach_a_model_as_data_alone():
    watch = Watch()

    await watch_prompts(watch, CORPUS)

    assert told(watch) == []
