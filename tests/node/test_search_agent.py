import ast
import random

import pytest
from autoresearch.model import (
    ConstantChange,
    ExperimentState,
    Hypothesis,
    IdeaKind,
    MechanismChange,
    MechanismOp,
)
from node_builders import BASELINE, make_best, make_context, make_summary

from node.agent.base import AgentError, CannotDo, Refusal
from node.agent.knobs import read_knobs
from node.agent.search import SearchAgent
from node.agent.trials import trials_of

SOURCES = [
    BASELINE,
    "LR = 3e-4\n\ndef train(ctx):\n    pass\n",
    "N = 7\nM = 2**16\nK = 1_000_000\nP = 0.5\nZ = 0\nNEG = -2.5\n",
    "BETAS = (0.9, 0.999)\nLRS = (0.1, 0.01, 0.0)\n",
]


@pytest.mark.parametrize("source", SOURCES)
async def test_a_proposal_can_be_carried_out_and_says_what_it_does(source):
    agent = SearchAgent(node_id="n1")
    context = make_context(source)

    for _ in range(20):
        proposal = await agent.propose(context)
        edited = await agent.edit(context, proposal.hypothesis)

        before, after = read_knobs(source), read_knobs(edited)
        changed = {name for name in before if before[name].value != after[name].value}
        assert changed == {change.name for change in proposal.hypothesis.changes}
        assert 1 <= len(changed) <= 3
        assert proposal.hypothesis.title == ", ".join(
            f"{name} {before[name].text} -> {after[name].text}" for name in sorted(changed)
        )
        ast.parse(edited)


async def test_a_node_never_proposes_what_the_history_holds():
    agent = SearchAgent(node_id="n1")
    history = []

    for _ in range(60):
        proposal = await agent.propose(make_context(history=tuple(history)))
        changes = {c.name: (c.old, c.new) for c in proposal.hypothesis.changes}
        assert changes not in [
            {c.name: (c.old, c.new) for c in s.experiment.hypothesis.changes} for s in history
        ]
        history.append(make_summary(changes=changes, score=2.0, delta=0.01))


@pytest.mark.parametrize("question", ["", "its owner is not trusted so far: say why in the distinction"])
async def test_a_refused_proposal_is_not_made_again_in_the_round(question):
    agent = SearchAgent(node_id="n1")
    refusals = []

    for _ in range(30):
        hypothesis = (
            await agent.propose(make_context("LR = 0.1\nMOM = 0.9\n", refusals=tuple(refusals)))
        ).hypothesis
        assert hypothesis.changes not in [refusal.hypothesis.changes for refusal in refusals]
        assert not hypothesis.distinction
        refusals.append(Refusal(hypothesis=hypothesis, answer="tried", question=question))
        if len(refusals) == 12:
            break


async def test_nodes_with_other_ids_take_other_ways():
    titles = {
        (await SearchAgent(node_id=f"node-{number}").propose(make_context())).hypothesis.title
        for number in range(20)
    }

    assert len(titles) >= 15


async def test_nodes_with_one_seed_draw_alike_and_with_another_otherwise():
    titles = [
        (await SearchAgent(node_id=f"node-{number}", seed=seed).propose(make_context())).hypothesis.title
        for seed in range(10)
        for number in range(2)
    ]

    assert titles[::2] == titles[1::2]
    assert len(set(titles)) >= 7


async def test_what_was_refused_is_not_offered_in_later_rounds_on_that_parent():
    agent, offered = SearchAgent(node_id="n1"), []
    source = "LR = 0.1\nMOM = 0.9\n"

    for _ in range(12):
        hypothesis = (await agent.propose(make_context(source))).hypothesis
        refusals = (Refusal(hypothesis=hypothesis, answer="another node is trying it now"),)
        offered.append(hypothesis.changes)
        follower = (await agent.propose(make_context(source, refusals=refusals))).hypothesis
        assert follower.changes not in offered
    elsewhere = [
        (await agent.propose(make_context(source, parent=make_best(f"p{number}")))).hypothesis.changes
        for number in range(20)
    ]

    assert len(set(offered)) == len(offered)
    assert set(elsewhere) & set(offered)


async def test_the_same_node_repeats_itself_for_the_same_history():
    first = await SearchAgent(node_id="n1").propose(make_context())
    again = await SearchAgent(node_id="n1").propose(make_context())

    assert first == again


async def test_a_knob_that_paid_is_turned_more_and_in_the_way_that_paid():
    ups = tuple(
        make_summary(
            changes={"MATRIX_LR": (f"0.0{n}", f"0.0{n + 1}")}, parent=f"p{n}", score=1.9, delta=-0.05
        )
        for n in range(1, 7)
    ) + tuple(
        make_summary(changes={"WIDTH": ("64", "32")}, parent=f"q{n}", score=2.4, delta=0.4) for n in range(6)
    )
    changes = [
        change
        for number in range(60)
        for change in (
            await SearchAgent(node_id=f"n{number}").propose(make_context(history=ups))
        ).hypothesis.changes
    ]

    rates = [c for c in changes if c.name == "MATRIX_LR"]
    assert len(rates) > 3 * len([c for c in changes if c.name == "WIDTH"])
    assert sum(float(c.new) > float(c.old) for c in rates) > 0.6 * len(rates)


