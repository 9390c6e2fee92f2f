import re
import stat

import pytest
from autoresearch import signing
from autoresearch.errors import ClockSkew, InvalidArgument, Unauthenticated
from hypothesis import given
from hypothesis import strategies as st

METHOD = "/autoresearch.v1.SwarmService/Claim"
BODY = b"\x0a\x03abc"
NOW_MS = 1_800_000_000_000
KEY = signing.SigningKey.from_pem(signing.SigningKey.generate().to_pem())


def signed(*, time_ms=NOW_MS, body=BODY, key=KEY):
    return signing.sign_call(key, METHOD, body, time_ms=time_ms, nonce=signing.new_nonce())


def verify(metadata, *, method=METHOD, body=BODY, now_ms=NOW_MS, key=KEY):
    call = signing.read_signature(metadata)
    signing.verify_call(call, public_key=key.public_key, method=method, body=body, now_ms=now_ms)
    return call


def test_signed_call_is_accepted_and_says_who_calls():
    call = verify((("user-agent", "grpc"), *signed()))

    assert call.node_id == KEY.node_id
    assert call.time_ms == NOW_MS


def test_node_id_is_a_function_of_the_key():
    assert re.fullmatch(r"n_[a-z2-7]{26}", KEY.node_id)
    assert signing.node_id_of(KEY.public_key) == KEY.node_id
    assert signing.SigningKey.generate().node_id != KEY.node_id


def test_public_key_of_wrong_size_has_no_node_id():
    with pytest.raises(InvalidArgument, match="32"):
        signing.node_id_of(b"short")


@pytest.mark.parametrize("changed", [{"method": METHOD + "s"}, {"body": BODY + b"\0"}])
def test_changed_call_is_refused(changed):
    metadata = signed()

    with pytest.raises(Unauthenticated, match="signature"):
        verify(metadata, **changed)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (signing.TIME_KEY, str(NOW_MS + 1)),
        (signing.NONCE_KEY, "0" * 32),
        (signing.SIGNATURE_KEY, b"\0" * 64),
        (signing.SIGNATURE_KEY, b"short"),
        (signing.NODE_KEY, signing.SigningKey.generate().node_id),
    ],
)
def test_changed_metadata_is_refused(key, value):
    metadata = {**dict(signed()), key: value}

    with pytest.raises(Unauthenticated):
        verify(metadata.items())


def test_call_of_another_key_is_refused():
    metadata = signed(key=signing.SigningKey.generate())

    with pytest.raises(Unauthenticated):
        verify(metadata)


@pytest.mark.parametrize("apart_ms", [-60_000, 60_000])
def test_clock_within_the_window_is_accepted(apart_ms):
    verify(signed(time_ms=NOW_MS + apart_ms))


@pytest.mark.parametrize("apart_ms", [-60_001, 60_001])
def test_clock_outside_the_window_is_told_so(apart_ms):
    with pytest.raises(ClockSkew, match="60 s"):
        verify(signed(time_ms=NOW_MS + apart_ms))


@pytest.mark.parametrize("key", [key for key, _ in signed()])
def test_missing_metadata_is_named(key):
    metadata = tuple(pair for pair in signed() if pair[0] != key)

    with pytest.raises(Unauthenticated, match=key):
        signing.read_signature(metadata)


@pytest.mark.parametrize("index", range(4))
def test_doubled_metadata_is_refused(index):
    metadata = signed()

    with pytest.raises(Unauthenticated, match="twice"):
        signing.read_signature((*metadata, metadata[index]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (signing.TIME_KEY, "-1"),
        (signing.TIME_KEY, "1" * 40),
        (signing.TIME_KEY, "1.5"),
        (signing.NONCE_KEY, "zz"),
        (signing.NODE_KEY, "n_../../etc"),
        (signing.SIGNATURE_KEY, "text"),
    ],
)
def test_malformed_metadata_is_refused(key, value):
    with pytest.raises(Unauthenticated, match=key):
        signing.read_signature({**dict(signed()), key: value}.items())


PARTS = st.tuples(
    st.text(max_size=5), st.binary(max_size=5), st.text(max_size=5), st.integers(0, 99), st.text()
)


@given(PARTS, PARTS)
def test_no_two_calls_sign_the_same_bytes(first, second):
    if first != second:
        assert signing.canonical(*first) != signing.canonical(*second)


def test_key_file_is_private_and_reads_back(tmp_path):
    path = tmp_path / "state" / "node.key"

    created = signing.load_or_create_key(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert signing.load_or_create_key(path).node_id == created.node_id
    assert list(path.parent.iterdir()) == [path]


def test_key_file_is_never_overwritten(tmp_path):
    path = tmp_path / "node.key"
    signing.save_key(KEY, path)

    with pytest.raises(FileExistsError):
        signing.save_key(signing.SigningKey.generate(), path)

    assert signing.load_key(path).node_id == KEY.node_id
    assert list(tmp_path.iterdir()) == [path]


def test_key_file_that_others_can_read_is_refused_with_the_cure(tmp_path):
    path = tmp_path / "node.key"
    signing.save_key(KEY, path)
    path.chmod(0o644)

    with pytest.raises(signing.KeyFileError, match="chmod 600"):
        signing.load_key(path)


def test_key_file_with_something_else_is_refused_by_name(tmp_path):
    path = tmp_path / "node.key"
    path.write_bytes(b"not a key")
    path.chmod(0o600)

    with pytest.raises(signing.KeyFileError, match=r"node\.key"):
        signing.load_key(path)


def test_key_never_shows_in_its_repr():
    assert repr(KEY) == f"SigningKey({KEY.node_id})"
