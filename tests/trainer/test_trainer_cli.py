from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tiny_challenge import GOOD, tiny_manifest


def test_help_imports_neither_torch_nor_numpy() -> None:
    program = (
        "import sys\nfrom trainer.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert done.returncode == 0


def test_run_prints_the_report_on_stdout_alone_when_asked(
    trainer, steps_challenge: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "report.json"

    done = trainer("run", "--challenge", str(steps_challenge), "--out", str(out), "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(out.read_text())
    *_, scored, where = done.stderr.splitlines()
    assert scored.startswith("completed: val_bpb ")
    assert "hidden_gap" not in scored
    assert where == f"{out} has the whole report"


def test_a_crash_is_told_with_its_line_and_where_to_read_on(
    trainer, steps_challenge: Path, tmp_path: Path
) -> None:
    train, out = tmp_path / "train.py", tmp_path / "report.json"
    train.write_text("def train(ctx):\n    ctx.start()\n    return half(0)\ndef half(x):\n    return 1 / x\n")

    done = trainer("run", "--challenge", str(steps_challenge), "--train", str(train), "--out", str(out))

    *_, crashed, where = done.stderr.splitlines()
    assert crashed == "crashed (exception): ZeroDivisionError: division by zero (train.py, line 5)"
    assert where == f"{out} has the whole report, with the end of what train.py printed"


def test_evaluate_gives_mean_and_spread_over_seeds(trainer, steps_challenge: Path) -> None:
    done = trainer("evaluate", "--challenge", str(steps_challenge), "--runs", "2", "--json")

    spread = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (spread["runs"][0]["seed"], spread["runs"][1]["seed"]) == (0, 1)
    assert spread["completed"] == 2
    assert spread["sd"] > 0


def test_an_unknown_challenge_is_wrong_usage_in_one_sentence(trainer) -> None:
    done = trainer("run", "--challenge", "nope", "--out", "r.json")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pocket" in done.stderr


def test_an_unprepared_challenge_names_the_command(trainer, steps_challenge: Path, tmp_path: Path) -> None:
    done = trainer(
        "run", "--challenge", str(steps_challenge), "--out", "r.json", "--cache-dir", str(tmp_path / "empty")
    )

    assert done.returncode == 1
    assert "python -m trainer prepare --challenge tiny" in done.stderr


def test_a_missing_train_py_is_one_sentence(trainer, steps_challenge: Path) -> None:
    done = trainer("run", "--challenge", str(steps_challenge), "--train", "/no/such.py", "--out", "r.json")

    assert done.returncode == 1
    assert "/no/such.py" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_report_that_cannot_be_written_is_one_sentence(trainer, steps_challenge: Path) -> None:
    done = trainer("run", "--challenge", str(steps_challenge), "--out", "/proc/report.json")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_an_unknown_device_is_wrong_usage(trainer, steps_challenge: Path) -> None:
    done = trainer("run", "--challenge", str(steps_challenge), "--out", "r.json", "--device", "abacus")

    assert done.returncode == 2


def test_a_device_that_the_challenge_does_not_allow_is_a_recorded_crash(
    trainer, steps_challenge: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.json"

    done = trainer("run", "--challenge", str(steps_challenge), "--out", str(out), "--device", "cuda")

    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["crash_kind"] == "no_device"


def test_an_unfrozen_challenge_says_how_to_freeze_it(trainer, tmp_path: Path) -> None:
    (tmp_path / "challenge.toml").write_text(tiny_manifest('kind = "steps"\nsteps = 1'))
    (tmp_path / "train.py").write_text(GOOD)
    (tmp_path / "program.md").write_text("")

    done = trainer("prepare", "--challenge", str(tmp_path))

    assert done.returncode == 2
    assert "--freeze" in done.stderr


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    trainer, steps_challenge: Path, tmp_path: Path
) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")

    done = trainer("prepare", "--challenge", str(steps_challenge), "--cache-dir", str(tmp_path / "blocked"))

    assert done.returncode == 1
    assert "--cache-dir" in done.stderr
