"""Words are read on the event loop only where that is quick."""

from __future__ import annotations

import asyncio

from autoresearch.model import ConstantChange, Hypothesis, SourceHash

from coordinator.dedup.code import SourceText
from coordinator.services.reading import WordReader

PARENT = SourceText(source_hash=SourceHash("sha256:" + "0" * 64), text="MATRIX_LR = 0.04\n")


async def is_read_at_once(words: WordReader, hypothesis: Hypothesis) -> bool:
    """True if the loop got to do nothing else before it was read."""
    reading = asyncio.create_task(words.read(hypothesis, PARENT))
    await asyncio.sleep(0)
    at_once = reading.done()
    await reading
    return at_once


async def test_few_words_about_a_known_parent_are_read_at_once() -> None:
    words = WordReader()
    title = Hypothesis(title="raise MATRIX_LR to 0.05")

    first = await is_read_at_once(words, title)
    second = await is_read_at_once(words, title)

    assert (first, second) == (False, True)


async def test_long_changes_are_read_while_the_loop_goes_on() -> None:
    words = WordReader()
    long = tuple(ConstantChange(name=f"NEW_{number}", new="(" * 90 + "1" + ")" * 90) for number in range(64))
    await words.read(Hypothesis(title="raise MATRIX_LR to 0.05"), PARENT)

    at_once = await is_read_at_once(words, Hypothesis(title="many at once", changes=long))

    assert not at_once