async def test_with_enough_scores_the_estimator_leads_to_the_optimum():
    rng = random.Random(7)
    source = "MATRIX_LR = 0.04\nDROPOUT = 0.5\n"
    history = []
    for _ in range(40):
        rate = float(f"{0.04 * 10 ** rng.uniform(-1.4, 1.4):.2g}")
        loss = 2.0 + abs(rate - 0.1)
        history.append(
            make_summary(changes={"MATRIX_LR": ("0.04", f"{rate}")}, score=loss, delta=loss - 2.06)
        )

    proposed = []
    for number in range(40):
        context = make_context(source, history=tuple(history))
        hypothesis = (await SearchAgent(node_id=f"n{number}").propose(context)).hypothesis
        proposed += [float(c.new) for c in hypothesis.changes if c.name == "MATRIX_LR"]

    assert sum(0.05 <= value <= 0.25 for value in proposed) > len(proposed) / 2


async def test_a_crashed_history_does_not_stop_the_search():
    history = tuple(
        make_summary(changes={"DEPTH": ("4", str(5 + n))}, state=ExperimentState.CRASHED) for n in range(20)
    )

    assert (await SearchAgent(node_id="n").propose(make_context(history=history))).hypothesis.title


@pytest.mark.parametrize("source", ["def train(ctx):\n    pass\n", "SEED = 3\n"])
async def test_a_source_without_constants_is_a_clear_refusal(source):
    with pytest.raises(AgentError, match="no numeric UPPERCASE constant"):
        await SearchAgent(node_id="n").propose(make_context(source))


async def test_when_everything_is_tried_the_agent_says_so():
    context = make_context(
        "DEPTH = 1\n",
        history=tuple(
            make_summary(changes={"DEPTH": ("1", str(value))}, score=2.0, delta=0.0) for value in range(5)
        ),
    )

    with pytest.raises(AgentError, match="nothing that is new"):
        await SearchAgent(node_id="n").propose(context)


async def test_a_queued_idea_that_is_no_constant_is_left_to_others():
    hypothesis = Hypothesis(title="Use GQA", changes=(MechanismChange(op=MechanismOp.ADD, what="GQA"),))

    with pytest.raises(AgentError, match="constants only"):
        await SearchAgent(node_id="n").edit(make_context(), hypothesis)


async def test_a_queued_idea_on_a_missing_constant_is_a_clear_error():
    hypothesis = Hypothesis(title="x", changes=(ConstantChange(name="GONE", old="1", new="2"),))

    with pytest.raises(AgentError, match="GONE"):
        await SearchAgent(node_id="n").edit(make_context(), hypothesis)


def test_settings_follow_the_lineage_down_from_a_known_ancestor():
    history = [
        make_summary(experiment_id="base", parent=None, score=2.0),
        make_summary(experiment_id="a", parent="base", changes={"LR": ("1", "2")}, score=1.9, delta=-0.1),
        make_summary(experiment_id="b", parent="a", changes={"WD": ("0.1", "0.2")}, score=1.8, delta=-0.1),
        make_summary(experiment_id="c", parent="lost", changes={"WD": ("0.1", "0.2")}, score=1.8),
    ]

    trials = trials_of(history, known={}, baseline={"LR": 1.0, "WD": 0.1}, lower_is_better=True)

    assert [t.setting for t in trials] == [
        {"LR": 1.0, "WD": 0.1},
        {"LR": 2.0, "WD": 0.1},
        {"LR": 2.0, "WD": 0.2},
        None,
    ]


def test_where_higher_is_better_signs_turn():
    (trial,) = trials_of([make_summary(score=0.9, delta=0.2)], known={}, baseline={}, lower_is_better=False)

    assert (trial.loss, trial.gain) == (-0.9, 0.2)


@pytest.mark.parametrize("kind", [IdeaKind.COMBINE, IdeaKind.ABLATE])
async def test_merging_is_left_to_others_even_where_all_that_is_stated_is_a_constant(kind):
    hypothesis = Hypothesis(title="x", changes=(ConstantChange(name="DEPTH", new="6"),))

    with pytest.raises(CannotDo, match="another agent"):
        await SearchAgent(node_id="n").edit(make_context(kind=kind), hypothesis)


async def test_a_win_of_constants_alone_is_moved_to_another_parent():
    hypothesis = Hypothesis(title="x", changes=(ConstantChange(name="DEPTH", old="3", new="6"),))

    source = await SearchAgent(node_id="n").edit(make_context(kind=IdeaKind.REBASE), hypothesis)

    assert "DEPTH = 6 " in source
