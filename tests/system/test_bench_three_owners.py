"""The drill of three owners: its verdict can also miss each promise, and its agent keeps to the plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from autoresearch.challenge import load_challenge
from autoresearch.model import (
    BestChange,
    ChallengeId,
    Experiment,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    Hardware,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    Level,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    SourceHash,
    WorkingBest,
)
from bench.owners_ledger import (
    AGAIN,
    DESCENDANT,
    GAIN,
    LIE,
    LUCKY,
    Pages,
    Story,
    View,
    has_ended,
    is_decided,
    is_open,
    ledger_of,
    promises,
)
from bench.planned_agent import edited, wait_for_edit
from bench.three_owners import BETTER, FORGED, LATER, WEAKENED, constants_of, weakened

AT = datetime(2026, 1, 1, tzinfo=UTC)
CLASS = HardwareClass("cpu-any/torch-2.13")
HARDWARE = Hardware(
    hardware_class=CLASS, device_kind="cpu", device_name="any", memory_mb=1024.0, torch_version="2.13"
)
BASE = ExperimentId("00000000-base")
ROLES = {
    LUCKY: ExperimentId("00000001-idle"),
    GAIN: ExperimentId("00000002-gain"),
    LIE: ExperimentId("00000003-lied"),
    DESCENDANT: ExperimentId("00000004-desc"),
    AGAIN: ExperimentId("00000005-again"),
}
DROPPED = "dropped after 3 pairs of other owners"
REQUEUED = (
    f"was built on {ROLES[LIE]}, which was refuted, and beats it; queued to be tried on the present best"
)


def summary(
    experiment_id: ExperimentId,
    title: str,
    owner: str,
    state: ExperimentState,
    *,
    parent: ExperimentId | None = BASE,
    runs: int = 1,
    level: Level | None = None,
    confirmed_by: tuple[str, ...] = (),
    reason: str = "",
) -> ExperimentSummary:
    return ExperimentSummary(
        experiment=Experiment(
            experiment_id=experiment_id,
            challenge_id=ChallengeId("ch_1"),
            hypothesis=Hypothesis(title=title),
            source_hash=SourceHash("sha256:" + "0" * 64),
            parents=(parent,) if parent else (),
            node_id=NodeId(f"n_{owner}"),
            owner_id=OwnerId(owner),
            hardware_class=CLASS,
            created_at=AT,
        ),
        state=state,
        score=1.5 if runs else None,
        interval=0.1,
        runs=runs,
        delta=0.0,
        level=level,
        confirmed_by=tuple(OwnerId(name) for name in confirmed_by),
        reason=reason,
    )


def change(experiment_id: ExperimentId, level: Level, at_s: float) -> BestChange:
    best = WorkingBest(
        experiment_id=experiment_id,
        hardware_class=CLASS,
        source_hash=SourceHash("sha256:" + "0" * 64),
        level=level,
        mean=1.5,
        runs=3,
        spread=0.03,
        since=AT,
    )
    return BestChange(best=best, previous=None, reason="", at=AT + timedelta(seconds=at_s))


def run(experiment_id: ExperimentId, owner: str, purpose: Purpose, score: float) -> Result:
    is_half = purpose in (Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL)
    return Result(
        result_id=ResultId(f"{experiment_id}-{owner}-{purpose}"),
        experiment_id=experiment_id,
        challenge_id=ChallengeId("ch_1"),
        node_id=NodeId(f"n_{owner}"),
        owner_id=OwnerId(owner),
        outcome=Outcome.COMPLETED,
        purpose=purpose,
        metrics={"val_bpb": score},
        seed=1,
        hardware=HARDWARE,
        code_hash=SourceHash("sha256:" + "0" * 64),
        harness_version="1",
        started_at=AT,
        finished_at=AT,
        verification_id=f"pair of {owner}" if is_half else "",
    )


EXPERIMENTS = {
    BASE: summary(BASE, "baseline", "coordinator", ExperimentState.COMPLETED, parent=None, runs=3),
    ROLES[LUCKY]: summary(
        ROLES[LUCKY], "idle 1: nothing", "ada", ExperimentState.REFUTED, runs=4, reason=DROPPED
    ),
    ROLES[GAIN]: summary(
        ROLES[GAIN],
        "BATCH_SIZE becomes 4",
        "ada",
        ExperimentState.BEST,
        runs=6,
        level=Level.CONFIRMED,
        confirmed_by=("grace", "mallory"),
    ),
    ROLES[LIE]: summary(
        ROLES[LIE],
        "MATRIX_LR becomes 0.0003",
        "mallory",
        ExperimentState.REFUTED,
        parent=ROLES[GAIN],
        runs=4,
        reason=DROPPED,
    ),
    ROLES[DESCENDANT]: summary(
        ROLES[DESCENDANT],
        "EMBEDDING_LR becomes 0.05",
        "grace",
        ExperimentState.COMPLETED,
        parent=ROLES[LIE],
        reason=REQUEUED,
    ),
    ROLES[AGAIN]: summary(
        ROLES[AGAIN],
        "EMBEDDING_LR becomes 0.05",
        "grace",
        ExperimentState.CANDIDATE,
        parent=ROLES[GAIN],
    ),
}
HISTORY = (
    change(BASE, Level.BASELINE, 0),
    change(ROLES[LUCKY], Level.PROVISIONAL, 10),
    change(BASE, Level.BASELINE, 20),
    change(ROLES[GAIN], Level.PROVISIONAL, 30),
    change(ROLES[GAIN], Level.ONE_OWNER, 40),
    change(ROLES[GAIN], Level.CONFIRMED, 50),
    change(ROLES[LIE], Level.PROVISIONAL, 60),
    change(ROLES[GAIN], Level.CONFIRMED, 70),
)
LEADERBOARD = f"""
1  1.5  best-of-nobody  -  baseline  coordinator  {BASE[-8:]}
2  1.5  confirmed  grace, mallory  BATCH_SIZE becomes 4  ada  {ROLES[GAIN][-8:]}
3  1.5  refuted  -  idle 1: nothing  ada  {ROLES[LUCKY][-8:]}
4  1.5  refuted  -  MATRIX_LR becomes 0.0003  mallory  {ROLES[LIE][-8:]}
"""
SHOWN = {
    LUCKY: f"refuted, {DROPPED}",
    GAIN: "confirmed by grace, mallory",
    LIE: f"refuted, {DROPPED}, owner mallory",
    DESCENDANT: REQUEUED,
    AGAIN: f"parent {ROLES[GAIN]}",
}


def story(
    *,
    experiments: Mapping[ExperimentId, ExperimentSummary] = EXPERIMENTS,
    history: tuple[BestChange, ...] = HISTORY,
    roles: Mapping[str, ExperimentId] = ROLES,
    leaderboard: str = LEADERBOARD,
    shown: Mapping[str, str] = SHOWN,
) -> Story:
    idea = Idea(
        hypothesis_id=HypothesisId("h_1"),
        hypothesis=Hypothesis(title="a waiting idea"),
        node_id=NodeId("n_ada"),
        proposed_at=AT,
    )
    runs = {one: [run(one, "ada", Purpose.EXPLORE, 1.2)] for one in roles.values()}
    runs[ROLES[LIE]] += [run(ROLES[LIE], name, Purpose.VERIFY_CANDIDATE, 1.9) for name in ("ada", "grace")]
    runs[ROLES[GAIN]].append(run(ROLES[GAIN], "grace", Purpose.VERIFY_CONTROL, 1.4))
    return Story(
        challenge=load_challenge(Path(__file__).parents[2] / "trainer" / "challenges" / "pocket"),
        view=View(experiments=tuple(experiments.values()), history=history, ideas=(idea,)),
        roles=roles,
        runs=runs,
        pages=Pages(leaderboard=leaderboard, shown=shown),
    )


def with_change(role: str, **fields: object) -> Mapping[ExperimentId, ExperimentSummary]:
    return EXPERIMENTS | {ROLES[role]: replace(EXPERIMENTS[ROLES[role]], **fields)}  # type: ignore[arg-type]


def with_parent(role: str, parent: ExperimentId) -> Mapping[ExperimentId, ExperimentSummary]:
    experiment = replace(EXPERIMENTS[ROLES[role]].experiment, parents=(parent,))
    return with_change(role, experiment=experiment)


def test_a_drill_in_which_all_went_well_keeps_every_promise() -> None:
    kept = promises(story())

    assert set(kept.values()) == {True}


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("class_opened", lambda: story(experiments=EXPERIMENTS | {BASE: replace(EXPERIMENTS[BASE], runs=2)})),
        (
            "lucky_seed_not_promoted",
            lambda: story(experiments=with_change(LUCKY, state=ExperimentState.SUPERSEDED)),
        ),
        (
            "lucky_seed_not_promoted",
            lambda: story(history=(change(ROLES[LUCKY], Level.ONE_OWNER, 0), *HISTORY)),
        ),
        ("lucky_seed_not_promoted", lambda: story(history=HISTORY[2:])),
        ("gain_confirmed", lambda: story(history=HISTORY[5:])),
        (
            "gain_confirmed",
            lambda: story(history=tuple(one for one in HISTORY if one.best.level != "confirmed")),
        ),
        ("gain_confirmed", lambda: story(experiments=with_change(GAIN, confirmed_by=("ada", "grace")))),
        ("gain_confirmed", lambda: story(experiments=with_change(GAIN, state=ExperimentState.REFUTED))),
        ("lie_refuted", lambda: story(experiments=with_change(LIE, state=ExperimentState.CANDIDATE))),
        ("lie_refuted", lambda: story(history=(*HISTORY, change(ROLES[LIE], Level.ONE_OWNER, 99)))),
        ("lie_refuted", lambda: story(history=(*HISTORY[:-1], change(BASE, Level.BASELINE, 70)))),
        ("lie_refuted", lambda: story(history=HISTORY[:-1])),
        (
            "descendants_requeued",
            lambda: story(roles={role: one for role, one in ROLES.items() if role != AGAIN}),
        ),
        ("descendants_requeued", lambda: story(experiments=with_parent(AGAIN, ROLES[LIE]))),
        ("descendants_requeued", lambda: story(experiments=with_parent(DESCENDANT, ROLES[GAIN]))),
        ("descendants_requeued", lambda: story(experiments=with_change(AGAIN, runs=0))),
        (
            "descendants_requeued",
            lambda: story(history=(*HISTORY, change(ROLES[DESCENDANT], Level.PROVISIONAL, 99))),
        ),
        ("all_visible", lambda: story(leaderboard="")),
        ("all_visible", lambda: story(leaderboard=LEADERBOARD.replace("refuted", "completed"))),
        ("all_visible", lambda: story(leaderboard=LEADERBOARD.replace("grace", "-"))),
        ("all_visible", lambda: story(shown=SHOWN | {LIE: "candidate"})),
        ("all_visible", lambda: story(shown=SHOWN | {DESCENDANT: "completed"})),
    ],
)
def test_a_drill_that_falls_short_says_in_what(broken: str, told: Callable[[], Story]) -> None:
    kept = promises(told())

    assert not kept[broken]


def test_the_ledger_sets_what_was_reported_beside_what_was_verified() -> None:
    ledger = ledger_of(story())

    assert ledger["roles"][LIE]["reported"] == [1.2]
    assert ledger["roles"][LIE]["pairs"] == [
        {"by": "ada", "score": 1.9, "control": None, "gain": None},
        {"by": "grace", "score": 1.9, "control": 1.4, "gain": -0.5},
    ]
    assert [one["at_s"] for one in ledger["history"]] == [0, 10, 20, 30, 40, 50, 60, 70]
    assert [one["title"] for one in ledger["children_of_the_lie"]] == ["EMBEDDING_LR becomes 0.05"]
    assert json.loads(json.dumps(ledger))["promises"] == promises(story())


def test_a_run_that_is_under_way_or_sealed_decides_nothing() -> None:
    running = replace(EXPERIMENTS[ROLES[AGAIN]], state=ExperimentState.RUNNING, runs=0, score=None)
    sealed = replace(EXPERIMENTS[ROLES[AGAIN]], sealed_runs=4)

    assert not has_ended([running])
    assert has_ended([running, sealed])
    assert not is_decided(sealed)
    assert is_decided(EXPERIMENTS[ROLES[LIE]])
    assert not is_open(View(experiments=(running,), history=(), ideas=()))


def test_the_copy_of_pocket_is_weak_where_the_improvement_is_strong(tmp_path: Path) -> None:
    folder = weakened(tmp_path / "challenge", 3)

    challenge = load_challenge(folder)
    source = (folder / "train.py").read_text()
    assert challenge.budget.amount == 3
    assert all(f"\n{name} = {value}  #" in source for name, value in WEAKENED.items())
    for text in (BETTER, LATER, FORGED):
        (name, value), *_ = constants_of(text).items()
        assert f"\n{name} = {value}  #" in edited(source, {"constants": {name: value}, "lines": ""})


def test_an_edit_of_a_constant_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit, match="0 constants DEPTH"):
        edited("WIDTH = 1\n", {"constants": {"DEPTH": "2"}, "lines": ""})


def test_the_planned_agent_makes_each_edit_once_and_in_order(tmp_path: Path) -> None:
    for number, due_on in enumerate(["", "\nBASE = 2", ""]):
        plan = {"title": f"edit {number}", "due_on": due_on}
        (tmp_path / f"{number:03}.json").write_text(json.dumps(plan))

    titles = [wait_for_edit(tmp_path, "A = 1\nBASE = 1\n")["title"] for _ in range(2)]
    late = wait_for_edit(tmp_path, "A = 1\nBASE = 2\n")["title"]

    assert titles == ["edit 0", "edit 2"]
    assert late == "edit 1"
