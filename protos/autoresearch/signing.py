"""Who is calling: every call of a node is signed by its own Ed25519 key.

The signature covers the method, the SHA-256 of the exact request bytes, the node id, a nonce and the
time. The time must lie within ``WINDOW_S`` of the server's clock; within that window each server process
remembers nonces, so a call that was overheard can neither be changed nor repeated at the same process.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from autoresearch.errors import ClockSkew, Unauthenticated
from autoresearch.limits import check_public_key
from autoresearch.model import NodeId

NODE_KEY = "x-swarm-node"
TIME_KEY = "x-swarm-time-ms"
NONCE_KEY = "x-swarm-nonce"
SIGNATURE_KEY = "x-swarm-signature-bin"

WINDOW_S = 60.0
"""How far a call's time may be from the server's; nonces are remembered for twice as long."""

KEY_FILE_LIMIT_BYTES = 16 * 1024
_DOMAIN = b"autoresearch.v1 signed call"
_NONCE = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"[0-9]{1,15}")
_NODE_ID = re.compile(r"n_[a-z2-7]{26}")

Metadata = tuple[tuple[str, str | bytes], ...]


class KeyFileError(ValueError):
    """A key file cannot be read or trusted; the message says what to mend."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A node's private key."""

    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.node_id})"

    @classmethod
    def generate(cls) -> SigningKey:
        """A new random key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """Reads an unencrypted PKCS#8 key. Raises KeyFileError."""
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise KeyFileError(f"no unencrypted PEM private key: {error}") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyFileError("the key is not an Ed25519 key")
        return cls(private)

    def to_pem(self) -> bytes:
        """The key as unencrypted PKCS#8."""
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that others check signatures by."""
        return self.private.public_key().public_bytes_raw()

    @property
    def node_id(self) -> NodeId:
        """The id that follows from the public key."""
        return node_id_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        return self.private.sign(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSignature:
    """What a call's metadata claims; nothing is proven before ``verify_call``."""

    node_id: NodeId
    time_ms: int
    nonce: str
    signature: bytes


def node_id_of(public_key: bytes) -> NodeId:
    """``n_`` and 26 characters of base32: 130 bits of the key's SHA-256."""
    check_public_key(public_key)
    text = base64.b32encode(hashlib.sha256(public_key).digest()).decode("ascii").lower()
    return NodeId("n_" + text[:26])


def load_key(path: Path) -> SigningKey:
    """Reads a key file that only its owner can read. Raises KeyFileError and FileNotFoundError."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise KeyFileError(f"{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")
        pem = file.read(KEY_FILE_LIMIT_BYTES)
    try:
        return SigningKey.from_pem(pem)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from error


def save_key(key: SigningKey, path: Path) -> None:
    """Writes a new key file, mode 0600, whole or not at all. Raises FileExistsError, never overwrites."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.to_pem())
            file.flush()
            os.fsync(file.fileno())
        # A hard link appears at once and fails where there is a key: of two writers one wins whole.
        os.link(partial, path)
    finally:
        partial.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_or_create_key(path: Path) -> SigningKey:
    """The key in ``path``, made first if there is none; safe with several starters."""
    with contextlib.suppress(FileNotFoundError):
        return load_key(path)
    with contextlib.suppress(FileExistsError):  # then another starter was quicker: use its key
        save_key(SigningKey.generate(), path)
    return load_key(path)


def new_nonce() -> str:
    """128 random bits as text."""
    return secrets.token_hex(16)


def canonical(method: str, body: bytes, nonce: str, time_ms: int, node_id: str) -> bytes:
    """The bytes that are signed: each part with its length before it, so that no two calls agree.

    Args:
        method: Full gRPC method, ``/autoresearch.v1.SwarmService/Claim``.
        body: The serialised request exactly as it is sent.
        nonce: Used once.
        time_ms: Milliseconds since 1970 by the server's clock.
        node_id: Who says so.
    """
    parts = (
        _DOMAIN,
        method.encode("utf-8"),
        hashlib.sha256(body).digest(),
        nonce.encode("utf-8"),
        str(time_ms).encode("ascii"),
        node_id.encode("utf-8"),
    )
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def sign_call(key: SigningKey, method: str, body: bytes, *, time_ms: int, nonce: str) -> Metadata:
    """The metadata that authenticates one call; a repeat needs a new nonce."""
    node_id = key.node_id
    return (
        (NODE_KEY, node_id),
        (TIME_KEY, str(time_ms)),
        (NONCE_KEY, nonce),
        (SIGNATURE_KEY, key.sign(canonical(method, body, nonce, time_ms, node_id))),
    )


def read_signature(metadata: Iterable[tuple[str, str | bytes]]) -> CallSignature:
    """Reads a call's metadata. Raises Unauthenticated where a part is missing, doubled or malformed."""
    found: dict[str, str | bytes] = {}
    for key, value in metadata:
        if key in (NODE_KEY, TIME_KEY, NONCE_KEY, SIGNATURE_KEY):
            if key in found:
                raise Unauthenticated(f"metadata {key} is there twice; sign the call once")
            found[key] = value
    node_id = _text(found, NODE_KEY, _NODE_ID)
    time_ms = int(_text(found, TIME_KEY, _TIME))
    nonce = _text(found, NONCE_KEY, _NONCE)
    signature = found.get(SIGNATURE_KEY)
    if not isinstance(signature, bytes):
        raise Unauthenticated(f"metadata {SIGNATURE_KEY} is missing; sign the call with the node's key")
    return CallSignature(node_id=NodeId(node_id), time_ms=time_ms, nonce=nonce, signature=signature)


def verify_call(call: CallSignature, *, public_key: bytes, method: str, body: bytes, now_ms: int) -> None:
    """Proves that the holder of ``public_key`` made exactly this call within the window.

    The caller of this function remembers nonces for twice the window and refuses repeats. For Enrol,
    ``public_key`` is the one in the request.

    Raises:
        ClockSkew: The time is outside the window; the reply brings the server's.
        Unauthenticated: The node id is not that key's, or the signature is wrong.
    """
    apart_ms = abs(now_ms - call.time_ms)
    if apart_ms > WINDOW_S * 1000:
        raise ClockSkew(
            f"the call's time is {apart_ms / 1000:.0f} s off, the limit is {WINDOW_S:.0f} s; "
            "correct by the time in the reply and repeat"
        )
    if node_id_of(public_key) != call.node_id:
        raise Unauthenticated(f"{NODE_KEY} is not the id of the key that signed")
    message = canonical(method, body, call.nonce, call.time_ms, call.node_id)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(call.signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Unauthenticated(
            "the signature does not match the call; sign the bytes that are sent"
        ) from error


def _text(found: dict[str, str | bytes], key: str, form: re.Pattern[str]) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not form.fullmatch(value):
        state = "missing" if value is None else "malformed"
        raise Unauthenticated(f"metadata {key} is {state}; sign the call with the node's key")
    return value
