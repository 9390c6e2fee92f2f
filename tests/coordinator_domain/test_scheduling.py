from __future__ import annotations

from dataclasses import replace

from autoresearch.model import (
    ExperimentId,
    Hypothesis,
    HypothesisId,
    Idea,
    IdeaKind,
    NodeId,
    OwnerId,
    SourceHash,
)
from class_builders import CLASS, NOW, RULES, candidate, explore, open_class, pair

from coordinator.domain.class_state import ClassState
from coordinator.domain.scheduling import (
    Capabilities,
    Explore,
    Idle,
    MeasureBaseline,
    RunQueued,
    Swarm,
    UnderWay,
    Verify,
    choose,
)
from coordinator.domain.verification import LiveSlot, Worker, wanted_slot

ABLE = Capabilities(can_propose=True, can_train=True)
RUNNER = Capabilities(can_propose=False, can_train=True)


def worker(owner: str, *, has_vote: bool = False) -> Worker:
    return Worker(node_id=NodeId(f"node-of-{owner}"), owner_id=OwnerId(owner), has_vote=has_vote)


def idea(name: str, *, has_code: bool = True) -> Idea:
    return Idea(
        hypothesis_id=HypothesisId(name),
        hypothesis=Hypothesis(title=name),
        node_id=NodeId("n"),
        proposed_at=NOW,
        source_hash=SourceHash("sha256:x") if has_code else None,
    )


def swarm(*workers: Worker, under_way: UnderWay | None = None, ideas: tuple[Idea, ...] = ()) -> Swarm:
    return Swarm(workers=workers, under_way=under_way or UnderWay(), ideas=ideas)


def verifying() -> ClassState:
    return explore(open_class(), candidate("x", 0.95)).state


def test_live_and_done_baseline_slots_add_up_to_what_is_needed() -> None:
    state = open_class((1.0,))
    one = swarm(worker("a"), under_way=UnderWay(baselines=frozenset({1})))
    two = swarm(worker("a"), under_way=UnderWay(baselines=frozenset({1, 2})))

    assert choose(state, RULES, worker("a"), ABLE, one, coin=0.0)[0] == MeasureBaseline(number=2)
    assert choose(state, RULES, worker("a"), ABLE, two, coin=0.0) == (Explore(),)


def test_queued_ideas_come_before_verification_until_half_of_the_nodes_run_them() -> None:
    nodes = (worker("a"), worker("b"), worker("c"), worker("d"))
    ideas = (idea("i1"), idea("i2"), idea("i3"))
    busy = UnderWay(ideas=frozenset({HypothesisId("i1"), HypothesisId("i2")}))

    calm = choose(verifying(), RULES, nodes[0], ABLE, swarm(*nodes, ideas=ideas), coin=0.1)
    crowded = choose(verifying(), RULES, nodes[0], ABLE, swarm(*nodes, ideas=ideas, under_way=busy), coin=0.1)

    assert isinstance(calm[0], RunQueued)
    assert isinstance(crowded[0], Verify)
    assert crowded[1] == RunQueued(hypothesis_id=HypothesisId("i3"))


def test_a_node_without_an_agent_runs_ideas_with_code_only_and_is_told_when_to_come_back() -> None:
    ideas = (idea("words", has_code=False), idea("code"))

    some = choose(open_class(), RULES, worker("a"), RUNNER, swarm(worker("a"), ideas=ideas), coin=0.9)
    none = choose(open_class(), RULES, worker("a"), RUNNER, swarm(worker("a")), coin=0.9)

    assert some[0] == RunQueued(hypothesis_id=HypothesisId("code"))
    assert len(none) == 1
    assert isinstance(none[0], Idle)
    assert none[0].retry_after_s > 0


def test_a_lone_node_verifies_and_explores_by_the_coin() -> None:
    state, node = verifying(), worker("proposer")

    heads = choose(state, RULES, node, ABLE, swarm(node), coin=0.1)
    tails = choose(state, RULES, node, ABLE, swarm(node), coin=0.9)

    assert isinstance(heads[0], Verify)
    assert tails == (Explore(),)


def test_a_verifier_with_an_agent_explores_on_the_new_best_in_between() -> None:
    state, nodes = verifying(), (worker("proposer"), worker("other", has_vote=True))

    heads = choose(state, RULES, nodes[1], ABLE, swarm(*nodes), coin=0.1)
    tails = choose(state, RULES, nodes[1], ABLE, swarm(*nodes), coin=0.9)

    assert isinstance(heads[0], Verify)
    assert tails == (Explore(),)


def test_a_verifier_without_an_agent_always_verifies() -> None:
    state, nodes = verifying(), (worker("proposer"), worker("other", has_vote=True))

    choices = choose(state, RULES, nodes[1], RUNNER, swarm(*nodes), coin=0.9)

    assert isinstance(choices[0], Verify)


def test_a_verifier_without_an_agent_never_waits_while_pairs_are_wanted() -> None:
    nodes = (worker("v", has_vote=True), worker("w", has_vote=True))
    (first,) = choose(verifying(), RULES, nodes[0], RUNNER, swarm(*nodes), coin=0.1)[:1]
    assert isinstance(first, Verify)
    live = LiveSlot(slot=first.slot, node_id=nodes[0].node_id, owner_id=nodes[0].owner_id)

    second = choose(
        verifying(), RULES, nodes[1], RUNNER, swarm(*nodes, under_way=UnderWay(pairs=(live,))), coin=0.9
    )

    assert isinstance(second[0], Verify)
    assert second[0].slot != first.slot


