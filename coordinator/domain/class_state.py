"""What a hardware class knows of its bests, frozen, with a text form that a store can keep.

Every code that nodes build on or fall back to is a ``Standing``: its candidate, the verification pairs
seen so far and the level of evidence that they add up to. Roles (working best, fallbacks, confirmed best,
baseline) are ids into one table of standings, so that a run counts once whatever roles its code has.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any, Literal

from autoresearch.challenge import HiddenGap
from autoresearch.evidence import pooled_spread
from autoresearch.model import (
    ExperimentId,
    HardwareClass,
    Level,
    NodeId,
    OwnerId,
    Purpose,
    SourceHash,
    WorkingBest,
)

SCHEMA = 4
"""Version of the text form; a reader refuses what it does not know. What older ones lack has defaults."""

SCHEMAS_READ = frozenset({1, 2, 3, 4})

RUNS_LIMIT = 64
"""Latest runs of one code that its mean is taken over; an interval gains nothing from more."""

GROUPS_LIMIT = 8
"""Control runs of this many past bests still inform the spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a challenge says about judging. ``prior_sd`` is what is believed of the spread before runs.

    ``hidden_gap`` is None where runs have no figure for it.
    """

    direction: Literal["lower", "higher"]
    prior_sd: float
    baseline_runs: int
    hidden_gap: HiddenGap | None = None

    def gain(self, score: float, reference: float) -> float:
        """How much better ``score`` is than ``reference``; positive is better whatever the direction."""
        return reference - score if self.direction == "lower" else score - reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A code that ran once. ``screen_score`` is that run's, which is never its score afterwards.

    ``size`` is its length in syntax nodes, 0 where that is not known. ``proposer_owner_id`` is the owner of
    whoever had the idea, where its runner took it from the queue.
    """

    experiment_id: ExperimentId
    source_hash: SourceHash
    parent_id: ExperimentId | None
    node_id: NodeId
    owner_id: OwnerId
    title: str
    screen_score: float
    size: int = 0
    proposer_owner_id: OwnerId | None = None

    def __post_init__(self) -> None:
        check_score(self.screen_score)

    @property
    def owners(self) -> frozenset[OwnerId]:
        """Whose it is: its runner's and its proposer's owner. Neither of them vouches for it."""
        named = (self.owner_id, self.proposer_owner_id)
        return frozenset(owner for owner in named if owner is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One verification pair that is asked for: unique per candidate, control, series and number.

    ``is_vote``: it belongs to the series of other voting owners, which alone can confirm. ``is_audit``: it is
    of a code that is decided, and tells of whoever runs it; the node sees no difference.
    """

    candidate_id: ExperimentId
    control_id: ExperimentId
    is_vote: bool
    number: int
    is_audit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A candidate's and its control's score with one seed on one node.

    ``holdout_gap`` is how much worse the candidate scored on the held-back validation. ``hidden_gap`` and
    ``control_hidden_gap`` are how much worse each predicted what no input showed it; None if not measured.
    """

    verification_id: str
    slot: Slot
    owner_id: OwnerId
    node_id: NodeId
    candidate_score: float
    control_score: float
    holdout_gap: float | None = None
    hidden_gap: float | None = None
    control_hidden_gap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """One run of a pair that waits for the other. ``score`` is None for a run that failed.

    ``is_deterministic`` tells a failure of the code from one of the machine.
    """

    verification_id: str
    slot: Slot
    purpose: Purpose
    owner_id: OwnerId
    node_id: NodeId
    score: float | None
    is_deterministic: bool = False
    holdout_gap: float | None = None
    hidden_gap: float | None = None

    def __post_init__(self) -> None:
        if self.purpose not in (Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL):
            raise ValueError(f"{self.purpose} is no half of a verification pair")
        if self.score is not None:
            check_score(self.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A code that nodes build on, or fall back to, with its evidence.

    ``control_id`` is the best that it has to beat. ``own_runs`` are its runs as a candidate,
    ``control_runs`` those as a control or as the baseline: only these inform the class's spread.
    ``failures`` are the verification ids of its failed runs. The passed rules are kept, because a
    decision that was taken at a look stays taken when the spread is estimated anew. ``left_out`` are owners
    whose votes contradict the others'. ``is_revealed``: its pairs may be shown although it is not confirmed.
    """

    candidate: Candidate
    level: Level
    since: datetime
    evidence_at: datetime
    control_id: ExperimentId | None = None
    pairs: tuple[Pair, ...] = ()
    failures: tuple[str, ...] = ()
    own_runs: tuple[float, ...] = ()
    control_runs: tuple[float, ...] = ()
    has_passed: bool = False
    has_passed_votes: bool = False
    confirmed_by: tuple[OwnerId, ...] = ()
    left_out: tuple[OwnerId, ...] = ()
    is_revealed: bool = False

    @property
    def is_sealed(self) -> bool:
        """True while nobody may be shown what its pairs say: another verifier could copy it."""
        return not self.is_revealed and self.level not in (Level.BASELINE, Level.CONFIRMED)

    @property
    def experiment_id(self) -> ExperimentId:
        """The experiment whose code this is."""
        return self.candidate.experiment_id

    @property
    def runs(self) -> tuple[float, ...]:
        """Every run that was not picked for being good."""
        return (*self.own_runs, *self.control_runs)

    @property
    def mean(self) -> float:
        """Its score: the mean of its runs, or the screening run while there is no other."""
        return math.fsum(self.runs) / len(self.runs) if self.runs else self.candidate.screen_score


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallGain:
    """A code that the rule dropped although it gained on average over its pairs."""

    experiment_id: ExperimentId
    parent_id: ExperimentId
    title: str
    mean_gain: float
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What checks have shown of an owner: agreements since its last strike, strikes, and candour.

    ``invented`` counts its own candidates whose screening run verification contradicts beyond luck.
    """

    owner_id: OwnerId
    agreed: int = 0
    strikes: int = 0
    candour: float = 0.0
    invented: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A code whose votes are decided, with the gains that agreed: what audits are checked against.

    ``audited`` are the owners who were asked about it since.
    """

    candidate_id: ExperimentId
    source_hash: SourceHash
    control_id: ExperimentId
    gains: tuple[tuple[OwnerId, float], ...]
    audited: tuple[OwnerId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassState:
    """All that promotion needs to know of one hardware class.

    ``fallback_ids``: what to return to when the working best is refuted, the next one last.
    ``baseline_slots``: numbers of the baseline runs that are in; each counts once. ``former`` are the
    confirmed bests before the present one, the latest last. ``verification_runs`` count those of pairs,
    audits among them.
    """

    hardware_class: HardwareClass
    standings: Mapping[ExperimentId, Standing] = field(default_factory=dict)
    working_id: ExperimentId | None = None
    baseline_id: ExperimentId | None = None
    confirmed_id: ExperimentId | None = None
    fallback_ids: tuple[ExperimentId, ...] = ()
    waiting: tuple[Candidate, ...] = ()
    halves: tuple[Half, ...] = ()
    past_groups: tuple[tuple[float, ...], ...] = ()
    baseline_slots: frozenset[int] = frozenset()
    baseline_failures: tuple[NodeId, ...] = ()
    small_gains: tuple[SmallGain, ...] = ()
    former: tuple[Standing, ...] = ()
    decided: tuple[Decided, ...] = ()
    trust: tuple[Trust, ...] = ()
    verification_runs: int = 0
    audit_runs: int = 0

    @property
    def working(self) -> Standing | None:
        """What the class builds on."""
        return self.standings[self.working_id] if self.working_id else None

    @property
    def baseline(self) -> Standing | None:
        """The challenge's own code, once it has run."""
        return self.standings[self.baseline_id] if self.baseline_id else None

    @property
    def confirmed(self) -> Standing | None:
        """What the class calls its best."""
        return self.standings[self.confirmed_id] if self.confirmed_id else None

    @property
    def anchor_id(self) -> ExperimentId | None:
        """What voters compare against: the confirmed best, before there is one the baseline."""
        return self.confirmed_id or self.baseline_id

    def spread(self, rules: Rules) -> float:
        """The standard deviation of a rerun, never taken from a candidate's own runs."""
        groups = [standing.control_runs for standing in self.standings.values()]
        return pooled_spread([*groups, *self.past_groups], prior_sd=rules.prior_sd)

    def is_open(self, rules: Rules) -> bool:
        """True once the baseline has run often enough to screen against."""
        return self.baseline is not None and len(self.baseline.control_runs) >= rules.baseline_runs


def check_score(score: float) -> None:
    """Refuses what no run can have scored.

    Raises:
        ValueError: it is not a finite number.
    """
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        raise ValueError(f"a score is a finite number, not {score!r}")


def working_best(standing: Standing, state: ClassState, rules: Rules) -> WorkingBest:
    """A standing as nodes and readers see it: a sealed one by its screening run."""
    candidate, is_sealed = standing.candidate, standing.is_sealed
    return WorkingBest(
        experiment_id=candidate.experiment_id,
        hardware_class=state.hardware_class,
        source_hash=candidate.source_hash,
        level=standing.level,
        mean=candidate.screen_score if is_sealed else standing.mean,
        runs=1 if is_sealed else max(1, len(standing.runs)),
        spread=state.spread(rules),
        since=standing.since,
        confirmed_by=standing.confirmed_by,
        title=candidate.title,
        node_id=candidate.node_id,
    )


def dump_state(state: ClassState) -> str:
    """The state as JSON text."""
    document = _fields(state)
    document["baseline_slots"] = sorted(state.baseline_slots)
    document["standings"] = list(state.standings.values())
    return json.dumps({"schema": SCHEMA, **document}, default=_encode, separators=(",", ":"))


def load_state(text: str, hardware_class: HardwareClass) -> ClassState:
    """The state from its text; empty text is a class that has not been seen.

    Raises:
        ValueError: the text is of another schema or another class.
    """
    if not text:
        return ClassState(hardware_class=hardware_class)
    document = json.loads(text)
    if document.get("schema") not in SCHEMAS_READ:
        raise ValueError(f"class state has schema {document.get('schema')!r}; this build reads {SCHEMA}")
    if document["hardware_class"] != hardware_class:
        raise ValueError(f"class state is of {document['hardware_class']!r}, not of {hardware_class!r}")
    standings = [_standing(part) for part in document["standings"]]
    return ClassState(
        hardware_class=hardware_class,
        standings={standing.experiment_id: standing for standing in standings},
        working_id=document["working_id"],
        baseline_id=document["baseline_id"],
        confirmed_id=document["confirmed_id"],
        fallback_ids=tuple(document["fallback_ids"]),
        waiting=tuple(Candidate(**part) for part in document["waiting"]),
        halves=tuple(
            Half(**{**part, "slot": Slot(**part["slot"]), "purpose": Purpose(part["purpose"])})
            for part in document["halves"]
        ),
        past_groups=tuple(tuple(group) for group in document["past_groups"]),
        baseline_slots=frozenset(document["baseline_slots"]),
        baseline_failures=tuple(document["baseline_failures"]),
        small_gains=tuple(SmallGain(**part) for part in document.get("small_gains", ())),
        former=tuple(_standing(part) for part in document.get("former", ())),
        decided=tuple(_decided(part) for part in document.get("decided", ())),
        trust=tuple(Trust(**part) for part in document.get("trust", ())),
        verification_runs=document.get("verification_runs", 0),
        audit_runs=document.get("audit_runs", 0),
    )


def latest(runs: Sequence[float]) -> tuple[float, ...]:
    """The runs that are kept."""
    return tuple(runs[-RUNS_LIMIT:])


def _encode(value: object) -> str | dict[str, Any]:
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return _fields(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _fields(value: Any) -> dict[str, Any]:
    """One level of a dataclass; the encoder asks again for what is inside. ``asdict`` would copy it all."""
    return {one.name: getattr(value, one.name) for one in fields(value)}


def _decided(part: dict[str, Any]) -> Decided:
    gains = tuple((OwnerId(owner), gain) for owner, gain in part["gains"])
    return Decided(**{**part, "gains": gains, "audited": tuple(part["audited"])})


def _pairs(parts: list[dict[str, Any]]) -> tuple[Pair, ...]:
    return tuple(Pair(**{**part, "slot": Slot(**part["slot"])}) for part in parts)


def _standing(document: dict[str, Any]) -> Standing:
    return Standing(
        candidate=Candidate(**document["candidate"]),
        level=Level(document["level"]),
        since=datetime.fromisoformat(document["since"]),
        evidence_at=datetime.fromisoformat(document["evidence_at"]),
        control_id=document["control_id"],
        pairs=_pairs(document["pairs"]),
        failures=tuple(document["failures"]),
        own_runs=tuple(document["own_runs"]),
        control_runs=tuple(document["control_runs"]),
        has_passed=document["has_passed"],
        has_passed_votes=document["has_passed_votes"],
        confirmed_by=tuple(document["confirmed_by"]),
        left_out=tuple(document.get("left_out", ())),
        is_revealed=document.get("is_revealed", False),
    )
