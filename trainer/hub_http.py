"""Requests to a Hugging Face hub: who may see the token, what is worth another attempt, what is final.

HubError (a CorpusError)
├── HubUnreachable    no answer, or none that helps, after every attempt
├── HubRefused        the hub wants a token, or another one
├── HubFileMissing    no such repository, revision or file
├── HubDiskFull       the file does not fit
└── HubHashMismatch   the bytes are not the ones that the manifest names
"""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from trainer.corpora import CorpusError

DEFAULT_ENDPOINT = "https://huggingface.co"
TIMEOUT_S = 30.0  # of silence on a connection
ATTEMPTS_MAX = 6  # in a row without one new byte
REQUESTS_MAX = 200  # for one file, progress or not
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 30.0
API_REPLY_MAX_BYTES = 8 << 20
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

T = TypeVar("T")


class HubError(CorpusError):
    """A download did not happen."""


class HubUnreachable(HubError):
    """No useful answer after every attempt."""


class HubRefused(HubError):
    """The hub wants a token, or another one."""


class HubFileMissing(HubError):
    """No such repository, revision or file."""


class HubDiskFull(HubError):
    """The file does not fit on the disk."""


class HubHashMismatch(HubError):
    """The bytes are not the ones that the manifest names."""


class PassingFault(Exception):
    """Worth another attempt; carries how long the hub asked to be left alone."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Stopped(Exception):
    """Another download of the batch failed, so this one ends too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConnection:
    """One hub, seen with one token. Safe to share between threads.

    Attributes:
        endpoint: Base URL, without a slash at the end.
        token: Sent to the endpoint's own origin only, never to where it redirects.
        backoff_first_s: Wait after the first failure; doubles up to ``BACKOFF_MAX_S``.
        timeout_s: Silence on a connection after which it counts as dead.
    """

    endpoint: str = DEFAULT_ENDPOINT
    token: str = field(default="", repr=False)
    backoff_first_s: float = BACKOFF_FIRST_S
    timeout_s: float = TIMEOUT_S

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Reads ``HF_ENDPOINT`` and ``HF_TOKEN``.

        Raises:
            HubUnreachable: The endpoint is not an http(s) URL.
        """
        endpoint = environ.get("HF_ENDPOINT", "").strip().rstrip("/") or DEFAULT_ENDPOINT
        parts = urllib.parse.urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise HubUnreachable(
                f"HF_ENDPOINT is {endpoint!r}, which is no http(s) URL; set it to one or unset it."
            )
        return cls(endpoint=endpoint, token=environ.get("HF_TOKEN", "").strip())

    def open(self, url: str, headers: Mapping[str, str]) -> Any:
        """Opens a URL, or says in the module's own terms why not."""
        request = urllib.request.Request(url, headers={"User-Agent": "autoresearch-swarm", **headers})  # noqa: S310 - http(s) only, checked above
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        opener = urllib.request.build_opener(_SameOriginToken())
        try:
            return opener.open(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise self._judge(error, url) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise PassingFault(f"no connection to {urllib.parse.urlsplit(url).netloc}: {reason}") from error

    def read_json(self, url: str) -> Any:
        """The JSON that a URL answers with, of at most ``API_REPLY_MAX_BYTES``."""
        with self.open(url, {}) as reply:
            try:
                return json.loads(reply.read(API_REPLY_MAX_BYTES))
            except (ValueError, http.client.HTTPException, OSError) as error:
                raise PassingFault(f"{url} answered with no whole JSON: {error}") from error

    def _judge(self, error: urllib.error.HTTPError, url: str) -> Exception:
        match error.code:
            case 401 | 403:
                return HubRefused(
                    f"{self.endpoint} refused {url} ({error.code}); set HF_TOKEN to a token that may read it."
                )
            case 404:
                return HubFileMissing(f"{url} does not exist (404); check the manifest and HF_ENDPOINT.")
            case 416:
                return PassingFault("the part file is longer than the file")
            case code if code in RETRYABLE_STATUSES:
                return PassingFault(f"{url} answered {code}", retry_after_s=_retry_after_s(error))
            case code:
                return HubUnreachable(
                    f"{url} answered {code} {error.reason}; try later, or another HF_ENDPOINT."
                )

    def retrying(self, what: str, attempt: Callable[[], T], *, progress: Callable[[], int] = lambda: 0) -> T:
        """Calls ``attempt`` until it gets through; attempts that raise ``progress`` do not count as failed.

        Raises:
            HubUnreachable: ``ATTEMPTS_MAX`` attempts in a row came to nothing, or ``REQUESTS_MAX`` in all.
        """
        failures = 0
        for _ in range(REQUESTS_MAX):
            before = progress()
            try:
                return attempt()
            except PassingFault as fault:
                failures = 1 if progress() > before else failures + 1
                if failures >= ATTEMPTS_MAX:
                    raise HubUnreachable(
                        f"{what} could not be fetched from {self.endpoint} in {failures} attempts: {fault}. "
                        "Check the network, or set HF_ENDPOINT to a mirror; what has arrived is kept."
                    ) from fault
                pause_s = min(self.backoff_first_s * 2 ** (failures - 1), BACKOFF_MAX_S)
                pause_s = max(pause_s * random.uniform(0.5, 1.0), min(fault.retry_after_s, BACKOFF_MAX_S))
                time.sleep(pause_s)
        raise HubUnreachable(
            f"{what} did not arrive from {self.endpoint} in {REQUESTS_MAX} requests; try later."
        )


class _SameOriginToken(urllib.request.HTTPRedirectHandler):
    """Keeps the token on redirects within one origin, and drops it on all others."""

    def redirect_request(  # noqa: PLR0917 - the standard library's signature
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if following is not None and token and _origin(newurl) == _origin(req.full_url):
            following.add_unredirected_header("Authorization", token)
        return following


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _retry_after_s(error: urllib.error.HTTPError) -> float:
    value = error.headers.get("Retry-After", "") if error.headers else ""
    return float(value) if value.isdecimal() else 0.0
