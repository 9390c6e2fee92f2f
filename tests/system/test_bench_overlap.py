"""The drill of overlapping offers: its books on stories that they judge, and a small one with real nodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from autoresearch.model import (
    ChallengeId,
    Experiment,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    Hardware,
    HardwareClass,
    Hypothesis,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
    SourceHash,
)
from bench import overlap
from bench.offers_ledger import Kind, Tried, audit, books_of, coded_otherwise, gaps_of, kinds_of, lines_of
from local_swarm import LocalSwarm

AT = datetime(2026, 1, 1, tzinfo=UTC)
CLASS = HardwareClass("cpu-any/torch-2.13")
BASE, FIRST, SECOND = ExperimentId("00-base"), ExperimentId("01-first"), ExperimentId("02-second")
BASELINE = "LR = 0.1\nDEPTH = 2\n\n\ndef train(ctx):\n    return LR * DEPTH\n"


def coded(**constants: str) -> str:
    source = BASELINE
    for name, value in constants.items():
        source = "\n".join(
            f"{name} = {value}" if line.startswith(name) else line for line in source.split("\n")
        )
    return source


def tried(
    experiment_id: ExperimentId,
    source: str,
    *,
    parent: ExperimentId | None = BASE,
    parent_source: str = BASELINE,
    ended_s: float = 100.0,
    outcome: Outcome = Outcome.COMPLETED,
    runs: int = 1,
    flags: tuple[str, ...] = (),
) -> Tried:
    experiment = Experiment(
        experiment_id=experiment_id,
        challenge_id=ChallengeId("ch_1"),
        hypothesis=Hypothesis(title=str(experiment_id)),
        source_hash=SourceHash("sha256:" + "0" * 64),
        parents=(parent,) if parent else (),
        node_id=NodeId("n_ada"),
        owner_id=OwnerId("ada"),
        hardware_class=CLASS,
        created_at=AT,
        flags=flags,
    )
    summary = ExperimentSummary(
        experiment=experiment,
        state=ExperimentState.COMPLETED if runs else ExperimentState.LOST,
        score=1.5,
        interval=0.1,
        runs=runs,
        delta=0.0,
        level=None,
    )
    result = Result(
        result_id=ResultId("r"),
        experiment_id=experiment_id,
        challenge_id=ChallengeId("ch_1"),
        node_id=NodeId("n_ada"),
        owner_id=OwnerId("ada"),
        outcome=outcome,
        purpose=Purpose.EXPLORE if parent else Purpose.BASELINE,
        metrics={},
        seed=1,
        hardware=Hardware(
            hardware_class=CLASS,
            device_kind="cpu",
            device_name="any",
            memory_mb=1024.0,
            torch_version="2.13",
        ),
        code_hash=SourceHash("sha256:" + "0" * 64),
        harness_version="1",
        started_at=AT,
        finished_at=AT + timedelta(seconds=ended_s),
    )
    return Tried(
        summary=summary,
        results=(result,) * runs,
        source=source,
        parent_source=parent_source if parent else "",
    )


class Logs:
    """The lines that a coordinator and its nodes would write."""

    def __init__(self) -> None:
        self.coordinator: list[dict[str, Any]] = []
        self.nodes: dict[str, list[dict[str, Any]]] = {"ada": [], "grace": []}

    def claim(
        self,
        claim_id: str,
        at_s: float,
        answer: str = "Granted",
        *,
        node: str = "ada",
        parent: ExperimentId = BASE,
        **constants: str,
    ) -> None:
        told = {"state": "completed", "same_parent": True, "ground": "words"} if answer != "Granted" else {}
        self._answered("/autoresearch.v1.SwarmService/Claim", claim_id, at_s, answer, **told)
        self.nodes[node].append(
            {
                "event": "claim answered",
                "claim_id": claim_id,
                "parent": parent,
                "title": "any",
                "constants": constants,
                "is_queued": False,
                "answer": answer,
            }
        )

    def start(self, claim_id: str, at_s: float, experiment_id: str, answer: str = "Started") -> None:
        told = {"state": "completed", "ground": "file", "is_question": False} if answer != "Started" else {}
        method = "/autoresearch.v1.SwarmService/Start"
        self._answered(method, claim_id, at_s, answer, experiment=experiment_id, **told)
        self.nodes["ada"].append({"event": "start answered", "claim_id": claim_id, "answer": answer})

    def released(self, claim_id: str, at_s: float) -> None:
        self.coordinator.append({"event": "claim released", "claim": claim_id, "timestamp": _stamp(at_s)})

    def kinds(self, *tried: Tried) -> list[Kind]:
        return kinds_of(books_of(self.coordinator, self.nodes).offers, [BASELINE_TRIED, *tried])

    def _answered(self, method: str, claim_id: str, at_s: float, answer: str, **told: Any) -> None:
        line = {"event": "answered", "method": method, "claim": claim_id, "answer": answer}
        self.coordinator.append({**line, "timestamp": _stamp(at_s), **told})


def _stamp(at_s: float) -> str:
    return (AT + timedelta(seconds=at_s)).isoformat()


BASELINE_TRIED = tried(BASE, BASELINE, parent=None)


def test_the_same_edit_is_new_then_held_then_tried() -> None:
    logs = Logs()
    logs.claim("c1", 0, LR="0.2")
    logs.start("c1", 1, FIRST)
    logs.claim("c2", 50, "Duplicate", node="grace", LR="0.20")
    logs.claim("c3", 150, "Duplicate", node="grace", LR="2e-1")

    kinds = logs.kinds(tried(FIRST, coded(LR="0.2")))

    assert kinds == [Kind.NEW, Kind.UNDER_WAY, Kind.TRIED]


def test_what_was_given_back_or_failed_with_its_machine_is_no_repeat() -> None:
    logs = Logs()
    logs.claim("c1", 0, LR="0.2")
    logs.released("c1", 10)
    logs.claim("c2", 20, LR="0.2")
    logs.start("c2", 21, FIRST)
    logs.claim("c3", 150, LR="0.2")

    kinds = logs.kinds(tried(FIRST, coded(LR="0.2"), outcome=Outcome.TIMED_OUT))

    assert kinds == [Kind.NEW, Kind.NEW, Kind.NEW]


def test_the_same_file_from_another_parent_is_a_repeat_and_the_same_edit_is_told_apart() -> None:
    logs = Logs()
    logs.claim("c1", 0, LR="0.2")
    logs.start("c1", 1, FIRST)
    logs.claim("c2", 150, parent=FIRST, LR="0.1")
    logs.claim("c3", 160, DEPTH="3")
    logs.start("c3", 161, SECOND)
    logs.claim("c4", 300, "NeedsDistinction", parent=FIRST, DEPTH="3")
    logs.claim("c5", 310, parent=FIRST)

    kinds = logs.kinds(tried(FIRST, coded(LR="0.2")), tried(SECOND, coded(DEPTH="3"), ended_s=250))

    assert kinds == [Kind.NEW, Kind.TRIED, Kind.NEW, Kind.ELSEWHERE, Kind.UNREAD]


def test_what_was_trained_twice_is_found_by_file_and_by_edit() -> None:
    again = audit([BASELINE_TRIED, tried(FIRST, coded(LR="0.2")), tried(SECOND, coded(LR="0.20  # same"))])
    other = audit([BASELINE_TRIED, tried(FIRST, coded(LR="0.2")), tried(SECOND, coded(LR="0.3"))])
    base = audit([BASELINE_TRIED, tried(FIRST, coded(LR="1e-1"))])
    more = audit([BASELINE_TRIED, tried(FIRST, coded(LR="0.2"), runs=2)])

    assert [row["later"]["id"] for row in again["trained_twice_by_file"]] == [SECOND]
    assert [row["earlier"]["id"] for row in again["trained_twice_by_edit"]] == [FIRST]
    assert other["trained_twice_by_file"] == other["trained_twice_by_edit"] == []
    assert (other["files"], other["edits"]) == (2, 2)
    assert [row["id"] for row in base["same_as_the_baseline"]] == [FIRST]
    assert [row["id"] for row in more["explored_more_than_once"]] == [FIRST]


def test_repeats_on_purpose_and_after_a_fault_are_listed_apart() -> None:
    flag = "the same edit was tried, on the word of an owner that is not trusted so far: 01-first"
    first, second = tried(FIRST, coded(LR="0.2")), tried(SECOND, coded(LR="0.2"))
    asked_for = replace(second, summary=tried(SECOND, "", flags=(flag,)).summary)
    broken = tried(FIRST, coded(LR="0.2"), outcome=Outcome.TIMED_OUT)

    on_purpose, after_fault = (
        audit([BASELINE_TRIED, *found]) for found in ([first, asked_for], [broken, second])
    )

    assert not on_purpose["trained_twice_by_file"]
    assert [row["later"]["id"] for row in on_purpose["on_purpose"]] == [SECOND, SECOND]
    assert not after_fault["trained_twice_by_edit"]
    assert [row["later"]["id"] for row in after_fault["after_a_machines_fault"]] == [SECOND, SECOND]


def test_books_that_differ_say_in_what() -> None:
    logs = Logs()
    logs.claim("c1", 0, LR="0.2")
    logs.start("c1", 1, FIRST)
    logs.claim("c2", 2, "Duplicate", node="grace", LR="0.2")
    logs.nodes["grace"][-1]["answer"] = "Granted"
    logs.claim("c3", 3, LR="0.3")
    logs.nodes["ada"].pop()
    logs.claim("c4", 4, LR="0.4")
    logs.coordinator.pop()

    books = books_of(logs.coordinator, logs.nodes)
    otherwise = coded_otherwise(books.offers, [BASELINE_TRIED, tried(FIRST, coded(LR="0.3"))])

    assert (books.only_node, books.only_coordinator, books.contradicting) == (("c4",), ("c3",), ("c2",))
    assert books.refusals == 1
    assert otherwise == ["c1"]


def test_gaps_between_runs_are_read_from_a_nodes_log() -> None:
    marks = [("run began", 0), ("run ended", 10), ("result kept", 11), ("run began", 12.5), ("run ended", 20)]
    text = "no JSON\n" + "\n".join(
        json.dumps({"event": "state", "on": on, "timestamp": _stamp(at)}) for on, at in marks
    )

    gaps = gaps_of(lines_of(text + '\n{"cut": '))

    assert gaps == [2.5]


@pytest.mark.timeout(300)
def test_nodes_that_offer_the_same_edits_train_none_twice(
    tmp_path: Path, challenge: Path, cache_dir: Path
) -> None:
    swarm = LocalSwarm(
        root=tmp_path,
        serve_options=("--challenge", str(challenge)),
        environment={"AUTORESEARCH_CACHE_DIR": str(cache_dir), "HOME": str(tmp_path)},
    )
    options = overlap.parsed(["--experiments", "6", "--nodes", "2", "--informed", "0", "--limit-s", "200"])

    report = overlap.drill(swarm, options)

    assert set(report["promises"].values()) == {True}, report
    assert report["node_exit_codes"] == {"ada": 0, "grace": 0}
    assert report["claims"]["offered"] > report["claims"]["granted"]
    assert _all_refused_or_asked(report["what_they_were"], Kind.TRIED, Kind.UNDER_WAY)


def _all_refused_or_asked(table: Mapping[str, Mapping[str, int]], *kinds: Kind) -> bool:
    answers: Sequence[str] = [answer for kind in kinds for answer in table.get(kind, ())]
    return bool(answers) and "started" not in answers
