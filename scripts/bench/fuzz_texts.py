"""Random texts for the fuzzer of edits: titles, sources that may not parse, structured changes."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from autoresearch.model import TITLE_LIMIT_CHARS, Change, ConstantChange, MechanismChange, MechanismOp
from bench.fuzz_layouts import LAYOUTS
from bench.fuzz_programs import random_program

CHALLENGES = Path(__file__).parents[2] / "trainer" / "challenges"

_TITLES = (
    "EMBEDDING_LR 0.6 -> 0.8",
    "raise the Muon learning rate from 0.04 to 0.05 so that it learns sooner",
    "halve the total batch (262K to 131K tokens) and double the matrix LR",
    "second Adam beta 0.95 \N{RIGHTWARDS ARROW} 0.97; warmdown 50% -> 60 %",
    "ADAM_BETAS (0.8, 0.95) => (0.9, 0.95), and set DEPTH = 10",
    "replace ReLU^2 with SwiGLU in the MLP, hidden size 8/3 * n_embd",
    "QK norm with a learnable scale per head; remove the logit softcap of 15",
    'window pattern "SSSL" instead of "SL", short window seq_len // 4',
    "try 12 layers of width 512 at the same parameter count",
    "cosine decay of the LR over the last 40% of the run, down to 1/10 of its peak",
    "weight decay: off for embeddings, 0.1 x (dim / 768) ** -0.5 elsewhere",
    "without dropout; label smoothing of 5e-2",
    "exp 12: as in PR #7, but ns_steps=6 (was 5)",
    "reduce DEVICE_BATCH_SIZE by a factor of 4 to 2**5 rows",
    "bump x0_lambda init 0.1->0.05, resid_lambda by +10%, scalar LR x1.5",
)
_MARKS = (
    *"()[]{},;:=+-*/%^&|.?!'\"`~#@_\\<>", "->", "=>", "\N{RIGHTWARDS ARROW}", "-->", "**", "//", "...", "--",
    "\N{EM DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}",
)  # fmt: skip
_WORDS = (
    "from", "to", "by", "of", "with", "and", "instead", "the", "was", "not", "for", "per", "layer", "steps",
    "K", "M", "kB", "percent", "per cent", "pct", "%", "x", "x2", "2x", "half", "twice", "a third", "on",
    "off",
    "true", "none", "exp", "min", "hypothesis", "bottleneck:", "so that", "because", "layers", "heads",
)  # fmt: skip
_RANGES = (
    (0, 0x20), (0x20, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x2000, 0x206F),
    (0x2100, 0x22FF), (0x3000, 0x9FFF), (0xD800, 0xDFFF), (0xE000, 0xF8FF), (0xFE00, 0xFFFF),
    (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0xE0000, 0xE01EF), (0x10FFF0, 0x10FFFF),
)  # fmt: skip
_VALUES = (
    "", "0", "-0.0", "1e999", "-1e-999", "nan", "inf", "True", "1", "1.0", "10**10**10", "9" * 900,
    "1 << 9999",
    "2^2^2^2^2^2", "((((((((((1))))))))))", "(" * 200, "[" * 90 + "]" * 90, "'a' * 10**9", "DEPTH * 2",
    "A + B",
    "262K", "5 %", "262,144", "0x" + "f" * 200, "1_0", "lambda: 1", "f'{x!r}'", "f\"{'\a'}\"", "b'x'", "...",
    "x if y else z", "[i for i in range(10**9)]", "{1: 2, **x}", "{-1: 2}", "None", "'\ud800'", "\0", "\n",
    "1\r\n2",
    "`gelu`", "not a value at all", "__import__('os')", "(1, 2)", "(0.9, 0.95)", "[]", "{}", "()",
    "e" * 1_000,
    "1e5K", "1,000,00", ".5.5", "1/3", "--" * 100 + "1", "~" * 30 + "1", "\N{MINUS SIGN}1", "\uff11",
    "\u0661",
)  # fmt: skip
_NAMES = (
    "DEPTH", "depth", "ADAM_BETAS", "ADAM_BETAS[0]", "adam betas[-1]", "ADAM_BETAS[9]", "Config.n_layer",
    "n_layer",
    "A", "B", "C", "", " ", "[", "a[b][c]", "x" * 121, "x" * 120, "\ud800", "\0", "Matrix LR", "`MATRIX_LR`",
    "1",
    "SCHEDULE['kind']", "SCHEDULE.kind", "..", ".DEPTH", "D" + "[0]" * 39, "gr\xf6\xdfe", "\ufb01",
)  # fmt: skip
_SNIPPETS = (
    "(", ")", "[", "]", "{", "}", ":", "\n", "    ", "\t", "\\", "\\\n", '"""', "'", "#", "lambda ", "f'{",
    "}'",
    "\0", "\ud800", "\r", "\r\n", "\ufeff", "\x0c", "\u2028", "if x:\n", "def f():\n", "class C:\n",
    "**" * 50,
    "not " * 60, "-" * 60, "[" * 60, "x.y" * 60, "9" * 4_400, "10**10**10", "1e999", "=", ",", ";", "async ",
    "yield ", "await ", "*", ":=", "match x:\n    case ", "é", "\u212b", "\U0001d400", "global A\n",
    "A = A * A\n",
)  # fmt: skip


