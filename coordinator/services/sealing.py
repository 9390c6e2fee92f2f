"""What nobody is shown of a verification before it is decided.

A verifier who could read what another has reported of the same candidate could report the same, with noise,
and run nothing. So the runs of a code that is being verified stay sealed, those of its control in the same
pairs too: no listing, no experiment's page, no event and no reply has them, to anybody. How many are in may
be told. They are shown from the moment on that the decision about the code is stored: it is confirmed,
refuted, or nobody is left whose pairs could change its level. The screening run, which its proposer brought,
is open.

A code that waits to be verified, anew perhaps because what it was built on fell, is sealed too.

What the class builds on is told by ``class_state.working_best``, which keeps to the same seal; this is about
single runs. A mean of a code that serves as a control is told with its n, from which a control run can be
reckoned: it says nothing of the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoresearch.model import ExperimentId, Purpose

from coordinator.domain.class_state import ClassState


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedClass:
    """Of one class: the codes that are or will be verified, and the pairs of theirs, whole or half."""

    codes: frozenset[ExperimentId] = frozenset()
    verification_ids: frozenset[str] = frozenset()
    touched: frozenset[ExperimentId] = frozenset()
    """Experiments that have such runs: the codes and their controls."""

    def hides(self, experiment_id: ExperimentId, purpose: Purpose, verification_id: str) -> bool:
        """True for a run that is not to be shown.

        A candidate's run that decides nothing, because it came late or twice, says as much of its code.
        """
        is_of_code = purpose is Purpose.VERIFY_CANDIDATE and experiment_id in self.codes
        return is_of_code or (bool(verification_id) and verification_id in self.verification_ids)


NOTHING_SEALED = SealedClass()


def sealed_of(state: ClassState) -> SealedClass:
    """What a class's state seals."""
    sealed = [one for one in state.standings.values() if one.is_sealed]
    codes = frozenset(one.experiment_id for one in sealed) | {one.experiment_id for one in state.waiting}
    if not codes:
        return NOTHING_SEALED
    slots = {pair.verification_id: pair.slot for one in sealed for pair in one.pairs}
    slots |= {half.verification_id: half.slot for half in state.halves if half.slot.candidate_id in codes}
    controls = frozenset(slot.control_id for slot in slots.values())
    return SealedClass(codes=codes, verification_ids=frozenset(slots), touched=codes | controls)
