import pytest
from node_builders import make_challenge

from node.terms import ConsentMissing, Terms, ask_consent


def make_terms(operator="Be kind.", *, is_held=True):
    return Terms.of("example.org:50051", make_challenge(), operator, is_held=is_held)


def test_the_terms_name_the_licence_what_is_sent_and_how_code_is_held(capsys, tmp_path):
    ask_consent(make_terms(), tmp_path, agreed=True)

    shown = capsys.readouterr().err
    for part in ("MIT", "example.org:50051", "log", "in a sandbox", "docs/sandbox.md", "| Be kind."):
        assert part in shown


def test_to_give_up_the_sandbox_is_to_agree_to_other_terms(tmp_path):
    ask_consent(make_terms(), tmp_path, agreed=True)
    unheld = make_terms(is_held=False)

    assert "NOT isolated" in unheld.text
    with pytest.raises(ConsentMissing):
        ask_consent(unheld, tmp_path, agreed=False)


def test_without_a_terminal_and_without_yes_nobody_agreed(tmp_path):
    with pytest.raises(ConsentMissing, match="--yes"):
        ask_consent(make_terms(), tmp_path, agreed=False)


def test_a_yes_is_remembered_until_the_terms_change(tmp_path):
    ask_consent(make_terms(), tmp_path, agreed=True)

    ask_consent(make_terms(), tmp_path, agreed=False)
    with pytest.raises(ConsentMissing):
        ask_consent(make_terms("Pay me."), tmp_path, agreed=False)


def test_an_operator_cannot_write_on_the_terminal():
    assert "\x1b" not in make_terms("\x1b[2Jall gone").text
