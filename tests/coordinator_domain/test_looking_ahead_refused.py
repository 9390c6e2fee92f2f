"""A gain that is not there where no input shows what is to be predicted is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from autoresearch.challenge import HiddenGap
from autoresearch.model import ExperimentId, ExperimentState, Level, OwnerId
from class_builders import CLASS, RULES, candidate, context, open_class, pair

from coordinator.domain.class_state import ClassState, Trust, dump_state, load_state
from coordinator.domain.draft import Decision
from coordinator.domain.promotion import record_exploration
from coordinator.domain.trust import trust_of, with_trust

X = ExperimentId("x")
POLICY = HiddenGap(metric="hidden_gap_bpb", pair_sd=0.02, run_sd=0.03, sigmas=4.0)
WATCHFUL = replace(RULES, hidden_gap=POLICY)
VOTERS = ("ann", "bob", "cid", "dan", "eve")
Hidden = tuple[float | None, float | None]


def verifying(*trusted: str) -> ClassState:
    state = open_class(rules=WATCHFUL)
    for owner in trusted:
        state = with_trust(state, Trust(owner_id=OwnerId(owner), agreed=20, candour=5.0))
    return record_exploration(state, context(VOTERS, rules=WATCHFUL), candidate("x", 0.9)).state


def voted(
    state: ClassState,
    votes: Sequence[tuple[str, Hidden]],
    *,
    gain: float = 0.1,
    voters: Sequence[str] = VOTERS,
    rules=WATCHFUL,
) -> Decision:
    """Pairs that all gain the same, in turn; the last decision with the marks of all."""
    marks = {}
    for owner, hidden in votes:
        decision = pair(state, "x", 1.0 - gain, 1.0, owner=owner, voters=voters, hidden=hidden, rules=rules)
        state = decision.state
        marks |= decision.marks
    return replace(decision, marks=marks)


def each(hidden: Hidden, *owners: str) -> list[tuple[str, Hidden]]:
    return [(owner, hidden) for owner in owners]


@pytest.mark.parametrize("voters", [(), VOTERS], ids=["own pairs", "votes"])
def test_a_gain_that_is_not_there_where_nothing_is_shown_is_refused(voters: Sequence[str]) -> None:
    decision = voted(verifying(), each((0.106, 0.01), "ann", "bob", "cid"), voters=voters)

    state, reason = decision.marks[X]
    assert state is ExperimentState.REFUTED
    assert reason == (
        "looks ahead: it gains 0.1 where its input shows what is to be predicted, and 0.004 where none does "
        "(3 pairs; 0.046 less would be chance)"
    )
    assert X not in decision.state.standings
    assert decision.state.small_gains == ()


def test_an_honest_gain_passes_whatever_chance_adds_to_the_figure() -> None:
    votes = [("ann", (0.03, 0.01)), ("bob", (-0.01, 0.01)), ("cid", (0.05, 0.02))]

    decision = voted(verifying("ann", "bob", "cid"), votes)

    assert decision.marks[X][0] is ExperimentState.BEST
    assert decision.state.confirmed_id == X


def test_edits_that_each_look_ahead_a_little_more_are_refused_in_the_end() -> None:
    decision = voted(verifying(), each((0.09, 0.085), "ann", "bob", "cid"))

    assert decision.marks[X][0] is ExperimentState.REFUTED
    assert decision.marks[X][1].startswith("looks ahead, or what it is built on does: it is worse by 0.09 ")


def test_more_pairs_make_a_bound_no_narrower_than_those_of_the_last_look() -> None:
    slightly = (0.027, 0.0)

    decision = voted(verifying(), each(slightly, *VOTERS, *VOTERS[:3]))
    for _ in range(2):
        decision = voted(decision.state, each(slightly, *VOTERS))

    assert X in decision.state.standings


@pytest.mark.parametrize("invented", [(0.4, 0.0), (0.4, 0.4), (-0.4, -0.8)])
def test_one_owner_of_three_kills_no_true_gain_with_an_invented_figure(invented: Hidden) -> None:
    votes = [("ann", (0.01, 0.0)), ("bob", (0.0, 0.01)), ("liar", invented)]

    decision = voted(verifying(), votes, voters=("liar", *VOTERS))
    later = voted(decision.state, [("cid", (0.0, 0.0))], voters=("liar", *VOTERS))

    assert decision.state.standings[X].left_out == ("liar",)
    assert later.state.standings[X].level is Level.ONE_OWNER
    assert "liar" not in later.state.standings[X].confirmed_by
    assert trust_of(later.state, OwnerId("liar")).strikes == 1


def test_one_owner_of_three_saves_no_code_that_looks_ahead() -> None:
    votes = [("ann", (0.1, 0.0)), ("bob", (0.11, 0.01)), ("friend", (-0.2, 0.0)), ("cid", (0.1, 0.0))]

    decision = voted(verifying(), votes, voters=("friend", *VOTERS))

    assert decision.marks[X][0] is ExperimentState.REFUTED


def test_two_owners_who_contradict_each_other_promote_nothing() -> None:
    votes = [("ann", (0.01, 0.0)), ("bob", (0.3, 0.0)), ("ann", (0.0, 0.0))]

    decision = voted(verifying(), votes, voters=("ann", "bob"))

    assert decision.state.standings[X].level is Level.PROVISIONAL
    assert not decision.state.standings[X].has_passed


WITH_LIAR = ("liar", *VOTERS)
ENORMOUS = (2.0, 0.0)


def just_passed(*trusted: str) -> ClassState:
    """A gain that passes, and that trusted owners' pairs alone do not carry yet."""
    honest = each((0.0, 0.0), "ann", "bob", "cid")
    return voted(verifying(*trusted), honest, gain=0.03, voters=WITH_LIAR).state


