"""Whose word carries a confirmation, and how owners who invent or copy lose it."""

from __future__ import annotations

import random

from autoresearch.evidence import LOOKS
from autoresearch.model import ExperimentId, ExperimentState, Level, NodeId, OwnerId, Purpose
from class_builders import CLASS, RULES, candidate, context, explore, open_class, pair

from coordinator.domain.class_state import ClassState, Half, Slot, Trust, dump_state, load_state
from coordinator.domain.promotion import record_verification
from coordinator.domain.trust import (
    AUDIT_RUNS_FREE,
    CANDOUR_MIN,
    INVENTED_LIMIT,
    gains_by_owner,
    is_trusted,
    may_audit,
    outliers,
    trust_of,
    with_trust,
)
from coordinator.domain.verification import CONFIRM_LOOKS, LiveSlot, Worker, audit_slot, wanted_slot

VOTERS = ("ann", "bob", "cid")
MANY = ("ann", "bob", "cid", "dan", "eve")
SPREAD = RULES.prior_sd


def trusting(state: ClassState, *owners: str) -> ClassState:
    for owner in owners:
        state = with_trust(state, Trust(owner_id=OwnerId(owner), agreed=20, candour=5.0))
    return state


def verifying(*trusted: str, score: float = 0.95) -> ClassState:
    return explore(trusting(open_class(), *trusted), candidate("x", score), MANY).state


def voted(state: ClassState, votes: list[tuple[str, float]], *, voters=MANY) -> ClassState:
    for owner, gain in votes:
        state = pair(state, "x", 1.0 - gain, 1.0, owner=owner, voters=voters).state
    return state


def worker(owner: str) -> Worker:
    return Worker(node_id=NodeId(f"node-of-{owner}"), owner_id=OwnerId(owner), has_vote=True)


def audit(state: ClassState, slot: Slot, owner: str, candidate_score, control_score) -> ClassState:
    for purpose, score in (
        (Purpose.VERIFY_CANDIDATE, candidate_score),
        (Purpose.VERIFY_CONTROL, control_score),
    ):
        half = Half(
            verification_id=f"audit-{owner}-{slot.number}",
            slot=slot,
            purpose=purpose,
            owner_id=OwnerId(owner),
            node_id=NodeId(f"node-of-{owner}"),
            score=score,
        )
        state = record_verification(state, context(MANY), half).state
    return state


def test_two_owners_whose_trust_is_not_earned_confirm_nothing_yet() -> None:
    state = voted(verifying(), [("ann", 0.05), ("bob", 0.05), ("cid", 0.05)])

    assert state.working is not None
    assert state.working.level is Level.ONE_OWNER
    assert len(state.working.confirmed_by) == 3
    assert state.confirmed is None


def test_the_pairs_of_trusted_owners_have_to_pass_alone() -> None:
    one = voted(verifying("bob"), [("ann", 0.05), ("bob", 0.05), ("cid", 0.05)])
    three = voted(one, [("bob", 0.05), ("bob", 0.05)])

    assert one.confirmed is None
    assert three.confirmed_id == "x"


def test_once_anybody_is_trusted_only_the_trusted_are_asked_for_more() -> None:
    state = voted(verifying("bob"), [("ann", 0.05), ("bob", 0.05), ("cid", 0.05)])
    nodes = [worker(owner) for owner in MANY]

    assert wanted_slot(state, worker("bob"), nodes, ()) is not None
    assert wanted_slot(state, worker("dan"), nodes, ()) is None


def test_who_invents_screening_runs_has_none_verified_any_more() -> None:
    state = trusting(open_class(), "ann", "bob", "cid")
    for index in range(INVENTED_LIMIT):
        name = f"lie{index}"
        state = explore(state, candidate(name, 0.9, owner="forger"), MANY).state
        for owner in VOTERS:
            state = pair(state, name, 1.01, 1.0, owner=owner, voters=MANY).state

    decision = explore(state, candidate("again", 0.9, owner="forger"), MANY)
    honest = explore(state, candidate("honest", 0.9, owner="dan"), MANY)

    assert trust_of(state, OwnerId("forger")).invented == INVENTED_LIMIT
    assert decision.state.working_id == "baseline"
    assert "not verified" in decision.marks[ExperimentId("again")][1]
    assert honest.state.working_id == "honest"


