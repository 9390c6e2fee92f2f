from autoresearch.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProposeRequest(_message.Message):
    __slots__ = ("challenge_id", "hypothesis_id", "hypothesis", "source", "origin_experiment_id", "priority", "parent_id", "usage")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    hypothesis_id: str
    hypothesis: _types_pb2.Hypothesis
    source: bytes
    origin_experiment_id: str
    priority: int
    parent_id: str
    usage: _types_pb2.Usage
    def __init__(self, challenge_id: _Optional[str] = ..., hypothesis_id: _Optional[str] = ..., hypothesis: _Optional[_Union[_types_pb2.Hypothesis, _Mapping]] = ..., source: _Optional[bytes] = ..., origin_experiment_id: _Optional[str] = ..., priority: _Optional[int] = ..., parent_id: _Optional[str] = ..., usage: _Optional[_Union[_types_pb2.Usage, _Mapping]] = ...) -> None: ...

class ProposeReply(_message.Message):
    __slots__ = ("hypothesis_id", "is_repeat")
    HYPOTHESIS_ID_FIELD_NUMBER: _ClassVar[int]
    IS_REPEAT_FIELD_NUMBER: _ClassVar[int]
    hypothesis_id: str
    is_repeat: bool
    def __init__(self, hypothesis_id: _Optional[str] = ..., is_repeat: bool = ...) -> None: ...

class ListIdeasRequest(_message.Message):
    __slots__ = ("challenge",)
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    def __init__(self, challenge: _Optional[str] = ...) -> None: ...

class Idea(_message.Message):
    __slots__ = ("hypothesis_id", "hypothesis", "node_id", "proposed_at", "origin_experiment_id", "source_hash", "parents", "kind", "priority", "material_ids", "owner_id", "usage")
    HYPOTHESIS_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    PROPOSED_AT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HASH_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    OWNER_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    hypothesis_id: str
    hypothesis: _types_pb2.Hypothesis
    node_id: str
    proposed_at: _timestamp_pb2.Timestamp
    origin_experiment_id: str
    source_hash: str
    parents: _containers.RepeatedScalarFieldContainer[str]
    kind: _types_pb2.IdeaKind
    priority: int
    material_ids: _containers.RepeatedScalarFieldContainer[str]
    owner_id: str
    usage: _types_pb2.Usage
    def __init__(self, hypothesis_id: _Optional[str] = ..., hypothesis: _Optional[_Union[_types_pb2.Hypothesis, _Mapping]] = ..., node_id: _Optional[str] = ..., proposed_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., origin_experiment_id: _Optional[str] = ..., source_hash: _Optional[str] = ..., parents: _Optional[_Iterable[str]] = ..., kind: _Optional[_Union[_types_pb2.IdeaKind, str]] = ..., priority: _Optional[int] = ..., material_ids: _Optional[_Iterable[str]] = ..., owner_id: _Optional[str] = ..., usage: _Optional[_Union[_types_pb2.Usage, _Mapping]] = ...) -> None: ...

class ListIdeasReply(_message.Message):
    __slots__ = ("ideas",)
    IDEAS_FIELD_NUMBER: _ClassVar[int]
    ideas: _containers.RepeatedCompositeFieldContainer[Idea]
    def __init__(self, ideas: _Optional[_Iterable[_Union[Idea, _Mapping]]] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("challenge_id", "hypothesis_id")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    HYPOTHESIS_ID_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    hypothesis_id: str
    def __init__(self, challenge_id: _Optional[str] = ..., hypothesis_id: _Optional[str] = ...) -> None: ...

class WithdrawReply(_message.Message):
    __slots__ = ("was_waiting",)
    WAS_WAITING_FIELD_NUMBER: _ClassVar[int]
    was_waiting: bool
    def __init__(self, was_waiting: bool = ...) -> None: ...

class ShareInsightRequest(_message.Message):
    __slots__ = ("challenge_id", "insight")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    INSIGHT_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    insight: _types_pb2.Insight
    def __init__(self, challenge_id: _Optional[str] = ..., insight: _Optional[_Union[_types_pb2.Insight, _Mapping]] = ...) -> None: ...

class ShareInsightReply(_message.Message):
    __slots__ = ("insight_id", "is_repeat")
    INSIGHT_ID_FIELD_NUMBER: _ClassVar[int]
    IS_REPEAT_FIELD_NUMBER: _ClassVar[int]
    insight_id: str
    is_repeat: bool
    def __init__(self, insight_id: _Optional[str] = ..., is_repeat: bool = ...) -> None: ...

class ListInsightsRequest(_message.Message):
    __slots__ = ("challenge", "hardware_class", "experiment_id", "text", "limit")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    HARDWARE_CLASS_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    hardware_class: str
    experiment_id: str
    text: str
    limit: int
    def __init__(self, challenge: _Optional[str] = ..., hardware_class: _Optional[str] = ..., experiment_id: _Optional[str] = ..., text: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListInsightsReply(_message.Message):
    __slots__ = ("insights",)
    INSIGHTS_FIELD_NUMBER: _ClassVar[int]
    insights: _containers.RepeatedCompositeFieldContainer[_types_pb2.Insight]
    def __init__(self, insights: _Optional[_Iterable[_Union[_types_pb2.Insight, _Mapping]]] = ...) -> None: ...
