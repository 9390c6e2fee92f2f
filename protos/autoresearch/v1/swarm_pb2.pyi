from autoresearch.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WATCH_SCOPE_UNSPECIFIED: _ClassVar[WatchScope]
    WATCH_SCOPE_NODE: _ClassVar[WatchScope]
    WATCH_SCOPE_FEED: _ClassVar[WatchScope]
WATCH_SCOPE_UNSPECIFIED: WatchScope
WATCH_SCOPE_NODE: WatchScope
WATCH_SCOPE_FEED: WatchScope

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoReply(_message.Message):
    __slots__ = ("version", "protocol_min", "protocol_max", "server_time", "challenges", "open_enrolment", "terms")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    CHALLENGES_FIELD_NUMBER: _ClassVar[int]
    OPEN_ENROLMENT_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    version: str
    protocol_min: int
    protocol_max: int
    server_time: _timestamp_pb2.Timestamp
    challenges: _containers.RepeatedCompositeFieldContainer[_types_pb2.Challenge]
    open_enrolment: bool
    terms: str
    def __init__(self, version: _Optional[str] = ..., protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., server_time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., challenges: _Optional[_Iterable[_Union[_types_pb2.Challenge, _Mapping]]] = ..., open_enrolment: bool = ..., terms: _Optional[str] = ...) -> None: ...

