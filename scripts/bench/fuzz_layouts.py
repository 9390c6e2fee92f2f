"""Rewrites of a program that leave its syntax tree as it is: what layout, quotes and letters come to."""

from __future__ import annotations

import ast
import io
import keyword
import random
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_LEFT_ALONE = frozenset({"match", "case", "type", "_"})
_COMPOUND = frozenset(
    {
        "if", "for", "while", "with", "try", "def", "class", "async", "else", "elif", "except", "finally",
        "match", "case", "@",
    }
)  # fmt: skip
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_WORDS = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING)
_IGNORED = frozenset({tokenize.NL, tokenize.COMMENT, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT})
_LETTERS = {"A": 0x1D400, "a": 0x1D41A}
"""Where the bold letters begin; identifiers are read with plain ones in their place."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A logical line: its level of indentation and its tokens as kinds and texts."""

    level: int
    tokens: list[tuple[int, str]]

    @property
    def is_simple(self) -> bool:
        return self.tokens[0][1] not in _COMPOUND and self.tokens[-1][1] != ":"


def same_tree(one: str, other: str) -> bool:
    """True if the two texts are one program for the parser."""
    stack: list[tuple[object, object]] = [
        (ast.parse(one.removeprefix("\ufeff")), ast.parse(other.removeprefix("\ufeff")))
    ]
    while stack:
        left, right = stack.pop()
        if type(left) is not type(right):
            return False
        if isinstance(left, ast.AST):
            stack.extend((getattr(left, name, None), getattr(right, name, None)) for name in left._fields)
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            stack.extend(zip(left, right, strict=True))
        elif repr(left) != repr(right):
            return False
    return True


def lines_of(source: str) -> list[str]:
    """Lines as the parser counts them: a form feed ends none."""
    return [f"{line}\n" for line in source.split("\n")]


def laid_out(source: str, chance: random.Random) -> str:
    """Other blanks, indentation, comments, line breaks and joints between statements."""
    unit = chance.choice([" ", "  ", "    ", "\t", "\t "])
    text, lines = "", list(_logical_lines(source))
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        if not text or text.endswith("\n"):
            text += _idle_lines(chance) + unit * line.level
        text += _spaced(line.tokens, chance)
        may_join = following is not None and line.is_simple and following.is_simple
        if may_join and following is not None and following.level == line.level and chance.random() < 0.15:
            text += chance.choice([";", "; ", " ;  "])
        else:
            text += chance.choice(["", "", ";" if line.is_simple else "", "  # note: X = 3", " " * 7]) + "\n"
    return text + _idle_lines(chance)


def line_ends_changed(source: str, chance: random.Random) -> str:
    """Other line ends, a byte order mark, no line break at the end."""
    text = source.rstrip("\n") + chance.choice(["", "\n", "\n\n\n"])
    text = text.replace("\n", chance.choice(["\n", "\r\n", "\r"]))
    return ("\ufeff" if chance.random() < 0.3 else "") + text


def parenthesised(source: str, chance: random.Random) -> str:
    """Parentheses around expressions that need none."""
    found = list(_expressions(ast.parse(source)))
    chosen = chance.sample(found, min(len(found), chance.randint(1, 8)))
    lines = [line.encode() for line in lines_of(source)]
    marks: list[tuple[int, int, bytes]] = []
    for node in chosen:
        marks.append((node.lineno, node.col_offset, b"("))
        marks.append((node.end_lineno or 0, node.end_col_offset or 0, b")"))
    for number, column, mark in sorted(marks, key=lambda one: (one[0], one[1], one[2] == b"("), reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:column] + mark + line[column:]
    return b"".join(lines).decode()


def strings_respelled(source: str, chance: random.Random) -> str:
    """Other quotes, escapes and pieces."""

    def respelled(kind: int, text: str) -> str:
        if kind != tokenize.STRING or text[0] not in "'\"" or chance.random() < 0.5:
            return text
        value: str = ast.literal_eval(text)
        cut = chance.randint(0, len(value))
        escaped = "".join(f"\\U{ord(letter):08x}" for letter in value)
        forms = [repr(value), ascii(value), f'"{escaped}"', f"'''{escaped}'''"]
        return chance.choice([*forms, f"{value[:cut]!r} {value[cut:]!r}"])

    return retold(source, respelled)


def letters_respelled(source: str, chance: random.Random) -> str:
    """Identifiers with letters that the parser takes for the plain ones."""

    def respelled(kind: int, text: str) -> str:
        is_free = kind == tokenize.NAME and not keyword.iskeyword(text) and text not in _LEFT_ALONE
        if not is_free or not text[0].isascii() or not text[0].isalpha() or chance.random() < 0.7:
            return text
        first = "A" if text[0].isupper() else "a"
        return chr(_LETTERS[first] + ord(text[0]) - ord(first)) + text[1:]

    return retold(source, respelled)


