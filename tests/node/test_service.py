"""The unit of systemd that keeps a node running; ``systemctl`` and ``loginctl`` are scripts of the test."""

import os
import re
import stat

import pytest
from typer.testing import CliRunner

from node.cli import app
from node.exit_codes import ExitCode
from node.failures import Failed
from node.service import BOOTED_MARK, Service, quoted, unit_text

runner = CliRunner()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Machine:
    """One that systemd runs, for a user whose services linger or not."""

    def __init__(self, folder, *, lingers="no"):
        self.folder = folder
        tools = folder / "bin"
        tools.mkdir()
        script(
            tools / "systemctl",
            f'echo "$@" >> {folder}/asked; case "$2" in is-active) echo active; exit 3;; esac',
        )
        script(tools / "loginctl", f"echo Linger={lingers}")
        self.environ = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(folder), "USER": "ada"}

    @property
    def asked(self):
        return (self.folder / "asked").read_text().splitlines()

    def service(self):
        return Service(self.environ, booted_mark=self.folder)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_the_unit_runs_join_with_the_arguments_and_says_how_to_enable_it(machine):
    said = machine.service().install("/opt/autoresearch-node", ["lab:50051", "--gpus", "all", "--yes"])

    text = (machine.folder / ".config/systemd/user/autoresearch-node.service").read_text()
    assert "ExecStart=/opt/autoresearch-node join lab:50051 --gpus all --yes\n" in text
    assert "systemctl --user enable --now autoresearch-node.service" in said
    assert "loginctl enable-linger" in said


def test_ends_that_a_new_start_would_not_change_are_final(machine):
    text = unit_text(["node", "join", "lab"], machine.folder / "service.env")

    assert "Restart=on-failure\n" in text
    assert "RestartPreventExitStatus=2 4 5 6 7 130\n" in text
    assert "SuccessExitStatus=7 130\n" in text


def test_no_secret_of_the_environment_is_in_the_unit(machine):
    machine.environ["ANTHROPIC_API_KEY"] = "a-secret"

    machine.service().install("/opt/autoresearch-node", ["lab"])

    text = machine.service().path.read_text()
    assert "a-secret" not in text
    assert re.search(r"^EnvironmentFile=-.*/\.config/autoresearch/service\.env$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("--gpus", "--gpus"),
        ("claude -p {prompt}", '"claude -p {prompt}"'),
        ('say "yes"', '"say \\"yes\\""'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ("a\\b", '"a\\\\b"'),
        ("", '""'),
    ],
)
def test_a_word_stays_one_word_whatever_systemd_would_read_into_it(word, written):
    assert quoted(word) == written


def test_a_line_break_cannot_add_a_line_to_the_unit():
    with pytest.raises(Failed, match="control characters"):
        quoted("a\nExecStartPost=/bin/false")


def test_uninstall_stops_the_service_and_removes_the_unit_alone(machine):
    service = machine.service()
    service.install("/opt/autoresearch-node", ["lab"])

    service.uninstall()

    assert not service.is_installed
    assert machine.asked == [
        "--user disable --now autoresearch-node.service",
        "--user daemon-reload",
    ]
    with pytest.raises(Failed, match="there is no service"):
        service.uninstall()


def test_status_tells_what_runs_and_whether_it_outlives_the_login(machine):
    service = machine.service()
    service.install("/opt/autoresearch-node", ["lab", "--name", "ada"])

    said = service.status()

    assert "command   /opt/autoresearch-node join lab --name ada" in said
    assert "state     active" in said
    assert "lingers   no: it ends when you log out" in said


def test_without_systemd_nothing_is_installed_and_the_way_out_is_named(machine):
    service = Service(machine.environ, booted_mark=machine.folder / "absent")

    with pytest.raises(Failed, match="not run by systemd"):
        service.install("/opt/autoresearch-node", ["lab"])

    assert not service.is_installed


@pytest.mark.skipif(BOOTED_MARK.is_dir(), reason="systemd runs this machine")
def test_the_command_refuses_where_there_is_no_systemd(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    result = runner.invoke(app, ["service", "install", "lab", "--yes", "--gpus", "all"])

    assert result.exit_code == ExitCode.FAILURE
    assert "not run by systemd" in result.output


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--gpu", "all"], "--gpu"), (["--workers", "many"], "--workers"), (["--yes", "surplus"], "surplus")],
)
def test_what_join_would_not_take_is_told_before_anything_is_written(
    monkeypatch, tmp_path, options, complaint
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    result = runner.invoke(app, ["service", "install", "lab", *options])

    assert result.exit_code == ExitCode.USAGE
    assert "Usage: join" in result.output
    assert complaint in result.output
    assert list(tmp_path.iterdir()) == []


def test_paths_are_written_whole_since_a_service_starts_elsewhere(monkeypatch, tmp_path):
    from node.cli import _join_arguments

    monkeypatch.chdir(tmp_path)

    arguments = _join_arguments("lab", ["--token-file", "token", "--state-dir=state", "--name", "ada"])

    assert arguments == [
        *("lab", "--token-file", str(tmp_path / "token")),
        *(f"--state-dir={tmp_path / 'state'}", "--name", "ada"),
    ]
