"""Reads what a researcher's model sent, with errors that say what to send instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from autoresearch.errors import InvalidArgument
from autoresearch.limits import check_source
from autoresearch.model import Hypothesis

from node.agent.anthropic.editor import syntax_complaint
from node.agent.anthropic.statement import STATEMENT, Statement
from node.agent.anthropic.toolbox import BadArguments, text_argument
from node.agent.quoting import inline, quoted

EDITS_LIMIT = 64
ID_LIMIT_CHARS = 100

Arguments = Mapping[str, Any]


def check_names(arguments: Arguments, known: Collection[str]) -> None:
    """Refuses what no tool of ours takes, such as a score."""
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        shown = ", ".join(inline(name, 40) for name in unknown[:5])
        raise BadArguments(f"unknown: {shown}; this tool takes {', '.join(sorted(known)) or 'nothing'}")


def id_of(arguments: Arguments) -> str:
    """The name of a ticket."""
    text = text_argument(arguments, "id")
    if not text or len(text) > ID_LIMIT_CHARS or not text.isprintable():
        raise BadArguments("'id' must be one that claim, what_to_try or status told")
    return text


def choice_of(arguments: Arguments, name: str, choices: Sequence[str]) -> str:
    """One of a few words; the first where none is given."""
    value = arguments.get(name, choices[0])
    if value not in choices:
        raise BadArguments(f"{name!r} must be one of {', '.join(choices)}")
    return str(value)


def number_of(arguments: Arguments, name: str, *, default: int, least: int, most: int) -> int:
    """A whole number within bounds."""
    value = arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadArguments(f"{name!r} must be a whole number from {least} to {most}")
    return value


def line_of(arguments: Arguments, name: str, *, limit: int, default: str | None = None) -> str:
    """A text that is not too long."""
    text = text_argument(arguments, name, default=default)
    if len(text) > limit:
        raise BadArguments(f"{name!r} may have {limit:,} characters; this has {len(text):,}")
    return text.strip()


def hypothesis_of(arguments: Arguments, parent_source: str, *, agent: str, was_asked: bool) -> Hypothesis:
    """An idea with structured changes: constants by the parent's own names and values."""
    if arguments.get("distinction") and not was_asked:
        raise BadArguments("'distinction' answers a question, and none was asked yet: leave it out")
    statement = Statement(parent_source, agent=agent, was_asked=was_asked)
    answer = statement.use(STATEMENT, arguments)
    if statement.hypothesis is None:
        raise BadArguments(answer.text)
    return statement.hypothesis


def source_of(arguments: Arguments, base: str) -> str:
    """A whole ``train.py``, or ``base`` with exact replacements, that is Python and within its limit."""
    has_code, has_edits = arguments.get("code") is not None, arguments.get("edits") is not None
    if has_code == has_edits:
        raise BadArguments(
            "give either 'edits' (replacements in the code to start from) or 'code' (the whole file)"
        )
    source = text_argument(arguments, "code") if has_code else _edited(arguments["edits"], base)
    try:
        check_source(source.encode(), "train.py")
    except UnicodeEncodeError as error:
        raise BadArguments("train.py has characters that are no UTF-8; send plain text") from error
    except InvalidArgument as error:
        raise BadArguments(error.message) from error
    if source == base:
        raise BadArguments("that changes nothing in train.py; nothing was handed in")
    complaint = syntax_complaint(source)
    if complaint:
        raise BadArguments(f"train.py would be no Python; nothing was handed in:\n{quoted(complaint, 300)}")
    return source


def _edited(edits: Any, base: str) -> str:
    if not isinstance(edits, Sequence) or isinstance(edits, str) or not 1 <= len(edits) <= EDITS_LIMIT:
        raise BadArguments(f"'edits' must be a list of 1 to {EDITS_LIMIT} {{old, new}}")
    source = base
    for place, edit in enumerate(edits):
        old, new = text_argument(edit, "old"), text_argument(edit, "new")
        found = source.count(old) if old else 0
        if found != 1:
            raise BadArguments(
                f"edits[{place}].old occurs {found} times in the code to start from; give text that occurs "
                "exactly once, as it is there without the line numbers; nothing was handed in"
            )
        source = source.replace(old, new)
    return source
