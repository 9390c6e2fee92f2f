"""What evidence does to a hardware class's best: pure transitions from one ``ClassState`` to the next.

    screened run ----> working best, PROVISIONAL (one at a time; the others wait, largest gain first)
        pairs of anybody pass ----------------> SELF_REPLICATED
        pairs of other voting owners pass ----> ONE_OWNER
            two of them or more, one trusted -> CONFIRMED
        either series is dropped, or two failures -> REFUTED: back to the best before it

Nodes build on a provisional best at once; what that could cost is bounded, because the best before it is
kept on a stack and one refutation returns to it. The confirmed best is kept apart: it changes only for a
code that other owners' pairs, judged by ``evidence.verify`` against that very best, have shown to be
better, and whose mean is better too. So evidence of one kind never stands in for the other: an owner who
invents pairs of its own reaches SELF_REPLICATED at most, and the votes that come later still refute it.
"""

from __future__ import annotations

from dataclasses import replace

from autoresearch.model import ExperimentState, Level, NodeId, Purpose

from coordinator.domain.class_state import Candidate, ClassState, Half, Standing
from coordinator.domain.draft import Context, Decision, is_worth_verifying, proven_best, screened
from coordinator.domain.judging import JudgingDraft
from coordinator.domain.trust import INVENTED_LIMIT, audited, trust_of

BASELINE_FAILURES_LIMIT = 256
HALVES_LIMIT = 64


def record_baseline(
    state: ClassState, context: Context, *, run: Candidate | None, node_id: NodeId, number: int
) -> Decision:
    """A run of the challenge's own code in slot ``number``; None for one that failed.

    The class builds on the baseline from its first run on; screening waits for the last one needed.
    """
    draft = JudgingDraft(state, context)
    if number in state.baseline_slots:
        return draft.decision()
    if run is None:
        failures = (*state.baseline_failures, node_id)[-BASELINE_FAILURES_LIMIT:]
        draft.state = replace(state, baseline_failures=failures)
        return draft.decision()
    draft.state = replace(state, baseline_slots=state.baseline_slots | {number})
    if state.baseline is None:
        draft.put(
            Standing(
                candidate=run,
                level=Level.BASELINE,
                since=context.now,
                evidence_at=context.now,
                control_runs=(run.screen_score,),
                has_passed=True,
            )
        )
        draft.state = replace(draft.state, baseline_id=run.experiment_id, working_id=run.experiment_id)
        draft.note_change(None, "first run of the baseline")
    else:
        draft.add_control_run(state.baseline.experiment_id, run.screen_score)
    if not state.is_open(context.rules) and draft.state.is_open(context.rules):
        if draft.state.working_id == draft.state.baseline_id:
            draft.note_change(None, f"{context.rules.baseline_runs} runs of the baseline open the class")
        draft.rescreen(refuted=None)
        draft.advance()
    return draft.decision()


def record_exploration(state: ClassState, context: Context, candidate: Candidate) -> Decision:
    """A first run of new code. The state is the same object if the run does not pass the screen."""
    draft = JudgingDraft(state, context)
    is_known = candidate.experiment_id in state.standings or any(
        waiting.experiment_id == candidate.experiment_id for waiting in state.waiting
    )
    if is_known:
        return draft.decision()
    proven = proven_best(state, context)
    if proven is None or not state.is_open(context.rules):
        draft.wait(candidate)
        return draft.decision()
    if not is_worth_verifying(candidate, proven, context.rules, state.spread(context.rules)):
        return draft.decision()
    if trust_of(state, candidate.owner_id).invented >= INVENTED_LIMIT:
        draft.mark(
            candidate.experiment_id,
            ExperimentState.COMPLETED,
            f"not verified: {INVENTED_LIMIT} screening runs of this owner were contradicted beyond luck",
        )
        return draft.decision()
    gain = context.rules.gain(candidate.screen_score, proven.mean)
    draft.mark(
        candidate.experiment_id,
        ExperimentState.CANDIDATE,
        f"{screened(candidate, proven, gain)}; waits for verification",
    )
    draft.wait(candidate)
    draft.advance()
    return draft.decision()


def record_verification(state: ClassState, context: Context, half: Half) -> Decision:
    """One run of a verification pair. Codes that are decided, slots that are filled and repeats stay."""
    draft = JudgingDraft(state, context)
    if half.slot.is_audit:
        draft.state = _with_audit_half(state, context, half)
        return draft.decision()
    standing = state.standings.get(half.slot.candidate_id)
    if standing is None or _is_repeat(state, standing, half):
        return draft.decision()
    state = draft.state = replace(state, verification_runs=state.verification_runs + 1)
    other = _other_half(state, half)
    if other is None:
        draft.state = replace(state, halves=(*state.halves, half)[-HALVES_LIMIT:])
        if half.purpose is Purpose.VERIFY_CANDIDATE and half.score is None and half.is_deterministic:
            draft.add_failure(half)
    else:
        draft.state = replace(state, halves=tuple(one for one in state.halves if one is not other))
        is_first = other.purpose is Purpose.VERIFY_CANDIDATE
        draft.close_pair(*((other, half) if is_first else (half, other)))
        if standing.has_passed_votes and half.slot.is_vote and half.slot.control_id == state.anchor_id:
            draft.check_further_vote(draft.state.standings[standing.experiment_id], half.owner_id)
    draft.judge(half.slot.candidate_id)
    draft.review_confirmed()
    draft.advance()
    return draft.decision()


def review(state: ClassState, context: Context) -> Decision:
    """What time alone changes: voters who left or patience that ran out let the next candidate in."""
    draft = JudgingDraft(state, context)
    draft.advance()
    return draft.decision()


def _with_audit_half(state: ClassState, context: Context, half: Half) -> ClassState:
    """An audit changes what is known of its owner, and nothing else. A failed run tells nothing."""
    decided = next(
        (
            one
            for one in state.decided
            if (one.candidate_id, one.control_id) == (half.slot.candidate_id, half.slot.control_id)
        ),
        None,
    )
    is_repeat = any(
        one.verification_id == half.verification_id and one.purpose is half.purpose for one in state.halves
    )
    if decided is None or is_repeat:
        return state
    if half.owner_id in decided.audited:
        return state
    state = replace(state, verification_runs=state.verification_runs + 1, audit_runs=state.audit_runs + 1)
    other = _other_half(state, half)
    if other is None:
        return replace(state, halves=(*state.halves, half)[-HALVES_LIMIT:])
    state = replace(state, halves=tuple(one for one in state.halves if one is not other))
    is_first = other.purpose is Purpose.VERIFY_CANDIDATE
    candidate, control = (other, half) if is_first else (half, other)
    if candidate.score is None or control.score is None:
        return state
    gain = context.rules.gain(candidate.score, control.score)
    return audited(state, state.spread(context.rules), decided, half.owner_id, gain)


def _other_half(state: ClassState, half: Half) -> Half | None:
    return next((one for one in state.halves if one.verification_id == half.verification_id), None)


def _is_repeat(state: ClassState, standing: Standing, half: Half) -> bool:
    if any(pair.verification_id == half.verification_id or pair.slot == half.slot for pair in standing.pairs):
        return True
    return any(
        one.verification_id == half.verification_id and one.purpose is half.purpose for one in state.halves
    )
