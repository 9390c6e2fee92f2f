"""Turns of English with one meaning, put as the reader knows them: "take the softcap out", "bias-free".

Every expression is bounded and begins at a word, so the time is linear in the length of a text; one is looked
for only where one of its words stands.
"""

from __future__ import annotations

import re

from autoresearch.edits.words.counting import COUNTS, Meaning

_SIZE = r"~?\d{1,4}(?:\.\d{1,3})?[MBK]"
_THING = r"(?: (?!(?:to|from|for|on|in|with|by|and|or|of|as|if|at)\b)[\w^-]{1,30}){1,5}"
"""What a verb takes out or off, before its particle."""

_VERBS: tuple[tuple[str, str, Meaning], ...] = (
    # "take the softcap out", "turn nesterov off"
    (
        "out off away",
        (
            r"\b(?:tak(?:e|ing|en)|took|leav(?:e|ing)|left|rip(?:ping)?|throw(?:ing)?|pull(?:ing)?"
            rf"|(?:turn|switch)(?:ed|ing)?)({_THING}) (?:out|off|away)\b"
        ),
        r"remove\1",
    ),
    ("on", rf"\b(?:turn|switch)(?:ed|ing)?({_THING}) on(?=\s?(?:[,.;:(]|$))", r"add\1"),
    (
        "favor favour",
        rf"\b(?:drop|ditch|scrap|remove|abandon)(?:p?ed|d|p?ing)?({_THING}) in favou?r of\b",
        r"replace\1 with",
    ),
)
_WORDS: tuple[tuple[str, str, Meaning], ...] = (
    # without
    ("ungated", r"\bungated\b", "no gate"),
    ("non", r"\bnon[ -](?=[a-z]{4})", "no "),
    ("-free -less", r"\b([a-z]{3,20})-(?:free|less)\b", r"no \1"),
    # what comes of an edit: "222M -> 281M params", "3% of the peak LR"
    ("param", rf"(?:{_SIZE}\s?(?:\N{{RIGHTWARDS ARROW}}|to)\s?)?{_SIZE} ?(?:params|parameters)\b", " "),
    ("%", r"(?<=%) of (?:the )?(?:peak|max|maximum|initial|base)(?: lr| learning[ -]rate| value)?\b", ""),
    # one spelling
    ("replaces", r"\breplaces\b", "instead of"),
    ("before", r"\bbefore (?:the first block|block [01])\b", ""),
    ("final", r"\bfinal (?=\d{1,3}\s?%)", "last "),
    ("place of", r"\bin place of\b", "instead of"),
    ("with", r"\b(?:together|along|in combination|combined|paired|jointly) with\b", "and"),
    ("in addition", r"\bin addition to\b", "on top of"),
    ("each", r"\beach (head|channel|layer)(?:'s)?\b", r"per \1"),
    ("sqrt square", r"\b(?:1|one) ?(?:-|minus) ?(?:the )?(?:sqrt|square root)\b", "oneminussqrt"),
    ("sqrt", r"\bsqrt\(\s?1/", "1/sqrt("),
    ("sqrt(layer", r"\bsqrt\(layer", "sqrt(per layer"),
    ("betas", r"(?<![\w.(])(0?\.\d{1,4})/(0?\.\d{1,4})(?![\w./])", r"(\1, \2)"),
    ("betas", r"\b(betas[^\d(]{0,12})(0?\.\d{1,4})\s?[/,]\s?(0?\.\d{1,4})", r"\1(\2, \3)"),
    ("polar", r"\bpolar express (?:with |at |for )?(\d)[ -](iterations|steps)\b", r"\1 polar express \2"),
    (
        "decay",
        (
            r"\bdecay(?:ing)? ((?:the )?(?:(?:token|value|input) )?(?:embeddings?|lm[ _]head|matrices|weights"
            r"|wte)) (?:with|by|at)\b"
        ),
        r"weight decay \1",
    ),
    ("decay", r"\bstop(?:ping|s)?(?: the| lr)? decay(?:ing)? at (?=\d)", "final lr "),
    ("decay", r"(?<!weight )(?<!wd )\bdecay(?:s|ing|ed)? (?:down )?to (?=\d|zero)", "final lr "),
    (
        "clip",
        (
            r"\bclip(?:ping|ped|s)?(?: the)?(?:[ _]global)?[ _]grad(?:ient)?s?(?:[ _]norms?)?_?"
            r"(?: (?:to|at)(?: norm)?)?(?=[ (=:]|$)"
        ),
        "gradient clipping",
    ),
    (
        "decay",
        r"\bdecay(?:s|ing)?(?: only| it| linearly)? (?:in|over|for) the (?:last|final) (?=\d{1,2}\s?%)",
        "warmdown ",
    ),
    ("learn", r"(?<!to )\blearn(?:s|ing)? (?=at \d|twice|half|faster|slower|x\d|\d)", "learning rate "),
    (
        "momentum",
        r"\breach(?:es|ing)? (?:full|peak|final)(?: muon)? momentum (?:after|in|over)\b",
        "momentum warmup",
    ),
    ("wte", r"\blm_head(?:\.weight)?\s?=\s?(?:[a-z_]{1,20}\.)?wte(?:\.weight)?(?![\w.])", "weight tying"),
    ("proj", r"\b(?:keys?|k) (?:and|&|/) (?:values?|v)\b(?= proj)", "k projection v projection"),
    (
        "at",
        r"\b(?:ending|ends|end|finishing|bottoming out)(?: the (?:schedule|run|lr|decay))? at (?=\d|zero)",
        "final lr ",
    ),
    ("top", r"\btop[ -]?(?=\d\b)", "top k "),
    ("context", r"\bcontext (?=(?:to|from|of)? ?\d|\N{RIGHTWARDS ARROW}|=|:)", "context length "),
    (
        "context",
        (
            r"\b(doubl\w{1,3}|halv\w{1,3}|tripl\w{1,3}|longer|shorter|extend|lengthen|shorten|increase|decrease"
            r"|reduce|raise|cut)( the)? (?:training )?context\b(?! (?:len|window|size))"
        ),
        r"\1 context length",
    ),
    ("context", r"(?<![\w./])(\d{1,6}k?i?)(?:[ -]tokens?)?(?: of)? context\b(?! length)", r"seq len \1"),
)
_WHOLE = frozenset({"place of", "in addition"})
_PHRASES = tuple(
    ((words,) if words in _WHOLE else tuple(words.split()), re.compile(form, re.IGNORECASE), meaning)
    for words, form, meaning in _VERBS + COUNTS + _WORDS
)


def rephrased(text: str) -> str:
    """A text with its turns of phrase put as the reader knows them."""
    lowered = text.lower()
    for words, form, meaning in _PHRASES:
        if any(word in lowered for word in words):
            text, count = form.subn(meaning, text)
            lowered = text.lower() if count else lowered
    return text
