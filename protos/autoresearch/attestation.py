"""What a harness vouches for with each result, and the digest by which two runs are compared.

    {"manifest_hash": "sha256:...", "code_hash": "sha256:...", "seed": 1, "val_seed": 2, ...}

Everything that decides the losses under a budget of steps goes into ``digest``, with the digests of the
rows that were scored and of their losses; where and how fast it ran does not. Two runs of one ``train.py``
with the same seeds therefore show the same digest, or one of them was measured otherwise. Nothing here is
signed by the harness: a node that forges a result can forge this too, but it must then state numbers that
anybody can recompute by running the code again (``docs/attestation.md``).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

FORMAT = "autoresearch-attestation/1"
"""Of the digest; what is digested, and how, changes with the number."""

TEXT_LIMIT_CHARS = 200
LAYERS_LIMIT = 32
TIMINGS_LIMIT = 16
SEED_LIMIT = 1 << 63

DIGESTED = (
    "manifest_hash",
    "code_hash",
    "seed",
    "val_seed",
    "harness_version",
    "rows_digest",
    "losses_digest",
)
"""What decides a score, and the score's own digest."""

_DIGESTS = ("manifest_hash", "code_hash")
_DIGESTS_OR_NONE = ("rows_digest", "losses_digest", "holdout_rows_digest", "holdout_losses_digest")
_TEXTS = ("harness_version", "device_kind", "device_name", "torch_version")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """How one run was measured, in the harness's words.

    ``manifest_hash`` is of the bytes of ``challenge.toml``, policy included; ``code_hash`` of ``train.py``.
    ``rows_digest`` names the validation rows and ``losses_digest`` the nats of each; both are empty where
    the run did not come so far. Those of the held-back text are set in confirmations only. The device is
    what the worker said that it trained on. Timings are seconds by name, ``budget_used_s`` among them.
    """

    manifest_hash: str
    code_hash: str
    seed: int
    val_seed: int
    harness_version: str
    rows_digest: str = ""
    losses_digest: str = ""
    holdout_rows_digest: str = ""
    holdout_losses_digest: str = ""
    device_kind: str = ""
    device_name: str = ""
    memory_mb: float = 0.0
    torch_version: str = ""
    sandbox: tuple[str, ...] = ()
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Names the measurement: the same for every run of the same code with the same seeds and losses."""
        chosen = {"format": FORMAT, **{name: getattr(self, name) for name in DIGESTED}}
        canonical = json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return f"sha256:{hashlib.sha256(canonical.encode('ascii')).hexdigest()}"

    def check(self) -> None:
        """Refuses what no harness writes.

        Raises:
            ValueError: a value is of another form than it must be; the message names the field.
        """
        for name in (*_DIGESTS, *_DIGESTS_OR_NONE):
            text = getattr(self, name)
            if not (text == "" and name in _DIGESTS_OR_NONE) and not _is_match(_SHA256, text):
                raise ValueError(f"{name} must be 'sha256:' and 64 hex digits, not {text!r:.90}")
        for name in ("seed", "val_seed"):
            seed = getattr(self, name)
            if type(seed) is not int or not -SEED_LIMIT <= seed < SEED_LIMIT:
                raise ValueError(f"{name} must be a whole number of 64 bits")
        if len(self.sandbox) > LAYERS_LIMIT or len(self.timings_s) > TIMINGS_LIMIT:
            raise ValueError(f"at most {LAYERS_LIMIT} layers and {TIMINGS_LIMIT} timings are allowed")
        for text in (*(getattr(self, name) for name in _TEXTS), *self.sandbox):
            if not isinstance(text, str) or len(text) > TEXT_LIMIT_CHARS or not text.isprintable():
                raise ValueError(f"texts must be printable lines of {TEXT_LIMIT_CHARS} characters at most")
        for name, value in {"memory_mb": self.memory_mb, **self.timings_s}.items():
            if not _is_match(_NAME, name) or not _is_number(value):
                raise ValueError(f"{name!r:.70} must be the name of a finite number, not {value!r:.30}")

    def to_fields(self) -> dict[str, Any]:
        """Plain values for JSON, the digest and its format among them."""
        plain = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain |= {"sandbox": list(self.sandbox), "timings_s": dict(self.timings_s)}
        return {"format": FORMAT, "digest": self.digest, **plain}


def attestation_of(plain: object) -> Attestation:
    """What ``to_fields`` gave.

    Raises:
        ValueError: it is something else, or its digest is not that of its fields.
    """
    if not isinstance(plain, dict):
        raise ValueError("an attestation is a table")  # noqa: TRY004 - one kind of error for what is read
    known = {entry.name for entry in fields(Attestation)}
    given = {name: value for name, value in plain.items() if name in known}
    sandbox, timings = given.get("sandbox", []), given.get("timings_s", {})
    if plain.get("format") != FORMAT or not isinstance(sandbox, list) or not isinstance(timings, dict):
        raise ValueError(f"an attestation has the format {FORMAT!r}, a list of layers and a table of times")
    try:
        attestation = Attestation(**{**given, "sandbox": tuple(sandbox), "timings_s": timings})
    except TypeError as error:
        raise ValueError(f"the attestation lacks fields ({error})") from error
    attestation.check()
    if plain.get("digest") != attestation.digest:
        raise ValueError("the attestation's digest is not that of its fields")
    return attestation


def _is_match(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < math.inf  # an int may be too large for a float
