"""What a reader can see of a drill of three owners, as a ledger, and whether the promises were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch.challenge import Challenge
from autoresearch.model import (
    BestChange,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    Idea,
    Level,
    OwnerId,
    Purpose,
    Result,
)

LUCKY, GAIN, LIE = "lucky seed", "true improvement", "lie"
DESCENDANT, AGAIN = "built on the lie", "tried again on the best"
"""The roles of experiments in the story."""

IDLE = "idle "
"""Titles of edits without effect begin so."""

VERIFIERS = 2
OPENING_RUNS = 3
ID_SHOWN = 8
"""A leaderboard's row ends with so much of the experiment's id."""

Roles = Mapping[str, ExperimentId]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a reader can see."""

    experiments: tuple[ExperimentSummary, ...]
    history: tuple[BestChange, ...]
    ideas: tuple[Idea, ...]

    def titled(self, title: str) -> list[ExperimentSummary]:
        """Experiments whose title begins so, the oldest first."""
        found = [one for one in self.experiments if one.experiment.hypothesis.title.startswith(title)]
        return sorted(found, key=lambda one: one.experiment.experiment_id)

    def of(self, experiment_id: ExperimentId) -> ExperimentSummary:
        return next(one for one in self.experiments if one.experiment.experiment_id == experiment_id)

    @property
    def baseline_id(self) -> ExperimentId:
        """The challenge's own code."""
        return next(one.experiment.experiment_id for one in self.experiments if not one.experiment.parents)

    def children(self, parent: ExperimentId) -> list[ExperimentSummary]:
        """Edits of it, the oldest first."""
        return [one for one in self.titled("") if one.experiment.parent == parent]

    def levels(self, experiment_id: ExperimentId) -> list[Level]:
        """That it had as the working best, in order of time."""
        return [one.best.level for one in self.history if one.best.experiment_id == experiment_id]

    def after(self, experiment_id: ExperimentId) -> ExperimentId | None:
        """What was built on when this one was no longer."""
        bests = [one.best.experiment_id for one in self.history]
        if experiment_id not in bests:
            return None
        last = max(place for place, one in enumerate(bests) if one == experiment_id)
        return bests[last + 1] if last + 1 < len(bests) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What the readers' commands print: the leaderboard, and ``show`` for each role."""

    leaderboard: str
    shown: Mapping[str, str]

    def row_of(self, experiment_id: ExperimentId) -> str:
        """Its row in the leaderboard, empty if there is none."""
        end = experiment_id[-ID_SHOWN:]
        return next((row for row in self.leaderboard.splitlines() if row.rstrip().endswith(end)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is judged: the view after the last act, who plays which role, their runs and their pages.

    ``runs`` are those of each role and of the baseline.
    """

    challenge: Challenge
    view: View
    roles: Roles
    runs: Mapping[ExperimentId, Sequence[Result]]
    pages: Pages


def ledger_of(story: Story) -> dict[str, Any]:
    """What happened, in the order in which it did, and which promises were kept."""
    view, challenge = story.view, story.challenge
    owners = {one.experiment.experiment_id: one.experiment.owner_id for one in view.experiments}
    began = view.history[0].at
    return {
        "challenge": challenge.name,
        "budget": f"{challenge.budget.amount} {challenge.budget.kind}",
        "metric": f"{challenge.metric_name}, {challenge.direction} is better",
        "spread": view.history[-1].best.spread,
        "history": [
            {
                "at_s": round((one.at - began).total_seconds()),
                "best": one.best.title,
                "owner": owners.get(one.best.experiment_id, ""),
                "level": one.best.level,
                "mean": round(one.best.mean, 4),
                "confirmed_by": one.best.confirmed_by,
                "reason": one.reason,
            }
            for one in view.history
        ],
        "roles": {
            role: {**_fields(view.of(one)), "reported": _reported(story, one), "pairs": _pairs(story, one)}
            for role, one in story.roles.items()
        },
        "edits_without_effect": [_fields(one) for one in view.titled(IDLE)],
        "children_of_the_lie": [_fields(one) for one in view.children(story.roles[LIE])],
        "waiting_ideas": [
            {"title": one.hypothesis.title, "origin": one.origin_experiment_id} for one in view.ideas
        ],
        "promises": promises(story),
    }


def promises(story: Story) -> dict[str, bool]:
    """Those that ``three_owners.py`` names."""
    return {
        "class_opened": is_open(story.view),
        "lucky_seed_not_promoted": _is_not_promoted(story),
        "gain_confirmed": _is_confirmed(story),
        "lie_refuted": _is_lie_refuted(story),
        "descendants_requeued": _are_requeued(story),
        "all_visible": _are_visible(story),
    }


def _is_not_promoted(story: Story) -> bool:
    idle = [one.experiment.experiment_id for one in story.view.titled(IDLE)]
    lucky = story.roles[LUCKY]
    return (
        lucky in idle
        and story.view.of(lucky).state is ExperimentState.REFUTED
        and story.view.levels(lucky) == [Level.PROVISIONAL]
        and all(set(story.view.levels(one)) <= {Level.PROVISIONAL} for one in idle)
    )


def _is_confirmed(story: Story) -> bool:
    gain = story.view.of(story.roles[GAIN])
    climbed = story.view.levels(story.roles[GAIN])
    return (
        climbed[:1] == [Level.PROVISIONAL]
        and Level.CONFIRMED in climbed
        and gain.state is ExperimentState.BEST
        and len(_confirmers(gain)) >= VERIFIERS
    )


def _is_lie_refuted(story: Story) -> bool:
    lie = story.view.of(story.roles[LIE])
    return (
        lie.state is ExperimentState.REFUTED
        and story.view.levels(story.roles[LIE]) == [Level.PROVISIONAL]
        and not lie.confirmed_by
        and story.view.after(story.roles[LIE]) == story.roles[GAIN]
    )


def _are_requeued(story: Story) -> bool:
    """What was built on the lie came from it, counts for nothing there, and was run again on the best."""
    again = story.roles.get(AGAIN)
    if again is None:
        return False
    descendant, tried = story.view.of(story.roles[DESCENDANT]), story.view.of(again)
    return (
        descendant.experiment.parent == story.roles[LIE]
        and not any(story.view.levels(one.experiment.experiment_id) for one in _of_lie(story))
        and descendant.experiment.hypothesis.title == tried.experiment.hypothesis.title
        and tried.experiment.parent == story.roles[GAIN]
        and tried.runs > 0
    )


def _are_visible(story: Story) -> bool:
    gain, lie = story.view.of(story.roles[GAIN]), story.view.of(story.roles[LIE])
    shown = {
        LUCKY: (ExperimentState.REFUTED, "dropped after"),
        GAIN: (Level.CONFIRMED, *_confirmers(gain)),
        LIE: (ExperimentState.REFUTED, "dropped after", lie.experiment.owner_id),
        DESCENDANT: (story.roles[LIE], "which was refuted", "queued to be tried on the present best"),
        AGAIN: (story.roles[GAIN],),
    }
    rows = {
        LUCKY: (ExperimentState.REFUTED,),
        GAIN: (Level.CONFIRMED, *_confirmers(gain)),
        LIE: (ExperimentState.REFUTED,),
    }
    return all(
        word in story.pages.shown.get(role, "") for role, words in shown.items() for word in words
    ) and all(word in story.pages.row_of(story.roles[role]) for role, words in rows.items() for word in words)


def _confirmers(summary: ExperimentSummary) -> list[OwnerId]:
    """Other owners who confirmed it."""
    return [owner for owner in summary.confirmed_by if owner != summary.experiment.owner_id]


def _of_lie(story: Story) -> list[ExperimentSummary]:
    return story.view.children(story.roles[LIE])


def is_open(view: View) -> bool:
    """True once the baseline has run often enough."""
    return any(not one.experiment.parents and one.runs >= OPENING_RUNS for one in view.experiments)


def has_ended(found: Sequence[ExperimentSummary]) -> bool:
    """True once one of them has run, well or badly."""
    return any(one.state not in (ExperimentState.RUNNING, ExperimentState.LOST) for one in found)


def is_decided(summary: ExperimentSummary) -> bool:
    """True once verification has confirmed or refuted it."""
    return summary.state in (ExperimentState.REFUTED, ExperimentState.BEST, ExperimentState.SUPERSEDED)


def line_of(summary: ExperimentSummary) -> str:
    """An experiment as a line of the drill's log."""
    score = "no score" if summary.score is None else f"{summary.score:.4f}"
    why = f" ({summary.reason})" if summary.reason else ""
    return f"    {summary.experiment.hypothesis.title}: {score}, {summary.state}{why}"


def _fields(summary: ExperimentSummary) -> dict[str, Any]:
    return {
        "id": summary.experiment.experiment_id,
        "title": summary.experiment.hypothesis.title,
        "owner": summary.experiment.owner_id,
        "parent": summary.experiment.parent,
        "state": summary.state,
        "level": summary.level,
        "score": None if summary.score is None else round(summary.score, 4),
        "runs": summary.runs,
        "confirmed_by": summary.confirmed_by,
        "reason": summary.reason,
    }


def _reported(story: Story, experiment_id: ExperimentId) -> list[float | None]:
    """What its owner said that it scores."""
    runs = [one for one in story.runs[experiment_id] if one.purpose is Purpose.EXPLORE]
    return [_score(story, one) for one in runs]


def _pairs(story: Story, experiment_id: ExperimentId) -> list[dict[str, Any]]:
    """What others measured, each beside the code that it had to beat; those of audits are among them."""
    controls = {
        one.verification_id: _score(story, one)
        for runs in story.runs.values()
        for one in runs
        if one.purpose is Purpose.VERIFY_CONTROL
    }
    found = []
    for one in story.runs[experiment_id]:
        if one.purpose is Purpose.VERIFY_CANDIDATE:
            score, control = _score(story, one), controls.get(one.verification_id)
            gain = None if score is None or control is None else control - score
            if gain is not None and story.challenge.direction == "higher":
                gain = -gain
            rounded = None if gain is None else round(gain, 4)
            found.append({"by": one.owner_id, "score": score, "control": control, "gain": rounded})
    return found


def _score(story: Story, result: Result) -> float | None:
    score = result.metrics.get(story.challenge.metric_name)
    return None if score is None else round(score, 4)
