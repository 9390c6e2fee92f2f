"""What each RPC asks, as values: one class per request that carries anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.model import (
    ChallengeId,
    ClaimId,
    Experiment,
    ExperimentId,
    ExperimentQuery,
    Hardware,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Insight,
    InsightQuery,
    OwnerId,
    Position,
    Result,
    SearchQuery,
    SourceHash,
    Usage,
    WatchScope,
)

SWARM_SERVICE = "/autoresearch.v1.SwarmService/"
IDEA_SERVICE = "/autoresearch.v1.IdeaService/"
LEADERBOARD_SERVICE = "/autoresearch.v1.LeaderboardService/"
ADMIN_SERVICE = "/autoresearch.v1.AdminService/"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolCall:
    """Binds a key; ``token`` is empty for open enrolment."""

    public_key: bytes
    token: str
    name: str
    consent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectCall:
    """Opens a session; ``challenge`` is a name, an id, or empty for the first. No hardware: a proposer."""

    protocol_min: int
    protocol_max: int
    challenge: str
    hardware: Hardware | None
    node_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatCall:
    """Renews leases."""

    challenge_id: ChallengeId
    claim_ids: Sequence[ClaimId]
    activity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTaskCall:
    """Asks for work. A class is named by nodes without hardware; None leaves it to the coordinator."""

    challenge_id: ChallengeId
    can_propose: bool
    can_train: bool
    hardware_class: HardwareClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCall:
    """Asks whether words may be tried."""

    challenge_id: ChallengeId
    claim_id: ClaimId
    hypothesis: Hypothesis
    parent_id: ExperimentId
    queued_claim_id: ClaimId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCall:
    """Asks whether code may be run."""

    challenge_id: ChallengeId
    claim_id: ClaimId
    fencing_token: int
    experiment_id: ExperimentId
    source: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseCall:
    """Gives a claim back."""

    challenge_id: ChallengeId
    claim_id: ClaimId
    fencing_token: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishCall:
    """Brings a result; ``experiment`` and ``source`` where the coordinator may not have them."""

    challenge_id: ChallengeId
    result: Result
    experiment: Experiment | None = None
    source: bytes | None = None
    claim_id: ClaimId | None = None
    fencing_token: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GetBestCall:
    """Asks for a working best; no class means the caller's."""

    challenge_id: ChallengeId
    hardware_class: HardwareClass | None = None
    known_source_hash: SourceHash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCall:
    """Asks for events after a position; None means from now."""

    challenge_id: ChallengeId
    scope: WatchScope
    after: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListExperimentsCall:
    """A page of experiments; ``challenge`` is a name, an id, or empty for the first."""

    challenge: str
    query: ExperimentQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class GetExperimentCall:
    """``experiment`` is a full id, or a beginning or ending that only one id has."""

    challenge: str
    experiment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSourceCall:
    """One of the two names the code."""

    challenge: str
    experiment: str | None = None
    source_hash: SourceHash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetProgressCall:
    """No class means every class."""

    challenge: str
    hardware_class: HardwareClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareCall:
    """2 to 8 experiments."""

    challenge: str
    experiments: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCall:
    """Looks for experiments; ``challenge`` is a name, an id, or empty for the first."""

    challenge: str
    query: SearchQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposeCall:
    """Puts an idea into the queue. ``parent`` is what ``source`` is an edit of, ``usage`` what it cost."""

    challenge_id: ChallengeId
    hypothesis_id: HypothesisId
    hypothesis: Hypothesis
    source: bytes | None = None
    origin: ExperimentId | None = None
    priority: int = 0
    parent: ExperimentId | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawCall:
    """Takes a waiting idea back."""

    challenge_id: ChallengeId
    hypothesis_id: HypothesisId


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareInsightCall:
    """Shares a lesson."""

    challenge_id: ChallengeId
    insight: Insight


@dataclass(frozen=True, slots=True, kw_only=True)
class ListInsightsCall:
    """Asks for lessons; ``challenge`` is a name, an id, or empty for the first."""

    challenge: str
    query: InsightQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class ListProgramsCall:
    """Asks for programs and what came of them; no class means every class."""

    challenge: str
    hardware_class: HardwareClass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProgramCall:
    """Sets the swarm's program.md."""

    challenge: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTokenCall:
    """None is no limit, and never."""

    owner_id: OwnerId
    uses: int | None = None
    expires_in_s: float | None = None
