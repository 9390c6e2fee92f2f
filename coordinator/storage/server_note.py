"""What is written down about an embedded server, and how a process is told from a stranger."""

from __future__ import annotations

import fcntl
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

NOTE_NAME = "server.json"
PS_LIMIT_S = 5.0
_STATE_FIELD, _START_FIELD = 0, 19


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerNote:
    """What server.json says; ``pid`` is 0 until the server has been started."""

    nonce: str
    socket: str
    pid: int = 0
    started: str = ""


def write_note(folder: Path, note: ServerNote) -> None:
    """Replaces the note in one step, so that a crash leaves the old or the new one."""
    path = folder / NOTE_NAME
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(note)))
    draft.replace(path)


def read_note(folder: Path) -> ServerNote | None:
    """The note, or None where there is none to read."""
    try:
        return ServerNote(**json.loads((folder / NOTE_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def try_lock(descriptor: int) -> bool:
    """Takes an exclusive lock on an open file unless another open file has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def start_of(pid: int) -> str:
    """When a process started, in the system's own words; empty if it is gone or a zombie.

    A process id alone is not enough: the system gives it to a stranger once its process has ended.
    """
    try:
        # Behind the name, which may hold anything in its parentheses: the state, 18 fields, the start.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _start_by_ps(pid)
    return "" if fields[_STATE_FIELD] in ("Z", "X") else fields[_START_FIELD]


def _start_by_ps(pid: int) -> str:
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PS_LIMIT_S,
    )
    return shown.stdout.strip()
