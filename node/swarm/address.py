"""Where a coordinator is, and a channel to it that is encrypted unless that would be pointless."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from autoresearch.errors import InvalidArgument
from autoresearch.limits import REPLY_LIMIT_BYTES, REQUEST_LIMIT_BYTES

DEFAULT_PORT = 50051
_PORT_MAX = 65_535
_FORM = re.compile(r"(?:(grpcs?)://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?")

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", REQUEST_LIMIT_BYTES),
    ("grpc.max_receive_message_length", REPLY_LIMIT_BYTES),
    # A call is awaited for seconds, a training for minutes: find out about a dead peer in between.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    # Whoever uses the channel has its own backoff; the channel's must not be longer than that.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Each coordinator on one machine has its own address; sharing sockets would mix up their states.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A coordinator's address; ``is_tls`` where it was written with ``grpcs://``."""

    host: str
    port: int
    is_tls: bool = False

    @property
    def target(self) -> str:
        """As gRPC wants it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True for this machine by a name or number that nobody else can answer."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Reads ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT`` or ``grpcs://HOST[:PORT]``. Raises InvalidArgument."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(f"{text!r} is no address; write HOST, HOST:PORT or grpcs://HOST:PORT")
    scheme, host, port_text = match.groups()
    port = int(port_text) if port_text else default_port
    if not 0 < port <= _PORT_MAX:
        raise InvalidArgument(f"{text!r} has the port {port}; ports are 1 to {_PORT_MAX}")
    return Address(host=host.strip("[]"), port=port, is_tls=scheme == "grpcs")


def open_channel(
    address: Address, *, ca_file: Path | None = None, insecure: bool = False
) -> grpc.aio.Channel:
    """A channel that connects at its first call.

    Args:
        address: Whom to call.
        ca_file: The authority that signed the coordinator's certificate (PEM); asks for TLS too.
        insecure: The user said that nobody can listen or answer in between.

    Raises:
        InvalidArgument: TLS is needed for another machine; the message says how to get it.
    """
    if address.is_tls or ca_file is not None:
        root = _read_ca(ca_file) if ca_file is not None else None
        return grpc.aio.secure_channel(
            address.target, grpc.ssl_channel_credentials(root), options=CHANNEL_OPTIONS
        )
    if address.is_loopback or insecure:
        return grpc.aio.insecure_channel(address.target, options=CHANNEL_OPTIONS)
    raise InvalidArgument(
        f"{address.target} is another machine: use grpcs://{address.target} or a CA file, "
        "or --insecure on a network that you trust"
    )


def _read_ca(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"the CA file {path} cannot be read: {error.strerror}") from error