def test_who_is_trusted_alone_refuses_no_true_gain_with_its_first_pairs() -> None:
    state = just_passed("liar")

    first = voted(state, each(ENORMOUS, "liar", "liar"), gain=0.03, voters=WITH_LIAR)

    assert first.state.standings[X].left_out == ("ann", "bob", "cid")
    assert first.state.standings[X].has_passed_votes


def test_a_trusted_owner_whom_another_contradicts_refuses_and_confirms_nothing() -> None:
    disputed = voted(just_passed("liar", "ann", "bob"), each(ENORMOUS, "liar"), gain=0.03, voters=WITH_LIAR)
    moderate = voted(
        just_passed("liar", "ann", "bob"), each((0.13, 0.0), "liar"), gain=0.03, voters=WITH_LIAR
    )
    settled = voted(disputed.state, each((0.0, 0.0), "ann", "bob"), gain=0.03, voters=WITH_LIAR)
    trusted = with_trust(settled.state, Trust(owner_id=OwnerId("dan"), agreed=20, candour=5.0))
    settled = voted(trusted, each((0.0, 0.0), "dan"), gain=0.03, voters=WITH_LIAR)

    for one in (disputed, moderate):
        assert one.state.standings[X].has_passed_votes
        assert one.state.confirmed_id is None
        # Its score agrees with theirs, which says nothing of an owner who may have invented the other figure.
        assert trust_of(one.state, OwnerId("liar")).agreed == 20
    assert settled.state.confirmed_id == X
    assert settled.marks[X][0] is ExperimentState.BEST
    assert settled.state.standings[X].left_out == ("cid", "liar")


def test_the_first_vote_of_a_trusted_owner_refuses_nothing_that_open_owners_have_passed() -> None:
    passed = voted(verifying("liar"), each((0.0, 0.0), "x", "y", "z"), voters=()).state

    decision = voted(passed, each(ENORMOUS, "liar"), voters=WITH_LIAR)

    assert decision.state.standings[X].level is Level.SELF_REPLICATED


def test_a_code_that_passed_before_is_refuted_by_the_pairs_that_tell() -> None:
    passed = voted(verifying(), each((None, None), "ann", "bob", "cid")).state

    decision = voted(passed, each((0.12, 0.0), "dan", "eve", "dan", "eve"))

    assert passed.standings[X].has_passed
    assert decision.marks[X][0] is ExperimentState.REFUTED


@pytest.mark.parametrize("hidden", [(None, None), (0.5, None), (None, 0.5)])
def test_without_the_figure_of_a_pair_its_difference_is_not_asked_for(hidden: Hidden) -> None:
    rules = replace(WATCHFUL, hidden_gap=replace(POLICY, run_sd=9.0))

    decision = voted(verifying(), each(hidden, "ann", "bob", "cid"), rules=rules)

    assert decision.state.standings[X].has_passed_votes


def test_a_challenge_without_the_policy_takes_any_figure() -> None:
    decision = voted(verifying(), each((0.5, 0.0), "ann", "bob", "cid"), rules=RULES)

    assert decision.state.standings[X].has_passed_votes


def test_figures_survive_the_states_text_and_older_texts_have_none() -> None:
    state = voted(verifying(), each((0.01, 0.02), "ann", "bob")).state
    document = json.loads(dump_state(state))
    document["schema"] = 2
    for standing in document["standings"]:
        for one in standing["pairs"]:
            del one["hidden_gap"], one["control_hidden_gap"]

    older = load_state(json.dumps(document), CLASS)

    assert load_state(dump_state(state), CLASS) == state
    assert [(one.hidden_gap, one.control_hidden_gap) for one in older.standings[X].pairs] == [
        (None, None)
    ] * 2
