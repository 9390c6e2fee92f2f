from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MechanismOp(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MECHANISM_OP_UNSPECIFIED: _ClassVar[MechanismOp]
    MECHANISM_OP_ADD: _ClassVar[MechanismOp]
    MECHANISM_OP_REMOVE: _ClassVar[MechanismOp]
    MECHANISM_OP_REPLACE: _ClassVar[MechanismOp]

class Intent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTENT_UNSPECIFIED: _ClassVar[Intent]
    INTENT_NEW: _ClassVar[Intent]
    INTENT_RETEST: _ClassVar[Intent]
    INTENT_REBASE: _ClassVar[Intent]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_COMPLETED: _ClassVar[Outcome]
    OUTCOME_CRASHED: _ClassVar[Outcome]
    OUTCOME_TIMED_OUT: _ClassVar[Outcome]
    OUTCOME_REJECTED: _ClassVar[Outcome]

class Purpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PURPOSE_UNSPECIFIED: _ClassVar[Purpose]
    PURPOSE_EXPLORE: _ClassVar[Purpose]
    PURPOSE_BASELINE: _ClassVar[Purpose]
    PURPOSE_VERIFY_CANDIDATE: _ClassVar[Purpose]
    PURPOSE_VERIFY_CONTROL: _ClassVar[Purpose]

class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEVEL_UNSPECIFIED: _ClassVar[Level]
    LEVEL_BASELINE: _ClassVar[Level]
    LEVEL_PROVISIONAL: _ClassVar[Level]
    LEVEL_SELF_REPLICATED: _ClassVar[Level]
    LEVEL_ONE_OWNER: _ClassVar[Level]
    LEVEL_CONFIRMED: _ClassVar[Level]

class ExperimentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPERIMENT_STATE_UNSPECIFIED: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_RUNNING: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_COMPLETED: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_CRASHED: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_TIMED_OUT: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_REJECTED: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_LOST: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_CANDIDATE: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_REFUTED: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_BEST: _ClassVar[ExperimentState]
    EXPERIMENT_STATE_SUPERSEDED: _ClassVar[ExperimentState]

class IdeaKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IDEA_KIND_UNSPECIFIED: _ClassVar[IdeaKind]
    IDEA_KIND_FREE: _ClassVar[IdeaKind]
    IDEA_KIND_REBASE: _ClassVar[IdeaKind]
    IDEA_KIND_COMBINE: _ClassVar[IdeaKind]
    IDEA_KIND_ABLATE: _ClassVar[IdeaKind]

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_CLAIMED: _ClassVar[EventKind]
    EVENT_KIND_RELEASED: _ClassVar[EventKind]
    EVENT_KIND_EXPIRED: _ClassVar[EventKind]
    EVENT_KIND_STARTED: _ClassVar[EventKind]
    EVENT_KIND_PUBLISHED: _ClassVar[EventKind]
    EVENT_KIND_BEST_CHANGED: _ClassVar[EventKind]
    EVENT_KIND_NODE_JOINED: _ClassVar[EventKind]
    EVENT_KIND_PROPOSED: _ClassVar[EventKind]
    EVENT_KIND_SNAPSHOT: _ClassVar[EventKind]
MECHANISM_OP_UNSPECIFIED: MechanismOp
MECHANISM_OP_ADD: MechanismOp
MECHANISM_OP_REMOVE: MechanismOp
MECHANISM_OP_REPLACE: MechanismOp
INTENT_UNSPECIFIED: Intent
INTENT_NEW: Intent
INTENT_RETEST: Intent
INTENT_REBASE: Intent
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_COMPLETED: Outcome
OUTCOME_CRASHED: Outcome
OUTCOME_TIMED_OUT: Outcome
OUTCOME_REJECTED: Outcome
PURPOSE_UNSPECIFIED: Purpose
PURPOSE_EXPLORE: Purpose
PURPOSE_BASELINE: Purpose
PURPOSE_VERIFY_CANDIDATE: Purpose
PURPOSE_VERIFY_CONTROL: Purpose
LEVEL_UNSPECIFIED: Level
LEVEL_BASELINE: Level
LEVEL_PROVISIONAL: Level
LEVEL_SELF_REPLICATED: Level
LEVEL_ONE_OWNER: Level
LEVEL_CONFIRMED: Level
EXPERIMENT_STATE_UNSPECIFIED: ExperimentState
EXPERIMENT_STATE_RUNNING: ExperimentState
EXPERIMENT_STATE_COMPLETED: ExperimentState
EXPERIMENT_STATE_CRASHED: ExperimentState
EXPERIMENT_STATE_TIMED_OUT: ExperimentState
EXPERIMENT_STATE_REJECTED: ExperimentState
EXPERIMENT_STATE_LOST: ExperimentState
EXPERIMENT_STATE_CANDIDATE: ExperimentState
EXPERIMENT_STATE_REFUTED: ExperimentState
EXPERIMENT_STATE_BEST: ExperimentState
EXPERIMENT_STATE_SUPERSEDED: ExperimentState
IDEA_KIND_UNSPECIFIED: IdeaKind
IDEA_KIND_FREE: IdeaKind
IDEA_KIND_REBASE: IdeaKind
IDEA_KIND_COMBINE: IdeaKind
IDEA_KIND_ABLATE: IdeaKind
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_CLAIMED: EventKind
EVENT_KIND_RELEASED: EventKind
EVENT_KIND_EXPIRED: EventKind
EVENT_KIND_STARTED: EventKind
EVENT_KIND_PUBLISHED: EventKind
EVENT_KIND_BEST_CHANGED: EventKind
EVENT_KIND_NODE_JOINED: EventKind
EVENT_KIND_PROPOSED: EventKind
EVENT_KIND_SNAPSHOT: EventKind

class ConstantChange(_message.Message):
    __slots__ = ("name", "old", "new")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    name: str
    old: str
    new: str
    def __init__(self, name: _Optional[str] = ..., old: _Optional[str] = ..., new: _Optional[str] = ...) -> None: ...

class MechanismChange(_message.Message):
    __slots__ = ("op", "what", "where")
    OP_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    op: MechanismOp
    what: str
    where: str
    def __init__(self, op: _Optional[_Union[MechanismOp, str]] = ..., what: _Optional[str] = ..., where: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("constant", "mechanism")
    CONSTANT_FIELD_NUMBER: _ClassVar[int]
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    constant: ConstantChange
    mechanism: MechanismChange
    def __init__(self, constant: _Optional[_Union[ConstantChange, _Mapping]] = ..., mechanism: _Optional[_Union[MechanismChange, _Mapping]] = ...) -> None: ...

class Hypothesis(_message.Message):
    __slots__ = ("title", "rationale", "changes", "intent", "distinction", "agent", "program_hash")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    RATIONALE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    DISTINCTION_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_HASH_FIELD_NUMBER: _ClassVar[int]
    title: str
    rationale: str
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    intent: Intent
    distinction: str
    agent: str
    program_hash: str
    def __init__(self, title: _Optional[str] = ..., rationale: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., intent: _Optional[_Union[Intent, str]] = ..., distinction: _Optional[str] = ..., agent: _Optional[str] = ..., program_hash: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("model", "calls", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_usd", "is_estimate", "seconds")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    IS_ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    model: str
    calls: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_usd: float
    is_estimate: bool
    seconds: float
    def __init__(self, model: _Optional[str] = ..., calls: _Optional[int] = ..., input_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., is_estimate: bool = ..., seconds: _Optional[float] = ...) -> None: ...

class Hardware(_message.Message):
    __slots__ = ("hardware_class", "device_kind", "device_name", "memory_mb", "torch_version", "device_count")
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    TORCH_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_COUNT_FIELD_NUMBER: _ClassVar[int]
    hardware_class: str
    device_kind: str
    device_name: str
    memory_mb: float
    torch_version: str
    device_count: int
    def __init__(self, hardware_class: _Optional[str] = ..., device_kind: _Optional[str] = ..., device_name: _Optional[str] = ..., memory_mb: _Optional[float] = ..., torch_version: _Optional[str] = ..., device_count: _Optional[int] = ...) -> None: ...

class Experiment(_message.Message):
    __slots__ = ("experiment_id", "challenge_id", "hypothesis", "source_hash", "parents", "node_id", "owner_id", "hardware_class", "created_at", "flags", "proposer_id", "proposer_owner_id", "idea_usage")
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HASH_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    IDEA_USAGE_FIELD_NUMBER: _ClassVar[int]
    experiment_id: str
    challenge_id: str
    hypothesis: Hypothesis
    source_hash: str
    parents: _containers.RepeatedScalarFieldContainer[str]
    node_id: str
    owner_id: str
    hardware_class: str
    created_at: _timestamp_pb2.Timestamp
    flags: _containers.RepeatedScalarFieldContainer[str]
    proposer_id: str
    proposer_owner_id: str
    idea_usage: Usage
    def __init__(self, experiment_id: _Optional[str] = ..., challenge_id: _Optional[str] = ..., hypothesis: _Optional[_Union[Hypothesis, _Mapping]] = ..., source_hash: _Optional[str] = ..., parents: _Optional[_Iterable[str]] = ..., node_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., hardware_class: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., flags: _Optional[_Iterable[str]] = ..., proposer_id: _Optional[str] = ..., proposer_owner_id: _Optional[str] = ..., idea_usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class CurvePoint(_message.Message):
    __slots__ = ("progress", "loss")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    progress: float
    loss: float
    def __init__(self, progress: _Optional[float] = ..., loss: _Optional[float] = ...) -> None: ...

class Attestation(_message.Message):
    __slots__ = ("manifest_hash", "code_hash", "seed", "val_seed", "harness_version", "rows_digest", "losses_digest", "holdout_rows_digest", "holdout_losses_digest", "device_kind", "device_name", "memory_mb", "torch_version", "sandbox", "timings_s")
    class TimingsSEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MANIFEST_HASH_FIELD_NUMBER: _ClassVar[int]
    CODE_HASH_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VAL_SEED_FIELD_NUMBER: _ClassVar[int]
    HARNESS_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROWS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LOSSES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_ROWS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_LOSSES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEVICE_KIND_FIELD_NUMBER: _ClassVar[int]
    DEVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MB_FIELD_NUMBER: _ClassVar[int]
    TORCH_VERSION_FIELD_NUMBER: _ClassVar[int]
    SANDBOX_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_S_FIELD_NUMBER: _ClassVar[int]
    manifest_hash: str
    code_hash: str
    seed: int
    val_seed: int
    harness_version: str
    rows_digest: str
    losses_digest: str
    holdout_rows_digest: str
    holdout_losses_digest: str
    device_kind: str
    device_name: str
    memory_mb: float
    torch_version: str
    sandbox: _containers.RepeatedScalarFieldContainer[str]
    timings_s: _containers.ScalarMap[str, float]
    def __init__(self, manifest_hash: _Optional[str] = ..., code_hash: _Optional[str] = ..., seed: _Optional[int] = ..., val_seed: _Optional[int] = ..., harness_version: _Optional[str] = ..., rows_digest: _Optional[str] = ..., losses_digest: _Optional[str] = ..., holdout_rows_digest: _Optional[str] = ..., holdout_losses_digest: _Optional[str] = ..., device_kind: _Optional[str] = ..., device_name: _Optional[str] = ..., memory_mb: _Optional[float] = ..., torch_version: _Optional[str] = ..., sandbox: _Optional[_Iterable[str]] = ..., timings_s: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("result_id", "experiment_id", "challenge_id", "node_id", "owner_id", "outcome", "purpose", "metrics", "seed", "hardware", "code_hash", "harness_version", "started_at", "finished_at", "reason", "crash_kind", "log_tail", "curve", "attestation", "verification_id", "is_late", "published_at", "attested", "usage")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class AttestationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RESULT_ID_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_FIELD_NUMBER: _ClassVar[int]
    CODE_HASH_FIELD_NUMBER: _ClassVar[int]
    HARNESS_VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CRASH_KIND_FIELD_NUMBER: _ClassVar[int]
    LOG_TAIL_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_ID_FIELD_NUMBER: _ClassVar[int]
    IS_LATE_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    result_id: str
    experiment_id: str
    challenge_id: str
    node_id: str
    owner_id: str
    outcome: Outcome
    purpose: Purpose
    metrics: _containers.ScalarMap[str, float]
    seed: int
    hardware: Hardware
    code_hash: str
    harness_version: str
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    reason: str
    crash_kind: str
    log_tail: str
    curve: _containers.RepeatedCompositeFieldContainer[CurvePoint]
    attestation: _containers.ScalarMap[str, str]
    verification_id: str
    is_late: bool
    published_at: _timestamp_pb2.Timestamp
    attested: Attestation
    usage: Usage
    def __init__(self, result_id: _Optional[str] = ..., experiment_id: _Optional[str] = ..., challenge_id: _Optional[str] = ..., node_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., purpose: _Optional[_Union[Purpose, str]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., seed: _Optional[int] = ..., hardware: _Optional[_Union[Hardware, _Mapping]] = ..., code_hash: _Optional[str] = ..., harness_version: _Optional[str] = ..., started_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ..., crash_kind: _Optional[str] = ..., log_tail: _Optional[str] = ..., curve: _Optional[_Iterable[_Union[CurvePoint, _Mapping]]] = ..., attestation: _Optional[_Mapping[str, str]] = ..., verification_id: _Optional[str] = ..., is_late: bool = ..., published_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., attested: _Optional[_Union[Attestation, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class Insight(_message.Message):
    __slots__ = ("insight_id", "challenge_id", "text", "experiment_ids", "node_id", "owner_id", "hardware_class", "agent", "created_at")
    INSIGHT_ID_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    insight_id: str
    challenge_id: str
    text: str
    experiment_ids: _containers.RepeatedScalarFieldContainer[str]
    node_id: str
    owner_id: str
    hardware_class: str
    agent: str
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, insight_id: _Optional[str] = ..., challenge_id: _Optional[str] = ..., text: _Optional[str] = ..., experiment_ids: _Optional[_Iterable[str]] = ..., node_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., hardware_class: _Optional[str] = ..., agent: _Optional[str] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Program(_message.Message):
    __slots__ = ("program_hash", "text", "version", "note", "set_at")
    PROGRAM_HASH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    SET_AT_FIELD_NUMBER: _ClassVar[int]
    program_hash: str
    text: str
    version: int
    note: str
    set_at: _timestamp_pb2.Timestamp
    def __init__(self, program_hash: _Optional[str] = ..., text: _Optional[str] = ..., version: _Optional[int] = ..., note: _Optional[str] = ..., set_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WorkingBest(_message.Message):
    __slots__ = ("experiment_id", "hardware_class", "source_hash", "level", "mean", "runs", "spread", "since", "confirmed_by", "title", "node_id")
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HASH_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_BY_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    experiment_id: str
    hardware_class: str
    source_hash: str
    level: Level
    mean: float
    runs: int
    spread: float
    since: _timestamp_pb2.Timestamp
    confirmed_by: _containers.RepeatedScalarFieldContainer[str]
    title: str
    node_id: str
    def __init__(self, experiment_id: _Optional[str] = ..., hardware_class: _Optional[str] = ..., source_hash: _Optional[str] = ..., level: _Optional[_Union[Level, str]] = ..., mean: _Optional[float] = ..., runs: _Optional[int] = ..., spread: _Optional[float] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., confirmed_by: _Optional[_Iterable[str]] = ..., title: _Optional[str] = ..., node_id: _Optional[str] = ...) -> None: ...

class BestChange(_message.Message):
    __slots__ = ("best", "previous", "reason", "at", "holdout_gap")
    BEST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_GAP_FIELD_NUMBER: _ClassVar[int]
    best: WorkingBest
    previous: str
    reason: str
    at: _timestamp_pb2.Timestamp
    holdout_gap: float
    def __init__(self, best: _Optional[_Union[WorkingBest, _Mapping]] = ..., previous: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., holdout_gap: _Optional[float] = ...) -> None: ...

class NearMatch(_message.Message):
    __slots__ = ("experiment_id", "title", "state", "score", "delta", "same_parent", "reason")
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    SAME_PARENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    experiment_id: str
    title: str
    state: ExperimentState
    score: float
    delta: float
    same_parent: bool
    reason: str
    def __init__(self, experiment_id: _Optional[str] = ..., title: _Optional[str] = ..., state: _Optional[_Union[ExperimentState, str]] = ..., score: _Optional[float] = ..., delta: _Optional[float] = ..., same_parent: bool = ..., reason: _Optional[str] = ...) -> None: ...

class KnobTrial(_message.Message):
    __slots__ = ("knob", "value", "trials", "best_delta")
    KNOB_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    BEST_DELTA_FIELD_NUMBER: _ClassVar[int]
    knob: str
    value: str
    trials: int
    best_delta: float
    def __init__(self, knob: _Optional[str] = ..., value: _Optional[str] = ..., trials: _Optional[int] = ..., best_delta: _Optional[float] = ...) -> None: ...

class Advice(_message.Message):
    __slots__ = ("nearest", "knobs")
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    nearest: _containers.RepeatedCompositeFieldContainer[NearMatch]
    knobs: _containers.RepeatedCompositeFieldContainer[KnobTrial]
    def __init__(self, nearest: _Optional[_Iterable[_Union[NearMatch, _Mapping]]] = ..., knobs: _Optional[_Iterable[_Union[KnobTrial, _Mapping]]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("claim_id", "fencing_token", "expires_at", "ttl_s")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    claim_id: str
    fencing_token: int
    expires_at: _timestamp_pb2.Timestamp
    ttl_s: float
    def __init__(self, claim_id: _Optional[str] = ..., fencing_token: _Optional[int] = ..., expires_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., ttl_s: _Optional[float] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("epoch", "stream_id")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    stream_id: str
    def __init__(self, epoch: _Optional[int] = ..., stream_id: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("position", "kind", "at", "hardware_class", "experiment_id", "node_id", "text", "best")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    position: Position
    kind: EventKind
    at: _timestamp_pb2.Timestamp
    hardware_class: str
    experiment_id: str
    node_id: str
    text: str
    best: WorkingBest
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., kind: _Optional[_Union[EventKind, str]] = ..., at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., hardware_class: _Optional[str] = ..., experiment_id: _Optional[str] = ..., node_id: _Optional[str] = ..., text: _Optional[str] = ..., best: _Optional[_Union[WorkingBest, _Mapping]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("node_id", "owner_id", "name", "hardware_class", "enrolled_at", "last_seen_at", "has_vote", "results", "train_s", "bests", "is_banned", "activity", "ideas_run")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    HAS_VOTE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_S_FIELD_NUMBER: _ClassVar[int]
    BESTS_FIELD_NUMBER: _ClassVar[int]
    IS_BANNED_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    IDEAS_RUN_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    owner_id: str
    name: str
    hardware_class: str
    enrolled_at: _timestamp_pb2.Timestamp
    last_seen_at: _timestamp_pb2.Timestamp
    has_vote: bool
    results: int
    train_s: float
    bests: int
    is_banned: bool
    activity: str
    ideas_run: int
    def __init__(self, node_id: _Optional[str] = ..., owner_id: _Optional[str] = ..., name: _Optional[str] = ..., hardware_class: _Optional[str] = ..., enrolled_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., has_vote: bool = ..., results: _Optional[int] = ..., train_s: _Optional[float] = ..., bests: _Optional[int] = ..., is_banned: bool = ..., activity: _Optional[str] = ..., ideas_run: _Optional[int] = ...) -> None: ...

class Challenge(_message.Message):
    __slots__ = ("challenge_id", "name", "manifest_toml", "baseline_source", "program_md")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_TOML_FIELD_NUMBER: _ClassVar[int]
    BASELINE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_MD_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    name: str
    manifest_toml: str
    baseline_source: str
    program_md: str
    def __init__(self, challenge_id: _Optional[str] = ..., name: _Optional[str] = ..., manifest_toml: _Optional[str] = ..., baseline_source: _Optional[str] = ..., program_md: _Optional[str] = ...) -> None: ...

class ExperimentSummary(_message.Message):
    __slots__ = ("experiment", "state", "score", "interval", "runs", "delta", "level", "confirmed_by", "reason", "sealed_runs", "usage")
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SEALED_RUNS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    experiment: Experiment
    state: ExperimentState
    score: float
    interval: float
    runs: int
    delta: float
    level: Level
    confirmed_by: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    sealed_runs: int
    usage: Usage
    def __init__(self, experiment: _Optional[_Union[Experiment, _Mapping]] = ..., state: _Optional[_Union[ExperimentState, str]] = ..., score: _Optional[float] = ..., interval: _Optional[float] = ..., runs: _Optional[int] = ..., delta: _Optional[float] = ..., level: _Optional[_Union[Level, str]] = ..., confirmed_by: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., sealed_runs: _Optional[int] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...
