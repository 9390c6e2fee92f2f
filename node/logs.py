"""Where the node's log lines go: stderr, for people or for machines."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO, cast

import structlog


def set_up_logging(form: Literal["text", "json"], level: str) -> None:
    """Sends structured lines of ``level`` and above to stderr; called once, by the command."""
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if form == "json"
        # The default traceback, where rich is installed, shows local variables: tokens and keys among them.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _one_line,
    ]
    if form == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Stderr())),
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr)


class _Stderr:
    """Whatever stderr is when a line is written: it may be redirected after a logger was first used."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _one_line(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Titles and reasons come from strangers: nothing in them may move a cursor or fake a line."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable() and key != "exception":
            event[key] = "".join(char if char.isprintable() else " " for char in value)
    return event