def test_no_more_pairs_run_than_the_next_look_needs() -> None:
    state, nodes = verifying(), [worker(name) for name in "abcde"]
    live: list[LiveSlot] = []

    for node in nodes:
        slot = wanted_slot(state, node, nodes, live)
        if slot is not None:
            live.append(LiveSlot(slot=slot, node_id=node.node_id, owner_id=node.owner_id))

    assert [one.slot.number for one in live] == [0, 1, 2]


def test_one_voting_owner_leaves_a_pair_of_each_look_to_another() -> None:
    state = verifying()
    ann, bob = worker("ann", has_vote=True), worker("bob", has_vote=True)
    for _ in range(2):
        state = pair(state, "x", 0.95, 1.0, owner="ann", voters=("ann", "bob")).state

    assert wanted_slot(state, ann, (ann, bob), ()) is None
    assert wanted_slot(state, bob, (ann, bob), ()) is not None
    assert wanted_slot(state, ann, (ann,), ()) is not None


def test_a_passed_best_asks_only_further_owners_for_votes() -> None:
    state = verifying()
    ann, bob = worker("ann", has_vote=True), worker("bob", has_vote=True)
    for _ in range(3):
        state = pair(state, "x", 0.95, 1.0, owner="ann", voters=("ann", "bob")).state

    assert wanted_slot(state, ann, (ann, bob), ()) is None
    assert wanted_slot(state, bob, (ann, bob), ()) is not None
    assert wanted_slot(state, worker("novote"), (ann, bob), ()) is None


def test_a_class_that_has_not_been_seen_begins_with_its_baseline() -> None:
    unseen = ClassState(hardware_class=CLASS)

    choices = choose(unseen, RULES, worker("a"), ABLE, swarm(worker("a")), coin=0.0)

    assert choices[0] == MeasureBaseline(number=0)
    assert isinstance(choices[-1], Idle)


def quiet() -> ClassState:
    """A class with a confirmed best and nothing to verify."""
    state = verifying()
    voters = ("ann", "bob")
    while state.confirmed_id is None:
        owner = voters[len(state.standings[ExperimentId("x")].pairs) % 2]
        state = pair(state, "x", 0.95, 1.0, owner=owner, voters=voters).state
    return state


def test_dead_weight_is_looked_for_when_nothing_else_is_to_be_done() -> None:
    ablation = replace(idea("ablation"), kind=IdeaKind.ABLATE)
    one = swarm(worker("a"), ideas=(ablation, idea("combination")))
    other = swarm(worker("a"), ideas=(ablation,))
    wanted = RunQueued(hypothesis_id=HypothesisId("ablation"))

    busy = choose(quiet(), RULES, worker("a"), RUNNER, one, coin=0.9)
    idle = choose(quiet(), RULES, worker("a"), RUNNER, other, coin=0.9)

    assert busy[:2] == (RunQueued(hypothesis_id=HypothesisId("combination")), wanted)
    assert idle[0] == wanted


def test_an_agent_leaves_exploring_for_dead_weight_once_in_a_while() -> None:
    ablation = replace(idea("ablation"), kind=IdeaKind.ABLATE)
    one = swarm(worker("a"), ideas=(ablation,))
    two = swarm(worker("a"), ideas=(ablation, idea("combination")))

    seldom = choose(quiet(), RULES, worker("a"), ABLE, one, coin=0.9, spare=0.05)
    mostly = choose(quiet(), RULES, worker("a"), ABLE, one, coin=0.9, spare=0.5)
    queued = choose(quiet(), RULES, worker("a"), ABLE, two, coin=0.9, spare=0.05)

    assert seldom == (RunQueued(hypothesis_id=HypothesisId("ablation")), Explore())
    assert mostly == (Explore(),)
    assert queued == (RunQueued(hypothesis_id=HypothesisId("combination")), Explore())


def test_nobody_looks_for_dead_weight_while_a_candidate_is_verified() -> None:
    ablation = replace(idea("ablation"), kind=IdeaKind.ABLATE)
    proposer = worker("proposer")

    choices = choose(verifying(), RULES, proposer, RUNNER, swarm(proposer, ideas=(ablation,)), coin=0.9)

    assert RunQueued(hypothesis_id=HypothesisId("ablation")) not in choices


def test_who_had_the_idea_does_not_vouch_for_it_either() -> None:
    state = explore(open_class(), candidate("x", 0.95, proposer="thinker")).state
    thinker, other = worker("thinker", has_vote=True), worker("other", has_vote=True)
    nodes = (worker("proposer"), thinker, other)

    assert wanted_slot(state, thinker, nodes, ()) is None
    slot = wanted_slot(state, other, nodes, ())
    assert slot is not None
    assert slot.is_vote


def test_who_had_the_idea_replicates_it_where_nobody_else_is_active() -> None:
    state = explore(open_class(), candidate("x", 0.95, proposer="thinker")).state
    thinker = worker("thinker", has_vote=True)

    slot = wanted_slot(state, thinker, (thinker, worker("proposer")), ())

    assert slot is not None
    assert not slot.is_vote
