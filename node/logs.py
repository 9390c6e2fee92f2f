"""Where the node's log lines go: stderr, for people or for machines."""

from __future__ import annotations

import io
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
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback)
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Indented(logging.BASIC_FORMAT))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler])


class _Stderr:
    """Whatever stderr is when a line is written: it may be redirected after a logger was first used."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Indented(logging.Formatter):
    """For what libraries log: they repeat what they were sent, and print tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return _indented(super().format(record))


def _traceback(sio: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """A plain one. Its last lines are a message, which may hold words of strangers."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    sio.write(_indented(text.getvalue()))


def _indented(text: str) -> str:
    """Lines that move no cursor and, but for the first, cannot pass for lines of the log."""
    lines = text.rstrip("\n").split("\n")
    return "\n  ".join("".join(char if char.isprintable() else " " for char in line) for line in lines)


def _one_line(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Titles and reasons come from strangers: nothing in them may move a cursor or fake a line."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable() and key != "exception":
            event[key] = "".join(char if char.isprintable() else " " for char in value)
    return event
