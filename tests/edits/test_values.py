from __future__ import annotations

import ast
import math
from decimal import Decimal

import pytest
from autoresearch.edits.quantities import parse_value
from autoresearch.edits.source import EditError, parse_expression
from autoresearch.edits.values import Group, NotConstant, Opaque, Value, canonical_text, evaluate
from hypothesis import given, settings
from hypothesis import strategies as st


def text_of(expression: str) -> str:
    return canonical_text(evaluate(parse_expression(expression, 10_000)))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("2**18", "262144"),
        ("1 << 18", "262144"),
        ("262_144", "262144"),
        ("0x40000", "262144"),
        ("1e-1", "0.1"),
        (".10", "0.1"),
        ("1/10", "0.1"),
        ("0.1 * 3", "0.3"),
        ("0.7 + 0.1", "0.8"),
        ("2 / 1", "2.0"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("7.5 // 2", "3.0"),
        ("-7.5 % 2", "0.5"),
        ("4 ** 0.5", "2.0"),
        ("2 ** -1", "0.5"),
        ("-0.0", "0.0"),
        ("1e22", "1e+22"),
        ("not True", "False"),
        ("~5", "-6"),
        ("None", "None"),
        ("'a' \"b\"", "'ab'"),
        ("(1, 2.50)", "(1, 2.5)"),
        ("(1,)", "(1,)"),
        ("[1, [2]]", "[1, [2]]"),
        ("{'a': 1 + 1}", "{'a': 2}"),
        ("(0.9, 0.95)[1]", None),
    ],
)
def test_a_constant_expression_has_one_text(expression: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(NotConstant):
            text_of(expression)
        return

    assert text_of(expression) == text


@pytest.mark.parametrize(
    "expression",
    [
        "f(1)", "x", "x.y", "1 if 2 else 3", "1 < 2", "True + True", "1j", "b'x'", "...", "f'{1}'", "1 / 0",
        "0 ** -1",
        "9**9**9", "1 << 99999", "1 << -1", "'a' * 9**9", "2.0 ** 1e9", "(-8) ** (1/3)", "1 @ 2", "{**{}}",
        "lambda: 1",
        "1e308 * 10", "2 % 0.0", "{1: 2, 1: 3}", "(1).real", "[i for i in (1,)]", "10**400 * 1.5", "1e999",
    ],
)  # fmt: skip
def test_what_only_running_would_tell_is_no_constant(expression: str) -> None:
    tree = parse_expression(expression, 10_000)

    with pytest.raises(NotConstant):
        evaluate(tree)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("256K", 262144),
        ("262K", 262144),
        ("262k", 262144),
        ("256Ki", 262144),
        ("262.1K", 262144),
        ("2^18", 262144),
        ("2 ** 18", 262144),
        ("262,144", 262144),
        ("`262144`", 262144),
        ("131K", 131072),
        ("524K", 524288),
        ("65K", 65536),
        ("33K", 32768),
        ("98K", 98304),
        ("96K", 98304),
        ("393K", 393216),
        ("655K", 655360),
        ("1M", 2**20),
        ("1.05M", 2**20),
        ("0.5M", 2**19),
        ("500K", 500_000),
        ("100K", 100_000),
        ("3K", 3_000),
        ("10K", 10_000),
        ("1.5M", 1_500_000),
        ("-4K", -4096),
        ("007", 7),
        ("5%", Decimal("0.05")),
        ("5 per cent", Decimal("0.05")),
        ("12.5 %", Decimal("0.125")),
        ("100%", Decimal("1.0")),
        ("1e-4", Decimal("0.0001")),
        ("\N{MINUS SIGN}0.5", Decimal("-0.5")),
        ("1/3", Decimal(repr(1 / 3))),
        ("gelu", "gelu"),
        ("'gelu'", "gelu"),
        ("true", True),
        ("None", None),
        ("null", None),
        ("n * 2", Opaque(text="n * 2")),
        ("int( os.environ['X'] )", Opaque(text="int(os.environ['X'])")),
        ("twice  the old", Opaque(text="twice the old")),
    ],
)
def test_a_stated_value_is_what_people_mean_by_it(text: str, value: Value) -> None:
    parsed = parse_value(text)

    assert parsed == value
    assert type(parsed) is type(value)


def test_the_value_that_is_replaced_settles_words_of_two_meanings() -> None:
    pair = Group(kind="tuple", keys=("0", "1"), parts=(1, 2))

    assert parse_value("off", like=True) is False
    assert parse_value("off", like="on") == "off"
    assert parse_value("S-S-L", like="SSSL") == "S-S-L"
    assert parse_value("262,144", like=pair) == Group(kind="tuple", keys=("0", "1"), parts=(262, 144))


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_exactly(value: float) -> None:
    text = text_of(repr(value))

    assert float(text) == value


@given(base=st.integers(5, 60), odd=st.sampled_from([1, 3]))
def test_powers_of_two_survive_their_own_abbreviation(base: int, odd: int) -> None:
    size = odd << (base % 11 + 13)
    digits = f"{size / 1000:.0f}K" if size >= 100_000 else f"{size / 1000:.1f}K"

    assert parse_value(digits) == size


_ATOMS = st.sampled_from(
    ["1", "2", "0", "9**99", "1e300", "0.1", "'a'", "(1,2)", "[1]", "x", "True", "None", "-3"]
)
_OPERATORS = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "<<", ">>", "&", "|", "^", "@"])


@given(atoms=st.lists(_ATOMS, min_size=1, max_size=8), operators=st.lists(_OPERATORS, min_size=8, max_size=8))
@settings(max_examples=600, deadline=None)
def test_arithmetic_agrees_with_python_or_is_refused(atoms: list[str], operators: list[str]) -> None:
    text = atoms[0]
    for atom, sign in zip(atoms[1:], operators, strict=False):
        text = f"({text}) {sign} {atom}"

    try:
        value = evaluate(parse_expression(text, 10_000))
    except (NotConstant, EditError):
        return

    assert _matches(value, eval(text, {"__builtins__": {}}))  # noqa: S307 - generated from the atoms above


def _matches(value: Value, expected: object) -> bool:
    if isinstance(expected, float):
        return isinstance(value, Decimal) and math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(value, Group):
        return ast.literal_eval(canonical_text(value)) == expected
    return type(value) is type(expected) and value == expected


@given(text=st.text(alphabet="0123456789.,_eEkKMi%+-*/()^ 'x[]{}:", max_size=60))
@settings(max_examples=1_000, deadline=None)
def test_any_stated_text_is_a_value_or_refused(text: str) -> None:
    try:
        value = parse_value(text)
    except EditError:
        return

    assert canonical_text(value)


@pytest.mark.parametrize("text", ["", "  ", "`", "1" * 1_001, "\0"])
def test_an_unusable_value_is_refused_or_kept_as_text(text: str) -> None:
    if text == "\0":
        assert parse_value(text) == Opaque(text="\0")
        return

    with pytest.raises(EditError):
        parse_value(text)
