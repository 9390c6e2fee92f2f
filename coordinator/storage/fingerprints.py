"""Short hashes that tell a repeat of a call from another use of the same id."""

from __future__ import annotations

import hashlib
import json

from autoresearch.model import Idea, Insight, Result

FINGERPRINT_BYTES = 8
"""Enough to tell an honest mistake: an id is chosen by the node that repeats it."""


def result_fingerprint(result: Result) -> bytes:
    """What makes a result the same one: all that the node measured, nothing that the coordinator adds."""
    return _digest(
        [
            result.experiment_id,
            result.node_id,
            result.outcome,
            result.purpose,
            sorted(result.metrics.items()),
            result.seed,
            result.code_hash,
            result.started_at.isoformat(),
            result.finished_at.isoformat(),
        ]
    )


def idea_fingerprint(idea: Idea) -> bytes:
    """What makes an idea the same one: its words, its code, what that was made on and who proposed it."""
    words = idea.hypothesis
    parts: list[object] = [words.title, words.rationale, repr(words.changes), idea.node_id, idea.source_hash]
    return _digest([*parts, *idea.parents])


def insight_fingerprint(insight: Insight) -> bytes:
    """What makes an insight the same one: its words, its evidence and who shares it."""
    return _digest([insight.text, list(insight.experiment_ids), insight.node_id, insight.agent])


def _digest(parts: list[object]) -> bytes:
    text = json.dumps(parts, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=FINGERPRINT_BYTES).digest()
