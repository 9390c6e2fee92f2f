"""What evidence does to a hardware class's best: pure transitions from one ``ClassState`` to the next.

    screened run ----> working best, PROVISIONAL (one at a time; the others wait, largest gain first)
        pairs of anybody pass ----------------> SELF_REPLICATED
        pairs of other voting owners pass ----> ONE_OWNER, from two owners CONFIRMED
        either series is dropped, or two failures -> REFUTED: back to the best before it

Nodes build on a provisional best at once; what that could cost is bounded, because the best before it is
kept on a stack and one refutation returns to it. The confirmed best is kept apart: it changes only for a
code that other owners' pairs, judged by ``evidence.verify`` against that very best, have shown to be
better, and whose mean is better too. So evidence of one kind never stands in for the other: an owner who
invents pairs of its own reaches SELF_REPLICATED at most, and the votes that come later still refute it.
"""

from __future__ import annotations

from dataclasses import replace

from autoresearch.evidence import passes_screen
from autoresearch.model import ExperimentState, Level, NodeId, Purpose

from coordinator.domain.class_state import Candidate, ClassState, Half, Standing
from coordinator.domain.draft import Context, Decision, Draft, proven_best

BASELINE_FAILURES_LIMIT = 256
HALVES_LIMIT = 64


def record_baseline(
    state: ClassState, context: Context, *, run: Candidate | None, node_id: NodeId, number: int
) -> Decision:
    """A run of the challenge's own code in slot ``number``; None for one that failed.

    The class builds on the baseline from its first run on; screening waits for the last one needed.
    """
    draft = Draft(state, context)
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
    draft = Draft(state, context)
    is_known = candidate.experiment_id in state.standings or any(
        waiting.experiment_id == candidate.experiment_id for waiting in state.waiting
    )
    if is_known:
        return draft.decision()
    proven = proven_best(state, context)
    if proven is None or not state.is_open(context.rules):
        draft.wait(candidate)
        return draft.decision()
    gain = context.rules.gain(candidate.screen_score, proven.mean)
    if not passes_screen(gain, state.spread(context.rules)):
        return draft.decision()
    draft.mark(
        candidate.experiment_id,
        ExperimentState.CANDIDATE,
        f"one run beats the mean of the verified best by {gain:.6g}; waits for verification",
    )
    draft.wait(candidate)
    draft.advance()
    return draft.decision()


def record_verification(state: ClassState, context: Context, half: Half) -> Decision:
    """One run of a verification pair. Codes that are decided, slots that are filled and repeats stay."""
    draft = Draft(state, context)
    standing = state.standings.get(half.slot.candidate_id)
    if standing is None or _is_repeat(state, standing, half):
        return draft.decision()
    other = next((one for one in state.halves if one.verification_id == half.verification_id), None)
    if other is None:
        draft.state = replace(state, halves=(*state.halves, half)[-HALVES_LIMIT:])
        if half.purpose is Purpose.VERIFY_CANDIDATE and half.score is None and half.is_deterministic:
            draft.add_failure(half)
    else:
        draft.state = replace(state, halves=tuple(one for one in state.halves if one is not other))
        is_first = other.purpose is Purpose.VERIFY_CANDIDATE
        draft.close_pair(*((other, half) if is_first else (half, other)))
    draft.judge(half.slot.candidate_id)
    draft.advance()
    return draft.decision()


def review(state: ClassState, context: Context) -> Decision:
    """What time alone changes: voters who left or patience that ran out let the next candidate in."""
    draft = Draft(state, context)
    draft.advance()
    return draft.decision()


def _is_repeat(state: ClassState, standing: Standing, half: Half) -> bool:
    if any(pair.verification_id == half.verification_id or pair.slot == half.slot for pair in standing.pairs):
        return True
    return any(
        one.verification_id == half.verification_id and one.purpose is half.purpose for one in state.halves
    )
