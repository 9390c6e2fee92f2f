"""What may travel: forms of ids and texts, caps of ``model``, and values that cannot be true.

Every ``check_*`` returns nothing or raises ``InvalidArgument`` with the field, the limit and what to do.
Nothing is cut silently; the ``clip_*`` functions are for nodes, which cut before they send.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from autoresearch.errors import InvalidArgument
from autoresearch.model import (
    CHANGE_TEXT_LIMIT_CHARS,
    CHANGES_LIMIT,
    CURVE_LIMIT_POINTS,
    EVIDENCE_LIMIT,
    INSIGHT_LIMIT_CHARS,
    LOG_TAIL_LIMIT_BYTES,
    METRICS_LIMIT,
    NAME_LIMIT_CHARS,
    PROGRAM_LIMIT_BYTES,
    RATIONALE_LIMIT_CHARS,
    SOURCE_LIMIT_BYTES,
    TITLE_LIMIT_CHARS,
    ConstantChange,
    Experiment,
    Hardware,
    Hypothesis,
    Insight,
    Outcome,
    Result,
    Usage,
    is_time_ordered_id,
)

METRIC_LIMIT = 1e15
"""Largest metric, either way: sums and squares of such numbers are numbers still."""

REQUEST_LIMIT_BYTES = 1024 * 1024
"""Largest request: a source, a log tail, a curve and a hypothesis at their caps take less."""
REPLY_LIMIT_BYTES = 32 * 1024 * 1024
HYPOTHESIS_LIMIT_BYTES = 64 * 1024
REASON_LIMIT_CHARS = 1_000
ACTIVITY_LIMIT_CHARS = 200
TOKEN_LIMIT_CHARS = 200
PARENTS_LIMIT = 8
FLAGS_LIMIT = 16
IDEAS_LISTED_LIMIT = 100
"""Waiting ideas that a listing shows, the next first."""

CLAIMS_PER_CALL_LIMIT = 64
COMPARE_LIMIT = 8
PAGE_LIMIT = 500
SEARCH_LIMIT = 100
SEARCH_TEXT_LIMIT_CHARS = 500
RUN_LIMIT_S = 7 * 24 * 3600.0
"""No challenge runs for longer than a week."""
MEMORY_LIMIT_MB = 64 * 1024 * 1024
DEVICES_LIMIT = 1_024
USAGE_LIMIT_TOKENS = 10**10
USAGE_LIMIT_USD = 10_000.0
"""More than any experiment may cost: a typing error, or a boast."""
PUBLIC_KEY_BYTES = 32

_INT64 = 2**63
_SOURCE_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_PROGRAM_HASH = re.compile(r"p_[0-9a-f]{32}")
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_HARDWARE_CLASS = re.compile(r"[a-z0-9][a-z0-9._+:/-]{0,119}")
_METRIC_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CRASH_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.IGNORECASE)
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_NOT_IN_TEXT = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Cf is what nobody sees and a model reads: tags, joiners, directions. Joined emoji fall apart without it."""


def check_uuid(text: str, field: str) -> None:
    """The canonical text of a UUIDv7."""
    if not is_time_ordered_id(text):
        raise InvalidArgument(f"{field} is not a UUIDv7: {text[:60]!r}; make one with model.new_id()")


def check_source_hash(text: str, field: str) -> None:
    """``sha256:`` and 64 hex digits."""
    if not _SOURCE_HASH.fullmatch(text):
        raise InvalidArgument(f"{field} is not 'sha256:' with 64 lower-case hex digits: {text[:80]!r}")


def check_program_hash(text: str, field: str) -> None:
    """``p_`` and 32 hex digits."""
    if not _PROGRAM_HASH.fullmatch(text):
        raise InvalidArgument(f"{field} is not 'p_' with 32 lower-case hex digits: {text[:60]!r}")


def check_handle(text: str, field: str) -> None:
    """Ids of nodes, owners, challenges and tokens: safe in keys, paths and pages."""
    if not _NODE_ID.fullmatch(text):
        raise InvalidArgument(
            f"{field} must be 1 to 80 of letters, digits, '.', '_' and '-', not {text[:80]!r}"
        )


def check_hardware_class(text: str, field: str) -> None:
    """For example ``nvidia-h100-sxm-80gb/torch-2.13``."""
    if not _HARDWARE_CLASS.fullmatch(text):
        raise InvalidArgument(
            f"{field} must be 1 to 120 of lower-case letters, digits and '._+:/-', not {text[:120]!r}"
        )