def random_unicode(chance: random.Random) -> str:
    """Letters from everywhere, also from where no letters should be."""
    low_high = chance.sample(_RANGES, chance.randint(1, 4))
    return "".join(chr(chance.randint(*chance.choice(low_high))) for _ in range(_length(chance)))


def token_soup(chance: random.Random) -> str:
    """Words of the vocabulary, verbs, units, amounts and marks in any order."""
    text = ""
    for _ in range(chance.randint(1, 40)):
        kind = chance.randrange(6)
        if kind <= 1:
            text += chance.choice(_aliases())
        elif kind == 2:
            text += chance.choice(_WORDS)
        elif kind == 3:
            text += chance.choice(_MARKS)
        else:
            text += _amount(chance)
        text += chance.choice(["", " ", " ", " ", "  "])
    return text[:TITLE_LIMIT_CHARS]


def mutated_title(chance: random.Random) -> str:
    """A title as people write it, with a few letters or words of it changed."""
    text = chance.choice(_TITLES)
    for _ in range(chance.randint(0, 5)):
        at = chance.randint(0, len(text))
        to = min(len(text), at + chance.randint(0, 12))
        changes: tuple[Callable[[], str], ...] = (
            lambda at=at, to=to, text=text: text[:at] + text[to:],
            lambda at=at, text=text: text[:at] + chance.choice(_MARKS) + text[at:],
            lambda at=at, text=text: f"{text[:at]} {chance.choice(_aliases())} {text[at:]}",
            lambda at=at, to=to, text=text: text[:to] + text[at:],
            lambda at=at, to=to, text=text: text[:at] + text[at:to].swapcase() + text[to:],
            lambda at=at, text=text: text[:at] + _amount(chance) + text[at:],
            lambda text=text: " ".join(chance.sample(text.split(), len(text.split()))),
            lambda text=text: f"{text}, {chance.choice(_TITLES)}",
        )
        text = chance.choice(changes)()
    return text[:TITLE_LIMIT_CHARS]


def long_text(chance: random.Random) -> str:
    """A description beyond what a title may have, up to some pages."""
    part = chance.choice([random_unicode, token_soup, mutated_title])(chance) or " "
    if chance.random() < 0.5:
        return (part * 400)[: chance.randint(200, 20_000)]
    return " ".join(token_soup(chance) for _ in range(chance.randint(2, 20)))


def mutated_program(chance: random.Random) -> str:
    """A program with pieces of it doubled, gone or replaced, rarely still Python."""
    text = chance.choice([random_program, random_program, _real_program, _shapes])(chance)
    if chance.random() < 0.4:
        text = _laid_out(text, chance)
    for _ in range(chance.choice([0, 1, 1, 2, 6])):
        at = chance.randint(0, len(text))
        to = min(len(text), at + chance.choice([0, 1, 5, 50, 500]))
        changes: tuple[Callable[[], str], ...] = (
            lambda at=at, to=to, text=text: text[:at] + text[to:],
            lambda at=at, text=text: text[:at] + chance.choice(_SNIPPETS) + text[at:],
            lambda at=at, text=text: (
                text[:at] + chance.choice(_SNIPPETS) * chance.randint(2, 400) + text[at:]
            ),
            lambda at=at, to=to, text=text: text[:to] + text[at:],
            lambda at=at, to=to, text=text: text[:at] + text[at:to][::-1] + text[to:],
            lambda text=text: "\n".join(chance.sample(lines := text.split("\n"), len(lines))),
            lambda text=text: text * 2,
        )
        text = chance.choice(changes)()
    return text


