"""What a run says of how it was measured can be worked out again by whoever reads the page about it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from autoresearch.attestation import attestation_of
from autoresearch.challenge import write_challenge
from tiny_challenge import GOOD, tiny_challenge

from trainer.corpora import UNSCORED, CorpusError
from trainer.corpus import PocketCorpus
from trainer.report import HARNESS_VERSION

PAGE = Path(__file__).parents[2] / "docs" / "attestation.md"
SEEDS = ("--seed", "3", "--val-seed", "5")


@pytest.fixture(scope="module")
def attested(session_trainer, steps_challenge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report and the losses of one run that scored the held-back text too."""
    folder = tmp_path_factory.mktemp("attested")
    files = ["--out", str(folder / "report.json"), "--losses", str(folder / "losses.f64")]
    done = session_trainer("run", "--challenge", str(steps_challenge), *SEEDS, "--holdout", *files)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_page_tells_how_to_check_a_run(attested: Path, steps_challenge: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    text_bytes = tiny_challenge(steps_challenge).validation["bytes"]
    script = f"text_bytes = {text_bytes}\n{code}"

    checked = subprocess.run(
        [sys.executable, "-c", script], cwd=attested, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr


def test_an_attestation_says_what_was_measured_and_on_what(attested: Path, steps_challenge: Path) -> None:
    report = json.loads((attested / "report.json").read_text())
    challenge = tiny_challenge(steps_challenge)

    found = attestation_of(report["attestation"])

    assert report["outcome"] == "completed", report["reason"]
    assert (found.manifest_hash, found.code_hash) == (challenge.manifest_hash, challenge.baseline_hash)
    assert (found.seed, found.val_seed, found.harness_version) == (3, 5, HARNESS_VERSION)
    assert (found.device_kind, found.torch_version) == ("cpu", report["device"]["torch"])
    assert list(found.sandbox) == report["sandbox"]["layers"]
    assert {"train_s", "eval_s", "holdout_s", "wall_s", "budget_used_s"} <= set(found.timings_s)
    assert found.timings_s["holdout_s"] > 0


def test_the_held_back_text_is_scored_only_where_it_is_asked_for(
    attested: Path, trainer, steps_challenge: Path
) -> None:
    asked = json.loads((attested / "report.json").read_text())

    plain = trainer.run(steps_challenge, GOOD, seed=3)

    assert "holdout_bpb" not in plain["metrics"]
    assert plain["attestation"]["holdout_losses_digest"] == plain["attestation"]["holdout_rows_digest"] == ""
    assert 0 < asked["metrics"]["holdout_bpb"] < 4
    assert asked["metrics"]["holdout_bpb"] != asked["metrics"]["val_bpb"] == plain["metrics"]["val_bpb"]
    assert asked["attestation"]["digest"] == plain["attestation"]["digest"]
    assert asked["attestation"]["holdout_rows_digest"] != asked["attestation"]["rows_digest"]


def test_a_program_asks_for_it_where_no_process_list_shows_it(trainer, steps_challenge: Path) -> None:
    line = json.dumps({"seed": 3, "val_seed": 5, "holdout": True})
    command = ["run", "--challenge", str(steps_challenge), "--seeds-from-stdin", "--out", "-"]

    done = trainer(*command, told=line)

    report = json.loads(done.stdout)
    assert "holdout_bpb" in report["metrics"], done.stderr
    assert report["attestation"]["seed"] == 3


def test_asking_a_challenge_that_holds_nothing_back_is_wrong_usage(
    trainer, steps_challenge: Path, tmp_path: Path
) -> None:
    write_challenge(tiny_challenge(steps_challenge), tmp_path / "open")
    manifest = tmp_path / "open" / "challenge.toml"
    manifest.write_text(re.sub(r"\[identity.holdout\].*?\n\n", "", manifest.read_text(), flags=re.DOTALL))

    done = trainer("run", "--challenge", str(tmp_path / "open"), "--holdout", "--out", "-")

    assert done.returncode == 2
    assert "[identity.holdout]" in done.stderr


def test_a_run_that_fails_is_attested_as_far_as_it_came(trainer, steps_challenge: Path) -> None:
    report = trainer.run(steps_challenge, "def train(ctx): raise ValueError\n")

    found = attestation_of(report["attestation"])

    assert report["outcome"] == "crashed"
    assert found.rows_digest
    assert not found.losses_digest


def test_held_back_text_is_other_text_of_the_same_language(steps_challenge: Path, cache_dir: Path) -> None:
    challenge, corpus = tiny_challenge(steps_challenge), PocketCorpus()

    public = corpus.validation_rows(challenge, cache_dir, 5)
    held_back = corpus.holdout_rows(challenge, cache_dir, 5)
    other = corpus.holdout_rows(challenge, cache_dir, 6)

    assert held_back.byte_count == challenge.holdout["bytes"]
    common = {row.tobytes() for row in public.inputs} & {row.tobytes() for row in held_back.inputs}
    assert not common
    assert not np.array_equal(held_back.inputs[:10], other.inputs[:10])
    assert (held_back.targets != UNSCORED).any()


@pytest.mark.parametrize(
    ("old", "new"),
    [('domain = "holdout"', 'domain = "validation"'), ("bytes = 5000", 'bytes = "many"')],
)
def test_a_manifest_whose_held_back_text_makes_no_sense_is_named(
    old: str, new: str, steps_challenge: Path, cache_dir: Path, tmp_path: Path
) -> None:
    write_challenge(tiny_challenge(steps_challenge), tmp_path)
    manifest = tmp_path / "challenge.toml"
    manifest.write_text(manifest.read_text().replace(old, new))

    with pytest.raises(CorpusError, match=r"identity\.holdout"):
        PocketCorpus().holdout_rows(tiny_challenge(tmp_path), cache_dir, 5)
