"""Puts a text of the corpus into every place of a swarm that strangers fill."""

from __future__ import annotations

from dataclasses import replace

from autoresearch.model import (
    Advice,
    ConstantChange,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    Hypothesis,
    IdeaKind,
    KnobTrial,
    MechanismChange,
    MechanismOp,
    NearMatch,
    Outcome,
    SourceHash,
)
from corpus import Hostile, marker
from node_builders import BASELINE, make_best, make_challenge, make_context, make_insight, make_summary

from node.agent.base import AgentContext, Failure, Material, Refusal

PLAIN = Hostile(number=999, family="plain", template="plain words @M@")
CONTEXT_SLOTS = (
    "parenttitle", "parentclass", "program", "comment", "docstring", "unit", "histtitle", "histname",
    "histwhat", "refusedtitle", "answer", "question", "neartitle", "knob", "insight",
)  # fmt: skip
HYPOTHESIS_SLOTS = (
    "title", "rationale", "name", "old", "new", "what", "where", "distinction",
    "materialtitle", "materialreason", "diff",
)  # fmt: skip
FAILURE_SLOTS = ("failkind", "failreason", "logtail", "identifier")
RESULT_SLOTS = ("resultreason",)
TERMINAL_SLOTS = ("owner", "nodename", "agent", "flag", "reason", "historyreason", "error", "note")
SLOTS = (*CONTEXT_SLOTS, *HYPOTHESIS_SLOTS, *FAILURE_SLOTS, *RESULT_SLOTS, *TERMINAL_SLOTS)

NOT_SHOWN = frozenset({"distinction", "unit"})
"""A distinction is told to coordinators alone; a unit stands beside the metric, in prompts of some agents."""


def hostile_source(hostile: Hostile) -> str:
    """A parent that is Python, with the text in its comments and in a docstring."""
    comment = hostile.at("comment").replace("\0", "").replace("\r", "\n").replace("\x0c", "\n")
    docstring = hostile.at("docstring").replace("\0", "").replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    comments = "".join(f"# {line}\n" for line in comment.split("\n"))
    return f'{comments}{BASELINE}\n\ndef told():\n    """{docstring} """\n'


def broken_source(hostile: Hostile) -> str:
    """No Python, in a way in which Python's complaint repeats a name."""
    name = marker(hostile.number, "identifier")
    return f"{BASELINE}\n\ndef broken({name}):\n    global {name}\n"


def hostile_context(hostile: Hostile, **changes: object) -> AgentContext:
    """All that an agent is told before it proposes."""
    at = hostile.at
    challenge = make_challenge()
    near = NearMatch(
        experiment_id=ExperimentId("e"),
        title=at("neartitle"),
        state=ExperimentState.COMPLETED,
        score=2.0,
        delta=0.1,
        same_parent=True,
        reason="",
    )
    knob = KnobTrial(knob=at("knob"), value=at("knob"), trials=1, best_delta=0.1)
    refusal = Refusal(
        hypothesis=Hypothesis(title=at("refusedtitle")),
        answer=at("answer"),
        question=at("question"),
        nearest=(near,),
    )
    return make_context(
        hostile_source(hostile),
        challenge=replace(challenge, metric=replace(challenge.metric, unit=at("unit"))),
        program=at("program"),
        parent=replace(
            make_best(title=at("parenttitle")),
            hardware_class=HardwareClass(at("parentclass")),
            source_hash=SourceHash("sha256:" + "0" * 64),
        ),
        history=(hostile_summary(hostile),),
        advice=Advice(nearest=(near,), knobs=(knob,)),
        refusals=(refusal,),
        insights=(make_insight("e", text=at("insight")),),
        **changes,
    )


def hostile_summary(hostile: Hostile):
    """A tried experiment of a stranger."""
    summary = make_summary(score=2.1, delta=0.1)
    named = ConstantChange(name=hostile.at("histname"), old="1", new="2")
    change = MechanismChange(op=MechanismOp.ADD, what=hostile.at("histwhat"), where="")
    changes = (change,) if hostile.number % 2 else (named,)
    hypothesis = replace(summary.experiment.hypothesis, title=hostile.at("histtitle"), changes=changes)
    return replace(summary, experiment=replace(summary.experiment, hypothesis=hypothesis))


def hostile_hypothesis(hostile: Hostile) -> Hypothesis:
    """An idea of a stranger."""
    at = hostile.at
    return Hypothesis(
        title=at("title"),
        rationale=at("rationale"),
        changes=(
            ConstantChange(name=at("name"), old=at("old"), new=at("new")),
            MechanismChange(op=MechanismOp.ADD, what=at("what"), where=at("where")),
        ),
        distinction=at("distinction"),
        agent="anthropic",
    )


def with_materials(context: AgentContext, hostile: Hostile, kind: IdeaKind) -> AgentContext:
    """An idea about other edits, whose words and diffs come with it."""
    summary = make_summary(delta=-0.02)
    hypothesis = Hypothesis(title=hostile.at("materialtitle"), rationale=hostile.at("materialreason"))
    summary = replace(summary, experiment=replace(summary.experiment, hypothesis=hypothesis))
    return replace(context, kind=kind, materials=(Material(summary=summary, diff=hostile.at("diff")),))


def hostile_failure(hostile: Hostile) -> Failure:
    """A crash whose words are those of hostile code."""
    at = hostile.at
    return Failure(kind=at("failkind"), reason=at("failreason"), log_tail=at("logtail"))


def hostile_outcome(hostile: Hostile, result):
    """A run that ended in such words."""
    return replace(result, outcome=Outcome.CRASHED, metrics={}, reason=hostile.at("resultreason"))
