"""What became of every idea that the nodes of a drill offered, and whether anything was trained twice.

Two books are read. The coordinator's log has a line for each claim and each start that it answered; those of
the nodes have what they offered under the same claim ids. What was truly a repeat is worked out here from the
offered constants and the stored sources: the code that an offer comes to is built on its parent, and
signatures of code are all that is compared. Of the coordinator's answers only the grants, and when they were
made, have a part in that.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from itertools import combinations, pairwise
from statistics import median
from typing import Any

from autoresearch.edits import EditError, edit_signature, file_signature
from autoresearch.model import (
    ClaimId,
    ExperimentId,
    ExperimentState,
    ExperimentSummary,
    HardwareClass,
    Purpose,
    Result,
)

from coordinator.domain.claims import Blocking, blocking_of
from coordinator.services.catalog import REPLICATES
from coordinator.services.starting import RUN_AGAIN
from node.agent.knobs import KnobError, set_knobs

CLAIM, START = "/Claim", "/Start"
"""How the methods end whose answers the coordinator's log tells."""

BEGAN, ENDED = "run began", "run ended"
"""What moves a node's state into training and out of it."""

REFUSALS = ("Duplicate", "StartRefused")
"""Answers that say no, unless they come with a question."""

ON_PURPOSE = (REPLICATES, RUN_AGAIN.partition("{")[0])
"""Flags of experiments that the coordinator knew to be repeats begin so."""

TWICE = (
    "trained_twice_by_file",
    "trained_twice_by_edit",
    "same_as_the_baseline",
    "explored_more_than_once",
)
"""Lists of an audit that have to be empty."""

NOT_RUN = frozenset({ExperimentState.RUNNING, ExperimentState.LOST})
NEVER = datetime.max.replace(tzinfo=UTC)

Line = Mapping[str, Any]


class Kind(StrEnum):
    """What an offer truly was when it was answered."""

    TRIED = "repeat of what was trained"
    UNDER_WAY = "repeat of what another claim holds"
    ELSEWHERE = "same edit as on another parent"
    NEW = "new"
    UNREAD = "not of constants alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An experiment as the coordinator stores it."""

    summary: ExperimentSummary
    results: tuple[Result, ...]
    source: str
    parent_source: str

    @property
    def experiment_id(self) -> ExperimentId:
        return self.summary.experiment.experiment_id

    @property
    def is_explored(self) -> bool:
        """True for an edit that was trained; a baseline is none."""
        return bool(self.summary.experiment.parents) and bool(self.explorations)

    @property
    def explorations(self) -> list[Result]:
        """Its runs but those of verifications."""
        return [one for one in self.results if one.purpose is Purpose.EXPLORE]

    @property
    def is_on_purpose(self) -> bool:
        """True where the coordinator knew that it repeats another."""
        return any(flag.startswith(ON_PURPOSE) for flag in self.summary.experiment.flags)

    @property
    def blocks(self) -> bool:
        """True where its outcome rules out a repeat; a machine's fault does not."""
        ended = [blocking_of(one.outcome, one.crash_kind) for one in self.explorations]
        return any(one is not Blocking.NEVER for one in ended)

    @property
    def ended_at(self) -> datetime:
        return min((one.finished_at for one in self.explorations), default=NEVER)

    @property
    def file_key(self) -> tuple[HardwareClass, str]:
        return self.summary.experiment.hardware_class, _file(self.source)

    @property
    def edit_key(self) -> tuple[HardwareClass, str, str]:
        """Equal for the same edit on the same parent."""
        return (*self.file_key[:1], _file(self.parent_source), _edit(self.parent_source, self.source))


