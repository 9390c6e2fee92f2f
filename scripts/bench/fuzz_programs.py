"""Random programs for the fuzzer of edits: pages that look like a train.py, and small scripts that run.

Everything is a function of the ``random.Random`` that it is given.
"""

from __future__ import annotations

import random
from collections.abc import Callable

_CONSTANTS = (
    "DEPTH", "MODEL_DIM", "HEAD_DIM", "MLP_RATIO", "TOTAL_BATCH_SIZE", "MATRIX_LR", "EMBEDDING_LR",
    "WEIGHT_DECAY", "WARMUP_FRAC", "LOGIT_SOFTCAP", "ADAM_BETAS", "WINDOW_PATTERN", "USE_NORM", "SCHEDULE",
    "SEED", "größe",
)  # fmt: skip
_LOCALS = ("x", "y", "q", "k", "loss", "logits", "step", "batch", "scale", "mask", "über")
_ATTRIBUTES = ("weight", "grad", "shape", "config", "blocks", "lr", "mean", "view")
_CALLS = ("norm", "rotate", "torch.relu", "math.cos", "self.up", "F.softmax", "len", "max", "print")
_BINARY = ("+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "<<")
_COMPARED = ("<", "<=", ">", "==", "!=", "is", "is not", "in", "not in")
_EXPRESSION_DEPTH = 3
_BLOCK_DEPTH = 3

_IMPORTS = """\
import math
import os.path
import numpy as np
from dataclasses import dataclass, field

import torch
from torch import nn
"""


def random_program(chance: random.Random) -> str:
    """A page of imports, constants, classes and functions; it parses, and need not run."""
    writer = _Writer(chance)
    parts = ['"""A page."""\n' if chance.random() < 0.5 else "", _IMPORTS]
    parts += [f"{name} = {value}\n" for name, value in writer.constants()]
    definitions = [writer.config(), writer.model(), writer.function("schedule")]
    chance.shuffle(definitions)
    tail = [f"model = GPT({writer.expression(1)})\n", *writer.block(0)]
    return "\n".join([*parts, *definitions, writer.function("train"), "".join(tail)])


class _Writer:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._names: list[str] = []
        self._ints: list[str] = []

    def constants(self) -> list[tuple[str, str]]:
        """Names with the source of their values, some of them made of those before."""
        found = []
        for name in self._chance.sample(_CONSTANTS, self._chance.randint(3, 9)):
            value = self._constant()
            found.append((name, value))
            if value.isdigit():
                self._ints.append(name)
            self._names.append(name)
        return found

    def _constant(self) -> str:
        chance = self._chance
        kinds: list[Callable[[], str]] = [
            lambda: str(chance.randint(2, 64)),
            lambda: f"2**{chance.randint(2, 20)}",
            lambda: repr(round(chance.uniform(0.001, 2.0), 4)),
            lambda: f"{chance.randint(1, 9)}e-{chance.randint(1, 10)}",
            lambda: f"(0.{chance.randint(1, 9)}, 0.9{chance.randint(1, 9)})",
            lambda: f"{chance.choice(['SSSL', 'SL', 'L'])!r}",
            lambda: chance.choice(["True", "False", "None"]),
            lambda: f"-{chance.randint(1, 9)}",
            lambda: f"{{'warmup': {chance.randint(1, 9)}, 'kind': 'cosine'}}",
            lambda: f"[{chance.randint(1, 9)}, ({chance.randint(1, 9)}, 'a')]",
            lambda: f"{{-1: {chance.randint(1, 9)}, 2: 0.5}}",
        ]
        if self._ints:
            kinds += [lambda: f"{chance.choice(self._ints)} * {chance.randint(2, 9)}"] * 2
        return chance.choice(kinds)()

    def config(self) -> str:
        chance = self._chance
        fields = [f"    {name}: int = {chance.randint(2, 99)}\n" for name in ("n_layer", "n_head", "window")]
        fields.append(f"    rate: float = 0.{chance.randint(1, 99)}\n    name = 'gpt'\n")
        if self._ints:
            fields.append(f"    width: int = {chance.choice(self._ints)} * 2\n")
        if chance.random() < 0.3:
            fields.append("    if math:\n        late: int = 3\n")
        return "@dataclass\nclass Config:\n    '''Shape.'''\n\n" + "".join(fields) + "\n"

    def model(self) -> str:
        methods = [self.function(name, 1) for name in ("__init__", "forward")]
        return f"class GPT(nn.Module):\n    layers = {self._chance.randint(1, 9)}\n\n" + "\n".join(methods)

    def function(self, name: str, depth: int = 0) -> str:
        chance = self._chance
        own = ["self"] if depth else ["ctx"]
        parameters = [*own, "x", f"scale={chance.randint(1, 9)}"]
        if chance.random() < 0.4:
            parameters += ["*", "window", "causal=None"]
        if chance.random() < 0.2:
            parameters.append("**options")
        pad = "    " * depth
        head = f"{pad}@torch.no_grad()\n" if chance.random() < 0.2 else ""
        note = f'{pad}    """What {name} does."""\n' if chance.random() < 0.5 else ""
        body = "".join(self.block(depth + 1))
        return f"{head}{pad}def {name}({', '.join(parameters)}):\n{note}{body}{pad}    return x\n\n"

    def block(self, depth: int) -> list[str]:
        return [self.statement(depth) for _ in range(self._chance.randint(1, 4))]

    def statement(self, depth: int) -> str:  # noqa: PLR0911 - one for each kind of statement
        chance, pad, value = self._chance, "    " * depth, self.expression
        local = chance.choice(_LOCALS)
        is_nested = depth < _BLOCK_DEPTH and chance.random() < 0.4
        if not is_nested:
            simple = [
                f"{local} = {value(2)}",
                f"{local} {chance.choice(['+', '*', '//'])}= {value(1)}",
                f"{local}, {chance.choice(_LOCALS)}2 = {value(1)}, {value(1)}",
                f"{chance.choice(_CALLS)}({value(1)})",
                f"{local}: int = {value(1)}",
                f"ctx.{chance.choice(_ATTRIBUTES)} = {value(1)}",
                f"assert {value(1)}, {value(0)}",
                f"del {local}.{chance.choice(_ATTRIBUTES)}",
                f"import {chance.choice(['gc', 'sys'])}",
            ]
            return pad + chance.choice(simple) + "\n"
        inner = "".join(self.block(depth + 1))
        match chance.randrange(7):
            case 0:
                return f"{pad}if {value(2)}:\n{inner}"
            case 1:
                rest = "".join(self.block(depth + 1))
                return f"{pad}if {value(1)}:\n{inner}{pad}elif {value(1)}:\n{rest}{pad}else:\n{inner}"
            case 2:
                return f"{pad}for {local} in range({value(1)}):\n{inner}{pad}    continue\n"
            case 3:
                return f"{pad}while {value(1)}:\n{inner}{pad}    break\n"
            case 4:
                return f"{pad}with torch.no_grad() as {local}:\n{inner}"
            case 5:
                rescue = f"{pad}except ValueError as error:\n{pad}    raise KeyError from error\n"
                return f"{pad}try:\n{inner}{rescue}"
            case _:
                head = f"{pad}match {value(0)}:\n{pad}    case [1, 'a']:\n{pad}        {local} = 2\n"
                return f"{head}{pad}    case _:\n{pad}        {local} = {value(0)}\n"

    def expression(self, depth: int = _EXPRESSION_DEPTH) -> str:
        chance = self._chance
        if depth <= 0:
            number = [str(chance.randint(0, 300)), repr(round(chance.uniform(0, 3), 3)), "2 * 1024", "-1"]
            return chance.choice([*_LOCALS, *self._names, *number, "'text'", "None", "True"])
        one, two = self.expression(depth - 1), self.expression(depth - 1)
        local, attribute = chance.choice(_LOCALS), chance.choice(_ATTRIBUTES)
        forms = (
            lambda: f"({one} {chance.choice(_BINARY)} {two})",
            lambda: f"{local}.{attribute}",
            lambda: f"{chance.choice(_CALLS)}({one}, {attribute}={two})",
            lambda: f"{chance.choice(_CALLS)}(*{local}, {one}, **{chance.choice(_LOCALS)})",
            lambda: f"({one} if {two} else {local})",
            lambda: f"{local}[{one}, :{two}]",
            lambda: f"{local}[{one}:]",
            lambda: f"({one} {chance.choice(_COMPARED)} {two})",
            lambda: f"({one} {chance.choice(['and', 'or'])} {two})",
            lambda: f"(not {one})",
            lambda: f"[{one} for {local} in {two} if {local}]",
            lambda: f"{{'a': {one}, **{local}}}",
            lambda: f"(lambda {local}, z=1: {one})",
            lambda: f"f'{{{local}!r:>8}} of {{{attribute}}}'",
            lambda: f"({one}, {two})",
            lambda: f"(-{local})",
        )
        return chance.choice(forms)()


_LINES = (
    "A = 1", "A = 2", "A = True", "A = 1.0", "A = -0.5", "B = A", "B = A * 2", "B = 2", "C = (A, B)",
    "C = (1, 2)", "D = C[0]", "A += 1", "A = A * 2", "A, B = B, A", "A, B = 1, 2", "A = B = 2", "del A",
    "print(A)", "print(A, B)", "print(f())", "f()", "A: int = 2", "A: int", "E = {'a': A}",
    "L = [A]", "L.append(2)", "M = L", "print(L)", "print(E)", "print(K.n)", "K.n = 4", "print(h())",
    "def f():\n    return A", "def f(a=A):\n    return a", "def f(*, a=A):\n    return (a, B)",
    "def f():\n    global A\n    A = 5\n    return A", "def h(x=(A := 4)):\n    return x",
    "class K:\n    n = A\n    m = n * 2", "class K:\n    A = 3\n    n = A", "class K:\n    n = 1",
    "class K:\n    n = B\n    B = n", "class K(Base):\n    def run(self=None):\n        print(A)",
    "if A > 1:\n    A = 7", "if B:\n    print(A)\nelse:\n    B = 3", "for A in range(3):\n    pass",
    "print([A := 9 for _ in 'x'])", "@call\ndef g():\n    print(A)", "exec('A = 6')", "print(eval('A'))",
    "globals()['B'] = 8", "g = lambda: A", "print(g())", "try:\n    print(A)\nfinally:\n    B = 1",
    "import math as A", "import cmath as A", "from math import e as B", "from math import pi as B",
    "match A:\n    case 1:\n        B = 1\n    case B:\n        pass", "print(vars().get('B'))",
)  # fmt: skip

_PRELUDE = """\
def call(function):
    function()
    return function


class Base:
    def __init_subclass__(cls):
        getattr(cls, "run", len)()


"""
_NAMES = ("A", "B", "C", "D", "E", "L", "M", "K.n")


def script_lines(chance: random.Random) -> list[str]:
    """Statements of a script that ends at once, and whose output depends on the order of almost all."""
    return [chance.choice(_LINES) for _ in range(chance.randint(2, 7))]


def nearby_lines(lines: list[str], chance: random.Random) -> list[str]:
    """Another script: two statements change places, or one comes, goes or gives way."""
    other = list(lines)
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(other)) if other else 0
        match chance.randrange(5):
            case 0 | 1 if len(other) > 1:
                to = chance.randrange(len(other))
                other[at], other[to] = other[to], other[at]
            case 2:
                other.insert(at, chance.choice(_LINES))
            case 3 if other:
                del other[at]
            case _ if other:
                other[at] = chance.choice(_LINES)
    return other


def script_of(lines: list[str]) -> str:
    """The statements as a program that tells in the end what each name is."""
    tail = "".join(
        f"try:\n    print({name})\nexcept Exception as x:\n    print(type(x))\n" for name in _NAMES
    )
    return _PRELUDE + "\n".join(lines) + "\n" + tail


def output_of(source: str) -> list[str]:
    """What a script of `script_of` prints; an error that ends it is part of that."""
    printed: list[str] = []
    try:
        names = {"print": lambda *parts: printed.append(repr(parts)), "__name__": "script"}
        exec(compile(source, "script", "exec"), names)  # noqa: S102 - made of the lines above
    except Exception as error:  # noqa: BLE001 - whatever it is
        printed.append(type(error).__name__)
    return printed
