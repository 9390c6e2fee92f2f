"""A class state in the making: the steps that the transitions of ``promotion`` are made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from autoresearch.evidence import BETTER, passes_screen
from autoresearch.model import BestChange, ExperimentId, ExperimentState, Level, OwnerId

from coordinator.domain.class_state import (
    GROUPS_LIMIT,
    Candidate,
    ClassState,
    Half,
    Pair,
    Rules,
    Standing,
    check_score,
    latest,
    working_best,
)
from coordinator.domain.reasons import in_figures
from coordinator.domain.series import required_test

OWNERS_TO_CONFIRM = 2
PLAUSIBLE_RUNS = 3
PLAUSIBLE_ERRORS = 4.0
FALLBACK_LIMIT = 8
WAITING_LIMIT = 16
PAIRS_LIMIT = 48
SETTLE_PATIENCE = timedelta(hours=1)
"""A best that passed its rule holds up the candidates behind it no longer than this for more votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a transition depends on besides state and evidence.

    ``voters`` are the owners with a vote whose nodes were active in the class in the last 24 hours.
    """

    rules: Rules
    now: datetime
    voters: frozenset[OwnerId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next state with what follows from it.

    ``marks`` set experiments' states and reasons; ``changes`` go to the class's history in order;
    ``requeued`` are candidates that lost their place with a refuted base and deserve another try.
    """

    state: ClassState
    marks: Mapping[ExperimentId, tuple[ExperimentState, str]]
    changes: tuple[BestChange, ...]
    requeued: tuple[Candidate, ...]


def is_settled(standing: Standing, context: Context) -> bool:
    """True when the evidence is as good as the class can give now, so that the next candidate may come."""
    if standing.level in (Level.BASELINE, Level.CONFIRMED):
        return True
    if not standing.has_passed:
        return False
    others = context.voters - standing.candidate.owners
    has_votes = len(standing.confirmed_by) >= min(OWNERS_TO_CONFIRM, len(others))
    return has_votes or context.now - standing.evidence_at > SETTLE_PATIENCE


def is_final(standing: Standing, context: Context) -> bool:
    """True when no further pair is expected to change its level, so that its pairs may be shown."""
    if standing.level in (Level.BASELINE, Level.CONFIRMED):
        return True
    if not standing.has_passed:
        return False
    others = context.voters - standing.candidate.owners
    is_alone = len(others) < OWNERS_TO_CONFIRM and is_settled(standing, context)
    return is_alone or context.now - standing.evidence_at > SETTLE_PATIENCE


def proven_best(state: ClassState, context: Context) -> Standing | None:
    """The best whose evidence is in: what new runs are screened against, so that one lucky or invented
    run keeps nobody out. Ahead of it there may be one that is still being verified.
    """
    working = state.working
    if working is None or is_settled(working, context):
        return working
    return (
        state.standings[state.fallback_ids[-1]] if state.fallback_ids else state.confirmed or state.baseline
    )


def is_worth_verifying(candidate: Candidate, best: Standing, rules: Rules, spread: float) -> bool:
    """True if the candidate's one run passes the screen against a best's mean."""
    gain = rules.gain(candidate.screen_score, best.mean)
    return passes_screen(gain, spread, test=required_test(candidate, best))


def screened(candidate: Candidate, best: Standing, gain: float) -> str:
    """What one run has shown, in words; no number from which the mean of sealed pairs could be reckoned."""
    if required_test(candidate, best) is BETTER:
        return "one run beats the mean of the best before it" + ("" if best.is_sealed else f" by {gain:.6g}")
    told = "is near" if best.is_sealed else f"gains {gain:.6g} on"
    saved = best.candidate.size - candidate.size
    return f"shorter by {saved} syntax nodes, and one run {told} the mean of the best before it"