class EnrolRequest(_message.Message):
    __slots__ = ("public_key", "token", "name", "consent")
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    public_key: bytes
    token: str
    name: str
    consent: bool
    def __init__(self, public_key: _Optional[bytes] = ..., token: _Optional[str] = ..., name: _Optional[str] = ..., consent: bool = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("node_id", "owner_id", "has_vote")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    HAS_VOTE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    owner_id: str
    has_vote: bool
    def __init__(self, node_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., has_vote: bool = ...) -> None: ...

class ConnectRequest(_message.Message):
    __slots__ = ("protocol_min", "protocol_max", "challenge", "hardware", "node_version")
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_FIELD_NUMBER: _ClassVar[int]
    NODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    protocol_min: int
    protocol_max: int
    challenge: str
    hardware: _types_pb2.Hardware
    node_version: str
    def __init__(self, protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., challenge: _Optional[str] = ..., hardware: _Optional[_Union[_types_pb2.Hardware, _Mapping]] = ..., node_version: _Optional[str] = ...) -> None: ...

class ConnectReply(_message.Message):
    __slots__ = ("protocol", "challenge", "position", "lease_ttl_s", "heartbeat_interval_s", "best", "owner_id", "program")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_S_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    challenge: _types_pb2.Challenge
    position: _types_pb2.Position
    lease_ttl_s: float
    heartbeat_interval_s: float
    best: _types_pb2.WorkingBest
    owner_id: str
    program: _types_pb2.Program
    def __init__(self, protocol: _Optional[int] = ..., challenge: _Optional[_Union[_types_pb2.Challenge, _Mapping]] = ..., position: _Optional[_Union[_types_pb2.Position, _Mapping]] = ..., lease_ttl_s: _Optional[float] = ..., heartbeat_interval_s: _Optional[float] = ..., best: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ..., owner_id: _Optional[str] = ..., program: _Optional[_Union[_types_pb2.Program, _Mapping]] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("challenge_id", "claim_ids", "activity")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_IDS_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    claim_ids: _containers.RepeatedScalarFieldContainer[str]
    activity: str
    def __init__(self, challenge_id: _Optional[str] = ..., claim_ids: _Optional[_Iterable[str]] = ..., activity: _Optional[str] = ...) -> None: ...

class HeartbeatReply(_message.Message):
    __slots__ = ("position", "renewed", "lost", "best_experiment_id", "program_hash")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RENEWED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    BEST_EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_HASH_FIELD_NUMBER: _ClassVar[int]
    position: _types_pb2.Position
    renewed: _containers.RepeatedCompositeFieldContainer[_types_pb2.Lease]
    lost: _containers.RepeatedScalarFieldContainer[str]
    best_experiment_id: str
    program_hash: str
    def __init__(self, position: _Optional[_Union[_types_pb2.Position, _Mapping]] = ..., renewed: _Optional[_Iterable[_Union[_types_pb2.Lease, _Mapping]]] = ..., lost: _Optional[_Iterable[str]] = ..., best_experiment_id: _Optional[str] = ..., program_hash: _Optional[str] = ...) -> None: ...

class NextTaskRequest(_message.Message):
    __slots__ = ("challenge_id", "can_propose", "can_train", "hardware_class")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    CAN_PROPOSE_FIELD_NUMBER: _ClassVar[int]
    CAN_TRAIN_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    can_propose: bool
    can_train: bool
    hardware_class: str
    def __init__(self, challenge_id: _Optional[str] = ..., can_propose: bool = ..., can_train: bool = ..., hardware_class: _Optional[str] = ...) -> None: ...

class ExploreTask(_message.Message):
    __slots__ = ("parent",)
    PARENT_FIELD_NUMBER: _ClassVar[int]
    parent: _types_pb2.WorkingBest
    def __init__(self, parent: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ...) -> None: ...

class BaselineTask(_message.Message):
    __slots__ = ("lease", "experiment_id", "seed", "val_seed")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VAL_SEED_FIELD_NUMBER: _ClassVar[int]
    lease: _types_pb2.Lease
    experiment_id: str
    seed: int
    val_seed: int
    def __init__(self, lease: _Optional[_Union[_types_pb2.Lease, _Mapping]] = ..., experiment_id: _Optional[str] = ..., seed: _Optional[int] = ..., val_seed: _Optional[int] = ...) -> None: ...

class ReplicateTask(_message.Message):
    __slots__ = ("lease", "verification_id", "candidate_id", "control_id", "seed", "val_seed")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_ID_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_ID_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VAL_SEED_FIELD_NUMBER: _ClassVar[int]
    lease: _types_pb2.Lease
    verification_id: str
    candidate_id: str
    control_id: str
    seed: int
    val_seed: int
    def __init__(self, lease: _Optional[_Union[_types_pb2.Lease, _Mapping]] = ..., verification_id: _Optional[str] = ..., candidate_id: _Optional[str] = ..., control_id: _Optional[str] = ..., seed: _Optional[int] = ..., val_seed: _Optional[int] = ...) -> None: ...

class QueuedTask(_message.Message):
    __slots__ = ("lease", "hypothesis_id", "hypothesis", "parent", "source_hash", "kind", "material_ids")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HASH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    lease: _types_pb2.Lease
    hypothesis_id: str
    hypothesis: _types_pb2.Hypothesis
    parent: _types_pb2.WorkingBest
    source_hash: str
    kind: _types_pb2.IdeaKind
    material_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, lease: _Optional[_Union[_types_pb2.Lease, _Mapping]] = ..., hypothesis_id: _Optional[str] = ..., hypothesis: _Optional[_Union[_types_pb2.Hypothesis, _Mapping]] = ..., parent: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ..., source_hash: _Optional[str] = ..., kind: _Optional[_Union[_types_pb2.IdeaKind, str]] = ..., material_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class IdleTask(_message.Message):
    __slots__ = ("retry_after_s", "reason")
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    retry_after_s: float
    reason: str
    def __init__(self, retry_after_s: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class NextTaskReply(_message.Message):
    __slots__ = ("explore", "baseline", "replicate", "queued", "idle")
    EXPLORE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    REPLICATE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    explore: ExploreTask
    baseline: BaselineTask
    replicate: ReplicateTask
    queued: QueuedTask
    idle: IdleTask
    def __init__(self, explore: _Optional[_Union[ExploreTask, _Mapping]] = ..., baseline: _Optional[_Union[BaselineTask, _Mapping]] = ..., replicate: _Optional[_Union[ReplicateTask, _Mapping]] = ..., queued: _Optional[_Union[QueuedTask, _Mapping]] = ..., idle: _Optional[_Union[IdleTask, _Mapping]] = ...) -> None: ...

class ClaimRequest(_message.Message):
    __slots__ = ("challenge_id", "claim_id", "hypothesis", "parent_id", "queued_claim_id")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUED_CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    claim_id: str
    hypothesis: _types_pb2.Hypothesis
    parent_id: str
    queued_claim_id: str
    def __init__(self, challenge_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., hypothesis: _Optional[_Union[_types_pb2.Hypothesis, _Mapping]] = ..., parent_id: _Optional[str] = ..., queued_claim_id: _Optional[str] = ...) -> None: ...

class Granted(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: _types_pb2.Lease
    def __init__(self, lease: _Optional[_Union[_types_pb2.Lease, _Mapping]] = ...) -> None: ...

class Duplicate(_message.Message):
    __slots__ = ("match", "level", "question")
    MATCH_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    match: _types_pb2.NearMatch
    level: str
    question: str
    def __init__(self, match: _Optional[_Union[_types_pb2.NearMatch, _Mapping]] = ..., level: _Optional[str] = ..., question: _Optional[str] = ...) -> None: ...

class NeedsDistinction(_message.Message):
    __slots__ = ("match", "question")
    MATCH_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    match: _types_pb2.NearMatch
    question: str
    def __init__(self, match: _Optional[_Union[_types_pb2.NearMatch, _Mapping]] = ..., question: _Optional[str] = ...) -> None: ...

class ClaimReply(_message.Message):
    __slots__ = ("granted", "duplicate", "needs_distinction", "advice")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    NEEDS_DISTINCTION_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    granted: Granted
    duplicate: Duplicate
    needs_distinction: NeedsDistinction
    advice: _types_pb2.Advice
    def __init__(self, granted: _Optional[_Union[Granted, _Mapping]] = ..., duplicate: _Optional[_Union[Duplicate, _Mapping]] = ..., needs_distinction: _Optional[_Union[NeedsDistinction, _Mapping]] = ..., advice: _Optional[_Union[_types_pb2.Advice, _Mapping]] = ...) -> None: ...

class StartRequest(_message.Message):
    __slots__ = ("challenge_id", "claim_id", "fencing_token", "experiment_id", "source")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    claim_id: str
    fencing_token: int
    experiment_id: str
    source: bytes
    def __init__(self, challenge_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., experiment_id: _Optional[str] = ..., source: _Optional[bytes] = ...) -> None: ...

class StartReply(_message.Message):
    __slots__ = ("started", "refused")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    started: Started
    refused: Duplicate
    def __init__(self, started: _Optional[_Union[Started, _Mapping]] = ..., refused: _Optional[_Union[Duplicate, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("lease", "flags", "seed", "val_seed")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VAL_SEED_FIELD_NUMBER: _ClassVar[int]
    lease: _types_pb2.Lease
    flags: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    val_seed: int
    def __init__(self, lease: _Optional[_Union[_types_pb2.Lease, _Mapping]] = ..., flags: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., val_seed: _Optional[int] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("challenge_id", "claim_id", "fencing_token", "reason")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    claim_id: str
    fencing_token: int
    reason: str
    def __init__(self, challenge_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ReleaseReply(_message.Message):
    __slots__ = ("was_held",)
    WAS_HELD_FIELD_NUMBER: _ClassVar[int]
    was_held: bool
    def __init__(self, was_held: bool = ...) -> None: ...

class PublishRequest(_message.Message):
    __slots__ = ("challenge_id", "result", "experiment", "source", "claim_id", "fencing_token")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    result: _types_pb2.Result
    experiment: _types_pb2.Experiment
    source: bytes
    claim_id: str
    fencing_token: int
    def __init__(self, challenge_id: _Optional[str] = ..., result: _Optional[_Union[_types_pb2.Result, _Mapping]] = ..., experiment: _Optional[_Union[_types_pb2.Experiment, _Mapping]] = ..., source: _Optional[bytes] = ..., claim_id: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class PublishReply(_message.Message):
    __slots__ = ("result_id", "position", "is_repeat", "is_late", "state", "best")
    RESULT_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    IS_REPEAT_FIELD_NUMBER: _ClassVar[int]
    IS_LATE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    result_id: str
    position: _types_pb2.Position
    is_repeat: bool
    is_late: bool
    state: _types_pb2.ExperimentState
    best: _types_pb2.WorkingBest
    def __init__(self, result_id: _Optional[str] = ..., position: _Optional[_Union[_types_pb2.Position, _Mapping]] = ..., is_repeat: bool = ..., is_late: bool = ..., state: _Optional[_Union[_types_pb2.ExperimentState, str]] = ..., best: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ...) -> None: ...

class GetBestRequest(_message.Message):
    __slots__ = ("challenge_id", "hardware_class", "known_source_hash")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_SOURCE_HASH_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    hardware_class: str
    known_source_hash: str
    def __init__(self, challenge_id: _Optional[str] = ..., hardware_class: _Optional[str] = ..., known_source_hash: _Optional[str] = ...) -> None: ...

class GetBestReply(_message.Message):
    __slots__ = ("best", "source")
    BEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    best: _types_pb2.WorkingBest
    source: bytes
    def __init__(self, best: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ..., source: _Optional[bytes] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("challenge_id", "scope", "after")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    scope: WatchScope
    after: _types_pb2.Position
    def __init__(self, challenge_id: _Optional[str] = ..., scope: _Optional[_Union[WatchScope, str]] = ..., after: _Optional[_Union[_types_pb2.Position, _Mapping]] = ...) -> None: ...
