from autoresearch.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExperimentOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPERIMENT_ORDER_UNSPECIFIED: _ClassVar[ExperimentOrder]
    EXPERIMENT_ORDER_BEST: _ClassVar[ExperimentOrder]
    EXPERIMENT_ORDER_NEWEST: _ClassVar[ExperimentOrder]

class SearchBasis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_BASIS_UNSPECIFIED: _ClassVar[SearchBasis]
    SEARCH_BASIS_MEANING: _ClassVar[SearchBasis]
    SEARCH_BASIS_WORDS: _ClassVar[SearchBasis]
EXPERIMENT_ORDER_UNSPECIFIED: ExperimentOrder
EXPERIMENT_ORDER_BEST: ExperimentOrder
EXPERIMENT_ORDER_NEWEST: ExperimentOrder
SEARCH_BASIS_UNSPECIFIED: SearchBasis
SEARCH_BASIS_MEANING: SearchBasis
SEARCH_BASIS_WORDS: SearchBasis

class GetStatusRequest(_message.Message):
    __slots__ = ("challenge",)
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    def __init__(self, challenge: _Optional[str] = ...) -> None: ...

class ClassStatus(_message.Message):
    __slots__ = ("hardware_class", "best", "confirmed", "baseline_mean", "baseline_runs", "spread", "experiments", "verifying")
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    BASELINE_MEAN_FIELD_NUMBER: _ClassVar[int]
    BASELINE_RUNS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    VERIFYING_FIELD_NUMBER: _ClassVar[int]
    hardware_class: str
    best: _types_pb2.WorkingBest
    confirmed: _types_pb2.WorkingBest
    baseline_mean: float
    baseline_runs: int
    spread: float
    experiments: int
    verifying: str
    def __init__(self, hardware_class: _Optional[str] = ..., best: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ..., confirmed: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ..., baseline_mean: _Optional[float] = ..., baseline_runs: _Optional[int] = ..., spread: _Optional[float] = ..., experiments: _Optional[int] = ..., verifying: _Optional[str] = ...) -> None: ...

class GetStatusReply(_message.Message):
    __slots__ = ("challenge_id", "challenge_name", "metric_name", "direction", "classes", "global_best", "experiments", "results", "live_claims", "queued", "nodes_live", "nodes", "duplicates_stopped", "position", "store", "is_read_only", "version", "uptime_s")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_NAME_FIELD_NUMBER: _ClassVar[int]
    METRIC_NAME_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_BEST_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    LIVE_CLAIMS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    NODES_LIVE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_STOPPED_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    IS_READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    challenge_name: str
    metric_name: str
    direction: str
    classes: _containers.RepeatedCompositeFieldContainer[ClassStatus]
    global_best: _types_pb2.WorkingBest
    experiments: int
    results: int
    live_claims: int
    queued: int
    nodes_live: int
    nodes: int
    duplicates_stopped: int
    position: _types_pb2.Position
    store: str
    is_read_only: bool
    version: str
    uptime_s: float
    def __init__(self, challenge_id: _Optional[str] = ..., challenge_name: _Optional[str] = ..., metric_name: _Optional[str] = ..., direction: _Optional[str] = ..., classes: _Optional[_Iterable[_Union[ClassStatus, _Mapping]]] = ..., global_best: _Optional[_Union[_types_pb2.WorkingBest, _Mapping]] = ..., experiments: _Optional[int] = ..., results: _Optional[int] = ..., live_claims: _Optional[int] = ..., queued: _Optional[int] = ..., nodes_live: _Optional[int] = ..., nodes: _Optional[int] = ..., duplicates_stopped: _Optional[int] = ..., position: _Optional[_Union[_types_pb2.Position, _Mapping]] = ..., store: _Optional[str] = ..., is_read_only: bool = ..., version: _Optional[str] = ..., uptime_s: _Optional[float] = ...) -> None: ...

