"""A server here that speaks the Messages API: its answers are scripted, what it is sent is checked.

It is as strict as the real one: whatever that would refuse is refused here with the same status and kind of
error, and written down in ``complaints``. It counts tokens (four bytes each) and keeps a cache of prefixes as
far as requests mark them, so that usage comes out as it would.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-test-3141592653589793"
CACHE_MARKS_MAX = 4
BLOCK_FIELDS = {
    "text": {"type", "text", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
}
REQUEST_FIELDS = {"model", "max_tokens", "system", "messages", "tools", "stream", "thinking"}
THINKING_TYPES = {"adaptive", "between_tools", "disabled"}


def text(said):
    return {"type": "text", "text": said}


def call(name, /, **arguments):
    return {"type": "tool_use", "name": name, "input": arguments}


def thought(said, signature="c2lnbmVk"):
    return {"type": "thinking", "thinking": said, "signature": signature}


@dataclass(frozen=True)
class Says:
    """One message. ``raw_input`` is sent as the last call's arguments; the rest is how it ends badly."""

    blocks: tuple[Any, ...]
    stop: str | None = None
    detail: dict[str, Any] | None = None
    output_tokens: int = 50
    raw_input: str | None = None
    drop_after: int | None = None
    end_after: int | None = None
    error_after: tuple[int, str] | None = None

    @classmethod
    def of(cls, *blocks, **more):
        return cls(blocks=blocks, **more)

    @property
    def reason(self):
        has_call = any(block["type"] == "tool_use" for block in self.blocks)
        return self.stop or ("tool_use" if has_call else "end_turn")


@dataclass(frozen=True)
class Fails:
    """An error in the place of a message."""

    status: int
    kind: str
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hangs:
    """No answer at all; the connection stays until the other side is gone."""


@dataclass(frozen=True)
class Garbage:
    """Something else than the protocol, with status 200."""

    body: bytes = b"<html>sign in</html>"


class Refused(Exception):
    def __init__(self, kind, message, status=400):
        super().__init__(message)
        self.kind, self.status = kind, status


