import pytest
from node_builders import make_challenge

from node.terms import ConsentMissing, Terms, ask_consent


def make_terms(operator="Be kind."):
    return Terms.of("example.org:50051", make_challenge(), operator)


def test_the_terms_name_the_licence_what_is_sent_and_the_lack_of_isolation(capsys, tmp_path):
    ask_consent(make_terms(), tmp_path, agreed=True)

    shown = capsys.readouterr().err
    for part in ("MIT", "example.org:50051", "log", "NOT isolated", "| Be kind."):
        assert part in shown


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
