"""The frozen spec of a contest: ``challenge.toml``, its baseline ``train.py`` and its ``program.md``.

``[identity]`` says what is measured and on what; its canonical hash, with the baseline's, is the
``challenge_id``, so results of different contests can never meet. ``[policy]`` says how carefully (limits,
audits, priors); it is versioned and may change without making a new contest. Whole numbers, texts, truth
values, lists and tables are all that ``[identity]`` may hold: one spelling per value, one hash per contest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NewType, cast

from autoresearch.model import SOURCE_LIMIT_BYTES, ChallengeId

SCHEMA = 1
MANIFEST_NAME = "challenge.toml"
BASELINE_NAME = "train.py"
PROGRAM_NAME = "program.md"
MANIFEST_LIMIT_BYTES = 256 * 1024
PROGRAM_LIMIT_BYTES = 64 * 1024
IDENTITY_DEPTH_LIMIT = 6
BUILT_IN_LIMIT = 256
HOLDOUT_PREFIX = "holdout_"
"""By this a reader knows a held-back score among a result's metrics."""

HIDDEN_GAP_PREFIX = "hidden_gap_"
"""By this a reader knows the figure of ``HiddenGap`` among them."""

CPU_PATIENCE = 4
"""Enough for a core that a worker shares with three others; a busier machine is of no use to a run."""

BudgetKind = Literal["cpu", "wall", "steps"]
Direction = Literal["lower", "higher"]
ContentHash = NewType("ContentHash", str)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VERSIONED = re.compile(r"[a-z][a-z0-9-]{0,62}/[0-9]{1,4}")


