"""Downloads from a Hugging Face hub: resumable, verified, bounded.

A file grows as ``NAME.part`` and gets its name once it is whole and verified, so that a name in the
folder means a good file. Next to the part lies ``NAME.part.etag``: a resumed request names that
version (``If-Range``), and a hub with another version sends the file from its start. What can go wrong is
the tree in ``trainer.hub_http``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import re
import shutil
import threading
import urllib.error
import urllib.parse
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainer.hub_http import (
    HubConnection,
    HubDiskFull,
    HubHashMismatch,
    HubUnreachable,
    PassingFault,
    Stopped,
)
from trainer.meter import Meter, SilentMeter

CHUNK_BYTES = 1 << 20
CONCURRENT_MAX = 4
DISK_RESERVE_BYTES = 256 << 20  # left free for everybody else
UNSATISFIABLE_RANGE = 416
PARTIAL_CONTENT = 206
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a dataset repository; an empty hash or a size of 0 is not checked."""

    repo: str
    revision: str
    path: str
    sha256: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub(HubConnection):
    """Where files come from. Safe to share between threads."""

    def commit_of(self, repo: str, revision: str) -> str:
        """Resolves a branch or tag of a dataset to its commit, so that it can be pinned."""
        url = f"{self.endpoint}/api/datasets/{repo}/revision/{urllib.parse.quote(revision, safe='')}"
        reply = self.retrying(f"the revision {revision} of {repo}", lambda: self.read_json(url))
        commit = reply.get("sha") if isinstance(reply, dict) else None
        if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise HubUnreachable(
                f"{url} did not answer with a commit; is {self.endpoint} a Hugging Face hub?"
            )
        return commit

    def download_all(self, files: Sequence[HubFile], folder: Path, meter: Meter | None = None) -> list[Path]:
        """Fetches files into one folder, at most ``CONCURRENT_MAX`` at a time.

        Files that are there already and match are not fetched again. The first failure ends the batch;
        part files stay for the next call.

        Returns:
            The paths, in the order of ``files``.

        Raises:
            HubError: One of its kinds, from the first file that failed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        stop = threading.Event()
        with ThreadPoolExecutor(max_workers=CONCURRENT_MAX, thread_name_prefix="hub") as pool:
            jobs = [
                pool.submit(self.download, file, folder / Path(file.path).name, meter, stop=stop)
                for file in files
            ]
            try:
                done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
                failures = [job.exception() for job in jobs if job in done]
            finally:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        for failure in failures:
            if failure is not None and not isinstance(failure, Stopped):
                raise failure
        return [job.result() for job in jobs]

    def download(
        self, file: HubFile, target: Path, meter: Meter | None = None, *, stop: threading.Event | None = None
    ) -> Path:
        """Fetches one file to ``target``, going on where an earlier attempt ended.

        Returns:
            ``target``, whole and, where the manifest names a size and a hash, verified.

        Raises:
            HubError: One of its kinds.
        """
        if target.exists() and _mismatch(target, file) is None:
            return target
        transfer = _Transfer(
            hub=self, file=file, target=target, meter=meter or SilentMeter(), stop=stop or threading.Event()
        )
        with contextlib.ExitStack() as stack:
            stack.callback(transfer.meter.end, file.path)
            self.retrying(file.path, transfer.attempt, progress=transfer.part_size)
        return target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transfer:
    """One file on its way; each attempt continues the part file of the last."""

    hub: Hub
    file: HubFile
    target: Path
    meter: Meter
    stop: threading.Event

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def etag_file(self) -> Path:
        return self.target.with_name(self.target.name + ".part.etag")

    def part_size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def attempt(self) -> None:
        resumed = self._receive()
        problem = _mismatch(self.part, self.file)
        if problem is not None:
            self._forget()
            if resumed:  # the old part may be what was wrong: once more from the start
                raise PassingFault(problem)
            raise HubHashMismatch(
                f"{self.file.path} from {self.hub.endpoint} is not what the manifest names: {problem}. It "
                "was deleted; check HF_ENDPOINT, or fetch a challenge.toml that fits the data."
            )
        self.part.replace(self.target)
        self.etag_file.unlink(missing_ok=True)

    def _receive(self) -> bool:
        """Appends what is missing; returns whether an older part was continued."""
        offset = self.part_size()
        etag = self.etag_file.read_text() if offset and self.etag_file.exists() else ""
        if offset and not (etag or self.file.sha256):
            self._forget()  # nothing proves that the rest belongs to this part
            offset = 0
        if offset and offset == self.file.size_bytes:
            return True
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if etag:
                headers["If-Range"] = etag
        try:
            reply = self.hub.open(self._url(), headers)
        except PassingFault as fault:
            if (
                isinstance(fault.__cause__, urllib.error.HTTPError)
                and fault.__cause__.code == UNSATISFIABLE_RANGE
            ):
                self._forget()
            raise
        with reply:
            start, total = _span(reply, offset)
            self._make_room(total - start)
            _keep_etag(self.etag_file, reply)
            self.meter.begin(self.file.path, total=total, done=start)
            self._append(reply, start, total)
        return start > 0

    def _append(self, reply: Any, start: int, total: int) -> None:
        with _disk_errors(self.target), self.part.open("ab" if start else "wb") as out:
            try:
                for chunk in _chunks(reply):
                    if self.stop.is_set():
                        raise Stopped
                    out.write(chunk)
                    self.meter.advance(self.file.path, len(chunk))
            finally:
                out.flush()
            os.fsync(out.fileno())
        if self.part_size() < total:
            raise PassingFault(f"the connection ended at {self.part_size():,} of {total:,} bytes")

    def _make_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.target.parent).free
        if needed + DISK_RESERVE_BYTES > free:
            raise HubDiskFull(
                f"{self.file.path} needs {needed / 1e6:,.0f} MB in {self.target.parent}, which has "
                f"{free / 1e6:,.0f} MB free; make room or choose another cache folder, then run it again."
            )

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.etag_file.unlink(missing_ok=True)

    def _url(self) -> str:
        revision = urllib.parse.quote(self.file.revision, safe="")
        path = urllib.parse.quote(self.file.path)
        return f"{self.hub.endpoint}/datasets/{self.file.repo}/resolve/{revision}/{path}"


def sha256_of(path: Path) -> str:
    """Hashes a file in chunks; hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _mismatch(path: Path, file: HubFile) -> str | None:
    size = path.stat().st_size
    if file.size_bytes and size != file.size_bytes:
        return f"it has {size:,} bytes, not {file.size_bytes:,}"
    if file.sha256 and (found := sha256_of(path)) != file.sha256:
        return f"its sha256 is {found}, not {file.sha256}"
    return None


