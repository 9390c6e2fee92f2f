"""How a running node takes its owner's commands: a socket in its state dir, one line of JSON each way.

    {"command": "pause", "now": true}  ->  {"reply": {...}}  or  {"error": "what was wrong"}
    {"command": "research", "tool": "claim", "arguments": {...}}  ->  the same, from a node with agent ``mcp``

Only the node's own user (and root) may speak: the socket's mode says so, and the kernel tells who called. A
request has a size, a connection has a time, and there are only so many at once, so that nothing here can hold
up the work. The holder of the state dir's lock removes a socket that a killed node left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog

from node.places import socket_path

REQUEST_LIMIT_BYTES = 512 * 1024
"""A train.py of 64 KiB, of which JSON escapes every sign at worst, and room for the words."""
REPLY_LIMIT_BYTES = 4 * 1024 * 1024
"""A picture of a node with many workers, each with its last results."""
EXCHANGE_LIMIT_S = 10.0
CONNECTIONS_LIMIT = 16
ADDRESS_LIMIT_BYTES = 100
"""The kernel takes 108 bytes on Linux and 104 on macOS; longer paths are reached through their folder."""
BACKLOG = 16

_PEER = struct.Struct("3i")
_log = structlog.get_logger(__name__)


class Command(StrEnum):
    """What an owner may ask."""

    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    RESEARCH = "research"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``now`` goes with a pause: give the work in hand back. ``tool`` and ``arguments`` go with research."""

    command: Command
    now: bool = False
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


class NobodyThere(Exception):
    """No node that runs answers in this state dir."""


class ControlError(Exception):
    """The node answered that it could not, or not in a way that can be read; the message says why."""


Answer = Callable[[Request], Awaitable[Mapping[str, Any]]]


@asynccontextmanager
async def controlled(node_dir: Path, answer: Answer) -> AsyncIterator[None]:
    """Takes commands while the block runs; for the holder of the state dir.

    A state dir that can hold no socket costs the commands, never the work.
    """
    server = _Server(answer)
    try:
        listening = await asyncio.start_unix_server(
            server.serve, sock=_bound(socket_path(node_dir)), limit=REQUEST_LIMIT_BYTES
        )
    except OSError as error:
        _log.warning("no commands can be taken", path=str(socket_path(node_dir)), reason=error.strerror)
        yield
        return
    try:
        yield
    finally:
        listening.close()
        with contextlib.suppress(OSError):
            socket_path(node_dir).unlink()


async def ask(node_dir: Path, request: Request, *, limit_s: float = EXCHANGE_LIMIT_S) -> dict[str, Any]:
    """Asks the node of a state dir.

    Raises:
        NobodyThere: No node runs there.
        ControlError: It refused, or what came back is no answer.
    """
    try:
        async with asyncio.timeout(limit_s):
            with _reachable(socket_path(node_dir)) as address:
                reader, writer = await asyncio.open_unix_connection(address, limit=REPLY_LIMIT_BYTES)
            try:
                writer.write(json.dumps(_told(request)).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise NobodyThere(f"no node runs in {node_dir}") from error
    except TimeoutError as error:
        raise ControlError(
            f"the node of {node_dir} did not answer within {limit_s:g} s; is it stopped or stuck?"
        ) from error
    except (OSError, ValueError) as error:
        raise ControlError(f"the node of {node_dir} cannot be asked ({error})") from error
    return _reply(line)


class _Server:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            async with asyncio.timeout(EXCHANGE_LIMIT_S):
                writer.write(json.dumps(await self._respond(reader, writer)).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, OSError) as error:
            _log.debug("a command was not heard to its end", reason=str(error))
        finally:
            self._connections -= 1
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any]:
        if not is_owner(writer.get_extra_info("socket")):
            return {"error": "only the node's own user may ask"}
        if self._connections > CONNECTIONS_LIMIT:
            return {"error": f"over {CONNECTIONS_LIMIT} commands at once; ask again"}
        try:
            line = await reader.readline()
        except ValueError:
            return {"error": f"a request has at most {REQUEST_LIMIT_BYTES} bytes"}
        try:
            request = read_request(line)
        except ValueError as error:
            return {"error": str(error)}
        try:
            return {"reply": dict(await self._answer(request))}
        except Exception:  # noqa: BLE001 - the socket's edge: a bug costs an answer, not the node
            _log.exception("a command failed", command=request.command.value)
            return {"error": "the node failed over it; its log has more"}


def read_request(line: bytes) -> Request:
    """A request as it came. Raises ValueError, whose message says what is wrong with it."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("a request is one line of JSON") from error
    if not isinstance(fields, dict) or set(fields) - {"command", "now", "tool", "arguments"}:
        raise ValueError("a request has a command and may have now, tool and arguments")
    known = [command.value for command in Command]
    if fields.get("command") not in known:
        raise ValueError(f"the command is none of {', '.join(known)}")
    now = fields.get("now", False)
    if not isinstance(now, bool):
        raise ValueError("now is neither true nor false")  # noqa: TRY004 - the caller asks for one kind
    tool, arguments = fields.get("tool", ""), fields.get("arguments", {})
    if not isinstance(tool, str) or not isinstance(arguments, dict):
        raise ValueError("tool is a text and arguments are an object")  # noqa: TRY004 - see above
    return Request(command=Command(fields["command"]), now=now, tool=tool, arguments=arguments)


def is_owner(connection: socket.socket) -> bool:
    """True for the user that the node runs as, and for root.

    Where the kernel does not tell who called, the socket's mode alone decides.
    """
    if sys.platform != "linux":
        return True
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(raw)
    return uid in (os.geteuid(), 0)


def _told(request: Request) -> dict[str, Any]:
    """Without what is not asked: a node of an earlier version refuses fields that it does not know."""
    return {name: value for name, value in asdict(request).items() if value}


def _reply(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise ControlError("the node left without an answer") from error
    if isinstance(fields, dict) and isinstance(fields.get("reply"), dict):
        reply: dict[str, Any] = fields["reply"]
        return reply
    complaint = fields.get("error") if isinstance(fields, dict) else None
    raise ControlError(str(complaint or "the node's answer cannot be read"))


def _bound(path: Path) -> socket.socket:
    """A listening socket that never was anybody else's, not even for a moment: it gets its name last."""
    draft = path.with_name(path.name + ".new")
    for left in (draft, path):
        left.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(draft) as address:
            listener.bind(address)
        draft.chmod(0o600)
        listener.listen(BACKLOG)
        draft.rename(path)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name for the socket that the kernel takes, however long its path is."""
    if len(os.fsencode(path)) <= ADDRESS_LIMIT_BYTES or sys.platform != "linux":
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
