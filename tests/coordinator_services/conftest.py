from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from swarm_builders import Rig, make_rig

from coordinator.dedup.code import CodeReader


@pytest.fixture(scope="session")
def reader() -> Iterator[CodeReader]:
    reader = CodeReader(limit_s=30.0)
    yield reader
    asyncio.run(reader.close())


@pytest.fixture
async def rig(reader: CodeReader) -> AsyncIterator[Rig]:
    rig = make_rig(reader)
    await rig.services.start()
    yield rig
    await rig.services.close()
