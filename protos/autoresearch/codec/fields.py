"""How single fields cross the edge: each reader takes a message and a field's name, which errors repeat."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from autoresearch import limits
from autoresearch.errors import InvalidArgument

E = TypeVar("E", bound=StrEnum)
_NANOS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = int((datetime.max.replace(tzinfo=UTC) - _EPOCH).total_seconds())
_FIRST_SECOND = int((datetime.min.replace(tzinfo=UTC) - _EPOCH).total_seconds())


class WireEnum(Protocol):
    """What generated enums offer."""

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names with numbers."""


class EnumTable(Generic[E]):
    """One enum of the model against its generated twin; made once, so a missing member fails at import."""

    def __init__(self, model: type[E], wire: WireEnum, prefix: str) -> None:
        numbers = {name: int(number) for name, number in wire.items()}
        self._prefix = prefix
        self._values = {numbers[f"{prefix}_{member.name}"]: member for member in model}

    def to_wire(self, value: E | None) -> str:
        """The generated name; None is UNSPECIFIED."""
        return f"{self._prefix}_{'UNSPECIFIED' if value is None else value.name}"

    def read(self, message: Message, field: str) -> E:
        """The value of an enum field. Raises InvalidArgument for UNSPECIFIED and unknown numbers."""
        number = getattr(message, field)
        value = self._values.get(number)
        if value is None:
            state = "unspecified" if number == 0 else f"an unknown value ({number})"
            raise InvalidArgument(f"{name_of(message, field)} is {state}; choose one of {self._prefix}_*")
        return value

    def read_optional(self, message: Message, field: str) -> E | None:
        """Likewise; UNSPECIFIED is None."""
        return None if getattr(message, field) == 0 else self.read(message, field)


def name_of(message: Message, field: str) -> str:
    """For errors: the message's and the field's name."""
    return f"{message.DESCRIPTOR.name}.{field}"


def need(message: Message, field: str) -> None:
    """Raises InvalidArgument where a message field is unset."""
    if not message.HasField(field):
        raise InvalidArgument(f"{name_of(message, field)} is missing; set it")


def chosen(message: Message, oneof: str) -> str:
    """Which field of a oneof is set. Raises InvalidArgument where none is."""
    field = message.WhichOneof(oneof)
    if field is None:
        raise InvalidArgument(f"{name_of(message, oneof)} is empty; set one of its fields")
    return str(field)


def read_uuid(message: Message, field: str) -> str:
    """A UUIDv7."""
    text = str(getattr(message, field))
    limits.check_uuid(text, name_of(message, field))
    return text


def read_uuids(message: Message, field: str) -> tuple[str, ...]:
    """Several UUIDv7."""
    for text in getattr(message, field):
        limits.check_uuid(text, name_of(message, field))
    return tuple(getattr(message, field))


def read_hash(message: Message, field: str) -> str:
    """A source hash."""
    text = str(getattr(message, field))
    limits.check_source_hash(text, name_of(message, field))
    return text


def read_program_hash(message: Message, field: str) -> str:
    """The hash of a program.md."""
    text = str(getattr(message, field))
    limits.check_program_hash(text, name_of(message, field))
    return text


def read_handle(message: Message, field: str) -> str:
    """An id of a node, owner, challenge or token."""
    text = str(getattr(message, field))
    limits.check_handle(text, name_of(message, field))
    return text


def read_class(message: Message, field: str) -> str:
    """A hardware class."""
    text = str(getattr(message, field))
    limits.check_hardware_class(text, name_of(message, field))
    return text


def read_optional(message: Message, field: str, read: Callable[[Message, str], str]) -> str | None:
    """What ``read`` reads, or None where the text is empty."""
    return read(message, field) if getattr(message, field) else None


def read_blank(message: Message, field: str, read: Callable[[Message, str], str]) -> str:
    """What ``read`` reads, or the empty text, for fields that the other side fills."""
    return read_optional(message, field, read) or ""


def read_number(message: Message, field: str) -> float:
    """A finite number."""
    value = float(getattr(message, field))
    if not math.isfinite(value):
        raise InvalidArgument(f"{name_of(message, field)} is {value}; send a finite number")
    return value


def read_optional_number(message: Message, field: str) -> float | None:
    """A finite number, or None where the field is unset."""
    return read_number(message, field) if message.HasField(field) else None


def read_time(message: Message, field: str) -> datetime:
    """An aware UTC time, to the microsecond."""
    need(message, field)
    stamp = getattr(message, field)
    if not _FIRST_SECOND <= stamp.seconds < _LAST_SECOND or not 0 <= stamp.nanos < _NANOS_PER_S:
        raise InvalidArgument(f"{name_of(message, field)} is no time between the years 1 and 9999")
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def read_optional_time(message: Message, field: str) -> datetime | None:
    """Likewise, or None where the field is unset."""
    return read_time(message, field) if message.HasField(field) else None


def time_to_wire(value: datetime) -> Timestamp:
    """Exact to the microsecond; a time without zone is a bug of the caller."""
    if value.tzinfo is None:
        raise ValueError(f"a time without zone cannot be sent: {value}")
    since = value - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def optional_time_to_wire(value: datetime | None) -> Timestamp | None:
    """None leaves the field unset."""
    return None if value is None else time_to_wire(value)