def test_a_trusted_owner_who_saw_no_gain_vouches_for_nothing() -> None:
    state = voted(verifying("bob"), [("ann", 0.05), ("bob", -0.001), ("cid", 0.05)])

    assert state.confirmed is None


def test_in_a_small_swarm_trust_comes_from_agreeing() -> None:
    state = explore(open_class(), candidate("x", 0.95), VOTERS).state
    for owner in ("ann", "bob", "ann", "ann"):
        state = pair(state, "x", 0.95, 1.0, owner=owner, voters=VOTERS).state

    assert is_trusted(state, OwnerId("ann"), VOTERS)
    assert state.confirmed_id == "x"


LUCKY = [("ann", 0.045), ("bob", 0.008), ("cid", 0.016)]
"""Votes that pass together and not without the first."""


def test_where_three_are_trusted_a_gain_stands_without_any_one_of_them() -> None:
    carried = voted(verifying("ann", "bob", "cid"), LUCKY)
    few = voted(verifying("ann", "bob"), [("ann", 0.045), ("bob", 0.008), ("bob", 0.016)])
    shared = voted(verifying("ann", "bob", "cid"), [("ann", 0.03), ("bob", 0.03), ("cid", 0.03)])

    assert carried.working is not None
    assert carried.working.level is Level.ONE_OWNER
    assert few.confirmed_id == "x"
    assert shared.confirmed_id == "x"


def test_more_pairs_of_trusted_owners_are_asked_for_up_to_a_limit() -> None:
    state = voted(verifying(*MANY), LUCKY)
    nodes = [worker(owner) for owner in MANY]
    asked = 0
    while node := next((one for one in nodes if wanted_slot(state, one, nodes, ())), None):
        control = 1.01 if asked % 2 else 0.99
        state = pair(state, "x", control - 0.005, control, owner=str(node.owner_id), voters=MANY).state
        asked += 1

    assert len(LUCKY) + asked == CONFIRM_LOOKS * LOOKS[-1].pairs
    assert state.working is not None
    assert state.working.level is Level.ONE_OWNER


def test_two_owners_are_enough_to_go_on_and_later_ones_confirm() -> None:
    state = explore(open_class(), candidate("x", 0.95, owner="ann"), ("ann", "bob")).state
    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0, owner="bob", voters=("ann", "bob")).state
    one_owner = state
    state = pair(state, "x", 0.95, 1.0, owner="cid", voters=VOTERS).state

    assert one_owner.working is not None
    assert one_owner.working.level is Level.ONE_OWNER
    assert state.confirmed_id == "x"


def test_an_invented_bad_result_is_left_out_where_two_others_contradict_it() -> None:
    state = voted(verifying("ann", "bob", "cid"), [("liar", -0.2)], voters=(*MANY, "liar"))
    state = voted(state, [("ann", 0.05), ("bob", 0.05)], voters=(*MANY, "liar"))
    undecided = state
    state = voted(state, [("cid", 0.05)], voters=(*MANY, "liar"))

    assert undecided.working_id == "x"
    assert undecided.working is not None
    assert undecided.working.left_out == ("liar",)
    assert state.confirmed_id == "x"
    assert trust_of(state, OwnerId("liar")).strikes == 1
    assert abs(state.standings[ExperimentId("x")].mean - 0.95) < 1e-9


def test_a_trusted_owner_outweighs_one_who_is_not() -> None:
    honest, liar = [("ann", 0.03)], [("liar", -0.2)]

    voters = (*MANY, "liar")
    state = voted(verifying("ann"), honest + liar, voters=voters)
    nobody = voted(verifying(), honest + liar, voters=voters)

    assert state.working is not None
    assert state.working.left_out == ("liar",)
    assert nobody.working is not None
    assert nobody.working.left_out == ()


