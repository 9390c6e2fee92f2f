"""The node's key on disk: who this node is to every swarm that it joins."""

from __future__ import annotations

from pathlib import Path

from autoresearch.signing import SigningKey, load_or_create_key

KEY_FILE = "node.key"


def load_identity(state_dir: Path) -> SigningKey:
    """The node's key, made at the first start; every worker on this machine shares it.

    Raises:
        KeyFileError: The file can be read by others, or is no key; the message says what to do.
    """
    return load_or_create_key(state_dir / KEY_FILE)
