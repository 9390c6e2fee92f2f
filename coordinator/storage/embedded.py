"""The embedded server: started on a unix socket in the data directory, adopted after a crash, stopped last.

Files in the data directory:

    owner.lock      locked (flock) by the coordinator that owns the directory, for as long as it lives
    server.lock     locked by the server itself: it inherits the lock and takes it to its grave, so a new
                    coordinator knows whether one still lives, even one that is starting or hung
    server.json     process id, start time, nonce and socket of the server
    server.log, server.sock, appendonlydir/

Who may touch the directory, by those locks:

    owner.lock held                 another coordinator lives: refuse
    server.lock held                its server outlived it: adopt it if it answers with the nonce
    neither                         start a server
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from autoresearch.errors import Conflict, Unavailable
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from coordinator.storage.redis.server import read_info
from coordinator.storage.server_note import ServerNote, read_note, start_of, try_lock, write_note

SOCKET_PATH_LIMIT_BYTES = 100
"""The kernel's limit is 107; some systems have a little less."""

LOAD_LIMIT_S = 600.0
"""Reading a large append-only file takes minutes."""

ADOPT_LIMIT_S = 30.0
"""A server that outlived its coordinator and does not answer for this long is ended."""

SHUTDOWN_LIMIT_S = 15.0
TERMINATE_LIMIT_S = 5.0
POLL_S = 0.02
PROBE_LIMIT_S = 2.0
WATCH_INTERVAL_S = 0.5
RESTART_PAUSE_S = 5.0
LOG_TAIL_BYTES = 2_000
LISTPACK_ENTRIES = 512

_log = logging.getLogger(__name__)


