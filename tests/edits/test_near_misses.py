"""Programs and statements that look alike and are not, or look different and are the same."""

from __future__ import annotations

import pytest
from autoresearch.edits import canonical_changes, constants_of, edit_signature, file_signature
from autoresearch.edits.merge import merge
from autoresearch.model import ConstantChange
from hypothesis import given, settings
from hypothesis import strategies as st

APART = {
    "an entry from another dict": ("def f(x): return {**x}", "def f(x): return {None: x}"),
    "a keyword without default": ("def f(*, a): return a", "def f(*, a=None): return a"),
    "one name for two modules": ("import a as x\nimport b as x", "import b as x\nimport a as x"),
    "one name from two modules": ("from a import f\nfrom b import f", "from b import f\nfrom a import f"),
    "all names of two modules": ("from a import *\nfrom b import *", "from b import *\nfrom a import *"),
    "bound in a default": (
        "A = 1\ndef f(x=(A := 2)): pass\nB = A * 2\n",
        "A = 1\ndef f(x=(A := 2)): pass\nB = 2\n",
    ),
    "bound in a base": ("A = 1\nclass C((A := D)): pass\nB = A\n", "A = 1\nclass C((A := D)): pass\nB = 1\n"),
    "a field in parentheses is none": ("class C:\n    x: int = 3\n", "class C:\n    (x): int = 3\n"),
    "a field under a condition": (
        "class C:\n    if a:\n        x: int = 3\n",
        "class C:\n    if a:\n        x: str = 3\n",
    ),
    "set again after a decorator may have read it": (
        "A = 1\n@call\ndef f(): print(A)\nA = 2\n",
        "A = 2\n@call\ndef f(): print(A)\n",
    ),
    "set again after a base class may have read it": (
        "A = 1\nclass C(Base):\n    def f(self): print(A)\nA = 2\n",
        "A = 2\nclass C(Base):\n    def f(self): print(A)\n",
    ),
    "set again after text was run": ("A = 1\nexec('print(A)')\nA = 2\n", "A = 2\nexec('print(A)')\n"),
    "set before text is run": ("A = 1\nexec(open('c').read())\n", "exec(open('c').read())\nA = 1\n"),
    "set before a function runs text": (
        "def f(): globals()['A'] = 2\nA = 1\nf()\n",
        "def f(): globals()['A'] = 2\nf()\nA = 1\n",
    ),
    "dependent constants": ("A = 1\nB = A\nA = 2\n", "A = 1\nA = 2\nB = A\n"),
    "exchanged constants": ("A = 1\nB = 2\nA, B = B, A\n", "A = 1\nB = 2\n"),
    "reassigned later": ("A = 1\nprint(A)\n", "A = 1\nprint(A)\nA = 2\n"),
    "decided elsewhere": ("A = 1\nif x:\n    A = 2\n", "A = 2\nif x:\n    A = 1\n"),
    "shadowed": ("A = 1\ndef f(): return A\n", "A = 1\ndef f(A=2): return A\n"),
    "global": ("A = 1\ndef f():\n    global A\n    A = 2\n", "A = 1\ndef f():\n    A = 2\n"),
    "truth and one": ("A = True\n", "A = 1\n"),
    "one and one point nothing": ("def f(): return 1\n", "def f(): return 1.0\n"),
    "the next float": ("A = 0.1\n", "A = 0.10000000000000002\n"),
    "the next large whole number": (f"A = {10**400}\n", f"A = {10**400 + 1}\n"),
    "the next power of powers": ("A = 10**10**10\n", "A = 10**10**11\n"),
    "no number": ("A = float('nan')\n", "A = float('inf')\n"),
    "text and bytes": ("A = 'a'\n", "A = b'a'\n"),
    "composed letters in texts": ("A = '\u00e9'\n", "A = 'e\u0301'\n"),
    "format of a text": ("def f(x): return f'{x!r}'\n", "def f(x): return f'{x!s}'\n"),
    "star": ("f(x)\n", "f(*x)\n"),
    "keyword": ("f(a=x)\n", "f(b=x)\n"),
    "entries in another order": ("A = {'a': 1, 'b': 2}\n", "A = {'b': 2, 'a': 1}\n"),
}


