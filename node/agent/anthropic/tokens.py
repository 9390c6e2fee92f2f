"""How many tokens a text has, before the model says so.

tiktoken's count is another family's, and its encodings are downloaded at their first use; where one cannot be
had in time, four bytes count as a token. Either is brought into line by what the model itself has counted.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import structlog

ENCODING = "o200k_base"
LOAD_LIMIT_S = 5.0
BYTES_PER_TOKEN = 4.0
RATIO_MIN, RATIO_MAX = 0.5, 4.0
"""How far the model's count may be from the estimate: beyond that something else was counted."""

_log = structlog.get_logger(__name__)

Encode = Callable[[str], int]


def by_bytes(text: str) -> int:
    """The rule of thumb for prose and code."""
    return math.ceil(len(text.encode("utf-8", errors="replace")) / BYTES_PER_TOKEN)


def load_tiktoken() -> Encode:
    """The count of tiktoken; takes the time of a download once. Raises whatever went wrong."""
    import tiktoken  # noqa: PLC0415 - slow to import, and not always installed

    encoding = tiktoken.get_encoding(ENCODING)
    return lambda text: len(encoding.encode(text, disallowed_special=()))


class TokenCounter:
    """Estimates that learn from the truth. ``load`` gives the means, in a thread of its own."""

    def __init__(self, *, load: Callable[[], Encode] = load_tiktoken, limit_s: float = LOAD_LIMIT_S) -> None:
        self._load = load
        self._limit_s = limit_s
        self._encode: Encode | None = None
        self._ratio = 1.0

    def count(self, text: str) -> int:
        """How many tokens a text has; the first call may take seconds."""
        if self._encode is None:
            self._encode = self._loaded()
        return math.ceil(self._encode(text) * self._ratio)

    def learn(self, estimated: int, counted: int) -> None:
        """The model counted so many tokens where this said ``estimated``."""
        if estimated > 0 and counted > 0:
            ratio = self._ratio * counted / estimated
            self._ratio = min(RATIO_MAX, max(RATIO_MIN, ratio))

    def _loaded(self) -> Encode:
        """Not a thread of the pool: nobody waits for one that hangs in a download, not even the end."""
        found: list[Encode] = []
        problem = [f"no answer within {self._limit_s:g} s"]

        def load() -> None:
            try:
                found.append(self._load())
            except Exception as error:  # noqa: BLE001 - any failure of the download leaves the rule of thumb
                problem[0] = str(error) or type(error).__name__

        thread = threading.Thread(target=load, daemon=True, name="tiktoken")
        thread.start()
        thread.join(self._limit_s)
        if found:
            return found[0]
        _log.info("tokens are estimated as a quarter of the bytes", reason=problem[0][:200])
        return by_bytes
