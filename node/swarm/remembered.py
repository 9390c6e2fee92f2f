"""The last session on disk, so that a node can start while its coordinator is away."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from autoresearch import codec
from autoresearch.errors import InvalidArgument
from autoresearch.model import Session
from autoresearch.v1 import swarm_pb2
from google.protobuf.message import DecodeError

SESSION_LIMIT_BYTES = 1024 * 1024


def remember_session(session: Session, path: Path) -> None:
    """Replaces what is there, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with partial.open("wb") as file:
            file.write(codec.session_to_message(session).SerializeToString())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def recall_session(path: Path) -> Session | None:
    """The session that was remembered; None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(SESSION_LIMIT_BYTES)
        return codec.session_from_message(swarm_pb2.ConnectReply.FromString(raw))
    except (FileNotFoundError, DecodeError, InvalidArgument):
        return None