@pytest.mark.parametrize("case", APART)
def test_near_misses_are_told_apart(case: str) -> None:
    one, other = APART[case]

    edit = edit_signature(one, other)

    assert file_signature(one) != file_signature(other)
    assert not edit.is_empty
    assert edit.key != edit_signature(one, one).key


ALIKE = {
    "letters that the parser takes for one": ("\u212b = 1\nprint(\u212b)\n", "\u00c5 = 1\nprint(\u00c5)\n"),
    "bold letters": ("DEPTH = 8\n", "\U0001d403EPTH = 8\n"),
    "negative keys": ("A = {-1: 2}\n", "A = {1 - 2: 2}\n"),
    "keys by arithmetic": ("A = {8: 1}\n", "A = {2**3: 1}\n"),
    "annotated attributes": ("def f(x):\n    x.a: int = 3\n", "def f(x):\n    x.a = 3\n"),
    "annotated in parentheses": ("def f():\n    (x): int = 3\n", "def f():\n    x = 3\n"),
    "a submodule and its package": ("import os\nimport os.path\n", "import os.path\nimport os\n"),
    "an import twice": ("import os\nimport os\n", "import os\n"),
    "zero has no sign": ("A = 0.0\n", "A = -0.0\n"),
    "old line ends": ("A = 1\nprint(A)\n", "\ufeffA = 1\rprint(A)\r"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_spellings_of_one_program_are_not_told_apart(case: str) -> None:
    one, other = ALIKE[case]

    assert file_signature(one) == file_signature(other)
    assert edit_signature(one, other).is_empty


def test_keys_that_are_no_plain_literals_are_read() -> None:
    assert constants_of("A = {-1: 2, 2**3: 3}\n").texts() == {"A[-1]": "2", "A[8]": "3"}


def test_a_field_is_not_explained_by_one_that_comes_after_it() -> None:
    parent = "x = 1\nclass C:\n    y = x * 1\n    x = y\n"

    edit = edit_signature(parent, "x = 1\nclass C:\n    y = 5\n    x = 5\n")

    assert not edit.is_empty


def test_a_value_that_cannot_be_written_again_is_kept_as_it_is() -> None:
    value = "f\"{'\a'}\""

    changes = canonical_changes([ConstantChange(name="A", new=value)], "A = 1\n")

    assert changes.constants[0].new


CHAIN = [(f"K{index}", f"K{index + 1} + 1") for index in range(11)]
CIRCLE = [("K0", "K1"), ("K1", "K2"), ("K2", "K0"), ("K3", "K0 * 10")]


@pytest.mark.parametrize(
    "stated", [CHAIN, CIRCLE, [("K0", "K1"), ("K1", "K0")]], ids=["chain", "circle", "swap"]
)
@given(chance=st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_statements_that_refer_to_one_another_is_of_no_consequence(chance, stated: list) -> None:
    parent = "".join(f"K{index} = {index}\n" for index in range(12))
    changes = [ConstantChange(name=name, new=new) for name, new in stated]
    other = chance.sample(changes, len(changes))

    assert canonical_changes(other, parent) == canonical_changes(changes, parent)


def test_constants_that_change_places_have_each_others_values() -> None:
    swap = [ConstantChange(name="A", new="B"), ConstantChange(name="B", new="A")]

    changes = canonical_changes(swap, "A = 1\nB = 2\n")

    assert [(change.name, change.new) for change in changes.constants] == [("A", "2"), ("B", "1")]


def test_two_programs_from_nothing_are_not_merged() -> None:
    assert merge("", "A = 1\n", "B = 2\n") is None
    assert merge("", "A = 1\n", "") == "A = 1\n"
