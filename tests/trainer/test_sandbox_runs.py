"""Whole runs inside the sandbox: bombs, kept scratch, what people and programs are told."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from proc import is_running, named, wait_for
from sandbox_probes import Arena, arena
from tiny_challenge import GOOD

from trainer.sandbox import Layer, plan_sandbox
from trainer.sandbox.machine import survey

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sandbox.md"

FORK_BOMB = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b"{name}", 0, 0, 0)
def train(ctx):
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
"""
DAEMON = """
import ctypes, os, time
ctypes.CDLL(None).prctl(15, b"{name}", 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
os.wait()
raise ValueError("left one behind")
"""
SPARSE = """
def train(ctx):
    with open(ctx.scratch / "sparse", "wb") as file:
        file.truncate(1 << 40)
"""
DELETED = """
import os
def train(ctx):
    held = []
    for number in range(80):
        file = open(ctx.scratch / str(number), "wb")
        os.unlink(file.name)
        held.append(file)
        file.write(bytes(1 << 20))
        file.flush()
    raise ValueError("all of it")
"""
MEMORY_IN_FILES = """
import os, time
def train(ctx):
    for number in range(62):
        (ctx.scratch / str(number)).write_bytes(bytes(1 << 20))
    time.sleep(1)
    raise ValueError(os.statvfs(ctx.scratch).f_bavail * os.statvfs(ctx.scratch).f_frsize >> 20)
"""
LIMITS = """
def train(ctx):
    import os, resource
    raise ValueError([len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_DATA)[1] >> 20])
"""

REOPENS_ITS_TOKENS = """
import os
def train(ctx):
    answers = []
    opened = os.fdopen
    def fdopen(fd, *arguments):
        for flags in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            try:
                os.close(os.open(f"/proc/self/fd/{fd}", flags))
            except OSError as error:
                answers.append(error.errno)
            else:
                answers.append(0)
        return opened(fd, *arguments)
    os.fdopen = fdopen
    ctx.start()
    raise ValueError(answers)
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Arena]:
    with arena() as made:
        yield made


@pytest.mark.parametrize("as_user", [False, True])
def test_a_fork_bomb_is_ended_and_leaves_nothing(place: Arena, *, as_user: bool) -> None:
    name = f"bomb-{as_user}"

    report = place.run(name, FORK_BOMB.format(name=name), as_user=as_user)

    assert report["outcome"] == "crashed"
    assert wait_for(lambda: not any(map(is_running, named(name))))


@pytest.mark.parametrize("as_user", [False, True])
def test_a_daemon_does_not_outlive_its_run(place: Arena, *, as_user: bool) -> None:
    name = f"daemon-{as_user}"

    report = place.run(name, DAEMON.format(name=name), as_user=as_user)

    assert "left one behind" in report["reason"]
    assert not any(map(is_running, named(name)))


@pytest.mark.parametrize(("name", "source"), [("sparse", SPARSE), ("deleted", DELETED)])
def test_scratch_cannot_be_overfilled_by_sparse_or_deleted_files(
    place: Arena, name: str, source: str
) -> None:
    report = place.run(name, source)

    assert (report["outcome"], report["crash_kind"]) == ("crashed", "scratch"), report["reason"]


def test_files_in_scratch_count_within_their_cap(place: Arena) -> None:
    report = place.run("files", MEMORY_IN_FILES)

    assert re.match(r"ValueError: [0-2] \(", report["reason"])


def test_a_pinned_worker_has_one_core_and_its_memory_is_capped_by_the_kernel(place: Arena) -> None:
    report = place.run("limits", LIMITS)

    told = report["reason"].removeprefix("ValueError: ").partition(" (train.py")[0]
    cores, data_mb = json.loads(told)
    assert data_mb == 1500
    assert cores == 1


@pytest.mark.parametrize("as_user", [False, True])
def test_tokens_that_were_handed_over_cannot_be_opened_for_writing(place: Arena, *, as_user: bool) -> None:
    tokens = [path for path in place.cache.rglob("*") if path.is_file()]
    for path in tokens:
        path.chmod(0o666)  # the mode alone would let anybody

    report = place.run("reopens", REOPENS_ITS_TOKENS, as_user=as_user)

    assert report["reason"].startswith(f"ValueError: [{errno.EACCES}, {errno.EACCES}]")
    assert all(path.stat().st_size for path in tokens)


def test_a_kept_scratch_lies_on_the_disk(trainer, steps_challenge: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.py"
    train.write_text("def train(ctx):\n    (ctx.scratch / 'note').write_text('kept')\n    1 / 0\n")

    arguments = ["--challenge", str(steps_challenge), "--train", str(train), "--out", "-", "--keep-scratch"]
    done = trainer("run", *arguments, env={"TMPDIR": str(tmp_path)})

    layers = json.loads(done.stdout)["sandbox"]["layers"]
    assert "scratch-directory" in layers
    assert "capped-scratch" not in layers
    assert [note.read_text() for note in tmp_path.glob("autoresearch-run-*/note")] == ["kept"]


def test_a_run_tells_its_layers_and_reports_the_same(trainer, steps_challenge: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.py"
    train.write_text(GOOD)

    done = trainer("run", "--challenge", str(steps_challenge), "--train", str(train), "--out", "-")

    told = next(line for line in done.stderr.splitlines() if line.startswith("sandbox: "))
    reported = json.loads(done.stdout)["sandbox"]["layers"]
    assert set(reported) <= set(told.removeprefix("sandbox: ").split(", "))
    assert {"seccomp", "landlock", "file-view"} <= set(reported)


@pytest.mark.parametrize("options", [["--sandbox", "maybe"], ["--without", "landlock"]])
def test_an_unknown_policy_is_wrong_usage_and_no_option_leaves_a_layer_out(
    trainer, steps_challenge: Path, options: list[str]
) -> None:
    done = trainer("run", "--challenge", str(steps_challenge), "--out", "-", *options)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_layers_of_this_machine_are_told_as_lines_and_as_json(trainer) -> None:
    lines = trainer("sandbox")
    fields = json.loads(trainer("sandbox", "--json").stdout)

    assert lines.stdout.splitlines() == fields["layers"]
    assert lines.returncode == 0
    assert "seccomp" in fields["layers"]


def test_the_opt_out_can_come_from_the_environment(trainer) -> None:
    done = trainer("sandbox", env={"AUTORESEARCH_SANDBOX": "none"})

    assert "seccomp" not in done.stdout
    assert "empty-environment" in done.stdout


def test_a_machine_without_means_refuses_with_the_command_that_mends_it(
    trainer, steps_challenge: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)

    done = trainer("sandbox", "--json", env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    told = json.loads(done.stdout)
    said = " ".join(told["notes"]) + told.get("problem", "")
    assert "setting up uid map: Permission denied" in said
    assert not {"file-view", "pid-namespace", "capped-scratch"} & set(told["layers"])


def test_what_a_bubblewrap_refuses_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picky = tmp_path / "bwrap"
    picky.write_text(
        "#!/bin/sh\ncase \"$*\" in\n  --help) echo '--size --disable-userns' ;;\n"
        "  *--size*) echo 'not permitted in setuid mode' >&2; exit 1 ;;\nesac\n"
    )
    picky.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    found = survey()

    assert found.bubblewrap == str(picky)
    assert found.options == {"--disable-userns"}
    assert "scratch-directory" in plan_sandbox("auto", machine=found).layers


def test_the_page_names_every_layer_in_the_order_of_the_code() -> None:
    table = re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)

    assert table == [layer.value for layer in Layer]
