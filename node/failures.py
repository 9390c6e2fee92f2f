"""Why a command could not do its work, with the exit code that says so."""

from __future__ import annotations

from node.exit_codes import ExitCode


class Failed(Exception):
    """The message says what happened, to what, and what to do next."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
