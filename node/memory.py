"""Remembers the challenge agreed on with each coordinator, so that a node can begin while it is away."""

from __future__ import annotations

import json
from pathlib import Path

from autoresearch.challenge import Challenge, ChallengeError, load_challenge

from node import places

MEMORY_NAME = "coordinators.json"
COORDINATORS_LIMIT = 64


def remember_challenge(node_dir: Path, target: str, challenge: Challenge) -> None:
    """Notes the challenge of a session that was agreed to."""
    known = _read(node_dir)
    known.pop(target, None)
    known[target] = challenge.challenge_id
    latest = dict(list(known.items())[-COORDINATORS_LIMIT:])
    (node_dir / MEMORY_NAME).write_text(json.dumps(latest, indent=1), encoding="utf-8")


def recall_challenge(node_dir: Path, target: str, wanted: str) -> Challenge | None:
    """The challenge of the last session there, if it is the one that is wanted and still on disk."""
    challenge_id = _read(node_dir).get(target)
    if challenge_id is None:
        return None
    try:
        challenge = load_challenge(places.challenges_dir(node_dir) / challenge_id)
    except ChallengeError:
        return None
    if challenge.challenge_id != challenge_id:
        return None
    return challenge if wanted in ("", challenge.name, challenge.challenge_id) else None


def _read(node_dir: Path) -> dict[str, str]:
    try:
        found = json.loads((node_dir / MEMORY_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, str)}
