"""What the coordinator needs of a store, as small Protocols with their guarantees in prose.

Guarantees that every implementation gives, and one contract suite checks:

- **Every method that changes something is one atomic transition.** Two callers never both win, and a
  crash leaves either all of it or nothing. Time is the store's own clock and never goes back.
- **Fencing tokens** are unique and grow with every grant; the store's epoch is in their high bits
  (``token >> 32``). A new epoch starts when the store cannot promise that nothing was lost.
- **What is acknowledged is durable** to the degree of the store's fsync policy (embedded: every write).
- **Repeats are harmless:** claim by claim id, publish by result id, enrol by key, ideas and insights by id.
- **Each change appends its event in the same transition**, so an event is never seen before its effect
  nor lost after it.
- An unreachable store raises ``Unavailable``; a full disk raises ``ReadOnly``; nothing was decided.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from autoresearch.model import (
    BestChange,
    ClaimId,
    Event,
    Experiment,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    Hypothesis,
    HypothesisId,
    Idea,
    Insight,
    InsightId,
    Lease,
    Node,
    NodeId,
    OwnerId,
    Position,
    Program,
    ProgramHash,
    Result,
    ResultId,
    SourceHash,
    Token,
    WorkingBest,
)

READING_DIGESTS_LIMIT_BYTES = 255
"""Their length is kept in one byte."""

Direction = Literal["lower", "higher"]
"""Which way the challenge's metric is better."""


class KeyKind(StrEnum):
    """What a key stands for: a normalised file, an edit of a parent, stated changes, what free words are
    about, or a task's slot.
    """

    FILE = "file"
    EDIT = "edit"
    WORDS = "words"
    SUBJECT = "subject"
    SLOT = "slot"


@dataclass(frozen=True, slots=True, kw_only=True)
class EditKey:
    """One thing that at most one live claim of a hardware class may hold or, as one of a claim's
    ``subjects``, several that were compared with each other.

    ``digest`` is 32 hex digits that already cover the parent where the kind depends on it.
    """

    kind: KeyKind
    digest: str


