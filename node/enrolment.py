"""The operator's enrolment token: from a file, since other users can read command lines."""

from __future__ import annotations

from pathlib import Path

from node.exit_codes import ExitCode
from node.failures import Failed

TOKEN_LIMIT_BYTES = 4_096


def read_token(path: Path | None) -> str:
    """The token; empty where no file was given. Raises Failed where one was given that has none."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            raw = file.read(TOKEN_LIMIT_BYTES)
    except OSError as error:
        raise Failed(f"cannot read the token file {path} ({error.strerror})", ExitCode.USAGE) from error
    token = raw.decode("utf-8", errors="replace").strip()
    if not token:
        raise Failed(
            f"the token file {path} is empty; put the operator's token into it, or leave it out",
            ExitCode.USAGE,
        )
    return token
