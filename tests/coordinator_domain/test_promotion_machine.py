"""Whatever comes in whatever order: the confirmed best never gets worse, and no refutation is silent."""

from __future__ import annotations

from datetime import timedelta

from autoresearch.evidence import LOOKS
from autoresearch.model import ExperimentId, ExperimentState, Level, NodeId, OwnerId, Purpose
from class_builders import CLASS, NOW, RULES, candidate
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.domain.class_state import ClassState, Half, dump_state, load_state
from coordinator.domain.draft import FALLBACK_LIMIT, WAITING_LIMIT, Context, Decision
from coordinator.domain.promotion import (
    record_baseline,
    record_exploration,
    record_verification,
    review,
)
from coordinator.domain.series import votes_of
from coordinator.domain.verification import Worker, wanted_slot

OWNERS = ("ann", "bob", "cid", "dan")
VOTERS = frozenset(OwnerId(one) for one in ("ann", "bob", "cid"))
scores = st.integers(800, 1_100).map(lambda thousandths: thousandths / 1_000)


class PromotionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.state = ClassState(hardware_class=CLASS)
        self.now = NOW
        self.made = 0
        self.refuted: set[ExperimentId] = set()
        self.open_halves: list[Half] = []

    def context(self) -> Context:
        return Context(rules=RULES, now=self.now, voters=VOTERS)

    def take(self, decision: Decision) -> None:
        before, after = self.state, decision.state
        self.refuted |= {key for key, (mark, _) in decision.marks.items() if mark is ExperimentState.REFUTED}
        self.check_confirmed(before, after)
        if before.working_id != after.working_id or (
            before.working and after.working and before.working.level is not after.working.level
        ):
            assert decision.changes, "the working best changed without a line in its history"
            assert decision.changes[-1].best.experiment_id == after.working_id
        for key in set(before.standings) - set(after.standings):
            assert key in decision.marks, f"{key} left without a mark"
        self.state = after

    def check_confirmed(self, before: ClassState, after: ClassState) -> None:
        """A confirmed best is replaced only by a code that beat that very best in votes and on the mean."""
        if before.confirmed_id == after.confirmed_id:
            return
        assert after.confirmed is not None, "the confirmed best was lost"
        votes = votes_of(after.confirmed, before.anchor_id)
        assert len(votes) >= LOOKS[0].pairs
        gains = [RULES.gain(pair.candidate_score, pair.control_score) for pair in votes]
        assert sum(gains) > 0
        assert len({pair.owner_id for pair in votes}) >= 2
        assert before.anchor_id is not None
        control = after.standings.get(before.anchor_id) or before.standings[before.anchor_id]
        if len(votes) == len(gains) and before.confirmed is not None:
            assert control.candidate.experiment_id == before.confirmed_id

    @initialize()
    def open(self) -> None:
        for number, score in enumerate((1.0, 1.004, 0.996)):
            run = candidate("baseline", score, owner="challenge", parent=None)
            self.take(
                record_baseline(self.state, self.context(), run=run, node_id=NodeId("n"), number=number)
            )

    @rule(score=scores, owner=st.sampled_from(OWNERS), on_working=st.booleans())
    def explore(self, *, score: float, owner: str, on_working: bool) -> None:
        self.made += 1
        parent = self.state.working_id if on_working else "baseline"
        one = candidate(f"x{self.made}", score, owner=owner, parent=parent)
        self.take(record_exploration(self.state, self.context(), one))

    @rule(
        owner=st.sampled_from(OWNERS),
        noise=st.integers(-30, 30),
        gain=st.sampled_from((-0.05, 0.0, 0.05)),
        fails=st.sampled_from(("", "", "", "", "candidate", "control", "both")),
        is_cut_short=st.booleans(),
    )
    def verify(self, *, owner: str, noise: int, gain: float, fails: str, is_cut_short: bool) -> None:
        node = Worker(
            node_id=NodeId(f"node-of-{owner}"), owner_id=OwnerId(owner), has_vote=OwnerId(owner) in VOTERS
        )
        slot = wanted_slot(self.state, node, [node], ())
        if slot is None:
            return
        self.made += 1
        control = 1.0 + noise / 1_000
        for purpose, score, side in (
            (Purpose.VERIFY_CANDIDATE, control - gain, "candidate"),
            (Purpose.VERIFY_CONTROL, control, "control"),
        ):
            half = Half(
                verification_id=f"v{self.made}",
                slot=slot,
                purpose=purpose,
                owner_id=node.owner_id,
                node_id=node.node_id,
                score=None if fails in (side, "both") else score,
                is_deterministic=fails in (side, "both"),
            )
            if is_cut_short and purpose is Purpose.VERIFY_CONTROL:
                self.open_halves.append(half)
            else:
                self.take(record_verification(self.state, self.context(), half))

    @precondition(lambda self: self.open_halves)
    @rule()
    def late_half(self) -> None:
        self.take(record_verification(self.state, self.context(), self.open_halves.pop(0)))

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.take(review(self.state, self.context()))

    @invariant()
    def state_is_whole(self) -> None:
        state = self.state
        roles = {state.working_id, state.baseline_id, state.confirmed_id, *state.fallback_ids} - {None}
        assert roles == set(state.standings)
        assert len(state.fallback_ids) <= FALLBACK_LIMIT
        assert len(state.waiting) <= WAITING_LIMIT
        assert not {one.experiment_id for one in state.waiting} & set(state.standings)
        assert not self.refuted & set(state.standings)
        assert state.working_id not in state.fallback_ids
        assert load_state(dump_state(state), CLASS) == state
        if state.confirmed is not None:
            assert state.confirmed.level is Level.CONFIRMED


TestPromotionMachine = PromotionMachine.TestCase
TestPromotionMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
