from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command under test sets logging up for its process, which here is everybody's."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