class ClaimKind(StrEnum):
    """What a lease is for."""

    HYPOTHESIS = "hypothesis"
    BASELINE = "baseline"
    VERIFICATION = "verification"
    QUEUED = "queued"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """A lease that is asked for. ``keys`` are all taken or none.

    ``subjects`` are what it is about: other live claims may be about the same, once this one was compared
    with them.
    ``fingerprint`` tells a repeat of the same call (same answer) from another use of the id (refused).
    ``takes_over`` names a QUEUED lease of the same node that ends as this one begins; its keys pass to
    this claim, so that nobody else is handed the idea in between.
    ``note`` is kept with the claim and given back by ``get_claim`` (JSON text).
    """

    claim_id: ClaimId
    node_id: NodeId
    owner_id: OwnerId
    hardware_class: HardwareClass
    kind: ClaimKind
    keys: tuple[EditKey, ...]
    fingerprint: str
    subjects: tuple[EditKey, ...] = ()
    hypothesis: Hypothesis | None = None
    parent_id: ExperimentId | None = None
    takes_over: ClaimId | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """A live or expired-but-not-reaped claim."""

    request: ClaimRequest
    lease: Lease
    experiment_id: ExperimentId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHeld:
    """A live claim of another holds this key; ``experiment_id`` once it has started."""

    key: EditKey
    claim_id: ClaimId
    node_id: NodeId
    title: str
    experiment_id: ExperimentId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectsHeld:
    """Live claims of others are about the same, ``holders`` among them: compare with these and ask again."""

    holders: tuple[ClaimRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTried:
    """This key was tried by an experiment whose outcome blocks a repeat."""

    key: EditKey
    experiment_id: ExperimentId


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimIdTaken:
    """The claim id was used for another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyClaims:
    """The node holds ``live`` claims already."""

    live: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexBehind:
    """Nothing was written: an experiment of the class became known at ``position``, which the claim's judge
    had not seen. What was seen of another history counts for nothing, to a publication too: a store that was
    restored may have lost it.
    """

    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimGone:
    """The claim expired, was released, or belongs to another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentIdTaken:
    """The experiment id was used for other code or another claim."""


SUBJECTS_HELD_LIMIT = 32
"""Claims that SubjectsHeld names at a time."""

ClaimOutcome = Lease | KeyHeld | SubjectsHeld | KeyTried | ClaimIdTaken | TooManyClaims | IndexBehind
StartOutcome = Lease | KeyHeld | KeyTried | ClaimGone | ExperimentIdTaken


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What a heartbeat kept and what it could not."""

    renewed: tuple[Lease, ...]
    lost: tuple[ClaimId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """The bytes of a train.py and the source that it was edited from, for the delta."""

    source_hash: SourceHash
    text: bytes
    parent_hash: SourceHash | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReading:
    """What was read of an experiment's code and words. The store keeps it and asks nothing of it.

    ``rules`` numbers the rules that it was made by. ``digests`` are bytes that do not compress, at most
    ``READING_DIGESTS_LIMIT_BYTES``; ``texts`` are kept beside the experiment's own, which they resemble.
    """

    rules: int
    digests: bytes
    texts: tuple[str, ...] = ()


class ClaimStore(Protocol):
    """Leases and what they hold."""

    async def claim(
        self,
        request: ClaimRequest,
        *,
        ttl_s: float,
        max_live: int,
        memory_mb: float = 0.0,
        waived: Collection[ExperimentId] = (),
        seen: Position | None = None,
        compared: Collection[ClaimId] | None = (),
    ) -> ClaimOutcome:
        """Takes all keys or none. A key blocks while another's lease on it lives, or once tried
        (``Publication.blocks``; an out-of-memory entry blocks only claimants with no more memory than
        it had), but for what the ``waived`` experiments tried, whose outcomes do not bind this claimant.
        With ``seen``, the position up to which the judge knew the class's experiments, a claim that was
        judged without a later one is answered by IndexBehind.
        Live claims that hold one of its ``subjects`` and are not ``compared`` are answered by SubjectsHeld,
        ``SUBJECTS_HELD_LIMIT`` at a time; without any, or where ``compared`` is None and it meets nobody, it
        holds its subjects beside the others.
        A repeated call with the same id and fingerprint returns the same lease while it lives; after it
        has expired, the claim is judged anew. Judged in this order: the id, the number of the node's live
        claims, ``seen``, the keys, the subjects.
        """

    async def start(
        self,
        claim_id: ClaimId,
        fencing_token: int,
        *,
        keys: Sequence[EditKey],
        experiment: Experiment,
        source: NewSource,
        ttl_s: float,
        memory_mb: float = 0.0,
        waived: Collection[ExperimentId] = (),
        reading: StoredReading | None = None,
    ) -> StartOutcome:
        """Adds the code's keys to the claim, stores source and experiment (state RUNNING), renews. The
        ``reading`` is kept with the experiment.
        On KeyHeld or KeyTried the claim ends; what the ``waived`` experiments tried does not block, live
        leases do. Keys that the claim holds already are not judged again. Repeats return the lease.
        """

    async def get_claim(self, claim_id: ClaimId) -> ClaimRecord | None:
        """The claim, or None once it is gone."""

    async def release(self, claim_id: ClaimId, node_id: NodeId, fencing_token: int) -> bool:
        """Ends the claim; a started experiment still RUNNING becomes LOST. False if not held."""

    async def renew(self, node_id: NodeId, claim_ids: Sequence[ClaimId], *, ttl_s: float) -> Renewal:
        """Renews the node's own live claims."""

    async def reap(self, *, limit: int) -> tuple[ClaimRecord, ...]:
        """Ends up to ``limit`` expired claims, with an EXPIRED event each; started ones become LOST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """What a published outcome blocks from now on in its class.

    ``memory_mb`` is set for a run out of memory: only claimants with no more than that are blocked. Of two
    outcomes that block one key the wider stays, and of two alike the first.
    """

    keys: tuple[EditKey, ...]
    memory_mb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredClass:
    """A class's state as text of the domain's, with the version that updates compare against.

    Version 0 and empty text: the class has not been seen.
    """

    hardware_class: HardwareClass
    version: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassUpdate:
    """The class's next state, decided from ``seen_version``.

    ``marks`` set the states (and reasons) of experiments; ``changes`` go to the class's history in
    order, each with a BEST_CHANGED event and, when it brings an experiment other than the baseline to the
    top for the first time, a credit to its node. ``working`` and ``confirmed`` are what the class builds
    on and calls best afterwards; the store keeps the global best as the best confirmed of all classes,
    with a history of its own, in the same transition.
    """

    state: str
    marks: Mapping[ExperimentId, tuple[ExperimentState, str]] = field(default_factory=dict)
    changes: tuple[BestChange, ...] = ()
    working: WorkingBest | None = None
    confirmed: WorkingBest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One result on its way in, with all that it changes.

    ``experiment`` and ``source`` are given where the store may not know them; ``reading`` is kept with an
    experiment that is new by this publication. ``state`` is what the
    experiment becomes by this result, unless the class update marks it otherwise; None leaves it.
    ``ends_claim`` is False for the first run of a pair. ``settles`` takes an idea off the queue.
    ``needs_claim``: unless the claim lives under its token, the result is evidence alone, unscored:
    ``state``, ``blocks`` and ``update`` are left out. ``is_scored``: the run enters its experiment's score.
    ``proposer`` had the idea that another node has run: it gets the credit for it as the claim ends.
    ``seen`` is the position up to which the experiments were known that all this was decided by: of another
    history, it is answered by IndexBehind.
    """

    result: Result
    seen_version: int
    claim_id: ClaimId | None
    fencing_token: int
    ends_claim: bool = True
    needs_claim: bool = False
    is_scored: bool = True
    experiment: Experiment | None = None
    reading: StoredReading | None = None
    source: NewSource | None = None
    state: ExperimentState | None = None
    reason: str = ""
    blocks: Blocks | None = None
    update: ClassUpdate | None = None
    settles: HypothesisId | None = None
    proposer: NodeId | None = None
    train_s: float = 0.0
    seen: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The result is in. ``is_late``: a claim was named and no longer held; kept as evidence."""

    position: Position
    is_repeat: bool
    is_late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleClass:
    """The class has moved on since ``seen_version``: decide again from ``current``. Nothing was written."""

    current: StoredClass


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultIdTaken:
    """The result id was used for another result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownExperiment:
    """The store does not know the experiment and the publication does not bring it."""


PublishOutcome = Accepted | StaleClass | ResultIdTaken | UnknownExperiment | IndexBehind


class PublishStore(Protocol):
    """Results and what they decide."""

    async def publish(self, publication: Publication) -> PublishOutcome:
        """Checks, in this order: repeat of the result id (accepted, nothing written, whatever the class's
        version), id taken, ``seen``, experiment known, class version. Then writes the result, the source, the
        experiment, blocks, the class update, credit to the node, the events; ends the claim.
        A late result (claim lost) writes the same but takes no keys from a live holder.
        """

    async def get_class(self, hardware_class: HardwareClass) -> StoredClass:
        """The class's present state; version 0 where it has not been seen."""

    async def list_classes(self) -> tuple[StoredClass, ...]:
        """Every class that has a state."""

    async def update_class(
        self, hardware_class: HardwareClass, seen_version: int, update: ClassUpdate
    ) -> StoredClass | None:
        """A class update without a result (an operator's, or an owner who went away). None when done,
        else the present state to decide from again.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRecord:
    """An experiment with its present state and the results that are in.

    ``unscored`` are those of the results that are evidence alone. ``reading`` is what was kept of its code
    and words, by whatever rules; None where nothing was.
    """

    experiment: Experiment
    state: ExperimentState
    reason: str
    results: tuple[Result, ...]
    unscored: frozenset[ResultId] = frozenset()
    reading: StoredReading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is."""

    experiments: int
    results: int
    live_claims: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What a node has given: results, training seconds, working bests made, own ideas that others ran."""

    results: int = 0
    train_s: float = 0.0
    bests: int = 0
    ideas_run: int = 0


class ReadStore(Protocol):
    """What is there. ``with_logs=False`` leaves logs and curves out.

    Logs are kept under a quota (the end of the log is what stays), curves to four significant digits of
    the largest value of each axis.
    """

    async def get_experiment(
        self, experiment_id: ExperimentId, *, with_logs: bool = True
    ) -> ExperimentRecord | None:
        """One experiment with its results in order of arrival."""

    def scan_experiments(self, *, batch: int = 500) -> AsyncIterator[ExperimentRecord]:
        """Every experiment, oldest first, without logs and curves; those added meanwhile may be missed
        (follow the events from a position read before).
        """

    def get_result_ids(self) -> AsyncIterator[ResultId]:
        """Every published result id: the ledger."""

    async def get_source(self, source_hash: SourceHash) -> bytes | None:
        """The bytes of a train.py, rebuilt from its deltas and checked against its hash."""

    async def put_source(self, source: NewSource) -> None:
        """Stores a source (idempotent): the baseline, or a queued idea's code."""

    async def get_history(self, hardware_class: HardwareClass | None = None) -> tuple[BestChange, ...]:
        """Changes of working bests, oldest first."""

    async def get_global_best(self) -> WorkingBest | None:
        """The best confirmed of all classes."""

    async def get_global_history(self) -> tuple[BestChange, ...]:
        """Changes of the global best, oldest first."""

    async def get_credit(self) -> Mapping[NodeId, Credit]:
        """What each node has given."""

    async def get_live_claims(self) -> tuple[ClaimRecord, ...]:
        """Claims that live now (bounded by nodes x claims per node)."""

    async def counts(self) -> Counts:
        """How much there is."""

    async def position(self) -> Position:
        """Epoch and last event id."""

    async def put_reading(
        self, experiment_id: ExperimentId, reading: StoredReading | None, *, blocks: Blocks | None = None
    ) -> None:
        """Keeps what was read of an experiment in place of what was kept before, or leaves that with None;
        ``blocks`` are kept as a publication's are, in the same transition. All else about it stays.
        Raises NotFound for an unknown experiment. No event: whoever needs it reads it as well.
        """

    async def put_vector(self, experiment_id: ExperimentId, model: str, vector: bytes) -> None:
        """Keeps an embedding with the id of the model that made it; of each model the first one stays.
        Raises NotFound for an unknown experiment.
        """

    def get_vectors(self, model: str, *, after: int = 0) -> AsyncIterator[tuple[ExperimentId, bytes]]:
        """The vectors of one model in the order in which they came, without the first ``after``."""

    async def get_vector_models(self) -> tuple[str, ...]:
        """The models that vectors are kept of."""

    async def drop_vectors(self, model: str) -> None:
        """Forgets the vectors of a model, which has to make them anew (idempotent)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events after a position; ``is_gap`` when it is older than the stream, or another history's: of another
    epoch, or no event of this stream.
    """

    events: tuple[Event, ...]
    is_gap: bool


class EventStore(Protocol):
    """The stream of what happened, trimmed to a named length."""

    async def read_events(self, after: Position | None, *, limit: int, block_s: float) -> EventPage:
        """Up to ``limit`` events after a position, waiting up to ``block_s`` for one; None: from now.
        A page with a gap has no events: take a snapshot, and go on from a position read before it.
        """


IDEAS_PER_TURN = 4
"""Of one owner: its share of the head of the queue."""


class QueueStore(Protocol):
    """Ideas that wait. Leasing one is a claim of its slot; publishing or ``remove_idea`` settles it.

    They wait in turns, within a turn by priority, and of one priority by age. A turn has room for
    ``IDEAS_PER_TURN`` ideas of each owner (and priority): an idea joins the present turn or, where its owner
    has used up its room with others of its priority or above, waiting or settled, the first turn with room.
    The present turn is the latest of which an idea was settled. So nobody who proposes many, all of them
    urgent or one after the other, holds up another owner's by more than a turn's worth. (Start-time fair
    queueing: Goyal, Vin and Cheng 1996, SIGCOMM.)
    """

    async def enqueue(self, idea: Idea, source: NewSource | None, *, max_per_node: int) -> bool | None:
        """True: queued. False: a repeat. None: the node's share is full. Appends a PROPOSED event.
        Raises Conflict when the id was used for another idea.
        """

    async def list_ideas(self, *, start: int = 0, limit: int = 100) -> tuple[Idea, ...]:
        """Waiting ideas, next first, from the ``start``-th on."""

    async def remove_idea(self, hypothesis_id: HypothesisId) -> bool:
        """Takes an idea that was tried off the queue; False if it did not wait."""

    async def withdraw_idea(self, hypothesis_id: HypothesisId, *, node_id: NodeId, owner_id: OwnerId) -> bool:
        """Takes an idea of this node or owner off the queue; False if it does not wait. Raises
        PermissionDenied when it is another's.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedInsight:
    """An insight with its place in the order of arrival."""

    number: int
    insight: Insight


class InsightStore(Protocol):
    """Lessons, the newest of them: each one over a named number lets go of the oldest.

    An insight that made room is forgotten whole: should it come again, it is a new one.
    """

    async def put_insight(self, insight: Insight, *, max_per_day: int, kept: int) -> bool | None:
        """True: kept. False: a repeat. None: its node has shared ``max_per_day`` since midnight (UTC).
        Afterwards no more than ``kept`` are there. Judged in this order: the id, the evidence, the share.
        Raises Conflict when the id was used for another insight, NotFound when an experiment that it names
        is not in the store.
        """

    def get_insights(self, *, after: int = 0) -> AsyncIterator[NumberedInsight]:
        """Those that came after a number, in the order in which they came."""

    async def put_insight_vector(self, insight_id: InsightId, model: str, vector: bytes) -> None:
        """Keeps an insight's embedding with the id of the model that made it, the last one alone; nothing
        for an insight that is not kept.
        """

    async def get_insight_vectors(
        self, insight_ids: Sequence[InsightId], model: str
    ) -> Mapping[InsightId, bytes]:
        """The vectors by this model, as far as there are any."""


class ProgramStore(Protocol):
    """The program.md of the swarm, version by version; the challenge's own is version 0 and not kept here."""

    async def set_program(
        self, program_hash: ProgramHash, text: str, note: str, *, own: ProgramHash, kept: int
    ) -> Program | None:
        """The next version, in force from now on; None where this text is in force already. ``own`` is the
        challenge's, which is in force before the first. Of the versions no more than ``kept`` stay.
        """

    async def get_program(self) -> Program | None:
        """The version in force; None before the first."""

    async def get_programs(self) -> tuple[Program, ...]:
        """The versions that are kept, oldest first."""


class IdentityStore(Protocol):
    """Nodes, owners and tokens; shared by all challenges of a coordinator, under a hash tag of its own."""

    async def put_token(self, token: Token, token_hash: str) -> None:
        """Keeps a token's record by the SHA-256 of its text."""

    async def list_tokens(self) -> tuple[Token, ...]:
        """Every token, oldest first."""

    async def revoke_token(self, token_id: str) -> bool:
        """False if there is no such token."""

    async def enrol(self, node: Node, token_hash: str | None) -> Node:
        """Binds the node's key. With a token: spends one use and takes its owner (with a vote), in one
        transition; raises TokenRefused. A key that is enrolled already returns its record and spends
        nothing, except that an open node (one without a vote) which now brings a token becomes the
        token's owner's. One with a vote may bring any token of its owner's, a spent one too; TokenRefused
        says that one is unknown or another owner's. Raises Conflict when the node id is bound to another key.
        """

    async def get_node(self, node_id: NodeId) -> Node | None:
        """The node's record."""

    async def touch_node(
        self, node_id: NodeId, hardware_class: HardwareClass | None = None, *, activity: str = ""
    ) -> None:
        """Marks the node as seen now, doing this, on this hardware if given; the empty class is none."""

    async def list_nodes(self) -> tuple[Node, ...]:
        """Every node."""


class Store(
    ClaimStore, PublishStore, ReadStore, EventStore, QueueStore, InsightStore, ProgramStore, Protocol
):
    """All of one challenge's state."""

    async def close(self) -> None:
        """Ends connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHealth:
    """What an operator sees of the store."""

    description: str
    is_writable: bool
    reason: str
    used_memory_bytes: int
    checked_at: datetime


class StoreServer(Protocol):
    """One server (or process memory) that holds the challenges' stores."""

    def challenge_store(self, challenge_id: str, *, direction: Direction = "lower") -> Store:
        """The store of one challenge, whose metric is better in ``direction``."""

    def identity_store(self) -> IdentityStore:
        """The store of nodes and tokens."""

    async def health(self) -> StoreHealth:
        """Pings; looks at disk and persistence."""

    async def close(self) -> None:
        """Ends connections; an embedded server that this process started is stopped, last of all."""


def stream_order(stream_id: str) -> tuple[int, int]:
    """Milliseconds and sequence number of a stream id, which sort as the stream does."""
    millis, _, sequence = stream_id.partition("-")
    return int(millis), int(sequence)
