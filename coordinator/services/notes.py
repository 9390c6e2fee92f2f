"""What a claim carries for the coordinator's own use, and the seeds that follow from it.

A note travels with the claim in the store, so any replica can answer the next call about it. Its nonce is
drawn at the claim and never leaves the coordinator; the seeds follow from it and the code's hash. So they
are fixed by the code, the same for every repeat of a call, and not to be known before.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass, field, replace

from autoresearch.edits.words import PackedReading
from autoresearch.model import ExperimentId, HypothesisId, IdeaKind, NodeId, OwnerId, SourceHash, Usage

from coordinator.domain.class_state import Slot

SEED_BITS = 31
NONCE_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNote:
    """What a lease is about. At most one of ``baseline``, ``slot`` and ``idea`` is set.

    ``code_hash`` is set where the code is known when the lease is made. ``kind``, ``parents`` and
    ``material_ids`` are the idea's; what becomes of it has these parents. ``proposer_id`` and
    ``proposer_owner_id`` say whose the idea is, where it is not the claimant's own, ``idea_usage`` what was
    spent on it before it was queued, and ``words`` (``words_of_idea``) what it says. ``is_reworded`` where it
    was claimed in other words: its proposer is credited then with the very code that came with it.
    ``waived`` are experiments of the same edit that only warned, and that the claimant has answered. ``said``
    is a packed reading of what is claimed in words, and ``is_whole`` that its keys say all of it: by them it
    is compared with others that are about the same.
    """

    nonce: str = field(default_factory=lambda: secrets.token_hex(NONCE_BYTES))
    baseline: int | None = None
    slot: Slot | None = None
    idea: HypothesisId | None = None
    proposer_id: NodeId | None = None
    proposer_owner_id: OwnerId | None = None
    idea_usage: Usage | None = None
    words: str = ""
    is_reworded: bool = False
    code_hash: SourceHash | None = None
    parents: tuple[ExperimentId, ...] = ()
    kind: IdeaKind = IdeaKind.FREE
    material_ids: tuple[ExperimentId, ...] = ()
    waived: tuple[ExperimentId, ...] = ()
    said: PackedReading = ()
    is_whole: bool = False

    def without_foreign_credit(self, source_hash: SourceHash) -> TaskNote:
        """The note of a start with this code: nobody is credited with words and code that were not theirs."""
        if not self.is_reworded or source_hash == self.code_hash:
            return self
        return replace(self, proposer_id=None, proposer_owner_id=None, idea_usage=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """The training seed and the seed of the validation text."""

    train: int
    val: int


def dump_note(note: TaskNote) -> str:
    """The note as JSON text."""
    return json.dumps(asdict(note), separators=(",", ":"))


def load_note(text: str) -> TaskNote:
    """The note from its text."""
    document = json.loads(text)
    slot, usage = document.pop("slot"), document.pop("idea_usage", None)
    parents, material_ids, waived, said = (
        tuple(document.pop(name, ())) for name in ("parents", "material_ids", "waived", "said")
    )
    return TaskNote(
        slot=Slot(**slot) if slot else None,
        idea_usage=Usage(**usage) if usage else None,
        kind=IdeaKind(document.pop("kind", IdeaKind.FREE)),
        parents=parents,
        material_ids=material_ids,
        waived=waived,
        said=said,
        **document,
    )


def seeds_of(note: TaskNote, code_hash: SourceHash, experiment_id: ExperimentId) -> Seeds:
    """The seeds of a run of this code under this claim; a pair's two runs share its candidate's."""
    drawn = hashlib.sha256(f"{note.nonce}\0{code_hash}\0{experiment_id}".encode()).digest()
    mask = (1 << SEED_BITS) - 1
    return Seeds(train=int.from_bytes(drawn[:8]) & mask, val=int.from_bytes(drawn[8:16]) & mask)
