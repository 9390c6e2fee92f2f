"""A Hugging Face hub on a loopback socket: resolve paths, redirects, ranges, and faults on demand."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
API = re.compile(r"/api/datasets/(?P<repo>[^/]+/[^/]+)/revision/(?P<revision>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What one answer does wrong."""

    status: int = 0
    cut_after: int = -1
    flip_first_byte: bool = False
    claimed_length: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class FakeHub:
    """State of the server; tests read ``requests`` and queue ``faults``, first in, first out, by path."""

    files: dict[str, bytes]
    commit: str = COMMIT
    required_token: str = ""
    cdn: str = ""
    with_etag: bool = True
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ranges(self, path: str) -> list[str]:
        """The Range header of every request for a file, empty where there was none."""
        return [headers.get("Range", "") for seen, headers in self.requests if seen.endswith("/" + path)]


@contextmanager
def serving(hub: FakeHub) -> Iterator[str]:
    """Serves a hub; yields its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            answer(self, hub)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request: BaseHTTPRequestHandler, hub: FakeHub) -> None:
    name = request.path.rsplit("/", 1)[-1]
    with hub.lock:
        hub.requests.append((request.path, dict(request.headers.items())))
        fault = hub.faults[name].pop(0) if hub.faults[name] else Fault()
    request.close_connection = True
    if fault.status:
        return send(request, fault.status, b"", dict(fault.headers))
    if hub.required_token and request.headers.get("Authorization") != f"Bearer {hub.required_token}":
        return send(request, 401, b"", {})
    if API.fullmatch(request.path):
        return send(request, 200, f'{{"sha": "{hub.commit}"}}'.encode(), {})
    found = RESOLVE.fullmatch(request.path)
    if found is None or found["path"] not in hub.files:
        return send(request, 404, b"", {})
    if hub.cdn:
        return send(request, 302, b"", {"Location": hub.cdn + request.path})
    return send_file(request, hub, hub.files[found["path"]], fault)


def send_file(request: BaseHTTPRequestHandler, hub: FakeHub, whole: bytes, fault: Fault) -> None:
    etag = f'"{hashlib.sha256(whole).hexdigest()}"'
    headers = {"ETag": etag} if hub.with_etag else {}
    start = 0
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if wanted and request.headers.get("If-Range", etag) == etag:
        start = int(wanted[1])
        if start >= len(whole):
            return send(request, 416, b"", {"Content-Range": f"bytes */{len(whole)}"})
        headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
    body = whole[start:]
    if fault.flip_first_byte:
        body = bytes([body[0] ^ 1]) + body[1:]
    length = fault.claimed_length or len(body)
    if fault.cut_after >= 0:
        body = body[: fault.cut_after]
    return send(request, 206 if start else 200, body, headers, length=length)


def send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], *, length: int = -1
) -> None:
    request.send_response(status)
    for key, value in headers.items():
        request.send_header(key, value)
    request.send_header("Content-Length", str(length if length >= 0 else len(body)))
    request.send_header("Connection", "close")
    request.end_headers()
    request.wfile.write(body)
