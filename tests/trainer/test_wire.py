from __future__ import annotations

import json
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.wire import (
    HEADER,
    MAGIC,
    Frame,
    FrameReader,
    Kind,
    WireClosed,
    WireError,
    number_field,
    pack,
    pack_batch,
    pack_json,
    parse_json,
    read_frame,
    text_field,
    unpack_batch,
)


def test_frames_arrive_whole_however_the_bytes_are_cut() -> None:
    reader = FrameReader()
    sent = pack_json(Kind.LOG, {"step": 1, "loss": 2.5}) + pack(Kind.START)
    kinds = []

    for byte in sent:
        reader.feed(bytes([byte]))
        while (frame := reader.next_frame()) is not None:
            kinds.append(frame.kind)

    assert kinds == [Kind.LOG, Kind.START]
    assert not reader.in_frame


@given(st.binary(max_size=400))
def test_no_bytes_do_more_than_break_the_protocol(junk: bytes) -> None:
    reader = FrameReader()
    reader.feed(junk)

    try:
        while (frame := reader.next_frame()) is not None:
            parse_json(frame)
    except WireError as error:
        assert str(error)  # noqa: PT017 - the point is that nothing else is raised


@given(st.sampled_from(sorted(Kind)), st.binary(max_size=200))
def test_no_payload_does_more_than_break_the_protocol(kind: Kind, payload: bytes) -> None:
    try:
        fields = parse_json(Frame(kind=kind, payload=payload))
    except WireError:
        return

    assert all(isinstance(text_field(fields, key), str) for key in fields)
    assert all(
        number_field(fields, key) is None or number_field(fields, key) == number_field(fields, key)
        for key in fields
    )


@pytest.mark.parametrize("kind", [Kind.CONFIG, Kind.SOURCE, Kind.SHARDS, Kind.BUFFER, Kind.FORWARD, 0, 99])
def test_a_worker_may_not_speak_as_the_harness(kind: int) -> None:
    reader = FrameReader()
    reader.feed(HEADER.pack(MAGIC, kind, 0))

    with pytest.raises(WireError, match="may not send"):
        reader.next_frame()


def test_a_frame_larger_than_its_kind_allows_is_refused_before_it_arrives() -> None:
    reader = FrameReader()
    reader.feed(HEADER.pack(MAGIC, Kind.LOG, 1 << 31))

    with pytest.raises(WireError, match="allowed"):
        reader.next_frame()


@pytest.mark.parametrize(
    "payload", [b"", b"[1]", b"nonsense", b"\xff", b'{"loss": NaN}', b'{"loss": Infinity}', b"[" * 3000]
)
def test_json_that_is_no_object_of_finite_numbers_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        parse_json(Frame(kind=Kind.LOG, payload=payload))


def test_numbers_that_are_none_are_not_taken_for_any() -> None:
    fields = json.loads('{"huge": 1e999, "long": %s, "text": "1", "truth": true, "fine": 3}' % ("9" * 400))

    found = {key: number_field(fields, key) for key in (*fields, "absent")}

    assert found == {"huge": None, "long": None, "text": None, "truth": None, "fine": 3.0, "absent": None}


def test_tokens_survive_the_trip() -> None:
    tokens = np.arange(12, dtype=np.int64).reshape(3, 4)

    slot, arrived = unpack_batch(pack_batch(1, tokens)[HEADER.size :])

    assert slot == 1
    assert (arrived == tokens).all()


def test_a_hung_up_channel_is_told_from_a_torn_frame() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack(Kind.SOURCE, b"abc")[:-1])
        ours.close()

        with pytest.raises(WireClosed, match="middle"):
            read_frame(theirs)