class MessagesServer:
    """Answers each request with the next of ``script``; entries may be functions of the request's body."""

    def __init__(self, *script, key=KEY, models=(), window_tokens=200_000):
        self.script = deque(script)
        self.key = key
        self.models = models
        self.window_tokens = window_tokens
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.complaints: list[str] = []
        self.answered: list[Any] = []
        self.arrived = asyncio.Event()
        self._cache: set[str] = set()
        self._calls = 0
        self._last_stop = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc):
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def systems(self):
        return [block["text"] for request in self.requests for block in request["system"]]

    def users(self):
        """All that was said in users' turns, request by request."""
        return [
            "\n".join(
                block.get("text") or str(block.get("content"))
                for message in request["messages"]
                if message["role"] == "user"
                for block in message["content"]
            )
            for request in self.requests
        ]

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._open.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.headers.append(headers)
        try:
            if method == "GET" and path.startswith("/v1/models"):
                self._check_key(headers)
                return await _plain(writer, 200, {"data": [], "has_more": False})
            request = self._checked(method, path, headers, body)
        except Refused as refused:
            self.complaints.append(f"{refused.kind}: {refused}")
            return await _error(writer, Fails(refused.status, refused.kind, str(refused)))
        self.requests.append(request)
        self.arrived.set()
        answer = self.script.popleft() if self.script else Fails(500, "api_error", "the script is over")
        answer = answer(request) if callable(answer) else answer
        self.answered.append(answer)
        match answer:
            case Fails():
                await _error(writer, answer)
            case Hangs():
                await reader.read()
            case Garbage():
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n" + answer.body
                )
                await writer.drain()
            case Says():
                self._last_stop = answer.reason
                await self._say(writer, request, answer)
        return None

    def _check_key(self, headers):
        shown = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if shown != self.key:
            raise Refused("authentication_error", f"invalid api key {shown}", 401)

    def _checked(self, method, path, headers, body):
        if (method, path) != ("POST", "/v1/messages"):
            raise Refused("not_found_error", path, 404)
        self._check_key(headers)
        if not headers.get("anthropic-version"):
            raise Refused("invalid_request_error", "anthropic-version: header is required")
        request = json.loads(body)
        extra = request.keys() - REQUEST_FIELDS
        if extra:
            raise Refused("invalid_request_error", f"{sorted(extra)}: extra inputs are not permitted")
        if self.models and request["model"] not in self.models:
            raise Refused("not_found_error", f"model: {request['model']}", 404)
        if not isinstance(request.get("max_tokens"), int) or request["max_tokens"] < 1:
            raise Refused("invalid_request_error", "max_tokens: field required")
        if request.get("stream") is not True:
            raise Refused("invalid_request_error", "this server streams only")
        if request.get("thinking", {"type": "adaptive"})["type"] not in THINKING_TYPES:
            raise Refused("invalid_request_error", "thinking.type")
        check_tools(request.get("tools", []))
        self._check_messages(request["messages"], {tool["name"] for tool in request.get("tools", [])})
        blocks = [*request.get("tools", []), *request["system"], *_blocks(request["messages"])]
        if sum("cache_control" in block for block in blocks) > CACHE_MARKS_MAX:
            raise Refused("invalid_request_error", "a maximum of 4 blocks with cache_control may be provided")
        tokens = sum(_tokens(block) for block in blocks)
        if tokens > self.window_tokens:
            raise Refused(
                "invalid_request_error", f"prompt is too long: {tokens} tokens > {self.window_tokens} maximum"
            )
        return request

    def _check_messages(self, messages, tools):
        expected, pending = "user", set()
        for place, message in enumerate(messages):
            where = f"messages.{place}"
            if message["role"] != expected:
                raise Refused("invalid_request_error", f"{where}: roles must alternate")
            if not message["content"]:
                raise Refused("invalid_request_error", f"{where}: content must be non-empty")
            for block in message["content"]:
                check_block(block, where)
            results = [b["tool_use_id"] for b in message["content"] if b["type"] == "tool_result"]
            kinds = [block["type"] == "tool_result" for block in message["content"]]
            if kinds != sorted(kinds, reverse=True):
                raise Refused("invalid_request_error", f"{where}: tool_result blocks must come first")
            if set(results) != pending or len(results) != len(pending):
                raise Refused("invalid_request_error", f"{where}: tool_use and tool_result do not match")
            pending = {block["id"] for block in message["content"] if block["type"] == "tool_use"}
            if (
                any(b["name"] not in tools for b in message["content"] if b["type"] == "tool_use")
                and not tools
            ):
                raise Refused("invalid_request_error", f"{where}: tool_use without tools")
            expected = "assistant" if expected == "user" else "user"
        if expected == "user" and self._last_stop != "pause_turn":
            raise Refused("invalid_request_error", "this model does not support assistant message prefill")

    def _count(self, request):
        """Usage by the marks of this request and the prefixes of those before."""
        prefix, total, marks = hashlib.sha256(), 0, []
        for block in [*request.get("tools", []), *request["system"], *_blocks(request["messages"])]:
            bare = {name: value for name, value in block.items() if name != "cache_control"}
            prefix.update(json.dumps(bare, sort_keys=True).encode())
            total += _tokens(block)
            if "cache_control" in block:
                marks.append((prefix.hexdigest(), total))
        read = max((tokens for digest, tokens in marks if digest in self._cache), default=0)
        written = (marks[-1][1] if marks else 0) - read
        self._cache.update(digest for digest, _ in marks)
        return {
            "input_tokens": total - read - written,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
        }

    async def _say(self, writer, request, answer):
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\nrequest-id: req_1\r\nconnection: close\r\n\r\n"
        )
        for number, event in enumerate(self._events(request, answer)):
            name, data = event
            if answer.drop_after == number:
                await writer.drain()
                return writer.transport.abort()
            if answer.end_after == number:
                break
            if answer.error_after is not None and answer.error_after[0] == number:
                kind = answer.error_after[1]
                name, data = "error", {"type": "error", "error": {"type": kind, "message": "amid"}}
            _chunk(writer, f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
            await writer.drain()
            if name == "error":
                break
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return None

    def _events(self, request, answer):
        usage = self._count(request)
        message = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": request["model"],
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {**usage, "output_tokens": 1},
        }
        yield "message_start", {"type": "message_start", "message": message}
        yield "ping", {"type": "ping"}
        for index, block in enumerate(answer.blocks):
            is_last = index == len(answer.blocks) - 1
            yield from self._block_events(index, block, answer.raw_input if is_last else None)
        delta = {"stop_reason": answer.reason, "stop_sequence": None}
        if answer.detail:
            delta["stop_details"] = {"type": "refusal", "explanation": None, **answer.detail}
        told = {"output_tokens": answer.output_tokens}
        yield "message_delta", {"type": "message_delta", "delta": delta, "usage": told}
        yield "message_stop", {"type": "message_stop"}

    def _block_events(self, index, block, raw_input):
        deltas = []
        match block["type"]:
            case "text":
                start = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": part} for part in _parts(block["text"])]
            case "thinking":
                start = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": part} for part in _parts(block["thinking"])]
                if block["signature"]:
                    deltas.append({"type": "signature_delta", "signature": block["signature"]})
            case "tool_use":
                self._calls += 1
                call_id = f"toolu_{self._calls:04}"
                start = {"type": "tool_use", "id": call_id, "name": block["name"], "input": {}}
                raw = json.dumps(block["input"]) if raw_input is None else raw_input
                deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *_parts(raw)]]
        yield "content_block_start", {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}


def check_tools(tools):
    for tool in tools:
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool["name"]):
            raise Refused("invalid_request_error", "tools: bad name")
        if tool["input_schema"]["type"] != "object":
            raise Refused("invalid_request_error", "tools: input_schema must be an object")


def check_block(block, where):
    fields = BLOCK_FIELDS.get(block["type"])
    if fields is None or block.keys() - fields:
        raise Refused("invalid_request_error", f"{where}: {sorted(block)} are not fields of a block")
    if block["type"] == "text" and not block["text"].strip():
        raise Refused("invalid_request_error", f"{where}: text must contain non-whitespace text")
    if block["type"] == "thinking" and not block.get("signature"):
        raise Refused("invalid_request_error", f"{where}: thinking.signature: field required")
    if block["type"] == "tool_use" and not isinstance(block["input"], dict):
        raise Refused("invalid_request_error", f"{where}: tool_use.input: should be an object")


def _blocks(messages):
    return [block for message in messages for block in message["content"]]


def _tokens(block):
    return len(json.dumps({k: v for k, v in block.items() if k != "cache_control"})) // 4


def _parts(whole, size=7):
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def _chunk(writer, data):
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def _plain(writer, status, body, headers=()):
    raw = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(raw)}"]
    lines += [f"{name}: {value}" for name, value in dict(headers).items()]
    writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + raw)
    await writer.drain()


async def _error(writer, failure):
    error = {"type": failure.kind, "message": failure.message}
    await _plain(writer, failure.status, {"type": "error", "error": error}, failure.headers)
