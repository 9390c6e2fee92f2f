"""The figure that the memory benchmark holds against its target."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"


@pytest.fixture
def store_memory(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import store_memory

    return store_memory


def test_stream_counts_in_full_while_it_grows(store_memory: ModuleType) -> None:
    shares = store_memory.shares_of(
        grown=400_000, stream=100_000, entries=300, count=100, steady_at=100, events_kept=1_000
    )

    assert shares["bytes_per_experiment"] == 4_000
    assert shares["bytes_per_experiment_while_events_grow"] == 4_000
    assert shares["bytes_per_experiment_without_events"] == 3_000
    assert not shares["is_within_target"]


def test_trimmed_stream_is_shared_by_all_experiments(store_memory: ModuleType) -> None:
    shares = store_memory.shares_of(
        grown=400_000, stream=100_000, entries=500, count=100, steady_at=1_000, events_kept=1_000
    )

    assert shares["bytes_per_experiment"] == 3_000 + 200
    assert shares["is_within_target"]
