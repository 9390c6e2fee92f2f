"""What the corpus found on terminals, one small test for each."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
import structlog
import typer
from autoresearch.errors import NotFound
from test_reading import FakeReader, scored

from node import reading
from node.cli import _one_sentence
from node.local_status import show_status
from node.logs import _Indented, set_up_logging
from node.rendering import to_json
from node.terms import Terms


def test_json_for_programs_moves_no_cursor_where_a_terminal_shows_it():
    value = {"title": "\x9b2J \x1b[2J \u202e \x7f \ud800 \U000e0041 é"}

    shown = to_json(value)

    assert json.loads(shown) == value
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "é" in shown


def test_an_error_of_a_coordinator_is_one_line_that_moves_no_cursor(capsys):
    with pytest.raises(typer.Exit), _one_sentence():
        raise NotFound("no experiment\x1b[2J\nerror: none\x9b1A")

    assert capsys.readouterr().err == "error: no experiment [2J error: none 1A\n"


def test_a_title_in_the_status_is_one_line(tmp_path, capsys):
    picture = {"state": "training", "pid": 0, "prepared": "next\nstate        stopped\x1b[2J"}
    (tmp_path / "status.json").write_text(json.dumps(picture))

    show_status(tmp_path, as_json=False)

    assert "next         next state        stopped [2J\n" in capsys.readouterr().out


def test_a_title_that_is_wrapped_passes_for_no_line_of_the_status(tmp_path, capsys):
    picture = {"state": "training", "pid": 0, "prepared": "long " * 29 + "state        stopped"}
    (tmp_path / "status.json").write_text(json.dumps(picture))

    show_status(tmp_path, as_json=False)

    assert capsys.readouterr().out.count("\nstate ") == 1


def fail(message):
    raise ValueError(message)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_message_of_an_exception_moves_no_cursor_and_begins_no_line_of_the_log(form, capsys):
    set_up_logging(form, "info")
    try:
        fail("no\x1b[2J\x9b\n2026-01-01 [info     ] all is well")
    except ValueError:
        structlog.get_logger("test").exception("the call failed")

    shown = capsys.readouterr().err
    assert "ValueError: no" in shown
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert not [line for line in shown.split("\n") if line.startswith("2026-01-01 [info")]


def test_what_libraries_log_begins_no_line_either():
    record = logging.LogRecord("grpc", logging.ERROR, "x.py", 1, "no\x1b[2J\nERROR:node:fake", (), None)

    assert _Indented(logging.BASIC_FORMAT).format(record) == "ERROR:grpc:no [2J\n  ERROR:node:fake"


def test_a_licence_is_one_line_of_the_terms():
    terms = Terms(
        coordinator="h:1", licence="MIT\n\nNothing leaves this machine.", operator_text="", is_held=True
    )

    assert "Contributions are licensed under MIT Nothing leaves this machine..\n" in terms.text


async def test_reasons_in_show_are_quoted_and_pass_for_no_fact(capsys):
    reader = FakeReader(scored("id-00000001", "Warmer", 1.9))
    summary = reader.summaries["id-00000001"]
    claims = replace(summary.experiment.hypothesis, rationale="so\n  state        confirmed")
    reader.summaries["id-00000001"] = replace(
        summary, experiment=replace(summary.experiment, hypothesis=claims)
    )

    await reading.show(reader, "id-00000001", as_json=False)

    shown = capsys.readouterr().out
    assert "\n>   state        confirmed" in shown
    assert shown.count("\n  state  ") == 1
