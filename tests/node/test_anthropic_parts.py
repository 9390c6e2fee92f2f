import threading

import pytest
from autoresearch.model import SOURCE_LIMIT_BYTES, Usage
from node_builders import BASELINE
from structlog.testing import capture_logs

from node.agent.anthropic.assembly import anthropic_agent, check_base_url, model_settings
from node.agent.anthropic.editor import EDITOR, EDITOR_TOOL, UNDO_LIMIT, Editor
from node.agent.anthropic.key import ApiKey, read_key
from node.agent.anthropic.statement import STATEMENT, Statement
from node.agent.anthropic.tokens import TokenCounter, by_bytes
from node.agent.prices import listed_price, own_price
from node.config import Config
from node.failures import Failed

TEXT = "A = 1\nB = 2\nC = 3\n"


def said_by(editor, **arguments):
    answer = editor.use(EDITOR, arguments)
    return answer.text


def test_the_editor_shows_lines_with_their_numbers():
    editor = Editor(TEXT)

    assert said_by(editor, command="view") == "   1| A = 1\n   2| B = 2\n   3| C = 3"
    assert said_by(editor, command="view", view_range=[2, -1]) == "   2| B = 2\n   3| C = 3"


def test_a_replacement_must_mean_one_place():
    editor = Editor("A = 1\nA = 1\nB = 2\n")

    assert "stands in train.py 2 times" in said_by(editor, command="str_replace", old_str="A = 1", new_str="")
    assert "does not stand" in said_by(editor, command="str_replace", old_str="   1| A = 1", new_str="")
    assert "Done." in said_by(editor, command="str_replace", old_str="B = 2", new_str="B = 3")
    assert editor.source == "A = 1\nA = 1\nB = 3\n"


@pytest.mark.parametrize(
    ("line", "words", "expected"),
    [
        (0, "Z = 0", "Z = 0\nA = 1\nB = 2\nC = 3\n"),
        (2, "Z = 0\n", "A = 1\nB = 2\nZ = 0\nC = 3\n"),
        (3, "Z = 0\n", "A = 1\nB = 2\nC = 3\nZ = 0\n"),
    ],
)
def test_text_is_inserted_after_a_line(line, words, expected):
    editor = Editor(TEXT)

    said_by(editor, command="insert", insert_line=line, insert_text=words)

    assert editor.source == expected


def test_text_is_inserted_after_a_last_line_that_has_no_end():
    editor = Editor("A = 1")

    said_by(editor, command="insert", insert_line=1, insert_text="B = 2")

    assert editor.source == "A = 1\nB = 2"


def test_changes_are_taken_back_one_by_one():
    editor = Editor(TEXT)
    for number in range(UNDO_LIMIT + 1):
        said_by(editor, command="insert", insert_line=0, insert_text=f"# {number}")

    for _ in range(UNDO_LIMIT):
        said_by(editor, command="undo")

    assert editor.source == "# 0\n" + TEXT
    assert said_by(editor, command="undo") == "there is nothing to undo"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (None, "'command' must be a text"),
        ([], "'command' must be a text"),
        ({"command": 3}, "'command' must be a text"),
        ({"command": "rm", "path": "/etc/passwd"}, "there is no command 'rm'"),
        ({"command": "view", "view_range": [0, 2]}, "within 1 and"),
        ({"command": "view", "view_range": [3, 2]}, "the first line first"),
        ({"command": "view", "view_range": "all"}, "two whole numbers"),
        ({"command": "view", "view_range": [True, 2]}, "two whole numbers"),
        ({"command": "str_replace", "old_str": ""}, "old_str is empty"),
        ({"command": "str_replace", "old_str": "A = 1", "new_str": "A = 1"}, "changes nothing"),
        ({"command": "str_replace", "old_str": "A = 1", "new_str": 5}, "'new_str' must be a text"),
        ({"command": "str_replace", "old_str": "A", "new_str": "\ud800"}, "half a character"),
        ({"command": "str_replace", "old_str": "A", "new_str": "\0"}, "NUL"),
        ({"command": "str_replace", "old_str": TEXT}, "train.py is empty"),
        ({"command": "insert", "insert_line": 9, "insert_text": "x"}, "within 0 and 3"),
        ({"command": "insert", "insert_line": "1", "insert_text": "x"}, "whole number"),
        (
            {"command": "insert", "insert_line": 0, "insert_text": "#" * SOURCE_LIMIT_BYTES},
            "the limit is 65536",
        ),
    ],
)
def test_a_command_that_cannot_be_obeyed_changes_nothing_and_says_why(arguments, complaint):
    editor = Editor(TEXT)

    answer = editor.use(EDITOR, arguments)

    assert answer.is_error
    assert complaint in answer.text
    assert editor.source == TEXT


