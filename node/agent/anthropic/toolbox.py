"""What a model may do in a conversation: its tools, and when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a tool says to the model. An error is something that it can mend."""

    text: str
    is_error: bool = False


class Toolbox(Protocol):
    """The tools of one conversation, with what they have made so far."""

    @property
    def is_done(self) -> bool:
        """True once nothing more is to come: the conversation ends without another word."""

    @property
    def missing(self) -> str:
        """What the model still has to do where it stops by itself; empty where it may stop."""

    def use(self, name: str, arguments: Any) -> ToolAnswer:
        """Carries out one call. ``arguments`` are whatever the model sent; nothing is raised for them."""


class BadArguments(Exception):
    """A tool was called in a way that it cannot be; the message tells the model how."""


def text_argument(arguments: Any, name: str, *, default: str | None = None) -> str:
    """A text among the arguments. Raises BadArguments."""
    value = arguments.get(name, default) if isinstance(arguments, Mapping) else None
    if not isinstance(value, str):
        raise BadArguments(f"{name!r} must be a text")
    return value


def number_argument(arguments: Any, name: str) -> int:
    """A whole number among the arguments. Raises BadArguments."""
    value = arguments.get(name) if isinstance(arguments, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadArguments(f"{name!r} must be a whole number")
    return value


def range_argument(arguments: Any, name: str) -> tuple[int, int] | None:
    """Two whole numbers among the arguments, or None where there are none. Raises BadArguments."""
    value = arguments.get(name) if isinstance(arguments, Mapping) else None
    if value is None:
        return None
    is_pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2  # noqa: PLR2004
    if not is_pair or not all(isinstance(part, int) and not isinstance(part, bool) for part in value):
        raise BadArguments(f"{name!r} must be two whole numbers, [first line, last line]")
    return value[0], value[1]
