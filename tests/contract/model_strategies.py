"""Hypothesis strategies for every value of the model, from its type hints."""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum

from autoresearch import model
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
HANDLE = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
UUIDS = st.builds(model.new_id)
HASHES = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
CLASSES = st.from_regex(r"[a-z0-9][a-z0-9._+:/-]{0,20}", fullmatch=True)
INT64 = st.integers(-(2**63), 2**63 - 1)
NEW_TYPES = {
    model.ChallengeId: HANDLE,
    model.NodeId: HANDLE,
    model.OwnerId: HANDLE,
    model.ClaimId: UUIDS,
    model.ExperimentId: UUIDS,
    model.HypothesisId: UUIDS,
    model.InsightId: UUIDS,
    model.ResultId: UUIDS,
    model.SourceHash: HASHES,
    model.ProgramHash: st.from_regex(r"p_[0-9a-f]{32}", fullmatch=True),
    model.HardwareClass: CLASSES,
}
PLAIN = {
    str: TEXT,
    bool: st.booleans(),
    int: st.integers(0, 2**32 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime: st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    bytes: st.just(b""),
}
BY_FIELD = {
    "fencing_token": INT64,
    "seed": INT64,
    "val_seed": INT64,
    "token_id": HANDLE,
    "direction": st.sampled_from(["lower", "higher"]),
}


def values_of(hint):  # noqa: PLR0911 - one return per kind of hint
    """Every value of a type that travels; key material never does."""
    if hint in NEW_TYPES:
        return NEW_TYPES[hint]
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    if is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        parts = {
            part.name: BY_FIELD[part.name] if part.name in BY_FIELD else values_of(hints[part.name])
            for part in fields(hint)
        }
        return st.builds(hint, **parts)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([st.none() if kind is type(None) else values_of(kind) for kind in arguments])
    if origin is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(values_of, arguments))
    if origin in (tuple, Sequence):
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(*map(values_of, arguments), max_size=3)
    raise AssertionError(f"no strategy for {hint}")
