"""What a result is evidence of: checked against its task, turned into the domain's terms."""

from __future__ import annotations

from dataclasses import dataclass

from autoresearch.errors import InvalidArgument
from autoresearch.model import (
    Experiment,
    ExperimentState,
    Node,
    Outcome,
    Purpose,
    Result,
)

from coordinator.domain.baseline import baseline_id
from coordinator.domain.claims import is_codes_fault
from coordinator.domain.class_state import Candidate, ClassState, Half
from coordinator.domain.draft import Context, Decision
from coordinator.domain.promotion import record_baseline, record_exploration, record_verification
from coordinator.services.leases import Held
from coordinator.services.notes import Seeds, seeds_of
from coordinator.storage.base import ClaimKind

STATE_OF = {
    Outcome.COMPLETED: ExperimentState.COMPLETED,
    Outcome.CRASHED: ExperimentState.CRASHED,
    Outcome.TIMED_OUT: ExperimentState.TIMED_OUT,
    Outcome.REJECTED: ExperimentState.REJECTED,
}
_PURPOSES = {
    ClaimKind.HYPOTHESIS: frozenset({Purpose.EXPLORE}),
    ClaimKind.BASELINE: frozenset({Purpose.BASELINE}),
    ClaimKind.VERIFICATION: frozenset({Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL}),
    ClaimKind.QUEUED: frozenset[Purpose](),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One checked result. ``held`` is the claim that it was made under, as far as it is known.

    ``is_first``: the experiment's own node, or its task, brings the first run that is scored. ``counts`` is
    False for what is kept and changes no best: a replication of equal code, a run of another class than
    the node's, a run of another node's experiment, a task's run whose claim is unknown. ``size`` is the
    code's length in syntax nodes, 0 if it cannot be read; ``holdout_gap`` how much
    worse it scored on the held-back validation, and ``hidden_gap`` how much worse it predicted what no input
    showed it, None where that was not measured.
    """

    result: Result
    experiment: Experiment
    score: float | None
    held: Held | None
    is_first: bool
    counts: bool
    size: int = 0
    holdout_gap: float | None = None
    hidden_gap: float | None = None

    def state(self) -> ExperimentState | None:
        """What the experiment becomes by this run alone; None leaves it."""
        is_verified = self.held is not None and self.held.note.slot is not None
        return STATE_OF[self.result.outcome] if self.is_first and not is_verified else None

    def decide(self, state: ClassState, context: Context) -> Decision | None:
        """What it does to its class; None if nothing."""
        if not self.counts:
            return None
        decision: Decision | None = None
        match self.result.purpose:
            case Purpose.EXPLORE:
                if self.score is None:
                    return None
                decision = record_exploration(state, context, self._candidate(self.score))
            case Purpose.BASELINE:
                number = self.held.note.baseline if self.held else None
                if number is None:
                    return None
                run = None if self.score is None else self._candidate(self.score)
                decision = record_baseline(
                    state, context, run=run, node_id=self.result.node_id, number=number
                )
            case Purpose.VERIFY_CANDIDATE | Purpose.VERIFY_CONTROL:
                half = self._half()
                decision = record_verification(state, context, half) if half else None
        is_same = decision is None or (decision.state is state and not decision.marks)
        return None if is_same else decision

    def _candidate(self, score: float) -> Candidate:
        experiment = self.experiment
        return Candidate(
            experiment_id=experiment.experiment_id,
            source_hash=experiment.source_hash,
            parent_id=experiment.parent,
            node_id=experiment.node_id,
            owner_id=experiment.owner_id,
            title=experiment.hypothesis.title,
            screen_score=score,
            size=self.size,
            proposer_owner_id=experiment.proposer_owner_id,
        )

    def _half(self) -> Half | None:
        if self.held is None or self.held.note.slot is None:
            return None
        return Half(
            verification_id=self.result.verification_id,
            slot=self.held.note.slot,
            purpose=self.result.purpose,
            owner_id=self.result.owner_id,
            node_id=self.result.node_id,
            score=self.score,
            is_deterministic=is_codes_fault(self.result.outcome, self.result.crash_kind),
            holdout_gap=self.holdout_gap if self.result.purpose is Purpose.VERIFY_CANDIDATE else None,
            hidden_gap=self.hidden_gap,
        )


def check_task(result: Result, experiment: Experiment, held: Held, caller: Node) -> None:
    """Refuses a result that contradicts the task that it names.

    Raises:
        InvalidArgument: another node's claim, purpose, class, code, experiment or seed.
    """
    request, note = held.request, held.note
    if request.node_id != caller.node_id:
        raise InvalidArgument(f"claim {request.claim_id} is another node's; publish without a claim")
    if result.purpose not in _PURPOSES[request.kind]:
        raise InvalidArgument(
            f"a {request.kind} claim asks for no {result.purpose} run; publish under the run's own claim"
        )
    if result.hardware.hardware_class != request.hardware_class:
        raise InvalidArgument(
            f"the run was made on {result.hardware.hardware_class}, the claim is of {request.hardware_class}"
        )
    expected = note.slot and (
        note.slot.candidate_id if result.purpose is Purpose.VERIFY_CANDIDATE else note.slot.control_id
    )
    if request.kind is ClaimKind.HYPOTHESIS:
        expected = held.experiment_id
        if experiment.node_id != caller.node_id:
            raise InvalidArgument(
                f"claim {request.claim_id} is of the node's own idea, experiment "
                f"{experiment.experiment_id} is another node's; publish without a claim"
            )
    if request.kind is ClaimKind.BASELINE:
        expected = baseline_id(result.challenge_id, request.hardware_class)
    if expected is not None and result.experiment_id != expected:
        raise InvalidArgument(f"the claim is about experiment {expected}, not {result.experiment_id}")
    if note.slot is not None and result.verification_id != request.claim_id:
        raise InvalidArgument("verification_id is not the one that came with the task")
    seeds = _seeds(experiment, held)
    if seeds is not None:
        _check_seeds(result, seeds)


def _check_seeds(result: Result, seeds: Seeds) -> None:
    if result.seed != seeds.train:
        raise InvalidArgument(
            f"the run used seed {result.seed} and the coordinator drew {seeds.train}; train with that one"
        )
    attested = result.attestation
    if attested is not None and attested.val_seed != seeds.val:
        raise InvalidArgument(
            f"the run was scored with validation seed {attested.val_seed} and the coordinator drew "
            f"{seeds.val}; score with that one"
        )


def _seeds(experiment: Experiment, held: Held) -> Seeds | None:
    """The seeds that were drawn for this claim; None before the claim has started."""
    note = held.note
    if note.slot is not None and note.code_hash is not None:
        return seeds_of(note, note.code_hash, note.slot.candidate_id)
    if note.baseline is not None or held.experiment_id is not None:
        return seeds_of(note, experiment.source_hash, experiment.experiment_id)
    return None
