from __future__ import annotations

import ast
import random

import pytest
from autoresearch.edits import EditError, constants_of, edit_signature, file_signature
from autoresearch.model import ConstantChange
from hypothesis import given, settings
from hypothesis import strategies as st

from .sources import PARENT, edited

LAYOUTS = {
    "comments": edited(("# knobs", "# what to turn\n# and more")),
    "docstrings": edited(('"""One page of training."""', ""), ('"""Run it."""', '"""Something else."""')),
    "power spelled out": edited(("2**18", "262144")),
    "shift": edited(("2**18", "1 << 18")),
    "separators": edited(("2**18", "262_144")),
    "derived written out": edited(("DEPTH * ASPECT_RATIO", "512")),
    "derived another way": edited(("DEPTH * ASPECT_RATIO", "ASPECT_RATIO << 3")),
    "float spelling": edited(("MATRIX_LR = 0.04", "MATRIX_LR = 4e-2")),
    "float arithmetic": edited(("EMBEDDING_LR = 0.6", "EMBEDDING_LR = 0.2 * 3")),
    "quotes": edited(('"SSSL"', "'SSSL'")),
    "string pieces": edited(('"SSSL"', "'SS' 'SL'")),
    "parentheses": edited(("DEPTH = 8", "DEPTH = (8)"), ("return model", "return (model)")),
    "order of constants": edited(("ASPECT_RATIO = 64\n", ""), ("# knobs\n", "ASPECT_RATIO = 64\n")),
    "constants above the classes": edited(("DEPTH = 8\n", ""), ("@dataclass", "DEPTH = 8\n\n\n@dataclass")),
    "overridden before use": edited(("DEPTH = 8\n", "DEPTH = 4\nDEPTH = 8\n")),
    "raised before use": edited(("DEPTH = 8\n", "DEPTH = 4\nDEPTH *= 2\n")),
    "annotated": edited(("DEPTH = 8\n", "DEPTH: int = 8\n")),
    "several at once": edited(("DEPTH = 8\nASPECT_RATIO = 64\n", "DEPTH, ASPECT_RATIO = 8, 64\n")),
    "literals in functions": edited(("step * 2 * 1024", "step * 2 * (4 * 256)")),
    "order of imports": edited(("import math\n", ""), ("import torch\n", "import torch\nimport math\n")),
    "idle statements": edited(("        return x\n", "        pass\n        'note'\n        return x\n")),
    "line ends": PARENT.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_and_spelling_leave_the_file_signature_alone(layout: str) -> None:
    source = LAYOUTS[layout]

    signature = file_signature(source)

    assert source != PARENT
    assert signature == file_signature(PARENT)
    assert edit_signature(PARENT, source).is_empty


BEHAVIOURS = {
    "value": edited(("DEPTH = 8", "DEPTH = 9")),
    "type": edited(("DEPTH = 8", "DEPTH = 8.0")),
    "truth": edited(("USE_NORM = True", "USE_NORM = 1")),
    "component": edited(("(0.8, 0.95)", "(0.8, 0.96)")),
    "text": edited(('"SSSL"', '"SSLL"')),
    "dict entry": edited(('"warmup": 10', '"warmup": 20')),
    "class field": edited(("n_layer: int = 8", "n_layer: int = 9")),
    "literal in a function": edited(("range(1000)", "range(1001)")),
    "removed statement": edited(("        x = norm(x)\n", "")),
    "moved statement": edited(
        ("        x = norm(x)\n", ""), ("        return x\n", "        x = norm(x)\n        return x\n")
    ),
    "operator": edited(("x + block(x)", "x - block(x)")),
    "decorator": edited(("@dataclass\n", "@dataclass(frozen=True)\n")),
    "held value": edited(("DEPTH = 8", "DEPTH = 10"), ("DEPTH * ASPECT_RATIO", "512")),
    "constant that the card decides": edited(("DEPTH = 8\n", "DEPTH = 8\nif torch.small:\n    DEPTH = 4\n")),
    "read before it is set": edited(("DEPTH = 8\n", ""), ("USE_NORM = True\n", "print(DEPTH)\nDEPTH = 8\n")),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_another_behaviour_is_another_file_signature(behaviour: str) -> None:
    source = BEHAVIOURS[behaviour]

    signatures = {file_signature(other) for other in BEHAVIOURS.values()}
    edits = {edit_signature(PARENT, other).key for other in BEHAVIOURS.values()}

    assert file_signature(source) != file_signature(PARENT)
    assert not edit_signature(PARENT, source).is_empty
    assert len(signatures) == len(edits) == len(BEHAVIOURS)


def test_an_edit_of_constants_lists_them_resolved_and_without_what_follows_from_them() -> None:
    source = edited(("DEPTH = 8", "DEPTH = 5 * 2"), ("(0.8, 0.95)", "(0.8, 0.9)"), ("0.04", "1"))

    edit = edit_signature(PARENT, source)

    assert edit.constants_only
    assert edit.changes == (
        ConstantChange(name="ADAM_BETAS[1]", old="0.95", new="0.9"),
        ConstantChange(name="DEPTH", old="8", new="10"),
        ConstantChange(name="MATRIX_LR", old="0.04", new="1.0"),
    )


def test_a_value_that_no_longer_follows_is_listed_though_it_stays_the_same() -> None:
    source = edited(("DEPTH = 8", "DEPTH = 10"), ("DEPTH * ASPECT_RATIO", "512"))

    edit = edit_signature(PARENT, source)

    assert ConstantChange(name="MODEL_DIM", old="512", new="512") in edit.changes


def test_the_same_edit_on_another_parent_has_the_same_key() -> None:
    other_parent = edited(("EMBEDDING_LR = 0.6", "EMBEDDING_LR = 0.7"), ("x = scale(x)", "x = scale(x) * 2"))
    edit = (("EMBEDDING_LR = ", "# "), ("MATRIX_LR = 0.04", "EMBEDDING_LR = 0.9\nMATRIX_LR = 0.04"))
    deeper = ("            x = x + block(x)\n", "            x = x + block(x)\n            x = norm(x)\n")

    here = edit_signature(PARENT, edited(*edit, deeper))
    there = edit_signature(other_parent, _apply(other_parent, *edit, deeper))

    assert here.key == there.key
    assert here.touched == ("GPT.forward",)
    assert not here.constants_only


def test_new_and_removed_constants_are_changes() -> None:
    source = edited(("WARMDOWN_RATIO = 0.5\n", "WARMUP = 0.1\n"))

    edit = edit_signature(PARENT, source)

    assert edit.changes == (
        ConstantChange(name="WARMDOWN_RATIO", old="0.5", new=""),
        ConstantChange(name="WARMUP", old="", new="0.1"),
    )


def test_constants_are_names_fields_and_components() -> None:
    source = PARENT + "counter = 0\n\n\ndef count():\n    global counter\n    counter += 1\n"

    texts = constants_of(source).texts()

    assert texts["MODEL_DIM"] == "512"
    assert texts["ADAM_BETAS[1]"] == "0.95"
    assert texts["SCHEDULE['kind']"] == "'cosine'"
    assert texts["Config.dropout"] == "0.0"
    assert texts["counter"] == "0"


def test_names_of_one_assignment_keep_their_order() -> None:
    names = [f"{letter}_RATE" for letter in "QWERTZUIOPASDFG"]

    texts = constants_of(" = ".join([*names, "0.5"]) + "\n").texts()

    assert list(texts) == names


def test_a_name_that_code_binds_is_no_constant_for_others() -> None:
    source = "import os\nA = 2\nfor A in range(3):\n    pass\nB = A * 2\nC = len('x')\nD = C * 2\n"

    texts = constants_of(source).texts()

    assert texts == {"A": "2"}


def test_a_class_field_that_shadows_a_name_of_the_module_is_not_mistaken_for_it() -> None:
    source = "x = 1\nclass C:\n    x = open('f')\n    y = x * 2\n    z = 3\n"

    texts = constants_of(source).texts()

    assert texts.get("C.y") is None


@given(seed=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None)
def test_reformatting_and_respelling_never_change_a_signature(seed: int) -> None:
    chance = random.Random(seed)
    source = _respelled(PARENT, chance)
    source = ast.unparse(ast.parse(source)) if chance.random() < 0.5 else _commented(source, chance)

    signature = file_signature(source)

    assert signature == file_signature(PARENT)


_NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
)


@given(one=_NUMBERS, other=_NUMBERS)
@settings(max_examples=300, deadline=None)
def test_two_constants_have_one_signature_only_if_they_are_equal(one: object, other: object) -> None:
    are_same = type(one) is type(other) and one == other

    signatures = [file_signature(f"KNOB = {value!a}\n") for value in (one, other)]

    assert (signatures[0] == signatures[1]) is are_same


_LINES = st.sampled_from(["a()", "b()", "x = 1", "x = 2", "y = x", "import os", "return 1", "z += 1"])
_BLOCKS = st.recursive(
    st.lists(_LINES, min_size=1, max_size=4).map(lambda lines: [*lines]),
    lambda inner: st.lists(
        st.one_of(
            _LINES,
            st.tuples(st.sampled_from(["if a:", "while b:", "def f():", "class C:", "for i in a:"]), inner),
        ),
        min_size=1,
        max_size=4,
    ),
    max_leaves=8,
)


@given(parent=_BLOCKS, one=_BLOCKS, other=_BLOCKS)
@settings(max_examples=600, deadline=None)
def test_on_one_parent_equal_edits_are_equal_programs(parent: list, one: list, other: list) -> None:
    sources = [f"def main():\n{_rendered(block, 1)}" for block in (parent, one, other)]

    edits = [edit_signature(sources[0], source) for source in sources[1:]]

    same_files = file_signature(sources[1]) == file_signature(sources[2])
    assert (edits[0].key == edits[1].key) is same_files
    assert edits[0].is_empty is (file_signature(sources[0]) == file_signature(sources[1]))


@given(
    lines=st.lists(
        st.sampled_from(["A = 1", "A = 2", "B = A", "B = 3", "f()", "def f(): print(A)", "A += 1"]),
        max_size=6,
    )
)
@settings(max_examples=400, deadline=None)
def test_equal_signatures_of_scripts_mean_equal_output(lines: list[str]) -> None:
    chance = random.Random(len(lines))
    other = chance.sample(lines, len(lines))
    tail = "\ntry:\n    print(A, B)\nexcept NameError as error:\n    print(error)\n"
    one_source, other_source = "\n".join(lines) + tail, "\n".join(other) + tail

    are_equal = file_signature(one_source) == file_signature(other_source)

    assert not are_equal or _output(one_source) == _output(other_source)


def _output(source: str) -> list[str]:
    printed: list[str] = []
    try:
        exec(compile(source, "generated", "exec"), {"print": lambda *parts: printed.append(repr(parts))})  # noqa: S102
    except NameError as error:
        printed.append(str(error))
    return printed


def _apply(source: str, *replacements: tuple[str, str]) -> str:
    for old, new in replacements:
        source = source.replace(old, new)
    return source


def _rendered(block: list, depth: int) -> str:
    text = ""
    for part in block:
        if isinstance(part, str):
            is_return = part.startswith("return")
            text += "    " * depth + ("w = 1" if is_return else part) + "\n"
        else:
            text += "    " * depth + part[0] + "\n" + _rendered(part[1], depth + 1)
    return text


def _respelled(source: str, chance: random.Random) -> str:
    spellings = {
        "DEPTH = 8": ["DEPTH = 0x8", "DEPTH = 2 ** 3", "DEPTH = 16 // 2", "DEPTH = +8"],
        "0.6": [".6", "6e-1", "3 / 5", "0.60"],
        "(0.8, 0.95)": ["(4 / 5, .95)", "0.8, 0.95", "(8e-1, 95 / 100)"],
        "2**18": ["262144", "1 << 18", "2 ** 10 * 256", "512 * MODEL_DIM"],
        '"SSSL"': ["'SSSL'", "'S' * 3 + 'L'", "'''SSSL'''"],
        "range(1000)": ["range(10 ** 3)", "range((1_000))"],
    }
    for text, others in spellings.items():
        if chance.random() < 0.6:
            source = source.replace(text, chance.choice(others))
    return source


def _commented(source: str, chance: random.Random) -> str:
    lines = []
    for line in source.splitlines():
        is_code = bool(line.strip()) and '"""' not in line
        lines.append(line + ("  # note" if is_code and chance.random() < 0.3 else ""))
        if chance.random() < 0.2:
            lines.append(" " * chance.randrange(9) + "# a line of its own")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "source",
    [
        "x = (",
        "x = '\0'",
        "x = '\ud800'",
        "x = " + "(" * 30_000 + ")" * 30_000,
        "(" * 65_000,
        "x = " + "-" * 60_000 + "1",
        "x = " + "not " * 15_000 + "1",
        "x = " + "1+" * 30_000 + "1",
        "x = a" + ".b" * 30_000,
        "x = a" + "()" * 30_000,
        "x = " + "lambda: " * 8_000 + "1",
        "x = " + "[" * 150 + "]" * 150,
        "x = " + "{1:" * 150 + "1" + "}" * 150,
        "x=1\n" + "".join(f"{' ' * depth}if x:\n" for depth in range(98)) + " " * 98 + "x = 2",
        "x" * 70_000,
        "A = (" + "1," * 250 + ")\n" + "B = A\n" * 9_000,
        "é" * 40_000,
        "x = " + "9" * 60_000,
        "if 1:\n  pass\n" + "elif 1:\n  pass\n" * 4_000,
    ],
    ids=range(19),
)
def test_hostile_sources_are_refused_with_a_sentence(source: str) -> None:
    with pytest.raises(EditError) as caught:
        file_signature(source)

    assert 10 < len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "source",
    [
        "x = 9**9**9**9",
        "x = 2**100000",
        "x = 1 << 10**9",
        "x = 1e308 * 1e308",
        "x = 10.0 ** 10**9",
        "x = 1 / 0",
        "x = 1 % 0",
        "x = 0.0 ** -1",
        "x = (-1) ** 0.5",
        "x = 'a' * 10**10",
        "x = 0x" + "f" * 60_000,
        "A0 = (1, 1)\n" + "".join(f"A{i + 1} = (A{i}, A{i})\n" for i in range(60)),
        "x = 2\n" + "x *= x\n" * 5_000,
        "x = 1e999",
        "x = '\\d'",
        "".join(f"def f{i}(): f{i + 1}()\n" for i in range(2_500)) + "f0()\nA = 1\n",
        "\ufeffx = 1",
        "\x0cx = 1",
        "",
        "x = [" + "a," * 32_000 + "]",
    ],
    ids=range(20),
)
def test_sources_with_giant_values_are_signed_without_computing_them(source: str) -> None:
    signature = file_signature(source)

    assert signature.startswith("fs_")
    assert len(signature) == 35


@given(text=st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_signed_or_refused(text: str) -> None:
    try:
        signature = file_signature(text)
    except EditError:
        return

    assert edit_signature(text, text).is_empty
    assert signature == file_signature(text)