def hostile_changes(chance: random.Random) -> list[Change]:
    """Statements about constants and mechanisms, few of which make sense."""
    changes: list[Change] = []
    for _ in range(chance.choice([0, 1, 1, 2, 3, 8, 64, 65])):
        if chance.random() < 0.15:
            what, where = (chance.choice([random_unicode, token_soup])(chance) for _ in range(2))
            changes.append(MechanismChange(op=chance.choice(list(MechanismOp)), what=what, where=where))
            continue
        old, new = (chance.choice([chance.choice(_VALUES), _amount(chance)]) for _ in range(2))
        name = chance.choice([*_NAMES, random_unicode(chance)])
        if chance.random() < 0.3:
            new = (
                f"{new} {chance.choice('+-*/')} {chance.choice(['A', 'B', 'C', 'DEPTH', 'MATRIX_LR', name])}"
            )
        changes.append(ConstantChange(name=name, old=old if chance.random() < 0.3 else "", new=new))
    return changes


def _length(chance: random.Random) -> int:
    return chance.choice(
        [0, 1, chance.randint(2, 30), chance.randint(2, TITLE_LIMIT_CHARS), TITLE_LIMIT_CHARS]
    )


def _amount(chance: random.Random) -> str:
    digits = chance.choice([
        str(chance.randint(0, 10 ** chance.randint(1, 12))),
        f"{chance.uniform(0, 2):.{chance.randint(1, 6)}g}",
        f"{chance.randint(0, 99)}e{chance.randint(-330, 330)}", f".{chance.randint(0, 99)}", "262,144",
        "2**18",
        f"{chance.randint(0, 9)}/{chance.randint(0, 9)}", "(0.9, 0.95)", "9" * chance.randint(1, 40), "1:2",
    ])  # fmt: skip
    return (
        chance.choice(["", "", "-", "+"])
        + digits
        + chance.choice(["", "", "", "K", "M", "%", " %", "x", "k", "s"])
    )


def _shapes(chance: random.Random) -> str:
    """Programs that are large in one direction."""
    n = chance.choice([10, 99, 300, 3_000, 20_000])
    shapes = (
        lambda: "x = " + "(" * n + "1" + ")" * n,
        lambda: "x = " + "1 + " * n + "1",
        lambda: "x = a" + ".b" * n,
        lambda: "x = 'a'" + " 'b'" * n,
        lambda: "".join(f"A{i} = A{i - 1} * 2\n" if i else "A0 = 1\n" for i in range(min(n, 4_000))),
        lambda: "A0 = (1, 1)\n" + "".join(f"A{i + 1} = (A{i}, A{i})\n" for i in range(min(n, 300))),
        lambda: "if a: pass\n" + "elif b: pass\n" * n,
        lambda: (
            "".join(" " * depth + "if x:\n" for depth in range(min(n, 99))) + " " * min(n, 99) + "y = 1\n"
        ),
        lambda: "f(" + "x, " * n + ")\n",
        lambda: "f()\n" * n,
        lambda: "".join(f"import m{i} as x\n" for i in range(min(n, 3_000))),
        lambda: "A = 1\n" * n + "print(A)\n" + "A = 2\n" * n,
        lambda: "class C:\n" + "    a = 1\n" * n,
        lambda: "@d\n" * min(n, 9_000) + "def f(): A\nA = 1\n",
        lambda: "x = {" + "-1: 1, " * n + "}",
        lambda: "x = f'{" * min(n, 99) + "1" + "}'" * min(n, 99),
        lambda: f"x = {'9' * min(n, 4_299)} ** 9 ** 9 ** 9\n",
        lambda: "del x\n" * n + "global y\n",
        lambda: "# " + "é" * n,
        lambda: "x = '''" + "a\n" * n + "'''",
        lambda: "\n".join(f"def f{i}(): f{i + 1}(); A{i}" for i in range(min(n, 2_000))) + "\nf0()\nA1 = 1\n",
    )
    return chance.choice(shapes)()


def _real_program(chance: random.Random) -> str:
    return chance.choice(real_programs())


def _laid_out(text: str, chance: random.Random) -> str:
    try:
        return chance.choice(LAYOUTS)(text, chance)
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        return text  # a shape that the standard library cannot write either


@lru_cache(maxsize=1)
def real_programs() -> tuple[str, ...]:
    """The baselines of this repository's challenges."""
    return tuple(path.read_text(encoding="utf-8") for path in sorted(CHALLENGES.glob("*/train.py")))


@lru_cache(maxsize=1)
def _aliases() -> list[str]:
    """All that the table of the free words knows, and the names of constants."""
    text = files("autoresearch.edits.words").joinpath("vocabulary.toml").read_text(encoding="utf-8")
    found: set[str] = {
        "DEPTH",
        "MATRIX_LR",
        "EMBEDDING_LR",
        "ADAM_BETAS",
        "TOTAL_BATCH_SIZE",
        "WINDOW_PATTERN",
    }
    stack: list[object] = [tomllib.loads(text)]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            found.add(part)
        elif isinstance(part, list | dict):
            stack.extend(part.values() if isinstance(part, dict) else part)
    return sorted(found)
