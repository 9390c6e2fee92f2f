"""The owner's key: from a file or the environment, and shown to nobody but the server that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from node.exit_codes import ExitCode
from node.failures import Failed

KEY_VARIABLE = "ANTHROPIC_API_KEY"
KEY_LIMIT_BYTES = 4_096
HIDDEN = "[key]"
NO_KEY = "none"
"""What a server of one's own is told that asks for no key: the header must be there."""


class ApiKey:
    """A key that no log line, traceback or record shows by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The key itself, for the call that needs it."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """The text without the key: servers repeat what they were sent."""
        return text.replace(self._text, HIDDEN) if self._text != NO_KEY else text

    def __repr__(self) -> str:
        return f"ApiKey({HIDDEN})"


def read_key(path: Path | None, environ: Mapping[str, str], *, variable: str = KEY_VARIABLE) -> ApiKey | None:
    """The key in the file, or else that of the environment; None without one. Raises Failed."""
    if path is None:
        text, where = environ.get(variable, "").strip(), variable
    else:
        text, where = _read(path), str(path)
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Failed(f"{where} holds no key: one line of plain characters is expected", ExitCode.USAGE)
    return ApiKey(text)


def _read(path: Path) -> str:
    try:
        with path.expanduser().open("rb") as file:
            raw = file.read(KEY_LIMIT_BYTES)
    except OSError as error:
        raise Failed(f"cannot read the key file {path} ({error.strerror})", ExitCode.USAGE) from error
    text = raw.decode("utf-8", errors="replace").strip()
    if not text:
        raise Failed(f"the key file {path} is empty; put the key into it, or leave it out", ExitCode.USAGE)
    return text
