"""The node's key on disk: who this node is to every swarm that it joins."""

from __future__ import annotations

from pathlib import Path

from autoresearch.signing import KeyFileError, SigningKey, load_or_create_key

KEY_FILE = "node.key"


def load_identity(state_dir: Path) -> SigningKey:
    """The node's key, made at the first start; every worker on this machine shares it.

    Raises:
        KeyFileError: The file can be read by others, or is no key; the message says what to do.
    """
    path = state_dir / KEY_FILE
    try:
        return load_or_create_key(path)
    except KeyFileError as error:
        if not isinstance(error.__cause__, KeyFileError):  # not about what it holds
            raise
        raise KeyFileError(
            f"{path} is damaged: it holds no key of a node. Put a copy back if you have one. If not, move "
            "it away, and the next start makes a new key; to every swarm that is a new node, which enrols "
            "anew (by a token where one is needed), while trust and credit stay with the old one"
        ) from error