def test_untrusted_owners_never_push_a_trusted_one_aside() -> None:
    votes = [("bob", 0.2), ("cid", 0.2), ("ann", 0.0)]

    state = voted(verifying("ann"), votes)

    assert state.working is not None
    assert "ann" not in state.working.left_out
    assert state.confirmed is None


def test_two_trusted_owners_do_not_overrule_a_third_and_the_dispute_promotes_nothing() -> None:
    state = voted(verifying("ann", "bob", "cid"), [("bob", 0.2), ("cid", 0.2), ("ann", -0.01)])

    assert state.working is not None
    assert state.working.left_out == ()
    assert state.working.level is Level.PROVISIONAL
    nodes = [worker(owner) for owner in MANY]
    assert wanted_slot(state, worker("dan"), nodes, ()) is not None


def test_a_dispute_that_nobody_settles_ends_with_the_last_look() -> None:
    state = verifying("ann", "bob", "cid", "dan")
    votes = [("bob", 0.2), ("cid", 0.2), ("ann", -0.01), ("dan", -0.01)] * 2

    state = voted(state, votes)

    assert state.working_id == "baseline"


def test_what_trusted_owners_find_later_refutes_what_others_had_passed() -> None:
    state = voted(verifying(), [("bob", 0.05), ("cid", 0.05), ("dan", 0.05)])
    assert state.working_id == "x"
    state = trusting(state, "ann", "eve")

    for owner in ("ann", "eve", "ann"):
        if "x" in state.standings:
            state = voted(state, [(owner, -0.01)])

    assert state.working_id == "baseline"


def test_owners_without_a_vote_say_nothing_of_a_proposer() -> None:
    state = open_class()
    for index in range(INVENTED_LIMIT):
        state = explore(state, candidate(f"x{index}", 0.9, owner="honest")).state
        for _ in range(3):
            state = pair(state, f"x{index}", 1.5, 1.0, owner="open").state

    assert trust_of(state, OwnerId("honest")).invented == 0


def test_a_strike_takes_trust_away_and_doubles_what_it_needs() -> None:
    state = with_trust(open_class(), Trust(owner_id=OwnerId("ann"), agreed=3, strikes=1, candour=5.0))
    more = with_trust(state, Trust(owner_id=OwnerId("ann"), agreed=6, strikes=1, candour=5.0))

    assert not is_trusted(state, OwnerId("ann"), VOTERS)
    assert is_trusted(more, OwnerId("ann"), VOTERS)


def test_who_copies_the_screening_run_is_found_out() -> None:
    rng = random.Random(3)
    state = trusting(open_class(), "ann", "bob")
    for index in range(120):
        name = f"x{index}"
        state = explore(state, candidate(name, 0.985), MANY).state
        order = ("ann", "copier", "honest", "bob")[index % 4 :] + ("ann", "copier", "honest", "bob")[
            : index % 4
        ]
        votes = order * 4
        for owner in votes:
            if name not in state.standings:
                break
            true = 1.0 + rng.gauss(0, SPREAD)
            score = 0.985 + rng.gauss(0, SPREAD) if owner == "copier" else true
            state = pair(
                state, name, score, 1.0 + rng.gauss(0, SPREAD), owner=owner, voters=(*MANY, *votes)
            ).state

    assert trust_of(state, OwnerId("honest")).candour > CANDOUR_MIN
    assert trust_of(state, OwnerId("copier")).candour < CANDOUR_MIN


def test_an_audit_finds_liars_earns_nobody_trust_and_moves_no_best() -> None:
    state = voted(verifying("bob"), [("ann", 0.05), ("bob", 0.05), ("cid", 0.05)])
    slot = audit_slot(state, worker("eve"), ())
    assert slot is not None
    before = state

    agreed = audit(state, slot, "eve", 0.95, 1.0)
    struck = audit(state, slot, "eve", 1.3, 1.0)

    # What a decided code scores anybody can read.
    assert trust_of(agreed, OwnerId("eve")) == Trust(owner_id=OwnerId("eve"))
    assert trust_of(struck, OwnerId("eve")).strikes == 1
    for state in (agreed, struck):
        assert state.standings == before.standings
        assert state.confirmed_id == before.confirmed_id
        assert state.audit_runs == 2
        assert load_state(dump_state(state), CLASS) == state


