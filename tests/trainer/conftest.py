from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_challenge import tiny_folder


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def steps_challenge(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("steps"), cache_dir, budget='kind = "steps"\nsteps = 20')


@pytest.fixture(scope="session")
def cpu_challenge(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("cpu"), cache_dir, budget='kind = "cpu"\nseconds = 1')


class Trainer:
    """Runs ``python -m trainer`` as its users do."""

    def __init__(self, cache_dir: Path, folder: Path) -> None:
        self.cache_dir = cache_dir
        self.folder = folder

    def __call__(
        self, *arguments: str, env: dict[str, str] | None = None, told: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "AUTORESEARCH_CACHE_DIR": str(self.cache_dir), **(env or {})}
        return subprocess.run(
            [sys.executable, "-m", "trainer", *arguments],
            input=told,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=120,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command in the background."""
        environment = {**os.environ, "AUTORESEARCH_CACHE_DIR": str(self.cache_dir)}
        command = [sys.executable, "-m", "trainer", *arguments]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=self.folder)

    def run(self, challenge: Path, source: str | bytes, name: str = "run", *, seed: int = 1) -> dict:
        """The report of one source."""
        train, out = self.folder / f"{name}.py", self.folder / f"{name}.json"
        train.write_bytes(source if isinstance(source, bytes) else source.encode())
        arguments = ["--challenge", str(challenge), "--train", str(train), "--out", str(out)]
        seeds = ["--seed", str(seed), "--val-seed", "5"]
        done = self("run", *arguments, *seeds, env={"SECRET_OF_THE_NODE": "do not tell"})
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text())


@pytest.fixture
def trainer(tmp_path: Path, cache_dir: Path) -> Trainer:
    return Trainer(cache_dir, tmp_path)


@pytest.fixture(scope="session")
def session_trainer(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Trainer:
    return Trainer(cache_dir, tmp_path_factory.mktemp("runs"))
