"""What a program that runs ``python -m trainer run`` relies on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from proc import family, is_running, named, wait_for

from trainer import processes
from trainer.sandbox import claimed_core, cores

SEEDS = {"seed": 7, "val_seed": 9}


def call(
    cache_dir: Path, challenge: Path, line: str, *more: str, tmp: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AUTORESEARCH_CACHE_DIR": str(cache_dir)}
    if tmp is not None:
        environment["TMPDIR"] = str(tmp)
    arguments = ["run", "--challenge", str(challenge), "--seeds-from-stdin", "--out", "-", *more]
    return subprocess.run(
        [sys.executable, "-m", "trainer", *arguments],
        input=line,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=120,
    )


def test_seeds_come_by_stdin_and_the_report_alone_leaves_by_stdout(
    cache_dir: Path, steps_challenge: Path
) -> None:
    done = call(cache_dir, steps_challenge, json.dumps(SEEDS) + "\n")

    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (report["seed"], report["val_seed"], report["outcome"]) == (7, 9, "completed")


def test_a_candidate_finds_neither_seeds_nor_a_report_in_the_command_line(
    cache_dir: Path, steps_challenge: Path, tmp_path: Path
) -> None:
    train = tmp_path / "train.py"
    train.write_text(
        "import os\ndef train(ctx):\n    raise ValueError(open(f'/proc/{os.getppid()}/cmdline').read())\n"
    )

    told = '{"seed": 123456789, "val_seed": null}\n'
    done = call(cache_dir, steps_challenge, told, "--train", str(train), "--sandbox", "none")

    reason = json.loads(done.stdout)["reason"]
    assert "--seeds-from-stdin" in reason
    assert "123456789" not in reason


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        "[]\n",
        "{}\n",
        '{"seed": -1}\n',
        '{"seed": true}\n',
        '{"seed": 1, "val_seed": "2"}\n',
        "x" * 9999,
    ],
)
def test_a_line_without_seeds_is_wrong_usage(cache_dir: Path, steps_challenge: Path, line: str) -> None:
    done = call(cache_dir, steps_challenge, line)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_caller_that_is_gone_is_not_served(cache_dir: Path, steps_challenge: Path) -> None:
    done = call(cache_dir, steps_challenge, json.dumps(SEEDS | {"parent": 1 << 22}) + "\n")

    assert done.returncode == 1
    assert done.stdout == ""


def test_trainer_and_worker_end_with_a_caller_that_is_killed(
    cache_dir: Path, steps_challenge: Path, tmp_path: Path
) -> None:
    train, name = tmp_path / "train.py", f"worker-{os.getpid()}"
    train.write_text(
        f"import ctypes, time\nctypes.CDLL(None).prctl(15, b{name!r}, 0, 0, 0)\ntime.sleep(1000)\n"
    )
    arguments = ["run", "--challenge", str(steps_challenge), "--train", str(train)]
    command = [sys.executable, "-m", "trainer", *arguments, "--seeds-from-stdin", "--out", "-"]
    program = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen({command!r}, stdin=subprocess.PIPE, start_new_session=True)\n"
        f"child.stdin.write({json.dumps(SEEDS)!r}.encode() + b'\\n')\nchild.stdin.flush()\nchild.wait()\n"
    )
    environment = {**os.environ, "AUTORESEARCH_CACHE_DIR": str(cache_dir), "TMPDIR": str(tmp_path)}
    caller = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with caller:
        (worker,) = wait_for(lambda: named(name))
        relatives = family(caller.pid) - {caller.pid}

        caller.send_signal(signal.SIGKILL)

    assert worker in relatives
    assert wait_for(lambda: not any(map(is_running, relatives)))


@pytest.mark.parametrize(("sandbox", "place"), [("auto", "/scratch"), ("none", "{tmp}/autoresearch-run-")])
def test_a_run_leaves_nothing_but_its_report(
    cache_dir: Path, steps_challenge: Path, tmp_path: Path, sandbox: str, place: str
) -> None:
    train = tmp_path / "train.py"
    train.write_text("def train(ctx):\n    raise ValueError(ctx.scratch)\n")

    arguments = ["--train", str(train), "--sandbox", sandbox]
    done = call(cache_dir, steps_challenge, json.dumps(SEEDS) + "\n", *arguments, tmp=tmp_path)

    assert f"ValueError: {place.format(tmp=tmp_path)}" in json.loads(done.stdout)["reason"]
    assert list(tmp_path.iterdir()) == [train]


def test_trainers_with_a_tmpdir_of_their_own_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cores, "LOCKS_ROOT", tmp_path)

    with claimed_core() as core:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))
        with claimed_core() as other:
            assert core is None or core != other


@pytest.mark.skipif(not processes.IS_SUPPORTED or os.getuid() == 0, reason="root may look into any process")
def test_a_worker_cannot_look_into_its_harness(
    cache_dir: Path, steps_challenge: Path, tmp_path: Path
) -> None:
    train = tmp_path / "train.py"
    train.write_text(
        "import os\n"
        "def opened(name):\n"
        "    try:\n"
        "        path = f'/proc/{os.getppid()}/{name}'\n"
        "        os.listdir(path) if name == 'fd' else open(path, 'rb').close()\n"
        "    except OSError:\n"
        "        return False\n"
        "    return True\n"
        "def train(ctx):\n"
        "    raise ValueError([name for name in ('environ', 'fd', 'mem', 'maps') if opened(name)])\n"
    )

    done = call(cache_dir, steps_challenge, json.dumps(SEEDS) + "\n", "--train", str(train))

    assert json.loads(done.stdout)["reason"] == "ValueError: []"


@pytest.mark.skipif(not processes.IS_SUPPORTED, reason="prctl is Linux's")
def test_a_process_closes_itself_to_others_of_its_user() -> None:
    program = (
        "import ctypes\nfrom trainer import processes\nprocesses.forbid_inspection()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert done.stdout == "0\n"
