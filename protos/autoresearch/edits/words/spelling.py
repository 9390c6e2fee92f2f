"""One spelling for what people write in many: signs, notations, endings."""

from __future__ import annotations

import re
import unicodedata

from autoresearch.edits.words.phrases import rephrased

TEXT_LIMIT_CHARS = 2_000
"""What comes after it is not read: a change is stated before it is explained."""

ARROW = "\N{RIGHTWARDS ARROW}"

_SIGNS = str.maketrans(
    {
        "\N{GREEK SMALL LETTER ALPHA}": "alpha",
        "\N{GREEK SMALL LETTER BETA}": "beta",
        "\N{GREEK SMALL LETTER GAMMA}": "gamma",
        "\N{GREEK SMALL LETTER EPSILON}": "eps",
        "\N{GREEK SMALL LETTER THETA}": "theta",
        "\N{GREEK SMALL LETTER LAMDA}": "lambda",
        "\N{GREEK SMALL LETTER MU}": "mu",
        "\N{GREEK SMALL LETTER SIGMA}": "sigma",
        "\N{SUPERSCRIPT TWO}": "^2",
        "\N{SQUARE ROOT}": " sqrt ",
        "\N{ALMOST EQUAL TO}": " about ",
        "~": " ",
        "`": " ",
        "\N{MINUS SIGN}": "-",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{DOT OPERATOR}": "*",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHTWARDS DOUBLE ARROW}": ARROW,
        "\N{LONG RIGHTWARDS ARROW}": ARROW,
        "\N{HEAVY WIDE-HEADED RIGHTWARDS ARROW}": ARROW,
        "\N{RIGHTWARDS ARROW FROM BAR}": ARROW,
    }
)
_ARROWS = re.compile(rf"-{{1,3}}>|={{1,2}}>|{ARROW}")
_REFERENCES = re.compile(
    r"\b(?:exp|experiment|agent|gpu|iter|iteration|trial|run|pr|round)[_ ]?#?\d{1,6}\b(?!\s?%)"
    r"|\b(?:arxiv|iclr|neurips|icml|emnlp|acl)[: ]?\s?\d{4}(?:\.\d{4,5})?\b|\b2\d{3}\.\d{5}\b",
    re.IGNORECASE,
)
_WIDTH = r"(?:n[ _]embd|d[ _]?model|model[ _]dim|n[ _]dim|dim|width)"
_NOTATIONS = tuple(
    (re.compile(form, re.IGNORECASE), meaning)
    for form, meaning in (
        (r"(?<=\d)_(?=\d{3})", ""),  # 262_144
        (rf"\b{_WIDTH}\s?/\s?(\d{{1,5}})\b", r" \1 "),  # dim / 768: the reference is what is named
        (r"\b[a-z_]{1,40}\s?//?\s?(\d{1,4})\b(?!\s?/)", r" 1/\1 "),  # seq_len // 8
        (r"_", " "),
        (r"'s\b|(?<=s)'(?=\s)", " "),
        (r"^bottleneck:.{1,1000}?\bhypothesis:", " "),
        (r"\bheads? of (\d{1,4})[- ](?:channel|dim|dimension)s?\b", r"head dim \1"),
        (r"\brelu\s?(?:\^|\*\*)\s?2(?![.\d])", "relu2"),
        (r"\)\s?(?:\^|\*\*)\s?2(?![.\d])", ") squared"),
        (r"\)\s?(?:\^|\*\*)\s?[-(]?[\d./]{1,9}", ")"),  # (dim / 768) ** -0.5
        (r"\b([a-z]{1,30})\^2\b", r"\1 squared"),
        (r"\bz-loss\b", "zloss"),
        (r"\bmlp(?=\d)", "mlp "),
        (rf"(?<=\d)\s?[*x]\s?{_WIDTH}\b", "x"),  # 4 * n_embd
        (r"/step\b", " per step"),
    )
)
_SHORTHANDS = tuple(
    (re.compile(form), meaning)
    for form, meaning in (
        (r"\b(\d{1,2})L\b", r" depth \1 "),
        (r"\bD(\d{1,2})/(\d{2,5})\b", r" depth \1 width \2 "),
        (r"\bD(\d{1,2})\b", r" depth \1 "),
        (rf"(?<={ARROW} )([SL])(?=[\s,;.(]|$)", r'"\1"'),
        (r"(?i:\bpattern )([SL])(?=[\s,;.(]|$)", r'pattern "\1"'),
        (r"\b([SL]{2,24}\"? (?:by|with|to|for) )([SL])\b", r'\1"\2"'),
        (r"\b([SL])(?= (?:by|with|to|for) \"?[SL]{2,24}\b)", r'"\1"'),
    )
)
_DIVISION = re.compile(r"(?<=[a-zA-Z]) /\s?([2-9]|1\d)(?![\w./])")
_KEPT_ENDINGS = ("ss", "us", "is", "bias")
_SIBILANTS = ("tches", "nches", "shes", "sses", "xes")
_BRITISH = re.compile(r"is(e|ed|es|ing|ation)$")
_ENDINGS = ("ization", "ation", "ating", "ated", "ing", "ed", "ize", "ate", "ly", "e")
_WORD_MIN_CHARS = 4


def respelled(text: str) -> str:
    """The first ``TEXT_LIMIT_CHARS`` of a text with one spelling for each sign and notation."""
    text = unicodedata.normalize("NFKC", text[:TEXT_LIMIT_CHARS].translate(_SIGNS))
    text = " ".join(_ARROWS.sub(f" {ARROW} ", text[:TEXT_LIMIT_CHARS]).split())
    text = rephrased(_DIVISION.sub(_as_factor, _REFERENCES.sub(" ", text)))
    for form, meaning in _SHORTHANDS + _NOTATIONS:
        text = form.sub(meaning, text)
    return text


def _as_factor(match: re.Match[str]) -> str:
    """What a value is multiplied with: ``EMBEDDING_LR /2``."""
    return f" x{1 / int(match[1]):.6g} "


def spelled(word: str) -> str:
    """A word without case, plural ending and British spelling."""
    word = word.lower()
    if len(word) > _WORD_MIN_CHARS + 1:
        word = _BRITISH.sub(r"iz\1", word)
    if word == "matrices":
        return "matrix"
    if word.endswith(_SIBILANTS):
        return word[:-2]
    if len(word) < _WORD_MIN_CHARS or not word.endswith("s") or word.endswith(_KEPT_ENDINGS):
        return word
    return word[:-3] + "y" if word.endswith("ies") else word[:-1]


def stem(word: str) -> str:
    """A word without its commonest endings, so that "masking" and "masked" agree."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _WORD_MIN_CHARS:
            return word[: -len(ending)]
    return word