def check_public_key(key: bytes) -> None:
    """32 bytes of Ed25519."""
    if len(key) != PUBLIC_KEY_BYTES:
        raise InvalidArgument(f"public_key has {len(key)} bytes; an Ed25519 key has {PUBLIC_KEY_BYTES}")


def check_line(text: str, field: str, *, limit: int, required: bool = False) -> None:
    """One line without control and invisible characters."""
    _check_length(text, field, limit=limit, required=required)
    _check_characters(text, field, allowed="")


def check_text(text: str, field: str, *, limit: int, required: bool = False) -> None:
    """Prose; line ends and tabs are welcome, other control characters and invisible ones are not."""
    _check_length(text, field, limit=limit, required=required)
    _check_characters(text, field, allowed="\n\t\r")


def check_source(source: bytes, field: str = "source") -> None:
    """The bytes of a ``train.py``."""
    if not source:
        raise InvalidArgument(f"{field} is empty; send the bytes of train.py")
    if len(source) > SOURCE_LIMIT_BYTES:
        raise InvalidArgument(
            f"{field} has {len(source)} bytes, the limit is {SOURCE_LIMIT_BYTES}; shorten train.py"
        )
    try:
        source.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            f"{field} is not UTF-8 at byte {error.start}; save train.py as UTF-8"
        ) from error
    if b"\0" in source:
        raise InvalidArgument(f"{field} contains a NUL byte; train.py is text")


def check_hypothesis(hypothesis: Hypothesis) -> None:
    """A hypothesis within the caps of the contract."""
    check_line(hypothesis.title, "hypothesis.title", limit=TITLE_LIMIT_CHARS, required=True)
    check_text(hypothesis.rationale, "hypothesis.rationale", limit=RATIONALE_LIMIT_CHARS)
    check_text(hypothesis.distinction, "hypothesis.distinction", limit=RATIONALE_LIMIT_CHARS)
    check_line(hypothesis.agent, "hypothesis.agent", limit=NAME_LIMIT_CHARS)
    if hypothesis.program_hash is not None:
        check_program_hash(hypothesis.program_hash, "hypothesis.program_hash")
    _check_count(hypothesis.changes, "hypothesis.changes", limit=CHANGES_LIMIT)
    size = len(hypothesis.title.encode()) + len(hypothesis.rationale.encode())
    for index, change in enumerate(hypothesis.changes):
        field = f"hypothesis.changes[{index}]"
        if isinstance(change, ConstantChange):
            parts = {"name": change.name, "new": change.new, "old": change.old}
            required = {"name", "new"}
        else:
            parts = {"what": change.what, "where": change.where}
            required = {"what"}
        for part, text in parts.items():
            check_text(text, f"{field}.{part}", limit=CHANGE_TEXT_LIMIT_CHARS, required=part in required)
            size += len(text.encode())
    if size > HYPOTHESIS_LIMIT_BYTES:
        raise InvalidArgument(
            f"hypothesis has {size} bytes of text, the limit is {HYPOTHESIS_LIMIT_BYTES}; say it shorter"
        )


def check_insight(insight: Insight) -> None:
    """A lesson with its evidence; the coordinator overrides who it is from."""
    check_uuid(insight.insight_id, "insight.insight_id")
    check_text(insight.text, "insight.text", limit=INSIGHT_LIMIT_CHARS, required=True)
    check_line(insight.agent, "insight.agent", limit=NAME_LIMIT_CHARS)
    _check_count(insight.experiment_ids, "insight.experiment_ids", limit=EVIDENCE_LIMIT)
    if not insight.experiment_ids:
        raise InvalidArgument("insight.experiment_ids is empty; name the experiments it was learned from")
    for experiment_id in insight.experiment_ids:
        check_uuid(experiment_id, "insight.experiment_ids")


def check_program(text: str, field: str) -> None:
    """The text of a program.md."""
    size = len(text.encode())
    if size > PROGRAM_LIMIT_BYTES:
        raise InvalidArgument(f"{field} has {size} bytes, the limit is {PROGRAM_LIMIT_BYTES}; shorten it")
    check_text(text, field, limit=PROGRAM_LIMIT_BYTES, required=True)