@dataclass(slots=True, kw_only=True)
class Offer:
    """One claim: what the node offered, and what the coordinator said of it and of its code."""

    claim_id: ClaimId
    node: str
    parent: ExperimentId
    title: str
    constants: Mapping[str, str]
    is_queued: bool
    heard: str
    heard_at_start: str | None = None
    at: datetime = NEVER
    told: Line = field(default_factory=dict)
    started: Line = field(default_factory=dict)
    given_back_at: datetime = NEVER

    @property
    def is_granted(self) -> bool:
        return self.told.get("answer") == "Granted"

    @property
    def is_agreed(self) -> bool:
        """True where node and coordinator tell the same; a node that leaves may not hear of its start."""
        starts = {self.heard_at_start, self.started.get("answer")}
        return self.heard == self.told.get("answer") and len(starts - {None}) <= 1

    @property
    def answer(self) -> str:
        """What it came to, in the words of the report."""
        match self.told.get("answer"), self.started.get("answer"):
            case "Granted", "Started":
                return "started"
            case "Granted", "StartRefused":
                verb = "asked" if self.started["is_question"] else _refused(self.started)
                return f"{verb} at start"
            case "Granted", None:
                return "given back before its start"
            case "Duplicate", _:
                return _refused(self.told)
            case "NeedsDistinction", _:
                return "asked" if self.told["same_parent"] else "asked: same edit on another parent"
        return "not answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Both logs, claim by claim; ``contradicting`` are those of which they tell different things.

    ``refusals`` are all that the coordinator logged, of a repeated call too.
    """

    offers: tuple[Offer, ...]
    only_node: tuple[ClaimId, ...]
    only_coordinator: tuple[ClaimId, ...]
    contradicting: tuple[ClaimId, ...]
    refusals: int


def lines_of(text: str) -> Iterator[Line]:
    """The structured lines of a log."""
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the last line of a process that was killed
                continue


def books_of(coordinator: Iterable[Line], nodes: Mapping[str, Iterable[Line]]) -> Books:
    """The offers, in the order in which they were answered."""
    offers = {
        line["claim_id"]: _offer(node, line)
        for node, lines in nodes.items()
        for line in lines
        if line["event"] == "claim answered"
    }
    for line in (line for lines in nodes.values() for line in lines if line["event"] == "start answered"):
        offers[line["claim_id"]].heard_at_start = line["answer"]
    unknown, refusals = set[ClaimId](), 0
    for line in coordinator:
        if "claim" not in line:
            continue
        refusals += line.get("answer") in REFUSALS and not line.get("is_question")
        if (offer := offers.get(line["claim"])) is not None:
            _tell(offer, line)
        elif "answer" in line:
            unknown.add(line["claim"])
    answered = [one for one in offers.values() if one.told]
    return Books(
        offers=tuple(sorted(answered, key=lambda one: one.at)),
        only_node=tuple(sorted(one.claim_id for one in offers.values() if not one.told)),
        only_coordinator=tuple(sorted(unknown)),
        contradicting=tuple(one.claim_id for one in answered if not one.is_agreed),
        refusals=refusals,
    )


def kinds_of(offers: Sequence[Offer], tried: Sequence[Tried]) -> list[Kind]:
    """What each offer truly was when it was answered, by the code that it comes to.

    A claim that was granted before holds its code until its experiment has ended or it is given back.
    """
    known = {one.experiment_id: one for one in tried}
    ends = {
        file: one for one in reversed(tried) for file in [one.file_key] if one.blocks or not one.parent_source
    }
    held: list[tuple[datetime, datetime, tuple[HardwareClass, str]]] = []
    edits: dict[tuple[HardwareClass, str], list[tuple[datetime, str]]] = defaultdict(list)
    kinds = []
    for offer in offers:
        parent = known.get(offer.parent)
        code = _built(parent.source, offer.constants) if parent else None
        if parent is None or code is None:
            kinds.append(Kind.UNREAD)
            continue
        hardware_class = parent.file_key[0]
        file, edit = (hardware_class, _file(code)), (hardware_class, _edit(parent.source, code))
        settled = ends.get(file)
        if settled is not None and (not settled.parent_source or settled.ended_at <= offer.at):
            kinds.append(Kind.TRIED)
        elif any(since <= offer.at < until and one == file for since, until, one in held):
            kinds.append(Kind.UNDER_WAY)
        elif any(ended_at <= offer.at and on != _file(parent.source) for ended_at, on in edits[edit]):
            kinds.append(Kind.ELSEWHERE)
        else:
            kinds.append(Kind.NEW)
        if offer.is_granted:
            experiment = known.get(offer.started.get("experiment", ""))
            ended_at = experiment.ended_at if experiment else NEVER
            held.append((offer.at, min(ended_at, offer.given_back_at, _refused_at(offer)), file))
            if experiment is not None and experiment.explorations:
                edits[edit].append((ended_at, _file(parent.source)))
    return kinds


def coded_otherwise(offers: Sequence[Offer], tried: Sequence[Tried]) -> list[ClaimId]:
    """Claims that were started with other code than their constants come to."""
    known = {one.experiment_id: one for one in tried}
    found = []
    for offer in offers:
        parent, own = known.get(offer.parent), known.get(offer.started.get("experiment", ""))
        code = _built(parent.source, offer.constants) if parent else None
        if own is not None and code is not None and _file(code) != _file(own.source):
            found.append(offer.claim_id)
    return found


def audit(tried: Sequence[Tried]) -> dict[str, Any]:
    """Explored experiments of one class that are the same file, or the same edit of the same code.

    Repeats that the coordinator knew of and those of a run that failed for its machine are listed apart.
    """
    explored = sorted((one for one in tried if one.is_explored), key=lambda one: one.experiment_id)
    by_file, by_edit = defaultdict[Any, list[Tried]](list), defaultdict[Any, list[Tried]](list)
    for one in explored:
        by_file[one.file_key].append(one)
        by_edit[one.edit_key].append(one)
    baselines = {one.file_key for one in tried if not one.parent_source}
    twice: dict[str, list[dict[str, Any]]] = {"by_file": [], "by_edit": []}
    apart: dict[str, list[dict[str, Any]]] = {"on_purpose": [], "after_a_machines_fault": []}
    for name, groups in (("by_file", by_file), ("by_edit", by_edit)):
        for earlier, later in (pair for group in groups.values() for pair in combinations(group, 2)):
            row = {"earlier": _row(earlier), "later": _row(later), "same": name}
            if later.is_on_purpose:
                apart["on_purpose"].append(row)
            elif not earlier.blocks:
                apart["after_a_machines_fault"].append(row)
            else:
                twice[name].append(row)
    return {
        "explored": len(explored),
        "files": len(by_file),
        "edits": len(by_edit),
        "trained_twice_by_file": twice["by_file"],
        "trained_twice_by_edit": twice["by_edit"],
        "same_as_the_baseline": [_row(one) for one in explored if one.file_key in baselines],
        "explored_more_than_once": [_row(one) for one in explored if len(one.explorations) > 1],
        **apart,
    }


def answers_of(offers: Sequence[Offer], kinds: Sequence[Kind]) -> dict[str, dict[str, int]]:
    """How often an offer of each kind came to what."""
    table: dict[str, Counter[str]] = {kind: Counter() for kind in Kind}
    for offer, kind in zip(offers, kinds, strict=True):
        table[kind][offer.answer] += 1
    return {kind: dict(counted.most_common()) for kind, counted in table.items() if counted}


def by_node(
    offers: Sequence[Offer], kinds: Sequence[Kind], logs: Mapping[str, Sequence[Line]]
) -> dict[str, dict[str, Any]]:
    """What each node offered, how much of it was a repeat, and how long it trained nothing between runs."""
    rows: dict[str, dict[str, Any]] = {}
    for node, lines in logs.items():
        gaps = gaps_of(lines)
        own = [(one, kind) for one, kind in zip(offers, kinds, strict=True) if one.node == node]
        again = Counter((one.parent, *sorted(one.constants.items())) for one, _ in own if not one.is_granted)
        rows[node] = {
            "offered": len(own),
            "repeats": sum(kind in (Kind.TRIED, Kind.UNDER_WAY) for _, kind in own),
            "started": sum(one.answer == "started" for one, _ in own),
            "most_refusals_of_one_edit": max(again.values(), default=0),
            "most_refusals_in_a_row": _longest([not one.is_granted for one, _ in own]),
            "runs": sum(line["event"] == "result" for line in lines),
            "median_gap_s": round(median(gaps), 2) if gaps else None,
            "longest_gap_s": round(max(gaps), 2) if gaps else None,
        }
    return rows


def gaps_of(lines: Iterable[Line]) -> list[float]:
    """Seconds from the end of each of a node's runs to the start of its next, by its log."""
    marks = [line for line in lines if line["event"] == "state" and line["on"] in (BEGAN, ENDED)]
    return [
        (_time(later) - _time(earlier)).total_seconds()
        for earlier, later in pairwise(marks)
        if (earlier["on"], later["on"]) == (ENDED, BEGAN)
    ]


