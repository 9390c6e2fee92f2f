from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from arenas import prepared_grounds
from attack_runs import Ran, Runner
from suite import ATTACKS, HONEST
from verdicts import Verdict, judge, judge_control

WORKERS = 2


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with prepared_grounds(tmp_path_factory.mktemp("grounds")) as grounds:
        yield Runner(grounds)


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(WORKERS)
    yield pool
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def verdicts(runner: Runner, pool: ThreadPoolExecutor) -> dict[str, Future[Verdict]]:
    """Every attack is under way from the first test on; each test waits for its own."""
    return {name: pool.submit(judge, runner, attack) for name, attack in ATTACKS.items()}


@pytest.fixture(scope="session")
def honest_runs(runner: Runner, pool: ThreadPoolExecutor) -> dict[str, Future[tuple[Ran, list[str]]]]:
    return {name: pool.submit(judge_control, runner, control) for name, control in HONEST.items()}