def test_the_model_is_told_when_its_edit_is_no_python():
    editor = Editor(TEXT)

    assert "It is no Python any more" in said_by(editor, command="str_replace", old_str="1", new_str="(")


def test_tools_name_what_they_take():
    assert EDITOR_TOOL["input_schema"]["required"] == ["command"]
    assert Statement(BASELINE, agent="x", was_asked=False).use(STATEMENT, None).is_error


def test_a_second_statement_does_not_replace_the_first():
    statement = Statement(BASELINE, agent="x", was_asked=False)
    words = {"title": "One", "rationale": "r", "changes": [{"op": "add", "what": "w"}]}

    first = statement.use(STATEMENT, words)
    second = statement.use(STATEMENT, {**words, "title": "Two"})

    assert (first.is_error, second.is_error, statement.hypothesis.title) == (False, True, "One")


def test_invisible_characters_of_a_statement_do_not_travel():
    statement = Statement(BASELINE, agent="x", was_asked=False)
    words = {
        "title": "One\x1b[31m\u200b two",
        "rationale": "a\tb\n\nc",
        "changes": [{"op": "add", "what": "w"}],
    }

    statement.use(STATEMENT, words)

    assert statement.hypothesis.title == "One [31m two"
    assert statement.hypothesis.rationale == "a b\n\nc"


def test_a_listed_model_costs_what_the_table_says():
    usage = Usage(
        input_tokens=1_000_000,
        cache_write_tokens=1_000_000,
        cache_read_tokens=1_000_000,
        output_tokens=1_000_000,
    )

    assert listed_price("claude-opus-5", is_makers=True).cost_usd(usage) == 5.0 + 6.25 + 0.5 + 25.0
    assert not listed_price("claude-opus-5", is_makers=True).is_estimate
    assert listed_price("claude-haiku-4-5-20251001", is_makers=True).rates.written == 5.0


def test_a_long_prompt_costs_more_where_the_table_says_so():
    price = listed_price("claude-haiku-5-5", is_makers=True)
    short, long = Usage(input_tokens=100_000), Usage(cache_read_tokens=100_000, input_tokens=1)

    assert price.cost_usd(short) == pytest.approx(0.01)
    assert price.cost_usd(long) == pytest.approx(0.1 * 0.05 + 0.5e-6)


def test_an_unlisted_model_is_an_estimate():
    theirs = listed_price("claude-next", is_makers=True)
    local = listed_price("qwen3-coder", is_makers=False)
    gateway = listed_price("claude-sonnet-5-5", is_makers=False)

    assert (theirs.is_estimate, theirs.rates.written) == (True, 50.0)
    assert (local.is_estimate, local.is_known, local.rates.written) == (True, False, 0.0)
    assert (gateway.is_estimate, gateway.is_known, gateway.rates.written) == (True, True, 10.0)


def test_the_owner_may_say_the_price():
    price = own_price(read_usd=2.0, written_usd=8.0)
    usage = Usage(cache_write_tokens=1_000_000, cache_read_tokens=1_000_000, output_tokens=1_000_000)

    assert price.cost_usd(usage) == pytest.approx(2.5 + 0.2 + 8.0)