class ListExperimentsRequest(_message.Message):
    __slots__ = ("challenge", "hardware_class", "state", "node_id", "text", "order", "limit", "cursor")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    hardware_class: str
    state: _types_pb2.ExperimentState
    node_id: str
    text: str
    order: ExperimentOrder
    limit: int
    cursor: str
    def __init__(self, challenge: _Optional[str] = ..., hardware_class: _Optional[str] = ..., state: _Optional[_Union[_types_pb2.ExperimentState, str]] = ..., node_id: _Optional[str] = ..., text: _Optional[str] = ..., order: _Optional[_Union[ExperimentOrder, str]] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListExperimentsReply(_message.Message):
    __slots__ = ("experiments", "next_cursor", "total")
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    experiments: _containers.RepeatedCompositeFieldContainer[_types_pb2.ExperimentSummary]
    next_cursor: str
    total: int
    def __init__(self, experiments: _Optional[_Iterable[_Union[_types_pb2.ExperimentSummary, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class GetExperimentRequest(_message.Message):
    __slots__ = ("challenge", "experiment_id")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    experiment_id: str
    def __init__(self, challenge: _Optional[str] = ..., experiment_id: _Optional[str] = ...) -> None: ...

class GetExperimentReply(_message.Message):
    __slots__ = ("summary", "results")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    summary: _types_pb2.ExperimentSummary
    results: _containers.RepeatedCompositeFieldContainer[_types_pb2.Result]
    def __init__(self, summary: _Optional[_Union[_types_pb2.ExperimentSummary, _Mapping]] = ..., results: _Optional[_Iterable[_Union[_types_pb2.Result, _Mapping]]] = ...) -> None: ...

class GetSourceRequest(_message.Message):
    __slots__ = ("challenge", "experiment_id", "source_hash")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HASH_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    experiment_id: str
    source_hash: str
    def __init__(self, challenge: _Optional[str] = ..., experiment_id: _Optional[str] = ..., source_hash: _Optional[str] = ...) -> None: ...

class GetSourceReply(_message.Message):
    __slots__ = ("source", "source_hash")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HASH_FIELD_NUMBER: _ClassVar[int]
    source: bytes
    source_hash: str
    def __init__(self, source: _Optional[bytes] = ..., source_hash: _Optional[str] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ("challenge",)
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    def __init__(self, challenge: _Optional[str] = ...) -> None: ...

class ListNodesReply(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[_types_pb2.Node]
    def __init__(self, nodes: _Optional[_Iterable[_Union[_types_pb2.Node, _Mapping]]] = ...) -> None: ...

class GetProgressRequest(_message.Message):
    __slots__ = ("challenge", "hardware_class")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    hardware_class: str
    def __init__(self, challenge: _Optional[str] = ..., hardware_class: _Optional[str] = ...) -> None: ...

class GetProgressReply(_message.Message):
    __slots__ = ("changes",)
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[_types_pb2.BestChange]
    def __init__(self, changes: _Optional[_Iterable[_Union[_types_pb2.BestChange, _Mapping]]] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("challenge", "experiment_ids")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    experiment_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, challenge: _Optional[str] = ..., experiment_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CompareReply(_message.Message):
    __slots__ = ("experiments", "knobs")
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    KNOBS_FIELD_NUMBER: _ClassVar[int]
    experiments: _containers.RepeatedCompositeFieldContainer[_types_pb2.ExperimentSummary]
    knobs: _containers.RepeatedCompositeFieldContainer[KnobRow]
    def __init__(self, experiments: _Optional[_Iterable[_Union[_types_pb2.ExperimentSummary, _Mapping]]] = ..., knobs: _Optional[_Iterable[_Union[KnobRow, _Mapping]]] = ...) -> None: ...

class KnobRow(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedCompositeFieldContainer[KnobValue]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[_Union[KnobValue, _Mapping]]] = ...) -> None: ...

class KnobValue(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("challenge", "text", "hardware_class", "state", "limit")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    text: str
    hardware_class: str
    state: _types_pb2.ExperimentState
    limit: int
    def __init__(self, challenge: _Optional[str] = ..., text: _Optional[str] = ..., hardware_class: _Optional[str] = ..., state: _Optional[_Union[_types_pb2.ExperimentState, str]] = ..., limit: _Optional[int] = ...) -> None: ...

class SearchMatch(_message.Message):
    __slots__ = ("summary", "similarity")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    summary: _types_pb2.ExperimentSummary
    similarity: float
    def __init__(self, summary: _Optional[_Union[_types_pb2.ExperimentSummary, _Mapping]] = ..., similarity: _Optional[float] = ...) -> None: ...

class SearchReply(_message.Message):
    __slots__ = ("matches", "basis")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[SearchMatch]
    basis: SearchBasis
    def __init__(self, matches: _Optional[_Iterable[_Union[SearchMatch, _Mapping]]] = ..., basis: _Optional[_Union[SearchBasis, str]] = ...) -> None: ...

class ListProgramsRequest(_message.Message):
    __slots__ = ("challenge", "hardware_class")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    hardware_class: str
    def __init__(self, challenge: _Optional[str] = ..., hardware_class: _Optional[str] = ...) -> None: ...

class ProgramRow(_message.Message):
    __slots__ = ("program", "is_current", "experiments", "completed", "bests", "best_delta", "cost_usd")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    IS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    BESTS_FIELD_NUMBER: _ClassVar[int]
    BEST_DELTA_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    program: _types_pb2.Program
    is_current: bool
    experiments: int
    completed: int
    bests: int
    best_delta: float
    cost_usd: float
    def __init__(self, program: _Optional[_Union[_types_pb2.Program, _Mapping]] = ..., is_current: bool = ..., experiments: _Optional[int] = ..., completed: _Optional[int] = ..., bests: _Optional[int] = ..., best_delta: _Optional[float] = ..., cost_usd: _Optional[float] = ...) -> None: ...

class ListProgramsReply(_message.Message):
    __slots__ = ("programs",)
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    programs: _containers.RepeatedCompositeFieldContainer[ProgramRow]
    def __init__(self, programs: _Optional[_Iterable[_Union[ProgramRow, _Mapping]]] = ...) -> None: ...
