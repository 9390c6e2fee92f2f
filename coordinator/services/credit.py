"""Whose idea an experiment was: said by the coordinator alone, of what it handed out from its queue."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from autoresearch.model import Experiment, Hypothesis, NodeId, OwnerId

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposer:
    """Who had an idea."""

    node_id: NodeId
    owner_id: OwnerId | None


def proposer_of(experiment: Experiment) -> Proposer:
    """The node that ran it, unless that ran another's idea."""
    if experiment.proposer_id is not None:
        return Proposer(node_id=experiment.proposer_id, owner_id=experiment.proposer_owner_id)
    return Proposer(node_id=experiment.node_id, owner_id=experiment.owner_id)


def words_of_idea(hypothesis: Hypothesis) -> str:
    """A digest of what an idea says: whoever claims under it in other words has an idea of their own."""
    said = repr((hypothesis.title, hypothesis.rationale, hypothesis.changes))
    return hashlib.blake2b(said.encode(), digest_size=_DIGEST_BYTES).hexdigest()
