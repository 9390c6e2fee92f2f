import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from autoresearch.model import utc_now
from typer.testing import CliRunner

from node.cli import app
from node.config import SETTINGS
from node.exit_codes import ExitCode
from node.swarm.outbox import Outbox

runner = CliRunner()
HEAVY = {"torch", "grpc", "optuna", "rich", "pydantic", "asyncio", "anthropic", "numpy", "sqlite3"}


@pytest.fixture(autouse=True)
def _nobody_elses_files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)


def test_help_imports_nothing_heavy():
    code = f"""
import sys
from typer.testing import CliRunner
before = set(sys.modules)
from node.cli import app
names = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(names & {HEAVY!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_installed_command_answers_with_its_commands():
    script = Path(sys.executable).with_name("autoresearch-node")

    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)

    for command in ("join", "solo", "status", "doctor", "leaderboard", "show", "diff", "best", "config"):
        assert command in done.stdout


@pytest.mark.parametrize("command", ["join", "solo"])
def test_every_setting_of_a_life_has_its_flag_and_help(command):
    shown = " ".join(runner.invoke(app, [command, "--help"]).output.split())
    only_joined = {"token_file", "yes", "insecure", "ca_file", "propose_only", "propose_for", "ideas_ahead"}
    for setting in SETTINGS:
        if setting.name == "log_level" or (command == "solo" and setting.name in only_joined):
            continue
        assert setting.flag in shown


def test_an_unreachable_coordinator_is_said_with_exit_code_3(tmp_path):
    result = runner.invoke(app, ["join", "127.0.0.1:1", "--yes", "--state-dir", str(tmp_path)])

    assert result.exit_code == ExitCode.UNREACHABLE
    assert "error:" in result.output


@pytest.mark.parametrize("command", [["leaderboard"], ["best"], ["show", "0192ab"], ["diff", "0192ab"]])
def test_reading_an_unreachable_coordinator_is_one_sentence_and_exit_code_3(command):
    result = runner.invoke(app, [*command, "127.0.0.1:1"])

    assert result.exit_code == ExitCode.UNREACHABLE
    assert result.output.count("\n") == 1
    assert result.output.startswith("error:")


@pytest.mark.parametrize(
    "arguments",
    [
        ["join", "not an address", "--yes"],
        ["join", "localhost:99999", "--yes"],
        ["solo", "--agent", "oracle"],
        ["solo", "--agent", "command"],
        ["solo", "--challenge", "nonexistent"],
        ["solo", "--max-experiments", "0"],
        ["leaderboard", "--limit", "0"],
        ["frobnicate"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path, monkeypatch, arguments):
    monkeypatch.setenv("AUTORESEARCH_STATE_DIR", str(tmp_path))

    assert runner.invoke(app, arguments).exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--agent", "command", "--agent-command", "helper 'unclosed"], "check its quotes"),
        (["--token-file", "/no/such/token"], "cannot read the token file"),
        (["--token-file", os.devnull], "is empty"),
    ],
)
def test_wrong_settings_are_told_before_anybody_is_asked(tmp_path, options, complaint):
    result = runner.invoke(app, ["join", "127.0.0.1:1", "--yes", "--state-dir", str(tmp_path), *options])

    assert result.exit_code == ExitCode.USAGE
    assert complaint in result.output


def test_a_status_of_nothing_says_how_to_start(tmp_path):
    result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)])

    assert result.exit_code == ExitCode.FAILURE
    assert "autoresearch-node join HOST" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["show", "abc"], ["diff", "abc"], ["diff", "0192ab", "--against", "bset"], ["show", "no such idea"]],
)
def test_what_is_no_id_is_told_plainly_before_anybody_is_asked(arguments):
    result = runner.invoke(app, arguments)

    assert result.exit_code == ExitCode.USAGE
    assert result.output.startswith("error: ")
    assert "is no id of an experiment; give the whole id" in result.output
    assert "Request" not in result.output


@pytest.mark.parametrize("text", ['{"state": "trai', "[]", ""])
def test_a_status_that_cannot_be_read_is_told_and_the_outbox_shown(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    Outbox(tmp_path / "outbox.sqlite", now=utc_now).close()

    result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)])

    assert result.exit_code == ExitCode.FAILURE
    assert "0 waiting, 0 acknowledged" in result.output
    assert "status.json is damaged; delete it" in result.output
    assert "no node has run" not in result.output


def test_a_status_over_a_damaged_outbox_says_what_to_do_with_it(tmp_path):
    (tmp_path / "status.json").write_text('{"name": "ada"}')
    (tmp_path / "outbox.sqlite").write_text("garbage\n")

    result = runner.invoke(app, ["status", "--state-dir", str(tmp_path)])

    assert result.exit_code == ExitCode.FAILURE
    assert "node         ada" in result.output
    assert "outbox.sqlite is damaged" in result.output
    assert "permissions" not in result.output


def test_a_state_dir_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")

    result = runner.invoke(app, ["solo", "--state-dir", str(tmp_path / "file")])

    assert result.exit_code == ExitCode.FAILURE
    assert "cannot use the state dir" in result.output


def test_config_show_tells_each_setting_and_its_source(monkeypatch):
    monkeypatch.setenv("AUTORESEARCH_NAME", "ada")

    rows = json.loads(runner.invoke(app, ["config", "show", "--json"]).output)

    by_name = {row["name"]: row for row in rows}
    assert (by_name["name"]["value"], by_name["name"]["source"]) == ("ada", "environment")
    assert by_name["agent"]["source"] == "default"
    assert runner.invoke(app, ["config", "show"]).exit_code == ExitCode.OK


def test_the_doctor_finds_an_unreachable_coordinator_and_says_what_to_do(tmp_path):
    result = runner.invoke(app, ["doctor", "127.0.0.1:1", "--state-dir", str(tmp_path), "--json"])

    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == ExitCode.DOCTOR
    assert findings["python"]["fix"] == ""
    assert "solo" in findings["coordinator"]["fix"]


def test_the_doctor_looks_into_the_outbox_and_into_what_was_learned_alone(tmp_path):
    Outbox(tmp_path / "outbox.sqlite", now=utc_now).close()
    (tmp_path / "solo").mkdir()
    (tmp_path / "solo" / "ch_1.sqlite").write_text("garbage\n")

    result = runner.invoke(app, ["doctor", "127.0.0.1:1", "--state-dir", str(tmp_path), "--json"])

    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert findings["outbox"]["fix"] == ""
    assert "is damaged" in findings["solo"]["seen"]
    assert "move it aside" in findings["solo"]["fix"]


def test_the_doctor_takes_the_options_that_it_recommends(tmp_path):
    empty = tmp_path / "token"
    empty.touch()
    options = ["--state-dir", str(tmp_path), "--sandbox", "none", "--token-file", str(empty), "--json"]

    result = runner.invoke(app, ["doctor", "127.0.0.1:1", *options])

    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert "by your wish" in findings["sandbox"]["seen"]
    assert "is empty" in findings["token"]["seen"]
    assert "--token-file" in findings["token"]["fix"]


def test_the_doctor_knows_every_option_of_an_agent_that_join_knows():
    shown = " ".join(runner.invoke(app, ["doctor", "--help"]).output.split())

    for setting in SETTINGS:
        if setting.name.startswith(("agent", "anthropic", "propose_only")):
            assert setting.flag in shown


@pytest.mark.parametrize("source", ["flag", "environment"])
def test_the_doctor_looks_for_nothing_that_trains_where_a_node_only_proposes(tmp_path, monkeypatch, source):
    options = ["--state-dir", str(tmp_path), "--device", "cuda", "--json"]
    if source == "flag":
        options.append("--propose-only")
    else:
        monkeypatch.setenv("AUTORESEARCH_PROPOSE_ONLY", "true")

    result = runner.invoke(app, ["doctor", "127.0.0.1:1", *options])

    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert "none needed" in findings["hardware"]["seen"]
    assert not {"git", "torch", "trainer", "sandbox", "gpu driver"} & findings.keys()
    assert [name for name, finding in findings.items() if finding["fix"]] == ["coordinator"]


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nMC4CAQ"])
def test_a_truncated_key_says_what_follows_from_a_new_one(tmp_path, content):
    key = tmp_path / "node.key"
    key.write_text(content)
    key.chmod(0o600)

    result = runner.invoke(app, ["solo", "--state-dir", str(tmp_path)])

    assert result.exit_code == ExitCode.FAILURE
    assert f"{key} is damaged" in result.output
    assert "that is a new node" in result.output
    assert "http" not in result.output
    assert key.read_text() == content


def test_a_key_that_others_can_read_is_not_called_damaged(tmp_path):
    key = tmp_path / "node.key"
    key.write_text("x")
    key.chmod(0o644)

    result = runner.invoke(app, ["solo", "--state-dir", str(tmp_path)])

    assert result.exit_code == ExitCode.FAILURE
    assert f"chmod 600 {key}" in result.output
    assert "damaged" not in result.output


def test_a_missing_git_is_found(tmp_path):
    script = Path(sys.executable).with_name("autoresearch-node")
    environ = {**os.environ, "PATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, script, "doctor", "127.0.0.1:1", "--state-dir", str(tmp_path / "s")],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )

    assert done.returncode == ExitCode.DOCTOR
    assert "fix: install git" in done.stdout


def test_the_doctor_looks_at_agent_driver_and_who_may_write_the_state(tmp_path):
    tmp_path.chmod(0o777)
    agent = ["--agent", "command", "--agent-command", "no-such-agent {prompt}"]

    result = runner.invoke(app, ["doctor", "127.0.0.1:1", "--state-dir", str(tmp_path), "--json", *agent])

    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert "no-such-agent is not found" in findings["agent"]["seen"]
    assert "install no-such-agent" in findings["agent"]["fix"]
    assert findings["state dir"]["fix"] == f"chmod go-w {tmp_path}"
    assert findings["gpu driver"]["fix"] == ""  # none is wanted


def test_the_doctor_misses_a_driver_where_a_gpu_is_wanted(tmp_path):
    options = ["--device", "cuda", "--state-dir", str(tmp_path / "state"), "--json"]

    result = runner.invoke(app, ["doctor", "127.0.0.1:1", *options])

    driver = {finding["name"]: finding for finding in json.loads(result.stdout)}["gpu driver"]
    assert bool(driver["fix"]) == ("no NVIDIA driver" in driver["seen"])


def test_the_doctor_tells_that_an_installed_service_ends_with_the_login(tmp_path, monkeypatch):
    unit = tmp_path / "config" / "systemd" / "user" / "autoresearch-node.service"
    unit.parent.mkdir(parents=True)
    unit.touch()
    loginctl = tmp_path / "bin" / "loginctl"
    loginctl.parent.mkdir()
    loginctl.write_text("#!/bin/sh\necho Linger=no\n")
    loginctl.chmod(0o755)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PATH", f"{loginctl.parent}:{os.environ['PATH']}")

    result = runner.invoke(app, ["doctor", "127.0.0.1:1", "--state-dir", str(tmp_path / "s"), "--json"])

    findings = {finding["name"]: finding for finding in json.loads(result.stdout)}
    assert "loginctl enable-linger" in findings["service"]["fix"]


def test_a_dry_run_that_finds_a_problem_is_exit_code_6_and_leaves_nothing(tmp_path):
    result = runner.invoke(app, ["join", "127.0.0.1:1", "--dry-run", "--state-dir", str(tmp_path / "s")])

    assert result.exit_code == ExitCode.DOCTOR
    assert "coordinator" in result.output
    assert not (tmp_path / "s").exists()