def _offer(node: str, line: Line) -> Offer:
    return Offer(
        claim_id=line["claim_id"],
        node=node,
        parent=line["parent"],
        title=line["title"],
        constants=line["constants"],
        is_queued=line["is_queued"],
        heard=line["answer"],
    )


def _tell(offer: Offer, line: Line) -> None:
    """What one line of the coordinator's says of a claim."""
    method = line.get("method", "")
    if line["event"] == "claim released":
        offer.given_back_at = min(offer.given_back_at, _time(line))
    elif method.endswith(CLAIM):
        offer.told, offer.at = line, _time(line)
    elif method.endswith(START):
        offer.started = line


def _refused(line: Line) -> str:
    is_held = line["state"] == ExperimentState.RUNNING
    return f"refused by {line['ground']}, " + ("another claim holds it" if is_held else "it was trained")


def _refused_at(offer: Offer) -> datetime:
    return _time(offer.started) if offer.started.get("answer") == "StartRefused" else NEVER


def _time(line: Line) -> datetime:
    return datetime.fromisoformat(line["timestamp"])


def _row(one: Tried) -> dict[str, Any]:
    experiment = one.summary.experiment
    return {
        "id": experiment.experiment_id,
        "title": experiment.hypothesis.title,
        "owner": experiment.owner_id,
        "parent": experiment.parent,
        "state": one.summary.state,
        "flags": experiment.flags,
    }


def _longest(refused: Iterable[bool]) -> int:
    longest = row = 0
    for is_refused in refused:
        row = row + 1 if is_refused else 0
        longest = max(longest, row)
    return longest


def _built(source: str, constants: Mapping[str, str]) -> str | None:
    """The code that an offer comes to; None where it is not constants that make it."""
    if not constants:
        return None
    try:
        return set_knobs(source, dict(constants))
    except KnobError:
        return None


@cache
def _file(source: str) -> str:
    return file_signature(source)


@cache
def _edit(parent_source: str, source: str) -> str:
    try:
        return edit_signature(parent_source, source).key
    except EditError as error:
        raise SystemExit(f"a stored source cannot be read: {error}") from error