def _chunks(reply: IO[bytes]) -> Iterator[bytes]:
    while True:
        try:
            chunk = reply.read(CHUNK_BYTES)
        except http.client.IncompleteRead as cut:
            chunk = cut.partial
        except (http.client.HTTPException, OSError) as error:
            raise PassingFault(f"the connection broke: {error}") from error
        if not chunk:
            return
        yield chunk


def _span(reply: Any, offset: int) -> tuple[int, int]:
    """First byte that this reply carries, and the size of the whole file."""
    if reply.status == PARTIAL_CONTENT:
        found = CONTENT_RANGE.fullmatch(reply.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != offset or found[3] == "*":
            raise PassingFault(f"the hub sent the wrong range: {reply.headers.get('Content-Range')!r}")
        return offset, int(found[3])
    length = reply.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise PassingFault("the hub did not say how long the file is")
    return 0, int(length)


def _keep_etag(etag_file: Path, reply: Any) -> None:
    etag = reply.headers.get("ETag", "")
    if etag.startswith('"'):  # a weak one says nothing about bytes
        etag_file.write_text(etag)
    else:
        etag_file.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise HubDiskFull(
            f"the disk of {target.parent} is full; make room or choose another cache folder, then run it "
            f"again: {target.name} goes on where it stopped."
        ) from error