def test_tokens_are_a_quarter_of_the_bytes_where_no_encoding_can_be_had_and_that_is_said_once():
    def load():
        raise OSError("no network")

    with capture_logs() as logs:
        counter = TokenCounter(load=load)
        counts = [counter.count("abcdefgh"), counter.count("ä")]

    assert counts == [2, 1]
    assert [(log["event"], log["reason"]) for log in logs] == [
        ("tokens are estimated as a quarter of the bytes", "no network")
    ]


def test_a_download_that_hangs_is_not_waited_for():
    gate = threading.Event()

    counter = TokenCounter(load=lambda: gate.wait() and by_bytes, limit_s=0.05)

    assert counter.count("abcd") == 1
    gate.set()


def test_an_absurd_count_does_not_spoil_the_estimates():
    counter = TokenCounter(load=lambda: by_bytes)

    counter.learn(100, 1_000_000)

    assert counter.count("abcd" * 100) == 400


def test_a_key_comes_from_its_file_or_else_from_the_environment(tmp_path):
    path = tmp_path / "key"
    path.write_text("from-file\n")

    assert read_key(path, {"ANTHROPIC_API_KEY": "from-environment"}).reveal() == "from-file"
    assert read_key(None, {"ANTHROPIC_API_KEY": "from-environment"}).reveal() == "from-environment"
    assert read_key(None, {"ANTHROPIC_API_KEY": ""}) is None


@pytest.mark.parametrize(("text", "complaint"), [("", "is empty"), ("two\nlines", "holds no key")])
def test_a_file_without_a_key_is_named(tmp_path, text, complaint):
    (tmp_path / "key").write_text(text)

    with pytest.raises(Failed, match=complaint):
        read_key(tmp_path / "key", {})


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(Failed, match="cannot read the key file"):
        read_key(tmp_path / "none", {})


def test_a_key_shows_in_no_representation():
    assert "secret" not in f"{ApiKey('secret')!r} {ApiKey('secret')}"


def test_without_a_key_only_a_server_of_ones_own_is_called():
    with pytest.raises(Failed, match="set ANTHROPIC_API_KEY, or name a file"):
        anthropic_agent(Config(agent="anthropic"), {})

    settings = model_settings(Config(agent="anthropic", agent_base_url="http://127.0.0.1:1"), {})

    assert settings.key.reveal() == "none"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("localhost:8000", "is no address"),
        ("file:///etc/passwd", "is no address"),
        ("http://example.org", "in the clear"),
        ("https://user:pass@example.org", "must not hold a password"),
    ],
)
def test_an_address_that_is_none_or_not_safe_is_refused(url, complaint):
    with pytest.raises(Failed, match=complaint):
        check_base_url(url, insecure=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://a.org"])
def test_loopback_and_tls_are_safe(url):
    check_base_url(url, insecure=False)


def test_a_network_of_ones_own_may_be_plain():
    check_base_url("http://192.168.1.5:8000", insecure=True)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("claude-opus-5", "claude-opus-5"),
        ("qwen/qwen3", "qwen/qwen3"),
        ("/home/ada/models/qwen.gguf", "qwen.gguf"),
        ("C:\\Users\\ada\\qwen.gguf", "qwen.gguf"),
    ],
)
def test_results_name_the_model_without_the_path_to_it(model, shown):
    config = Config(agent="anthropic", agent_model=model, agent_base_url="http://127.0.0.1:1")

    assert model_settings(config, {}).public_name == shown


def test_a_model_without_a_price_is_said_to_be_one():
    config = Config(agent="anthropic", agent_model="qwen3", agent_base_url="http://127.0.0.1:1")

    with capture_logs() as logs:
        anthropic_agent(config, {})

    assert "no price is known" in logs[0]["event"]