def commas_added(source: str, chance: random.Random) -> str:
    """A comma before a closing bracket, where it changes nothing."""
    ends = [at for at, letter in enumerate(source) if letter in _CLOSING]
    for at in chance.sample(ends, min(4, len(ends))):
        longer = f"{source[:at]},{source[at:]}"
        try:
            is_same = same_tree(source, longer)
        except SyntaxError:
            continue
        if is_same:
            return longer
    return source


def unparsed(source: str, chance: random.Random) -> str:  # noqa: ARG001 - one signature for all
    """As the standard library would write it."""
    return ast.unparse(ast.parse(source)) + "\n"


def retold(source: str, respelled: Callable[[int, str], str], leaves: tuple[str, ...] = ()) -> str:
    """The program with other texts for its tokens, but in lines that begin with one of ``leaves``."""
    text = ""
    for line in _logical_lines(source):
        is_left = line.tokens[0][1] in leaves
        words = [token if is_left else respelled(kind, token) for kind, token in line.tokens]
        text += "    " * line.level + " ".join(words) + "\n"
    return text


LAYOUTS = (
    laid_out,
    line_ends_changed,
    parenthesised,
    strings_respelled,
    letters_respelled,
    commas_added,
    unparsed,
)


def _logical_lines(source: str) -> Iterator[_Line]:
    level, tokens = 0, list[tuple[int, str]]()
    for kind, text in _tokens(source):
        level += (kind == tokenize.INDENT) - (kind == tokenize.DEDENT)
        if kind == tokenize.NEWLINE:
            yield _Line(level, tokens[:-1] if tokens[-1][1] == ";" else tokens)
            tokens = []
        elif kind not in _IGNORED:
            tokens.append((kind, text))


def _tokens(source: str) -> Iterator[tuple[int, str]]:
    """Kinds and texts; an f-string is one token, as it was before Python 3.12."""
    lines = lines_of(source)
    depth, start = 0, (0, 0)
    begin, end = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == begin:
            start = token.start if depth == 0 else start
            depth += 1
        if depth == 0:
            yield token.type, token.string
        if token.type == end:
            depth -= 1
            if depth == 0:
                part = lines[start[0] - 1 : token.end[0]]
                part[-1] = part[-1][: token.end[1]]
                part[0] = part[0][start[1] :]
                yield tokenize.STRING, "".join(part)


def _spaced(tokens: list[tuple[int, str]], chance: random.Random) -> str:
    text, depth, before = "", 0, tokenize.OP
    for kind, token in tokens:
        if text:
            gap = " " * chance.choice([0, 0, 1, 1, 2])
            if depth and chance.random() < 0.05:
                gap += chance.choice(["\n", "  # (\n\n", "\n\t "])
            elif chance.random() < 0.02:
                gap += "\\\n  "
            is_parted = bool(gap) or not (kind in _WORDS or before == tokenize.NUMBER) or before not in _WORDS
            text += gap if is_parted else " "
        depth += (token in _OPENING) - (token in _CLOSING)
        text += token
        before = kind
    return text


def _idle_lines(chance: random.Random) -> str:
    return "".join(chance.choice(["", "", "\n", "   \n", "# A = 3\n", "\t# y\n", "\f\n"]) for _ in range(2))


def _expressions(root: ast.AST) -> Iterator[ast.expr]:
    """Expressions that may stand in parentheses wherever they are."""
    for name, value in ast.iter_fields(root):
        is_pattern = isinstance(root, ast.match_case) and name == "pattern"
        is_target = isinstance(root, ast.AnnAssign) and name == "target"  # "(x).y: int" is no Python
        if is_pattern or is_target or isinstance(root, ast.JoinedStr):
            continue
        for node in value if isinstance(value, list) else [value]:
            if isinstance(node, ast.expr) and _may_be_wrapped(node):
                yield node
            if isinstance(node, ast.AST):
                yield from _expressions(node)


def _may_be_wrapped(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List | ast.Attribute | ast.Subscript | ast.Name | ast.Starred):
        is_plain = not (isinstance(node, ast.Tuple) and any(map(_is_part, node.elts)))
        return isinstance(node.ctx, ast.Load) and is_plain and not isinstance(node, ast.Starred)
    return not isinstance(node, ast.Slice | ast.GeneratorExp)


def _is_part(node: ast.expr) -> bool:
    return isinstance(node, ast.Slice | ast.Starred)
