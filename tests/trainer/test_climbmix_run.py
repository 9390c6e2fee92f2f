"""From a hub to a score: a small challenge is frozen, prepared and run by the commands that people use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from autoresearch.challenge import find_challenge, load_challenge
from climbmix_builders import MANIFEST, small_hub
from fake_hub import serving

TOY_KNOBS = {
    "DEPTH": 2,
    "WIDTH_PER_LAYER": 16,
    "HEAD_DIM": 16,
    "VALUE_GATE_CHANNELS": 8,
    "SHORT_WINDOW": 16,
    "TOTAL_BATCH_TOKENS": 512,
    "WARM_UP_STEPS": 1,
    "LOG_EVERY": 5,
}


def toy_source() -> str:
    """The baseline with smaller numbers behind the same names."""
    source = (find_challenge("climbmix-5min") / "train.py").read_text()
    for name, value in TOY_KNOBS.items():
        source, count = re.subn(rf"^{name} = \S+", f"{name} = {value}", source, flags=re.MULTILINE)
        assert count == 1
    return source


def trainer(*arguments: str, cache_dir: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": endpoint, "AUTORESEARCH_CACHE_DIR": str(cache_dir)}
    command = [sys.executable, "-m", "trainer", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=150)


def test_freeze_prepare_and_run_give_a_score_that_no_check_objects_to(tmp_path: Path) -> None:
    folder = tmp_path / "small-texts"
    folder.mkdir()
    (folder / "challenge.toml").write_text(MANIFEST.replace("steps = 5", "steps = 40"))
    (folder / "train.py").write_text(toy_source())
    (folder / "program.md").write_text("Lower it.\n")
    out = tmp_path / "report.json"

    with serving(small_hub()) as endpoint:
        where = {"cache_dir": tmp_path / "cache", "endpoint": endpoint}
        refused = trainer("prepare", "--challenge", str(folder), **where)
        frozen = trainer("prepare", "--challenge", str(folder), "--freeze", **where)
        prepared = trainer("prepare", "--challenge", str(folder), **where)
        ran = trainer("run", "--challenge", str(folder), "--out", str(out), **where)

    report = json.loads(out.read_text())
    assert refused.returncode != 0
    assert "--freeze" in refused.stderr
    assert frozen.returncode == prepared.returncode == ran.returncode == 0, frozen.stderr + ran.stderr
    assert load_challenge(folder).frozen
    assert report["outcome"] == "completed", report["reason"]
    assert 0.5 < report["metrics"]["val_bpb"] < 8.0
    assert report["challenge_id"] == load_challenge(folder).challenge_id


def test_an_unreachable_hub_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    folder = tmp_path / "small-texts"
    folder.mkdir()
    (folder / "challenge.toml").write_text(MANIFEST)
    (folder / "train.py").write_text("def train(ctx): ...\n")
    (folder / "program.md").write_text("Lower it.\n")

    found = trainer(
        "prepare",
        "--challenge",
        str(folder),
        "--freeze",
        cache_dir=tmp_path / "cache",
        endpoint="ftp://nowhere",
    )

    assert found.returncode == 1
    assert "HF_ENDPOINT" in found.stderr
    assert "Traceback" not in found.stderr
    assert "frozen = false" in (folder / "challenge.toml").read_text()