class EmbeddedServer:
    """One server process in one data directory.

    Args:
        data_dir: made with permissions 0700 if it is not there.
        program: the server's executable.
    """

    def __init__(self, data_dir: Path, program: Path) -> None:
        self._dir = data_dir.resolve()
        self._program = program
        self._note: ServerNote | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_lock: int | None = None
        self._turn = asyncio.Lock()
        self.is_adopted = False

    @property
    def folder(self) -> Path:
        """The data directory."""
        return self._dir

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"unix://{self._known.socket}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._known.pid

    @property
    def _known(self) -> ServerNote:
        if self._note is None:
            raise Unavailable(f"the embedded server of {self._dir} has not been started")
        return self._note

    async def start(self) -> None:
        """Takes the directory, adopts a living server or starts one, and waits until it has loaded.

        Raises:
            Conflict: another coordinator holds the directory.
            Unavailable: the server does not start; says where its log is.
        """
        self._take_directory()
        try:
            if not await self._adopt():
                await self._launch()
        except BaseException:
            self._leave_directory()
            raise

    async def ensure_running(self) -> bool:
        """Starts the server again if it has died; True if it had."""
        async with self._turn:
            if self._owner_lock is None or self._is_alive():
                return False
            _log.warning("the embedded store's server (process %s) has died; starting it again", self.pid)
            await self._launch()
            return True

    async def watch(
        self, on_restart: Callable[[], Awaitable[None]], *, pause_s: float = RESTART_PAUSE_S
    ) -> None:
        """Keeps the server running until cancelled, and tells of each restart.

        A start that fails, on a full disk for example, is tried again after ``pause_s``.
        """
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            try:
                if await self.ensure_running():
                    await on_restart()
            except (Unavailable, OSError):
                _log.exception("the embedded store's server does not start; trying again")
                await asyncio.sleep(pause_s)

    async def stop(self) -> None:
        """Ends the server and leaves the directory; may be repeated.

        First SHUTDOWN, which writes everything out; then SIGTERM, which does the same; then SIGKILL, after
        which the append-only file still has every acknowledged write.
        """
        async with self._turn:
            if self._owner_lock is None:
                return
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(PROBE_LIMIT_S), self._client() as client:
                    await client.execute_command("SHUTDOWN", "NOSAVE")  # type: ignore[no-untyped-call]
            for limit_s, next_signal in (
                (SHUTDOWN_LIMIT_S, signal.SIGTERM),
                (TERMINATE_LIMIT_S, signal.SIGKILL),
                (TERMINATE_LIMIT_S, None),
            ):
                if await self._ended_within(limit_s):
                    break
                if next_signal is not None:
                    self._send(next_signal)
            self._forget_files()
            self._leave_directory()

    # The directory ----------------------------------------------------------------------------------

    def _take_directory(self) -> None:
        self._dir.mkdir(parents=True, exist_ok=True)
        self._dir.chmod(0o700)
        lock = os.open(self._dir / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(lock):
            holder = os.read(lock, 32).decode(errors="replace").strip()
            os.close(lock)
            raise Conflict(
                f"{self._dir} is in use by another coordinator (process {holder}): stop it, or give this "
                "one a data directory of its own"
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._owner_lock = lock

    def _leave_directory(self) -> None:
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    def _write_note(self, note: ServerNote) -> None:
        write_note(self._dir, note)
        self._note = note

    def _note_process(self, pid: int) -> None:
        """Writes down which process the server is; on a full disk the next owner asks the socket instead."""
        self._note = replace(self._known, pid=pid, started=start_of(pid))
        try:
            write_note(self._dir, self._note)
        except OSError as error:
            _log.warning("the embedded store's server.json could not be brought up to date: %s", error)

    def _forget_files(self) -> None:
        socket = Path(self._known.socket)
        for path in (socket, self._dir / "server.json"):
            path.unlink(missing_ok=True)
        if socket.parent != self._dir:
            shutil.rmtree(socket.parent, ignore_errors=True)

    # Adoption ---------------------------------------------------------------------------------------

    async def _adopt(self) -> bool:
        """True if a server outlived its coordinator and is now ours."""
        lock = os.open(self._dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if try_lock(lock):
                return False
            note = read_note(self._dir)
            if note is None:
                raise Unavailable(
                    f"a server still runs in {self._dir}, but server.json, which says how to reach it, is "
                    "gone: end that server by hand (its process id is in server.log)"
                )
            self._note = note
            if not await self._answers_within(ADOPT_LIMIT_S, while_locked=lock):
                # It died by itself, or hung and was ended.
                return False
        finally:
            os.close(lock)
        self.is_adopted = True
        _log.info("adopted the embedded store's server (process %s) of %s", self.pid, self._dir)
        await self._wait_until_loaded()
        return True

    async def _answers_within(self, limit_s: float, *, while_locked: int) -> bool:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if await self._is_ours():
                return True
            if try_lock(while_locked):
                return False
            await asyncio.sleep(POLL_S)
        _log.warning("the server of %s does not answer and is ended", self._dir)
        self._send(signal.SIGKILL)
        while not try_lock(while_locked):
            if time.monotonic() > deadline + TERMINATE_LIMIT_S:
                raise Unavailable(
                    f"a server in {self._dir} neither answers nor ends: end it by hand (process {self.pid})"
                )
            await asyncio.sleep(POLL_S)
        return False

    async def _is_ours(self) -> bool:
        """Whether the socket answers with our nonce; also learns the process id."""
        try:
            async with asyncio.timeout(PROBE_LIMIT_S), self._client() as client:
                settings = await client.config_get("syslog-ident")
                server = read_info(await client.info("server"))
        except (RedisError, OSError, TimeoutError):
            return False
        if settings.get("syslog-ident") != self._known.nonce:
            return False
        self._note_process(int(server["process_id"]))
        return True

    # The process ------------------------------------------------------------------------------------

    async def _launch(self) -> None:
        nonce = "autoresearch-" + secrets.token_hex(8)
        try:
            # Before the server is there: whoever adopts it needs the nonce and the socket.
            self._write_note(ServerNote(nonce=nonce, socket=str(self._choose_socket())))
            self._process = self._spawn_locked()
        except OSError as error:
            raise Unavailable(f"{self._program} cannot be started in {self._dir}: {error}") from error
        self._note_process(self._process.pid)
        self.is_adopted = False
        await self._wait_until_loaded()

    def _spawn_locked(self) -> subprocess.Popen[bytes]:
        lock = os.open(self._dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not try_lock(lock):
                raise Unavailable(f"another server appeared in {self._dir} while this one was to start")
            return self._spawn(lock)
        finally:
            # The lock lives on in the server.
            os.close(lock)

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        with (self._dir / "server.log").open("ab") as log:
            return subprocess.Popen(
                self._argv(),
                cwd=self._dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the coordinator's terminal must not reach it: it is stopped last.
                start_new_session=True,
                pass_fds=[lock],
            )

    def _argv(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": self._known.socket,
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-entries": str(LISTPACK_ENTRIES),
            "daemonize": "no",
            "syslog-ident": self._known.nonce,
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [str(self._program), *options]

    def _choose_socket(self) -> Path:
        socket = self._dir / "server.sock"
        if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT_BYTES:
            return socket
        if self._note is not None and Path(self._note.socket).parent.is_dir():
            return Path(self._note.socket)
        return Path(tempfile.mkdtemp(prefix="autoresearch-")) / "server.sock"

    async def _wait_until_loaded(self) -> None:
        deadline = time.monotonic() + LOAD_LIMIT_S
        while time.monotonic() < deadline:
            if not self._is_alive():
                raise Unavailable(f"the embedded store's server ended at its start: {self._log_tail()}")
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(PROBE_LIMIT_S), self._client() as client:
                    await client.ping()
                    return
            await asyncio.sleep(POLL_S)
        raise Unavailable(
            f"the embedded store's server has not loaded {self._dir} in {LOAD_LIMIT_S:.0f} s: see its log, "
            f"{self._dir / 'server.log'}"
        )

    def _client(self) -> Redis:
        return Redis(
            unix_socket_path=self._known.socket,
            protocol=2,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
        )

    def _is_alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        note = self._known
        return note.pid > 0 and start_of(note.pid) == note.started != ""

    async def _ended_within(self, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while self._is_alive():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _send(self, number: signal.Signals) -> None:
        """Signals the server and never a stranger that got its process id."""
        if self._is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._known.pid, number)

    def _log_tail(self) -> str:
        log = self._dir / "server.log"
        try:
            tail = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError as error:
            return f"its log {log} cannot be read: {error}"
        return f"{tail.strip()} (all of it: {log})"