def test_an_audit_that_comes_twice_or_conflicts_with_itself_counts_once() -> None:
    state = voted(verifying("bob"), [("ann", 0.05), ("bob", 0.05), ("cid", 0.05)])
    slot = audit_slot(state, worker("eve"), ())
    assert slot is not None

    once = audit(state, slot, "eve", 0.95, 1.0)
    twice = audit(once, slot, "eve", 1.3, 1.0)

    assert twice == once
    assert audit_slot(once, worker("eve"), ()) is None


def test_audits_stay_within_a_tenth_of_the_verification_runs() -> None:
    young = open_class()
    used = ClassState(hardware_class=CLASS, audit_runs=AUDIT_RUNS_FREE, verification_runs=100)
    grown = ClassState(hardware_class=CLASS, audit_runs=AUDIT_RUNS_FREE, verification_runs=140)

    assert may_audit(young, 0)
    assert not may_audit(used, 0)
    assert may_audit(grown, 0)
    assert not may_audit(grown, 1)


def test_an_owner_without_a_vote_is_never_audited() -> None:
    state = voted(verifying("bob"), [("ann", 0.05), ("bob", 0.05), ("cid", 0.05)])
    node = Worker(node_id=NodeId("n"), owner_id=OwnerId("open"), has_vote=False)

    assert audit_slot(state, node, ()) is None


def test_with_three_owners_at_hand_each_brings_a_third_of_a_look() -> None:
    state, nodes = verifying(), [worker(owner) for owner in MANY]
    live: list[LiveSlot] = []

    for node in (nodes[0], nodes[0], *nodes):
        slot = wanted_slot(state, node, nodes, live)
        if slot is not None:
            live.append(LiveSlot(slot=slot, node_id=node.node_id, owner_id=node.owner_id))

    assert [one.owner_id for one in live] == ["ann", "bob", "cid"]


def test_who_was_left_out_is_not_asked_again() -> None:
    state = voted(verifying("ann"), [("dan", -0.2), ("ann", 0.05), ("bob", 0.05)])
    nodes = [worker(owner) for owner in MANY]

    assert wanted_slot(state, worker("dan"), nodes, ()) is None
    assert wanted_slot(state, worker("cid"), nodes, ()) is not None


def test_the_farthest_goes_first_and_two_alone_stand() -> None:
    state = voted(verifying(), [("ann", 0.03), ("bob", 0.03), ("cid", -0.3)])
    pairs = state.standings[ExperimentId("x")].pairs

    assert outliers(pairs, RULES, SPREAD, ()) == {"cid"}
    assert outliers(pairs[1:], RULES, SPREAD, ()) == frozenset()
    assert set(gains_by_owner(pairs, RULES)) == {"ann", "bob", "cid"}


def test_an_invented_control_does_not_move_what_others_are_measured_by() -> None:
    state = verifying()

    state = pair(state, "x", 0.5, 0.5, owner="liar", voters=MANY, is_vote=True).state

    assert state.baseline is not None
    assert abs(state.baseline.mean - 1.0) < 1e-9


def test_a_confirmation_says_how_far_the_held_back_validation_is_off() -> None:
    state = verifying("ann", "bob", "cid")
    for owner, gap in (("ann", 0.01), ("bob", 0.03), ("cid", None)):
        decision = pair(state, "x", 0.95, 1.0, owner=owner, voters=MANY, holdout_gap=gap)
        state = decision.state

    assert decision.marks[ExperimentId("x")][0] is ExperimentState.BEST
    assert decision.changes[-1].holdout_gap is not None
    assert abs(decision.changes[-1].holdout_gap - 0.02) < 1e-12


def test_without_a_held_back_validation_there_is_no_gap() -> None:
    state = verifying("ann", "bob", "cid")
    for owner in ("ann", "bob", "cid"):
        decision = pair(state, "x", 0.95, 1.0, owner=owner, voters=MANY)
        state = decision.state

    assert decision.changes[-1].best.level is Level.CONFIRMED
    assert decision.changes[-1].holdout_gap is None
