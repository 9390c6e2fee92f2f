"""The wire stays what it was: generated code is fresh, and the stored descriptor may only grow."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from autoresearch import errors, status
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos" / "autoresearch" / "v1"
BASELINE = Path(__file__).with_name("descriptor_v1.bin")


def shape_of(raw):
    """Every name on the wire with what must never change about it."""
    shape = {}
    for file in FileDescriptorSet.FromString(raw).file:
        if not file.package.startswith("autoresearch"):
            continue
        messages = [(f"{file.package}.{message.name}", message) for message in file.message_type]
        for name, message in messages:
            messages.extend((f"{name}.{inner.name}", inner) for inner in message.nested_type)
            shape[name] = "message"
            for field in message.field:
                shape[f"{name}.{field.name}"] = (field.number, field.type, field.label, field.type_name)
        for enum in file.enum_type:
            shape[f"{file.package}.{enum.name}"] = "enum"
            for value in enum.value:
                shape[f"{file.package}.{enum.name}.{value.name}"] = value.number
        for service in file.service:
            for method in service.method:
                shape[f"{file.package}.{service.name}/{method.name}"] = (
                    method.input_type,
                    method.output_type,
                    method.server_streaming,
                    method.client_streaming,
                )
    return shape


def test_generated_code_matches_the_protos():
    environment = {**os.environ, "PYTHON": sys.executable}

    check = subprocess.run(
        [ROOT / "scripts" / "protos", "--check"], env=environment, capture_output=True, text=True, check=False
    )

    assert check.returncode == 0, check.stderr


def test_wire_only_grows_from_the_stored_descriptor():
    then = shape_of(BASELINE.read_bytes())
    now = shape_of((PROTOS / "descriptor.bin").read_bytes())

    gone_or_changed = {name: (was, now.get(name)) for name, was in then.items() if now.get(name) != was}

    assert len(then) > 300
    assert gone_or_changed == {}


def test_every_enum_begins_with_unspecified():
    for file in FileDescriptorSet.FromString((PROTOS / "descriptor.bin").read_bytes()).file:
        for enum in file.enum_type:
            assert enum.value[0].number == 0
            assert enum.value[0].name.endswith("_UNSPECIFIED"), enum.name


@pytest.mark.parametrize("path", sorted(PROTOS.glob("*.proto")), ids=lambda path: path.name)
def test_every_rpc_has_a_comment(path):
    lines = path.read_text().splitlines()

    bare = [line for above, line in pairwise(lines)
            if re.match(r"\s*rpc ", line) and not re.match(r"\s*//", above)]  # fmt: skip

    assert bare == []


def every_error():
    found, waiting = [], [errors.SwarmError]
    while waiting:
        subclasses = waiting.pop().__subclasses__()
        found += subclasses
        waiting += subclasses
    return sorted({error for error in found if error.__module__ == errors.__name__}, key=lambda e: e.__name__)


@pytest.mark.parametrize("error_class", every_error(), ids=lambda error: error.__name__)
def test_every_error_round_trips_through_its_status(error_class):
    error = error_class("what happened", retry_after_s=2.5)
    metadata = {status.ERROR_CODE_KEY: error.code, status.RETRY_AFTER_KEY: str(error.retry_after_s)}

    arrived = status.error_of(status.status_of(error), error.message, metadata)

    assert error_class in status.STATUS_OF
    assert type(arrived) is error_class
    assert (arrived.message, arrived.retry_after_s) == ("what happened", 2.5)


def test_error_codes_are_unique():
    assert len({error.code for error in every_error()}) == len(every_error())


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_no_status_without_a_code_is_ever_success(code):
    assert isinstance(status.error_of(code, "failed"), errors.SwarmError)


def test_unreadable_retry_time_is_ignored():
    arrived = status.error_of(grpc.StatusCode.UNAVAILABLE, "x", {status.RETRY_AFTER_KEY: "soon"})

    assert arrived.retry_after_s is None