class Draft:
    """A state in the making, with the marks and changes that it collects."""

    def __init__(self, state: ClassState, context: Context) -> None:
        self.state = state
        self._context = context
        self._rules = context.rules
        self._marks: dict[ExperimentId, tuple[ExperimentState, str]] = {}
        self._changes: list[BestChange] = []
        self._requeued: list[Candidate] = []

    def decision(self) -> Decision:
        return Decision(
            state=self._pruned(),
            marks=self._marks,
            changes=tuple(self._changes),
            requeued=tuple(self._requeued),
        )

    def put(self, standing: Standing) -> None:
        self.state = replace(self.state, standings={**self.state.standings, standing.experiment_id: standing})

    def mark(self, experiment_id: ExperimentId, state: ExperimentState, reason: str) -> None:
        self._marks[experiment_id] = (state, reason)

    def note_change(
        self, previous: ExperimentId | None, reason: str, *, holdout_gap: float | None = None
    ) -> None:
        if (working := self.state.working) is not None:
            best = working_best(working, self.state, self._rules)
            self._changes.append(
                BestChange(
                    best=best,
                    previous=previous,
                    reason=reason,
                    at=self._context.now,
                    holdout_gap=holdout_gap,
                )
            )

    def add_control_run(self, experiment_id: ExperimentId, score: float) -> None:
        check_score(score)
        standing = self.state.standings.get(experiment_id)
        if standing is not None and self._is_plausible(score, standing.control_runs):
            self.put(replace(standing, control_runs=latest((*standing.control_runs, score))))

    def _is_plausible(self, score: float, known: Sequence[float]) -> bool:
        """False for a run so far from the others that it would move their mean more than tell of it."""
        if len(known) < PLAUSIBLE_RUNS:
            return True
        error = self.state.spread(self._rules) * math.sqrt(1 + 1 / len(known))
        return abs(score - math.fsum(known) / len(known)) <= PLAUSIBLE_ERRORS * error

    def add_failure(self, half: Half) -> None:
        standing = self.state.standings[half.slot.candidate_id]
        if half.verification_id not in standing.failures:
            self.put(replace(standing, failures=(*standing.failures, half.verification_id)))

    def close_pair(self, candidate: Half, control: Half) -> None:
        """Both runs are in. A control that failed says that the machine is at fault: nothing counts."""
        standing = self.state.standings[candidate.slot.candidate_id]
        if control.score is None:
            kept = tuple(one for one in standing.failures if one != candidate.verification_id)
            self.put(replace(standing, failures=kept))
            return
        self.add_control_run(candidate.slot.control_id, control.score)
        if candidate.score is None:
            self.add_failure(candidate)
            return
        pair = Pair(
            verification_id=candidate.verification_id,
            slot=candidate.slot,
            owner_id=candidate.owner_id,
            node_id=candidate.node_id,
            candidate_score=candidate.score,
            control_score=control.score,
            holdout_gap=candidate.holdout_gap,
            hidden_gap=candidate.hidden_gap,
            control_hidden_gap=control.hidden_gap,
        )
        standing = self.state.standings[candidate.slot.candidate_id]
        self.put(
            replace(
                standing,
                pairs=(*standing.pairs, pair)[:PAIRS_LIMIT],
                own_runs=latest((*standing.own_runs, candidate.score)),
                evidence_at=self._context.now,
            )
        )

    def wait(self, candidate: Candidate) -> None:
        """Joins the waiting list; past its limit the owner with the most in it loses its smallest gain."""
        ordered = sorted(
            (*self.state.waiting, candidate),
            key=lambda one: self._rules.gain(one.screen_score, 0.0),
            reverse=True,
        )
        while len(ordered) > WAITING_LIMIT:
            shares = Counter(one.owner_id for one in ordered)
            largest = max(shares.values())
            dropped = next(one for one in reversed(ordered) if shares[one.owner_id] == largest)
            ordered.remove(dropped)
            self.mark(
                dropped.experiment_id,
                ExperimentState.COMPLETED,
                f"{WAITING_LIMIT} candidates wait for verification, {largest - 1} with larger gains of this "
                f"owner among them",
            )
        self.state = replace(self.state, waiting=tuple(ordered))

    def rescreen(self, *, refuted: ExperimentId | None) -> None:
        """Judges the waiting candidates against the present working best."""
        working = self.state.working
        if working is None or not self.state.is_open(self._rules):
            return
        spread, kept = self.state.spread(self._rules), []
        for candidate in self.state.waiting:
            gain = self._rules.gain(candidate.screen_score, working.mean)
            told = "its gain" if working.is_sealed else f"its gain of {gain:.6g}"
            if is_worth_verifying(candidate, working, self._rules, spread):
                kept.append(candidate)
                self.mark(
                    candidate.experiment_id,
                    ExperimentState.CANDIDATE,
                    f"{screened(candidate, working, gain)}; waits for verification",
                )
            elif refuted is not None and candidate.parent_id == refuted:
                self._requeued.append(candidate)
                self.mark(
                    candidate.experiment_id,
                    ExperimentState.COMPLETED,
                    f"was built on {refuted}, which was refuted; queued to be tried on the present best",
                )
            elif self._beats_older_parent(candidate, working, spread):
                self._requeued.append(candidate)
                self.mark(
                    candidate.experiment_id,
                    ExperimentState.COMPLETED,
                    f"{told} over the present working best is too small, and larger over its parent; queued "
                    f"to be tried on the present best",
                )
            else:
                self.mark(
                    candidate.experiment_id,
                    ExperimentState.COMPLETED,
                    f"{told} over the present working best is not enough to verify",
                )
        self.state = replace(self.state, waiting=tuple(kept))

    def _beats_older_parent(self, candidate: Candidate, working: Standing, spread: float) -> bool:
        parent = self.state.standings.get(candidate.parent_id) if candidate.parent_id else None
        if parent is None or parent.experiment_id == working.experiment_id:
            return False
        return passes_screen(self._rules.gain(candidate.screen_score, parent.mean), spread)

    def advance(self) -> None:
        """Once the working best is settled, the waiting candidate with the largest gain takes its place."""
        working = self.state.working
        if working is None or not self.state.is_open(self._rules):
            return
        if is_final(working, self._context):
            self._reveal(working)
        if not is_settled(working, self._context):
            return
        if self.state.waiting:
            self.rescreen(refuted=None)
        if not self.state.waiting:
            return
        candidate, *rest = self.state.waiting
        self._reveal(working)
        working = self.state.standings[working.experiment_id]
        now = self._context.now
        standing = Standing(
            candidate=candidate,
            level=Level.PROVISIONAL,
            since=now,
            evidence_at=now,
            control_id=working.experiment_id,
        )
        self.put(standing)
        self.state = replace(
            self.state,
            waiting=tuple(rest),
            working_id=standing.experiment_id,
            fallback_ids=(*self.state.fallback_ids, working.experiment_id)[-FALLBACK_LIMIT:],
        )
        gain = self._rules.gain(candidate.screen_score, working.mean)
        reason = f"passed the screen: {screened(candidate, working, gain)}"
        self.mark(standing.experiment_id, ExperimentState.CANDIDATE, f"{reason}; is being verified")
        self.note_change(working.experiment_id, reason)

    def _reveal(self, standing: Standing) -> None:
        """Shows the pairs of a code that will get no more of them for now, and tells who builds on it."""
        if not standing.is_sealed:
            return
        standing = replace(standing, is_revealed=True)
        self.put(standing)
        reason = self._shown(standing)
        self.mark(standing.experiment_id, ExperimentState.CANDIDATE, reason)
        self.note_change(standing.control_id, reason)

    def _shown(self, standing: Standing) -> str:
        """What its pairs have shown, in words that keep to the seal."""
        pairs = f"{standing.level}: {len(standing.pairs)} pairs"
        if standing.is_sealed:
            return f"{pairs} pass; their scores are sealed until it is decided"
        return f"{pairs} {in_figures(self._gains(standing.pairs), self.state.spread(self._rules))}"

    def _gains(self, pairs: Sequence[Pair]) -> list[float]:
        return [self._rules.gain(pair.candidate_score, pair.control_score) for pair in pairs]

    def _supersede(self, experiment_id: ExperimentId, successor: ExperimentId) -> None:
        if experiment_id != self.state.baseline_id:
            self.mark(experiment_id, ExperimentState.SUPERSEDED, f"{successor} is better")

    def _pruned(self) -> ClassState:
        """Standings without a role leave; their control runs go on informing the spread."""
        state = self.state
        roles = {state.working_id, state.baseline_id, state.confirmed_id, *state.fallback_ids}
        gone = [one for key, one in state.standings.items() if key not in roles]
        if not gone:
            return state
        groups = [one.control_runs for one in gone if len(one.control_runs) > 1]
        return replace(
            state,
            standings={key: one for key, one in state.standings.items() if key in roles},
            past_groups=(*state.past_groups, *groups)[-GROUPS_LIMIT:],
        )
