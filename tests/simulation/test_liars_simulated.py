"""The simulation of lying owners, small: the full one is ``scripts/bench/liars.py``."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import liars
import pytest

from coordinator.dedup.code import CodeReader

PUBLISHES = 400


@pytest.fixture(scope="module")
def reader() -> Iterator[CodeReader]:
    reader = CodeReader(limit_s=30.0)
    yield reader
    asyncio.run(reader.close())


async def test_liars_on_their_own_confirm_nothing_and_honest_owners_go_on(reader: CodeReader) -> None:
    figures = await liars.simulate(reader, lying=6, colluding=False, publishes=PUBLISHES, seed=5)

    assert figures["confirmed_by_forged_results"] == 0
    assert figures["confirmed"] > 0
    assert figures["audit_share_of_runs"] <= 0.1
    assert figures["true_gain_in_spreads"] > 0


async def test_a_swarm_of_three_confirms_although_nobody_is_trusted_at_first(reader: CodeReader) -> None:
    figures = await liars.simulate(reader, lying=0, colluding=False, publishes=250, seed=6, owners=3)

    assert figures["confirmed"] > 0
    assert figures["confirmed_by_forged_results"] == 0


async def test_a_swarm_of_two_goes_on_without_confirming(reader: CodeReader) -> None:
    figures = await liars.simulate(reader, lying=0, colluding=False, publishes=150, seed=7, owners=2)

    assert figures["confirmed"] == 0
    assert figures["true_gain_of_working_in_spreads"] > 0


def test_the_bound_grows_with_the_group_and_two_colluders_reach_nothing() -> None:
    bounds = [liars.bound(20, colluders) for colluders in (0, 2, 3, 4, 5, 6)]

    assert bounds[:3] == [0.0, 0.0, 0.0]
    assert bounds[3:] == sorted(bounds[3:])
    # Of 19 others all three fellows are among the first four drawn: with one honest owner at most.
    assert liars.bound(20, 4) == pytest.approx(math.comb(4, 3) / math.comb(19, 3))