def check_usage(usage: Usage) -> None:
    """What an agent can have spent on one experiment."""
    check_line(usage.model, "usage.model", limit=NAME_LIMIT_CHARS)
    for name in ("calls", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"):
        check_number(getattr(usage, name), f"usage.{name}", low=0, high=USAGE_LIMIT_TOKENS)
    check_number(usage.cost_usd, "usage.cost_usd", low=0, high=USAGE_LIMIT_USD)
    check_number(usage.seconds, "usage.seconds", low=0, high=RUN_LIMIT_S)


def check_hardware(hardware: Hardware) -> None:
    """Hardware that can exist."""
    check_hardware_class(hardware.hardware_class, "hardware.hardware_class")
    check_line(hardware.device_kind, "hardware.device_kind", limit=NAME_LIMIT_CHARS, required=True)
    check_line(hardware.device_name, "hardware.device_name", limit=NAME_LIMIT_CHARS)
    check_line(hardware.torch_version, "hardware.torch_version", limit=NAME_LIMIT_CHARS)
    check_number(hardware.memory_mb, "hardware.memory_mb", low=0, high=MEMORY_LIMIT_MB)
    check_number(hardware.device_count, "hardware.device_count", low=1, high=DEVICES_LIMIT)


def check_experiment(experiment: Experiment) -> None:
    """An experiment as a node sends it; the coordinator overrides who it is from."""
    check_uuid(experiment.experiment_id, "experiment.experiment_id")
    check_handle(experiment.challenge_id, "experiment.challenge_id")
    check_hypothesis(experiment.hypothesis)
    check_source_hash(experiment.source_hash, "experiment.source_hash")
    check_hardware_class(experiment.hardware_class, "experiment.hardware_class")
    _check_count(experiment.parents, "experiment.parents", limit=PARENTS_LIMIT)
    for parent in experiment.parents:
        check_uuid(parent, "experiment.parents")
    if len(set(experiment.parents)) != len(experiment.parents) or (
        experiment.experiment_id in experiment.parents
    ):
        raise InvalidArgument("experiment.parents must be different experiments, and not itself")
    _check_count(experiment.flags, "experiment.flags", limit=FLAGS_LIMIT)
    for flag in experiment.flags:
        check_line(flag, "experiment.flags", limit=REASON_LIMIT_CHARS)


def check_result(result: Result, *, metric: str | None = None) -> None:
    """A result that can be true.

    Args:
        result: What a node brings.
        metric: The challenge's metric, which a completed run must bring as a positive number.
    """
    check_uuid(result.result_id, "result.result_id")
    check_uuid(result.experiment_id, "result.experiment_id")
    check_handle(result.challenge_id, "result.challenge_id")
    check_source_hash(result.code_hash, "result.code_hash")
    check_hardware(result.hardware)
    check_line(result.harness_version, "result.harness_version", limit=NAME_LIMIT_CHARS)
    check_line(result.verification_id, "result.verification_id", limit=NAME_LIMIT_CHARS)
    check_text(result.reason, "result.reason", limit=REASON_LIMIT_CHARS)
    if result.crash_kind and not _CRASH_KIND.fullmatch(result.crash_kind):
        raise InvalidArgument(f"result.crash_kind must be one short word, not {result.crash_kind[:80]!r}")
    if not -_INT64 <= result.seed < _INT64:
        raise InvalidArgument(f"result.seed {result.seed} does not fit in 64 bits")
    _check_times(result.started_at, result.finished_at)
    _check_metrics(result, metric)
    _check_log_tail(result.log_tail)
    _check_curve(result.curve)
    _check_attestation(result)
    if result.usage is not None:
        check_usage(result.usage)


def check_number(value: float, field: str, *, low: float = -math.inf, high: float = math.inf) -> None:
    """A finite number within bounds."""
    if not math.isfinite(value):
        raise InvalidArgument(f"{field} is {value}; send a finite number")
    if not low <= value <= high:
        raise InvalidArgument(f"{field} is {value}, which is outside {low} to {high}")


def clip_log_tail(text: str) -> str:
    """The end of a log that fits: cut at a line where possible, free of escapes and unseen characters."""
    text = _ESCAPE_SEQUENCE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = "".join(char for char in text if char in "\n\t" or not _is_refused(char))
    raw = kept.encode("utf-8")
    if len(raw) <= LOG_TAIL_LIMIT_BYTES:
        return kept
    tail = raw[-LOG_TAIL_LIMIT_BYTES:].decode("utf-8", errors="ignore")
    head, end_of_line, rest = tail.partition("\n")
    return rest if end_of_line and len(head) < len(rest) else tail


def clip_text(text: str, limit: int = REASON_LIMIT_CHARS) -> str:
    """The beginning of a text that fits, free of escapes, control and invisible characters."""
    text = _ESCAPE_SEQUENCE.sub("", text)
    return "".join(char for char in text if char in "\n\t" or not _is_refused(char))[:limit]


def clip_curve(points: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """At most the cap of points, evenly picked with the first and the last, finite and within 0 to 1."""
    usable = [
        (min(max(float(progress), 0.0), 1.0), float(loss))
        for progress, loss in points
        if math.isfinite(progress) and math.isfinite(loss)
    ]
    if len(usable) <= CURVE_LIMIT_POINTS:
        return tuple(usable)
    last = len(usable) - 1
    return tuple(
        usable[round(index * last / (CURVE_LIMIT_POINTS - 1))] for index in range(CURVE_LIMIT_POINTS)
    )


def _check_times(started_at: datetime, finished_at: datetime) -> None:
    for at, field in ((started_at, "started_at"), (finished_at, "finished_at")):
        if at.tzinfo is None:
            raise InvalidArgument(f"result.{field} has no time zone; send UTC")
    lasted = finished_at - started_at
    if lasted < timedelta(0):
        raise InvalidArgument("result.finished_at is before result.started_at; check the node's clock")
    if lasted.total_seconds() > RUN_LIMIT_S:
        raise InvalidArgument(
            f"result lasted {lasted.total_seconds():.0f} s, the limit is {RUN_LIMIT_S:.0f} s; check the clock"
        )


def _check_metrics(result: Result, metric: str | None) -> None:
    _check_count(result.metrics, "result.metrics", limit=METRICS_LIMIT)
    for name, value in result.metrics.items():
        if not _METRIC_NAME.fullmatch(name):
            raise InvalidArgument(
                f"result.metrics has the name {name[:80]!r}; names are up to 64 of a-z, 0-9 and '_'"
            )
        check_number(value, f"result.metrics[{name}]", low=-METRIC_LIMIT, high=METRIC_LIMIT)
    if result.outcome is not Outcome.COMPLETED:
        return
    if not result.metrics:
        raise InvalidArgument("result.metrics is empty; a completed run brings its score")
    if metric is not None:
        score = result.metrics.get(metric)
        if score is None:
            raise InvalidArgument(f"result.metrics lacks {metric}, by which this challenge ranks")
        if score <= 0:
            raise InvalidArgument(f"result.metrics[{metric}] is {score}; it can only be positive")


def _check_log_tail(log_tail: str) -> None:
    _check_characters(log_tail, "result.log_tail", allowed="\n\t\r")
    size = len(log_tail.encode("utf-8"))
    if size > LOG_TAIL_LIMIT_BYTES:
        raise InvalidArgument(
            f"result.log_tail has {size} bytes, the limit is {LOG_TAIL_LIMIT_BYTES}; use clip_log_tail"
        )


def _check_curve(curve: Sequence[tuple[float, float]]) -> None:
    _check_count(curve, "result.curve", limit=CURVE_LIMIT_POINTS)
    for index, (progress, loss) in enumerate(curve):
        check_number(progress, f"result.curve[{index}].progress", low=0, high=1)
        check_number(loss, f"result.curve[{index}].loss")


def _check_attestation(result: Result) -> None:
    attested = result.attestation
    if attested is None:
        return
    try:
        attested.check()
    except ValueError as error:
        raise InvalidArgument(f"result.attestation: {error}") from error
    for name, own in (
        ("code_hash", result.code_hash),
        ("seed", result.seed),
        ("harness_version", result.harness_version),
    ):
        if getattr(attested, name) != own:
            raise InvalidArgument(
                f"result.attestation.{name} is {getattr(attested, name)!r} and the result's is {own!r}; send "
                "what the harness reported"
            )
    if result.outcome is Outcome.COMPLETED and not (attested.rows_digest and attested.losses_digest):
        raise InvalidArgument("result.attestation of a completed run lacks the digests of rows and losses")


def _check_length(text: str, field: str, *, limit: int, required: bool) -> None:
    if required and not text.strip():
        raise InvalidArgument(f"{field} is empty; it is needed")
    if len(text) > limit:
        raise InvalidArgument(f"{field} has {len(text)} characters, the limit is {limit}; shorten it")


def _check_characters(text: str, field: str, *, allowed: str) -> None:
    # Nearly every text is printable ASCII with allowed line ends: one pass in C instead of one per character.
    if text.isascii() and text.translate(dict.fromkeys(map(ord, allowed))).isprintable():
        return
    for index, char in enumerate(text):
        if char not in allowed and _is_refused(char):
            raise InvalidArgument(
                f"{field} has the control or invisible character U+{ord(char):04X} at position {index}; "
                "remove it"
            )


def _is_refused(char: str) -> bool:
    return unicodedata.category(char) in _NOT_IN_TEXT


def _check_count(values: Sequence[object] | Iterable[object], field: str, *, limit: int) -> None:
    count = len(values) if isinstance(values, Sequence) else sum(1 for _ in values)
    if count > limit:
        raise InvalidArgument(f"{field} has {count} entries, the limit is {limit}; send fewer")
