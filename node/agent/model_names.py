"""What results call a model."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from autoresearch.model import NAME_LIMIT_CHARS


def public_name(model: str) -> str:
    """What results are signed with: servers of one's own call models by paths, which name their user."""
    if PurePosixPath(model).is_absolute() or PureWindowsPath(model).is_absolute():
        model = PureWindowsPath(model).name  # knows both kinds of slashes
    return model[:NAME_LIMIT_CHARS]
