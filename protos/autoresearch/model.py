"""The words of the swarm as frozen values: what nodes, coordinator and readers all speak of.

Nothing here does I/O and nothing knows the wire format (``codec`` does). Timestamps are aware UTC,
durations are seconds, sizes are named by their unit.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NewType

from autoresearch.attestation import Attestation

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1
"""The range of wire protocols that this build speaks; Connect picks the highest both sides know."""

SOURCE_LIMIT_BYTES = 64 * 1024
LOG_TAIL_LIMIT_BYTES = 8 * 1024
CURVE_LIMIT_POINTS = 128
TITLE_LIMIT_CHARS = 200
RATIONALE_LIMIT_CHARS = 4_000
CHANGES_LIMIT = 64
INSIGHT_LIMIT_CHARS = 1_000
EVIDENCE_LIMIT = 8
PROGRAM_LIMIT_BYTES = 32 * 1024
PRIORITY_MAX = 9
CHANGE_TEXT_LIMIT_CHARS = 1_000
METRICS_LIMIT = 32
NEAREST_LIMIT = 8
NAME_LIMIT_CHARS = 120

ChallengeId = NewType("ChallengeId", str)
NodeId = NewType("NodeId", str)
OwnerId = NewType("OwnerId", str)
ClaimId = NewType("ClaimId", str)
ExperimentId = NewType("ExperimentId", str)
HypothesisId = NewType("HypothesisId", str)
InsightId = NewType("InsightId", str)
ProgramHash = NewType("ProgramHash", str)
ResultId = NewType("ResultId", str)
SourceHash = NewType("SourceHash", str)
HardwareClass = NewType("HardwareClass", str)


class TimeOrderedIds:
    """UUIDv7 texts that never go back within one process (RFC 9562, 6.2 method 1; thread-safe).

    Nodes make experiment and result ids themselves, so that what was done alone keeps its name when it
    is published later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> str:
        with self._lock:
            # 48 bits of milliseconds and 12 bits of sub-millisecond counter make one sortable number.
            stamp = max(self._last + 1, (time.time_ns() // 1_000_000) << 12)
            self._last = stamp
        value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
        value |= 0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2
        return str(uuid.UUID(int=value))


new_id = TimeOrderedIds()


def is_time_ordered_id(text: str) -> bool:
    """True for the canonical text of a UUIDv7."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return False
    return value.version == 7 and str(value) == text  # noqa: PLR2004


def utc_now() -> datetime:
    """The wall clock as an aware UTC time; injected wherever a decision depends on it."""
    return datetime.now(UTC)


class MechanismOp(StrEnum):
    """What happens to a mechanism."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantChange:
    """One constant of ``train.py`` gets another value; values are source text such as ``2**18``."""

    name: str
    new: str
    old: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MechanismChange:
    """A part of ``train.py`` is added, removed or replaced."""

    op: MechanismOp
    what: str
    where: str = ""


Change = ConstantChange | MechanismChange


class Intent(StrEnum):
    """Why an edit is tried: something new, or on purpose what was tried before."""

    NEW = "new"
    RETEST = "retest"
    REBASE = "rebase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """One idea in words.

    ``distinction`` says why it differs from a near match after the coordinator asked. ``program_hash`` is of
    the program.md that its proposer went by; None where it had none.
    """

    title: str
    rationale: str = ""
    changes: tuple[Change, ...] = ()
    intent: Intent = Intent.NEW
    distinction: str = ""
    agent: str = ""
    program_hash: ProgramHash | None = None


class Outcome(StrEnum):
    """How one run ended."""

    COMPLETED = "completed"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"


class Purpose(StrEnum):
    """Why a run was made."""

    EXPLORE = "explore"
    BASELINE = "baseline"
    VERIFY_CANDIDATE = "verify_candidate"
    VERIFY_CONTROL = "verify_control"


class Level(StrEnum):
    """The evidence behind a class's working best, weakest first.

    ``BASELINE``: nothing has beaten the start. ``PROVISIONAL``: one run passed the screen.
    ``SELF_REPLICATED``: the verification rule passed without another owner. ``ONE_OWNER`` and
    ``CONFIRMED``: with one, with two or more other owners. Only ``CONFIRMED`` is called best.
    """

    BASELINE = "baseline"
    PROVISIONAL = "provisional"
    SELF_REPLICATED = "self-replicated"
    ONE_OWNER = "one-owner"
    CONFIRMED = "confirmed"


class ExperimentState(StrEnum):
    """Where an experiment stands in its hardware class."""

    RUNNING = "running"
    COMPLETED = "completed"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    REJECTED = "rejected"
    LOST = "lost"
    CANDIDATE = "candidate"
    REFUTED = "refuted"
    BEST = "best"
    SUPERSEDED = "superseded"


class VramTier(StrEnum):
    """Which configurations fit: up to 16, 24, 48 GB, or more."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    XL = "xl"


def vram_tier(memory_mb: float) -> VramTier:
    """The tier of an accelerator with ``memory_mb`` of memory."""
    for limit_gb, tier in ((16, VramTier.SMALL), (24, VramTier.MEDIUM), (48, VramTier.LARGE)):
        # A "24 GB" card reports up to 24.6 GiB-ish and never much more than its name.
        if memory_mb <= limit_gb * 1024 * 1.03:
            return tier
    return VramTier.XL


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a run was made on; ``hardware_class`` is what scores are compared within."""

    hardware_class: HardwareClass
    device_kind: str
    device_name: str
    memory_mb: float
    torch_version: str
    device_count: int = 1

    @property
    def tier(self) -> VramTier:
        """The VRAM tier."""
        return vram_tier(self.memory_mb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an agent spent. Tokens are as the model's own interface counts them.

    ``input_tokens`` were read at the full price; what came from a cache or went into one is apart.
    ``is_estimate``: a count or a price is reckoned, and not told by whoever charges for it. ``seconds`` is
    the time that the agent took.
    """

    model: str = ""
    calls: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    is_estimate: bool = False
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """All tokens, read and written."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        models = dict.fromkeys(name for name in f"{self.model},{other.model}".split(",") if name)
        return Usage(
            model=",".join(models),
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            is_estimate=self.is_estimate or other.is_estimate,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A hypothesis with its code. ``parents``: base first, then others by role; empty for a baseline.

    ``proposer_id`` and ``proposer_owner_id`` say whose idea it was, where the node that ran it picked it
    from the queue, and ``idea_usage`` what an agent had spent on it by then.
    """

    experiment_id: ExperimentId
    challenge_id: ChallengeId
    hypothesis: Hypothesis
    source_hash: SourceHash
    parents: tuple[ExperimentId, ...]
    node_id: NodeId
    owner_id: OwnerId
    hardware_class: HardwareClass
    created_at: datetime
    flags: tuple[str, ...] = ()
    proposer_id: NodeId | None = None
    proposer_owner_id: OwnerId | None = None
    idea_usage: Usage | None = None

    @property
    def parent(self) -> ExperimentId | None:
        """The experiment that the edit starts from; None for the baseline."""
        return self.parents[0] if self.parents else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run's outcome and evidence. Metrics are named and finite; the challenge says which one counts.

    ``attestation`` is None where no harness came so far as to say anything; ``usage`` is what the agent spent
    on the experiment so far, None where none worked on it.
    """

    result_id: ResultId
    experiment_id: ExperimentId
    challenge_id: ChallengeId
    node_id: NodeId
    owner_id: OwnerId
    outcome: Outcome
    purpose: Purpose
    metrics: Mapping[str, float]
    seed: int
    hardware: Hardware
    code_hash: SourceHash
    harness_version: str
    started_at: datetime
    finished_at: datetime
    reason: str = ""
    crash_kind: str = ""
    log_tail: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    attestation: Attestation | None = None
    verification_id: str = ""
    is_late: bool = False
    published_at: datetime | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentSummary:
    """An experiment as listings, agents and the leaderboard see it.

    ``score`` is the mean over its ``runs`` completed runs in its class, None without one;
    ``interval`` is the half-width of its 95 % interval in the metric's unit (from the class's spread).
    ``delta`` is score minus its parent's mean, as it is known now (negative is better where lower is better).
    ``sealed_runs`` are verification runs that are in and not shown before the code is decided. ``usage`` is
    what agents spent on it, all its runs together.
    """

    experiment: Experiment
    state: ExperimentState
    score: float | None
    interval: float | None
    runs: int
    delta: float | None
    level: Level | None
    confirmed_by: tuple[OwnerId, ...] = ()
    reason: str = ""
    sealed_runs: int = 0
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMatch:
    """A tried experiment near to what was asked, with how it went."""

    experiment_id: ExperimentId
    title: str
    state: ExperimentState
    score: float | None
    delta: float | None
    same_parent: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobTrial:
    """What the class knows of one value of a constant."""

    knob: str
    value: str
    trials: int
    best_delta: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What every answer to a claim brings: nearest tried experiments and the history of its knobs."""

    nearest: tuple[NearMatch, ...] = ()
    knobs: tuple[KnobTrial, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A node's hold on a claim until ``expires_at`` by the server's clock; the token fences late writers."""

    claim_id: ClaimId
    fencing_token: int
    expires_at: datetime
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The claim is yours."""

    lease: Lease
    advice: Advice = Advice()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """The same edit was tried, or is being tried; ``match`` says which and how it went."""

    match: NearMatch
    level: str
    advice: Advice = Advice()


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsDistinction:
    """Close to something tried: claim again and say why yours differs, or pick another."""

    match: NearMatch
    question: str
    advice: Advice = Advice()


ClaimVerdict = Granted | Duplicate | NeedsDistinction


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRefused:
    """The code was judged and is a duplicate; the claim is released.

    ``question`` is set where it may be run again: claim it anew and say why in the distinction.
    """

    match: NearMatch
    level: str
    question: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Go and train with the seeds that the coordinator drew after it had the code's hash.

    ``flags`` say where the words do not match the code.
    """

    lease: Lease
    seed: int
    val_seed: int
    flags: tuple[str, ...] = ()


StartVerdict = Started | StartRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingBest:
    """What the nodes of a class build on.

    ``mean`` and ``runs`` come from verification runs once these are shown, before that from the
    screening run; ``spread`` is the class's standard deviation of a rerun.
    """

    experiment_id: ExperimentId
    hardware_class: HardwareClass
    source_hash: SourceHash
    level: Level
    mean: float
    runs: int
    spread: float
    since: datetime
    confirmed_by: tuple[OwnerId, ...] = ()
    title: str = ""
    node_id: NodeId = NodeId("")


@dataclass(frozen=True, slots=True, kw_only=True)
class BestChange:
    """One line of a class's history of working bests.

    ``holdout_gap`` is how much worse the best scores on the held-back validation than on the public one, in
    the metric's unit; set at a confirmation whose verification runs measured it. A gap that grows from one
    best to the next is the swarm fitting its metric.
    """

    best: WorkingBest
    previous: ExperimentId | None
    reason: str
    at: datetime
    holdout_gap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreTask:
    """Propose an edit of ``parent`` and claim it."""

    parent: WorkingBest


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineTask:
    """Measure the challenge's own ``train.py``; ``lease`` holds the slot."""

    lease: Lease
    experiment_id: ExperimentId
    seed: int
    val_seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateTask:
    """One verification pair: run candidate and control with the seed that the coordinator drew.

    Both runs score the held-back text too, where the challenge has one.
    """

    lease: Lease
    verification_id: str
    candidate_id: ExperimentId
    control_id: ExperimentId
    seed: int
    val_seed: int


class IdeaKind(StrEnum):
    """What is to be done with an idea that comes without code, or how its code was made.

    ``REBASE``: move a gain that was made on an older parent onto the present one. ``COMBINE``: merge the
    edits of several gains. ``ABLATE``: take an edit out, to see whether it is dead weight.
    """

    FREE = "free"
    REBASE = "rebase"
    COMBINE = "combine"
    ABLATE = "ablate"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedTask:
    """Claim this waiting hypothesis, with or without code, starting from ``parent``.

    Without code, ``kind`` says what is to be done with the edits of the experiments ``material_ids``.
    """

    lease: Lease
    hypothesis_id: HypothesisId
    hypothesis: Hypothesis
    parent: WorkingBest
    source_hash: SourceHash | None
    kind: IdeaKind = IdeaKind.FREE
    material_ids: tuple[ExperimentId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleTask:
    """Nothing to do for this node; ask again later."""

    retry_after_s: float
    reason: str


Task = ExploreTask | BaselineTask | ReplicateTask | QueuedTask | IdleTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the store's event stream stands; an older position or another epoch means: offer again."""

    epoch: int
    stream_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The acknowledgement of a result that is on disk."""

    result_id: ResultId
    position: Position
    is_repeat: bool
    is_late: bool
    state: ExperimentState
    best: WorkingBest | None


class EventKind(StrEnum):
    """What happened."""

    CLAIMED = "claimed"
    RELEASED = "released"
    EXPIRED = "expired"
    STARTED = "started"
    PUBLISHED = "published"
    BEST_CHANGED = "best_changed"
    NODE_JOINED = "node_joined"
    PROPOSED = "proposed"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the stream; ids are those of the entities concerned, empty where none is."""

    position: Position
    kind: EventKind
    at: datetime
    hardware_class: HardwareClass = HardwareClass("")
    experiment_id: ExperimentId | None = None
    node_id: NodeId = NodeId("")
    text: str = ""
    best: WorkingBest | None = None


class WatchScope(StrEnum):
    """``NODE``: bests of one class. ``FEED``: everything, for the web and replicas."""

    NODE = "node"
    FEED = "feed"


ACTIVITY_STOPPED = "stopped"
"""What a node says it is doing when it leaves; anything else is for readers only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One worker process with its own key, what it is doing, and what the leaderboard credits it with.

    ``ideas_run``: experiments that other nodes ran of its ideas.
    """

    node_id: NodeId
    owner_id: OwnerId
    name: str
    public_key: bytes
    hardware_class: HardwareClass
    enrolled_at: datetime
    last_seen_at: datetime
    has_vote: bool
    results: int = 0
    train_s: float = 0.0
    bests: int = 0
    is_banned: bool = False
    activity: str = ""
    ideas_run: int = 0

    def is_active(self, since: datetime) -> bool:
        """True if it was heard of since then, and neither left nor was banned."""
        return self.last_seen_at >= since and self.activity != ACTIVITY_STOPPED and not self.is_banned


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassStatus:
    """One hardware class at a glance."""

    hardware_class: HardwareClass
    best: WorkingBest | None
    confirmed: WorkingBest | None
    baseline_mean: float | None
    baseline_runs: int
    spread: float
    experiments: int
    verifying: ExperimentId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmStatus:
    """One challenge of a coordinator at a glance."""

    challenge_id: ChallengeId
    challenge_name: str
    metric_name: str
    direction: str
    classes: Sequence[ClassStatus]
    global_best: WorkingBest | None
    experiments: int
    results: int
    live_claims: int
    queued: int
    nodes_live: int
    nodes: int
    duplicates_stopped: int
    position: Position
    store: str
    is_read_only: bool
    version: str
    uptime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobRow:
    """Side by side: one constant over several experiments; None where one lacks it."""

    name: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Experiments side by side with the constants in which they differ."""

    experiments: tuple[ExperimentSummary, ...]
    knobs: tuple[KnobRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    """A hypothesis that waits for a node, with its code or without.

    ``parents`` are what its code was made on: one experiment or, of a bundle, its base first, then those
    whose edits are merged onto it. Without any it is tried on what whoever runs it builds on. ``usage`` is
    what its proposer's agent spent.
    ``material_ids`` are the experiments whose edits it is about, as its kind says. ``priority`` is 0 to 9,
    the higher the sooner.
    """

    hypothesis_id: HypothesisId
    hypothesis: Hypothesis
    node_id: NodeId
    proposed_at: datetime
    origin_experiment_id: ExperimentId | None = None
    source_hash: SourceHash | None = None
    parents: tuple[ExperimentId, ...] = ()
    kind: IdeaKind = IdeaKind.FREE
    priority: int = 0
    material_ids: tuple[ExperimentId, ...] = ()
    owner_id: OwnerId | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """A lesson in prose, with the experiments that it was learned from. Written by a stranger: data."""

    insight_id: InsightId
    challenge_id: ChallengeId
    text: str
    experiment_ids: tuple[ExperimentId, ...]
    node_id: NodeId
    owner_id: OwnerId
    hardware_class: HardwareClass
    agent: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightQuery:
    """Which insights; None and empty filter nothing, and without a text the newest come first."""

    text: str = ""
    hardware_class: HardwareClass | None = None
    experiment_id: ExperimentId | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program.md of the swarm; ``version`` 0 is the challenge's own. An empty text was not asked for."""

    program_hash: ProgramHash
    text: str
    version: int
    note: str = ""
    set_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRow:
    """What came of the experiments that went by one program.

    ``bests`` became a working best of their class; ``best_delta`` is the best score minus its parent's.
    A program that only volunteers have has no text and no version here.
    """

    program: Program
    is_current: bool
    experiments: int
    completed: int
    bests: int
    best_delta: float | None
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An enrolment token's record; ``uses_left`` is None for no limit. Its text is never kept."""

    token_id: str
    owner_id: OwnerId
    uses_left: int | None
    created_at: datetime
    expires_at: datetime | None = None
    is_revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Who answers at an address."""

    version: str
    protocol_min: int
    protocol_max: int
    server_time: datetime
    challenges: tuple[ChallengeText, ...]
    is_enrolment_open: bool
    terms: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeText:
    """A challenge as it travels: three texts from which either side rebuilds it and checks the id."""

    challenge_id: ChallengeId
    name: str
    manifest_toml: str
    baseline_source: str
    program_md: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Who the coordinator says a key is."""

    node_id: NodeId
    owner_id: OwnerId
    has_vote: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What Connect agreed on."""

    protocol: int
    challenge: ChallengeText
    position: Position
    lease_ttl_s: float
    heartbeat_interval_s: float
    owner_id: OwnerId
    best: WorkingBest | None
    program: Program | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The answer to a heartbeat."""

    position: Position
    renewed: tuple[Lease, ...]
    lost: tuple[ClaimId, ...]
    best_experiment_id: ExperimentId | None
    program_hash: ProgramHash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPage:
    """One page of a listing; ``next_cursor`` is empty at the end."""

    experiments: tuple[ExperimentSummary, ...]
    next_cursor: str
    total: int


class ExperimentOrder(StrEnum):
    """How a listing is ordered."""

    BEST = "best"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentQuery:
    """What a listing shows; None and empty filter nothing."""

    hardware_class: HardwareClass | None = None
    state: ExperimentState | None = None
    node_id: NodeId | None = None
    text: str = ""
    order: ExperimentOrder = ExperimentOrder.BEST
    limit: int = 50
    cursor: str = ""


class SearchBasis(StrEnum):
    """What a search compared: what texts mean, or the words they share."""

    MEANING = "meaning"
    WORDS = "words"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What is looked for; None filters nothing."""

    text: str
    hardware_class: HardwareClass | None = None
    state: ExperimentState | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMatch:
    """A found experiment; ``similarity`` is up to 1."""

    summary: ExperimentSummary
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFindings:
    """What was found, nearest first, and by what."""

    matches: tuple[SearchMatch, ...]
    basis: SearchBasis