class ChallengeError(ValueError):
    """A challenge cannot be found, read or trusted; the message says what to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """The one number that ranks: its name in a report, which way is better, and its unit."""

    name: str
    direction: Direction
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every run may spend between ``ctx.start()`` and its return.

    ``cpu`` counts CPU seconds of the worker and its children, ``wall`` elapsed seconds, ``steps`` calls of
    ``ctx.running()`` (tests only: bit-identical for a seed). With a ``pace``, CPU seconds are those of a
    reference core: the trainer that knows the pace by this name measures how fast the worker's core is.
    """

    kind: BudgetKind
    amount: int
    pace: str = ""

    @property
    def seconds(self) -> float | None:
        """The budget in seconds, or None where it is counted in steps."""
        return None if self.kind == "steps" else float(self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps on everything that the budget does not cover.

    ``launch_s``, ``setup_s``, ``train_wall_s`` and ``eval_s`` are elapsed time. On a challenge for CPUs a
    second in which other programs had the worker's core does not count, up to ``Challenge.patience`` times
    the limit.
    ``train_wall_s`` ends a run that sleeps instead of spending its budget. ``eval_cpu_s`` caps what a worker
    on a CPU spends on one text while it is scored, in CPU seconds at the pace of the budget; 0 stands for no
    cap but ``eval_s``, which is elapsed time. ``memory_mb`` counts resident memory of the worker and its
    children, ``scratch_mb`` caps what they write in all, ``overrun_ms`` is how long a run may go on after its
    budget.
    """

    source_bytes: int = SOURCE_LIMIT_BYTES
    launch_s: int = 120
    setup_s: int = 60
    train_wall_s: int = 900
    eval_s: int = 120
    eval_cpu_s: int = 0
    memory_mb: int = 8192
    scratch_mb: int = 4096
    log_bytes: int = 8192
    overrun_ms: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """How the harness checks that logits depend on earlier tokens of the same row alone.

    ``rows`` prefixes are sent with a foreign continuation some time before their true one, among the others
    in a secret order; ``repeat_rows`` come again at the end in other company. A run is rejected when the mean
    gain of the second answer over the first exceeds ``leak_nats_max``: at the hidden token, over the
    ``window`` positions up to it, or over all; or when answers differ either way by more than
    ``impurity_factor`` times as much. Audited rows may lie ``level_sigmas`` standard errors off the others.
    """

    rows: int = 32
    repeat_rows: int = 32
    batch_rows: int = 32
    leak_nats_max: float = 0.002
    window: int = 8
    impurity_factor: float = 10.0
    level_sigmas: float = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenGap:
    """How much worse a code may predict what no input shows it than the rest: it looks ahead, if it does.

    ``metric`` is the evaluator's figure for it among a report's metrics: in the ranking metric's unit,
    positive is worse, about 0 for honest codes. ``pair_sd`` is its standard deviation between the two honest
    codes of one verification pair, ``run_sd`` that of one honest run. Beyond ``sigmas`` standard errors over
    its pairs a code is refused; one run alone proves little.
    """

    metric: str
    pair_sd: float
    run_sd: float
    sigmas: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One contest, whole: enough to run it, to hash it, and to send it to another machine.

    ``corpus``, ``tokenizer``, ``validation`` and ``holdout`` are the tables of ``[identity]`` as written,
    read-only; the trainer's corpus of that ``kind`` gives them meaning. ``holdout`` is a second validation
    text that is scored in confirmations only; it is empty, and ``holdout_metric`` too, where there is none.
    ``hidden_gap`` is None where the evaluator has no such figure.
    """

    challenge_id: ChallengeId
    name: str
    title: str
    evaluator: str
    metric: Metric
    budget: Budget
    sequence_len: int
    vocab_size: int
    device_kinds: tuple[str, ...]
    frozen: bool
    corpus: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    validation: Mapping[str, Any]
    holdout: Mapping[str, Any]
    holdout_metric: str
    policy_version: int
    prior_sd: float
    min_baseline_runs: int
    harness_versions: tuple[str, ...]
    contribution_licence: str
    limits: Limits
    audit: Audit
    hidden_gap: HiddenGap | None
    baseline_hash: ContentHash
    manifest_toml: str
    baseline_source: str
    program_md: str

    @property
    def metric_name(self) -> str:
        """The ranking metric's name in a report's ``metrics``."""
        return self.metric.name

    @property
    def manifest_hash(self) -> ContentHash:
        """Of the whole manifest: what a result was measured under, policy included."""
        return content_hash(self.manifest_toml)

    @property
    def patience(self) -> int:
        """How many times a limit of elapsed time a run may last where other programs keep it from its core.

        1 where an accelerator may be used: what it waits for is not known.
        """
        return CPU_PATIENCE if self.device_kinds == ("cpu",) else 1

    @property
    def direction(self) -> Direction:
        """Which way the metric is better."""
        return self.metric.direction


def parse_challenge(manifest_toml: str, baseline_source: str, program_md: str) -> Challenge:
    """Build a challenge from its three texts, as read from a folder or received from a coordinator.

    Raises:
        ChallengeError: a text is too large, not TOML, or breaks a rule of the manifest.
    """
    _check_size(MANIFEST_NAME, manifest_toml, MANIFEST_LIMIT_BYTES)
    _check_size(PROGRAM_NAME, program_md, PROGRAM_LIMIT_BYTES)
    try:
        document = tomllib.loads(manifest_toml)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ChallengeError(f"{MANIFEST_NAME} is not TOML ({error}); mend that line") from error
    if document.get("schema") != SCHEMA:
        raise ChallengeError(
            f"{MANIFEST_NAME} has schema {document.get('schema')!r} and this build reads {SCHEMA}; update one"
        )
    identity = _Table.of(document, "identity")
    policy = _Table.of(document, "policy")
    canonical = _canonical_identity(identity.raw, baseline_source)
    limits = _limits(policy.table("limits"))
    _check_size(BASELINE_NAME, baseline_source, limits.source_bytes)
    has_holdout = "holdout" in identity.raw
    return Challenge(
        challenge_id=ChallengeId("ch_" + hashlib.sha256(canonical).hexdigest()[:32]),
        name=identity.text("name", pattern=_NAME),
        title=identity.text("title"),
        evaluator=identity.text("evaluator"),
        metric=_metric(identity.table("metric")),
        budget=_budget(identity.table("budget")),
        sequence_len=identity.whole("sequence_len", low=2, high=1 << 20),
        vocab_size=identity.whole("vocab_size", low=2, high=1 << 16),
        device_kinds=identity.texts("device_kinds"),
        frozen=identity.truth("frozen"),
        corpus=MappingProxyType(identity.table("corpus").raw),
        tokenizer=MappingProxyType(identity.table("tokenizer").raw),
        validation=MappingProxyType(identity.table("validation").raw),
        holdout=MappingProxyType(identity.table("holdout").raw if has_holdout else {}),
        holdout_metric=_holdout_metric(identity) if has_holdout else "",
        policy_version=policy.whole("version", low=1, high=1 << 31),
        prior_sd=policy.number("prior_sd", low=1e-9, high=1e9),
        min_baseline_runs=policy.whole("min_baseline_runs", low=1, high=100),
        harness_versions=policy.texts("harness_versions"),
        contribution_licence=policy.text("contribution_licence"),
        limits=limits,
        audit=_audit(policy.table("audit")),
        hidden_gap=_hidden_gap(policy.table("hidden_gap")) if "hidden_gap" in policy.raw else None,
        baseline_hash=content_hash(baseline_source),
        manifest_toml=manifest_toml,
        baseline_source=baseline_source,
        program_md=program_md,
    )


def load_challenge(folder: Path) -> Challenge:
    """Read a challenge from its folder.

    Raises:
        ChallengeError: a file is missing, unreadable or wrong; the message names it.
    """
    texts = []
    for name in (MANIFEST_NAME, BASELINE_NAME, PROGRAM_NAME):
        path = folder / name
        try:
            texts.append(path.read_bytes().decode("utf-8"))
        except OSError as error:
            raise ChallengeError(
                f"cannot read {path} ({error.strerror}); a challenge is a folder with {MANIFEST_NAME}, "
                f"{BASELINE_NAME} and {PROGRAM_NAME}"
            ) from error
        except UnicodeDecodeError as error:
            raise ChallengeError(f"{path} is not UTF-8 ({error.reason}); save it as UTF-8") from error
    try:
        return parse_challenge(*texts)
    except ChallengeError as error:
        raise ChallengeError(f"{folder}: {error}") from error


def write_challenge(challenge: Challenge, folder: Path) -> None:
    """Write the three files so that ``load_challenge`` gives the same challenge back, byte for byte."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_NAME).write_bytes(challenge.manifest_toml.encode("utf-8"))
    (folder / BASELINE_NAME).write_bytes(challenge.baseline_source.encode("utf-8"))
    (folder / PROGRAM_NAME).write_bytes(challenge.program_md.encode("utf-8"))


def find_challenge(name_or_path: str) -> Path:
    """The folder of a challenge: a path that holds a manifest, or the name of a built-in one.

    Built-in challenges lie beside the installed ``trainer`` package, which is located but not imported.

    Raises:
        ChallengeError: there is no such challenge; the message lists those that exist.
    """
    folder = Path(name_or_path).expanduser()
    if (folder / MANIFEST_NAME).is_file():
        return folder
    known = built_in_challenges()
    if name_or_path in known:
        return known[name_or_path]
    names = ", ".join(sorted(known)) or "none; install the [trainer] extra"
    raise ChallengeError(
        f"there is no challenge {name_or_path!r}: give a folder with a {MANIFEST_NAME} or one of: {names}"
    )


def built_in_challenges() -> dict[str, Path]:
    """Name and folder of every challenge that ships with the installed ``trainer`` package."""
    spec = importlib.util.find_spec("trainer")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found: dict[str, Path] = {}
    for place in places:
        for manifest in sorted((Path(place) / "challenges").glob(f"*/{MANIFEST_NAME}"))[:BUILT_IN_LIMIT]:
            found.setdefault(manifest.parent.name, manifest.parent)
    return found


def content_hash(text: str) -> ContentHash:
    """``sha256:`` and the hex digest of a text's UTF-8 bytes."""
    return ContentHash("sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest())


def _check_size(name: str, text: str, limit_bytes: int) -> None:
    size = len(text.encode("utf-8"))
    if size > limit_bytes:
        raise ChallengeError(f"{name} has {size} bytes and may have {limit_bytes}; shorten it")


def _canonical_identity(identity: Mapping[str, Any], baseline_source: str) -> bytes:
    _check_exact("identity", identity, depth=0)
    whole = {"schema": SCHEMA, "identity": identity, "baseline": content_hash(baseline_source)}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _check_exact(where: str, value: object, *, depth: int) -> None:
    """Refuse what could be written in two ways for one meaning: floats, dates."""
    if depth > IDENTITY_DEPTH_LIMIT:
        raise ChallengeError(f"[{where}] is nested deeper than {IDENTITY_DEPTH_LIMIT} tables; flatten it")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_exact(f"{where}.{key}", inner, depth=depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_exact(where, inner, depth=depth + 1)
    elif not isinstance(value, str | int):
        raise ChallengeError(
            f"{where} is a {type(value).__name__}; [identity] is hashed, so use whole numbers or text"
        )


@dataclass(frozen=True, slots=True)
class _Table:
    """One TOML table with typed reading; every complaint names the key."""

    where: str
    raw: dict[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any], key: str, where: str = "") -> _Table:
        path = f"{where}.{key}" if where else key
        value = document.get(key)
        if not isinstance(value, dict):
            raise ChallengeError(f"{MANIFEST_NAME} has no table [{path}]; add it")
        return cls(path, value)

    def table(self, key: str) -> _Table:
        return _Table.of(self.raw, key, self.where)

    def text(self, key: str, *, pattern: re.Pattern[str] | None = None) -> str:
        value = self._get(key, str, "a text")
        if not value or (pattern is not None and pattern.fullmatch(value) is None):
            wanted = f" matching {pattern.pattern}" if pattern else ""
            raise ChallengeError(f"{self.where}.{key} is {value!r}; give a text{wanted}")
        return cast("str", value)

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._get(key, list, "a list of texts")
        if not values or not all(isinstance(value, str) for value in values):
            raise ChallengeError(f"{self.where}.{key} is {values!r}; give a list of one or more texts")
        return tuple(values)

    def truth(self, key: str) -> bool:
        return cast("bool", self._get(key, bool, "true or false"))

    def whole(self, key: str, *, low: int, high: int, default: int | None = None) -> int:
        if default is not None and key not in self.raw:
            return default
        value = self._get(key, int, "a whole number")
        if isinstance(value, bool) or not low <= value <= high:
            raise ChallengeError(f"{self.where}.{key} is {value!r}; give a whole number from {low} to {high}")
        return cast("int", value)

    def number(self, key: str, *, low: float, high: float, default: float | None = None) -> float:
        if default is not None and key not in self.raw:
            return default
        value = self._get(key, (int, float), "a number")
        if isinstance(value, bool) or not low <= value <= high:
            raise ChallengeError(f"{self.where}.{key} is {value!r}; give a number from {low:g} to {high:g}")
        return float(value)

    def _get(self, key: str, kind: type | tuple[type, ...], wanted: str) -> Any:
        if key not in self.raw:
            raise ChallengeError(f"{MANIFEST_NAME} lacks {self.where}.{key}; give {wanted}")
        value = self.raw[key]
        if not isinstance(value, kind):
            raise ChallengeError(f"{self.where}.{key} is {value!r}; give {wanted}")
        return value


def _metric(table: _Table) -> Metric:
    direction = table.text("direction")
    if direction not in ("lower", "higher"):
        raise ChallengeError(f"{table.where}.direction is {direction!r}; give 'lower' or 'higher'")
    return Metric(
        name=table.text("name", pattern=_METRIC),
        direction=cast("Direction", direction),
        unit=table.text("unit"),
    )


def _holdout_metric(identity: _Table) -> str:
    """The name under which the held-back score is reported; it must not pass for the public one."""
    name = identity.table("holdout").text("metric", pattern=_METRIC)
    if not name.startswith(HOLDOUT_PREFIX) or name == identity.table("metric").text("name"):
        raise ChallengeError(
            f"identity.holdout.metric is {name!r}; give a name that begins with {HOLDOUT_PREFIX!r}, other "
            "than the ranking metric's"
        )
    return name


def _budget(table: _Table) -> Budget:
    kind = table.text("kind")
    if kind not in ("cpu", "wall", "steps"):
        raise ChallengeError(f"{table.where}.kind is {kind!r}; give 'cpu', 'wall' or 'steps'")
    amount = table.whole("steps" if kind == "steps" else "seconds", low=1, high=10_000_000)
    pace = table.text("pace", pattern=_VERSIONED) if "pace" in table.raw else ""
    if pace and kind != "cpu":
        raise ChallengeError(f"{table.where}.pace goes with kind 'cpu' only; take it out")
    return Budget(kind=cast("BudgetKind", kind), amount=amount, pace=pace)


def _limits(table: _Table) -> Limits:
    default = Limits()
    seconds = {
        key: table.whole(key, low=1, high=7 * 86_400, default=getattr(default, key))
        for key in ("launch_s", "setup_s", "train_wall_s", "eval_s")
    }
    megabytes = {
        key: table.whole(key, low=16, high=1 << 24, default=getattr(default, key))
        for key in ("memory_mb", "scratch_mb")
    }
    return Limits(
        source_bytes=table.whole(
            "source_bytes", low=1, high=SOURCE_LIMIT_BYTES, default=default.source_bytes
        ),
        eval_cpu_s=table.whole("eval_cpu_s", low=0, high=86_400, default=default.eval_cpu_s),
        log_bytes=table.whole("log_bytes", low=256, high=1 << 20, default=default.log_bytes),
        overrun_ms=table.whole("overrun_ms", low=50, high=10_000, default=default.overrun_ms),
        **seconds,
        **megabytes,
    )


def _audit(table: _Table) -> Audit:
    default = Audit()
    rows = {
        key: table.whole(key, low=1, high=1 << 16, default=getattr(default, key))
        for key in ("rows", "repeat_rows", "batch_rows", "window")
    }
    return Audit(
        leak_nats_max=table.number("leak_nats_max", low=0.0, high=1.0, default=default.leak_nats_max),
        impurity_factor=table.number(
            "impurity_factor", low=1.0, high=1000.0, default=default.impurity_factor
        ),
        level_sigmas=table.number("level_sigmas", low=1.0, high=100.0, default=default.level_sigmas),
        **rows,
    )


def _hidden_gap(table: _Table) -> HiddenGap:
    metric = table.text("metric", pattern=_METRIC)
    if not metric.startswith(HIDDEN_GAP_PREFIX):
        raise ChallengeError(
            f"{table.where}.metric is {metric!r}; give a name that begins with {HIDDEN_GAP_PREFIX!r}"
        )
    return HiddenGap(
        metric=metric,
        pair_sd=table.number("pair_sd", low=1e-9, high=1e9),
        run_sd=table.number("run_sd", low=1e-9, high=1e9),
        sigmas=table.number("sigmas", low=1.0, high=100.0, default=4.0),
    )
