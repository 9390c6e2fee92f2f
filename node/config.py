"""The node's settings, each declared once: name, type, default and help in one line of ``Config``.

The first source that names a setting wins: flag, environment ``AUTORESEARCH_*``, table ``[node]`` of
``autoresearch.toml`` in the working directory, that of the user's ``config.toml``, default. Commands
take their help from ``SETTINGS``, and so does the table in the docs. pydantic is imported by ``load_config``
alone, so that ``--help`` answers at once. Secrets are never settings: a token comes from a file.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ENV_PREFIX = "AUTORESEARCH_"
PROJECT_FILE = "autoresearch.toml"
USER_FILE = "config.toml"
TABLE = "node"
DEFAULT_BASE_URL = "https://api.anthropic.com"
DEFAULT_MODEL = "claude-sonnet-5-5"
NAME_LIMIT_CHARS = 60
MODEL_LIMIT_CHARS = 1_000
TOKENS_MIN, TOKENS_MAX = 1_000, 1_000_000
HOURS_MAX = 24.0 * 365
WORKERS_MAX = 64
TEMPERATURE_MAX_C = 150.0
IDEAS_AHEAD_MAX = 16
"""What a coordinator lets one node have in its queue by default."""


class ConfigError(ValueError):
    """A setting is wrong; the message names it, its source where known, and what to give instead."""


def _default_state_dir() -> Path:
    import platformdirs  # noqa: PLC0415 - kept off the path of --help

    return platformdirs.user_state_path("autoresearch") / "node"


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that ``join`` and ``solo`` can be told."""

    agent: Literal[
        "search", "anthropic", "claude-code", "codex", "gemini", "opencode", "command", "mcp", "none"
    ] = _setting(
        "search",
        "Who has the ideas: search (turns constants; no key, no network), anthropic (a model behind the "
        "Messages API), claude-code, codex, gemini or opencode (that coding agent, docs/agents.md), "
        "command (any other), mcp (a coding agent that you talk to, through `autoresearch-node mcp`), "
        "none (runs the work of others).",
    )
    agent_command: str = _setting(
        "",
        "Command line of a headless coding agent, with {prompt}, {prompt_file} or {workdir}; "
        "for --agent command.",
    )
    agent_time_limit_s: float = _setting(
        900.0, "Seconds after which an agent's attempt is ended; for mcp, after which a silent one is gone."
    )
    agent_limit_turns: int = _setting(
        40, "Calls of its model after which an attempt of claude-code, codex, gemini or opencode is ended."
    )
    agent_limit_usd: float | None = _setting(
        0.5,
        "Dollars after which such an attempt is ended, or what the budgets have left; inf for that alone.",
    )
    agent_limit_tokens: int | None = _setting(
        None, "Tokens after which such an attempt is ended, or what the budgets have left."
    )
    agent_variables: tuple[str, ...] = _setting(
        (), "Environment variables that the coding agent may see beside PATH, HOME and the like."
    )
    agent_history: int | None = _setting(
        None, "Newest experiments that the agent is told of; unset for all that a node reads, 0 for none."
    )
    agent_seed: int | None = _setting(
        None,
        "Seed of the draws of --agent search: nodes that share one have the same ideas where they are told "
        "the same. Unset, each has its own.",
    )
    agent_model: str = _setting(
        "",
        "Model of the agent, by the name that its server or tool knows; unset takes claude-sonnet-5-5 for "
        "anthropic, and for a coding agent what docs/agents.md says.",
    )
    agent_base_url: str = _setting(
        "",
        "Server of the agent's model, such as a local one: for anthropic any that speaks the Messages API. "
        "Unset takes the maker's.",
    )
    anthropic_key_file: Path | None = _setting(  # noqa: RUF009
        None, "File with Anthropic's key, for anthropic and claude-code; unset takes ANTHROPIC_API_KEY."
    )
    agent_thinking: Literal["default", "adaptive", "between_tools", "disabled"] = _setting(
        "default",
        "Whether the model thinks before it answers: its own default, or one of the kinds that it knows; "
        "disabled (between_tools for some models) turns it off.",
    )
    agent_max_tokens: int = _setting(16_000, "The most that the model may write in one answer.")
    agent_context_tokens: int = _setting(
        40_000,
        "About how much the model is given to read: rules, code, and as much of what is known as fits.",
    )
    agent_price_in_usd: float | None = _setting(
        None, "Dollars per million tokens that the model reads; unset takes the known price."
    )
    agent_price_out_usd: float | None = _setting(
        None, "Dollars per million tokens that the model writes; goes with the one above."
    )
    budget_usd_experiment: float | None = _setting(
        1.0, "Dollars that agents may spend on one experiment; inf for no limit."
    )
    budget_usd_day: float | None = _setting(
        10.0, "Dollars that agents may spend on a day (UTC); then the node leaves with exit code 7."
    )
    budget_usd_total: float | None = _setting(
        None, "Dollars that agents of this node may ever spend; then it leaves with exit code 7."
    )
    budget_tokens_experiment: int | None = _setting(None, "Tokens that agents may take for one experiment.")
    budget_tokens_day: int | None = _setting(None, "Tokens that agents may take on a day (UTC).")
    budget_tokens_total: int | None = _setting(None, "Tokens that agents of this node may ever take.")
    program: Path | None = _setting(  # noqa: RUF009
        None, "A program.md of your own that this node's agents go by, in place of the swarm's."
    )
    propose_only: bool = _setting(
        False,
        "Have ideas with code for the queue and train nothing: no GPU and no data is needed.",
    )
    propose_for: str = _setting(
        "", "Hardware class whose best --propose-only thinks about; unset takes the one with the most nodes."
    )
    ideas_ahead: int = _setting(
        4, "How many ideas of --propose-only may wait for a node at once; it thinks on as they are run."
    )
    name: str = _setting("", "Public name of this node; several nodes on one machine need one each.")
    challenge: str = _setting("", "Challenge by name or id; unset takes the coordinator's first.")
    token_file: Path | None = _setting(None, "File with an enrolment token from the operator.")  # noqa: RUF009
    state_dir: Path = field(
        default_factory=_default_state_dir,
        metadata={"help": "Folder of the node's key, outbox, notebook and challenges."},
    )
    max_experiments: int | None = _setting(None, "Stop by yourself after so many pieces of work.")
    max_hours: float | None = _setting(None, "Stop by yourself after so many hours.")
    device: Literal["auto", "cuda", "rocm", "mps", "cpu"] = _setting("auto", "What to train on.")
    gpus: str = _setting(
        "", "Train on several GPUs, one worker each: all, or a list by number such as 0,1; unset takes one."
    )
    workers: int = _setting(1, "Workers that share a processor, for challenges that are run on one.")
    quiet_hours: str = _setting(
        "", "Take no work in these hours of each day, by local time, such as 22:00-07:00."
    )
    max_gpu_hours_day: float | None = _setting(
        None, "Hours of training on a day (local time), all GPUs together; then the node waits for midnight."
    )
    max_temperature_c: float | None = _setting(
        None, "Take no work while the GPU (or the processor that trains) is hotter, in degrees Celsius."
    )
    pause_when_busy: bool = _setting(False, "Take no work while other programs use what this node trains on.")
    pause_on_battery: bool = _setting(True, "Take no work while a laptop is not plugged in.")
    sandbox: Literal["auto", "none"] = _setting(
        "auto",
        "How strangers' code is held: auto takes every layer that this machine has and refuses if they are "
        "too few; none says that the code may do what you may do.",
    )
    yes: bool = _setting(False, "Agree to the terms without being asked.")
    insecure: bool = _setting(False, "Call a coordinator or model on another machine without TLS.")
    ca_file: Path | None = _setting(None, "PEM file of the authority behind the coordinator's TLS.")  # noqa: RUF009
    log_format: Literal["text", "json"] = _setting("text", "Lines for people or for machines, on stderr.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "The least that is logged.")

    def __post_init__(self) -> None:
        _check(self)

    @property
    def node_dir(self) -> Path:
        """The state of this node: a folder of its own where it has a name."""
        folder = self.state_dir.expanduser().absolute()  # the trainer works in another folder
        return folder / self.name if self.name else folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of the settings' table."""

    name: str
    flag: str
    environment: str
    default: str
    help: str


def _describe(spec: dataclasses.Field[Any]) -> Setting:
    if spec.default is not dataclasses.MISSING:
        shown = ", ".join(spec.default) if isinstance(spec.default, tuple) else spec.default
    else:
        shown = "<user state>/autoresearch/node"
    return Setting(
        name=spec.name,
        flag=FLAGS.get(spec.name, "--" + spec.name.replace("_", "-")),
        environment=ENV_PREFIX + spec.name.upper(),
        default="" if shown is None else str(shown),
        help=spec.metadata["help"],
    )


FLAGS: Mapping[str, str] = {
    "propose_for": "--for-class",
    "agent_time_limit_s": "--agent-time-limit",
    "agent_variables": "--agent-env",
    "agent_price_in_usd": "--agent-price-in",
    "agent_price_out_usd": "--agent-price-out",
    "ca_file": "--ca",
    "log_format": "--json-logs",
}
SETTINGS: tuple[Setting, ...] = tuple(_describe(spec) for spec in dataclasses.fields(Config))
HELP: Mapping[str, str] = {setting.name: setting.help for setting in SETTINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, and which source gave each."""

    config: Config
    sources: Mapping[str, str]


def load_config(
    flags: Mapping[str, Any], *, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Loaded:
    """The settings from all sources.

    Args:
        flags: What the command line gave; None stands for not given.
        environ: Only to tell which settings came from the environment; the process's if None.
        folder: Where the project's TOML file is looked for; the working directory if None.

    Raises:
        ConfigError: A source is unreadable, names an unknown setting, or gives a wrong value.
    """
    import os  # noqa: PLC0415 - see the module's docstring

    import platformdirs  # noqa: PLC0415
    import pydantic  # noqa: PLC0415

    files = ((folder or Path.cwd()) / PROJECT_FILE, platformdirs.user_config_path("autoresearch") / USER_FILE)
    tables = [_read_table(path) for path in files]
    given = {name: value for name, value in flags.items() if value is not None}
    model = _settings_model(tables)
    try:
        loaded = model(**given)
    except (pydantic.ValidationError, ValueError) as error:
        raise ConfigError(_explain(error)) from error
    names = [spec.name for spec in dataclasses.fields(Config)]
    config = Config(**{name: getattr(loaded, name) for name in names})
    variables = os.environ if environ is None else environ
    places: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("flag", given),
        ("environment", {name: 1 for name in names if ENV_PREFIX + name.upper() in variables}),
        *((str(path), table) for path, table in zip(files, tables, strict=True)),
    )
    sources = {name: next((label for label, table in places if name in table), "default") for name in names}
    return Loaded(config=config, sources=sources)


def _settings_model(tables: list[dict[str, Any]]) -> Any:
    import pydantic  # noqa: PLC0415 - see the module's docstring
    from pydantic_settings import (  # noqa: PLC0415
        BaseSettings,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
    )

    class _Sources(BaseSettings):
        model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[Any, ...]:
            return (init_settings, env_settings, *((lambda table=table: table) for table in tables))

    hints = typing.get_type_hints(Config)
    fields: dict[str, Any] = {
        spec.name: (
            hints[spec.name],
            pydantic.Field(default_factory=spec.default_factory)
            if spec.default_factory is not dataclasses.MISSING
            else pydantic.Field(default=spec.default),
        )
        for spec in dataclasses.fields(Config)
    }
    return pydantic.create_model("_Settings", __base__=_Sources, **fields)


def _read_table(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - see the module's docstring

    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path} ({error}); mend it or move it away") from error
    table = document.get(TABLE, {})
    unknown = sorted(set(table) - set(HELP)) if isinstance(table, dict) else [TABLE]
    if unknown:
        raise ConfigError(f"{path} has unknown settings in [{TABLE}]: {', '.join(unknown)}")
    return typing.cast("dict[str, Any]", table)


def _explain(error: Exception) -> str:
    complaints = getattr(error, "errors", None)
    if complaints is None:
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in line['loc']) or 'settings'}: {line['msg']}" for line in complaints()
    )


def _check(config: Config) -> None:
    if config.max_experiments is not None and config.max_experiments < 1:
        raise ConfigError(f"max_experiments is {config.max_experiments}; give at least 1")
    if config.agent_history is not None and config.agent_history < 0:
        raise ConfigError(f"agent_history is {config.agent_history}; give 0 or more")
    for name in ("max_hours", "agent_time_limit_s"):
        value = getattr(config, name)
        if value is not None and not 0 < value <= HOURS_MAX * 3600:
            raise ConfigError(f"{name} is {value}; give a positive number")
    _check_manners(config)
    _check_workers(config)
    if config.agent == "command" and not config.agent_command:
        raise ConfigError("agent 'command' needs agent_command, for example 'claude -p {prompt}'")
    _check_model(config)
    _check_budgets(config)
    _check_proposing(config)
    if not _is_name(config.name):
        raise ConfigError(
            f"name is {config.name!r}; use up to {NAME_LIMIT_CHARS} letters, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )


def _check_model(config: Config) -> None:
    model = config.agent_model
    if len(model) > MODEL_LIMIT_CHARS or not model.isprintable() or model.startswith("-"):
        raise ConfigError(f"agent_model is {model[:80]!r}; give the name of a model")
    for name in ("agent_limit_turns", "agent_limit_usd", "agent_limit_tokens"):
        limit = getattr(config, name)
        if limit is not None and not limit > 0:
            raise ConfigError(f"{name} is {limit}; give a positive number, or leave it out")
    for name in ("agent_max_tokens", "agent_context_tokens"):
        value = getattr(config, name)
        if not TOKENS_MIN <= value <= TOKENS_MAX:
            raise ConfigError(f"{name} is {value}; give {TOKENS_MIN:,} to {TOKENS_MAX:,}")
    prices = (config.agent_price_in_usd, config.agent_price_out_usd)
    if (prices[0] is None) != (prices[1] is None):
        raise ConfigError("agent_price_in_usd and agent_price_out_usd go together; give both or none")
    if any(price is not None and not 0 <= price < math.inf for price in prices):
        raise ConfigError("agent_price_in_usd and agent_price_out_usd must be 0 or more")


def _check_budgets(config: Config) -> None:
    for spec in dataclasses.fields(config):
        value = getattr(config, spec.name)
        if spec.name.startswith("budget_") and value is not None and not value > 0:
            raise ConfigError(f"{spec.name} is {value}; give a positive number, or leave it out")


def _check_manners(config: Config) -> None:
    if config.quiet_hours:
        from node.manners import QuietHours  # noqa: PLC0415 - see the module's docstring

        try:
            QuietHours.parse(config.quiet_hours)
        except ValueError as error:
            raise ConfigError(f"quiet_hours: {error}") from error
    for name, most in (("max_gpu_hours_day", 24.0 * WORKERS_MAX), ("max_temperature_c", TEMPERATURE_MAX_C)):
        value = getattr(config, name)
        if value is not None and not 0 < value <= most:
            raise ConfigError(f"{name} is {value}; give a number over 0 and up to {most:g}")


def _check_proposing(config: Config) -> None:
    if not 1 <= config.ideas_ahead <= IDEAS_AHEAD_MAX:
        raise ConfigError(f"ideas_ahead is {config.ideas_ahead}; give 1 to {IDEAS_AHEAD_MAX}")
    if config.propose_only and config.agent in ("mcp", "none"):
        raise ConfigError(
            f"propose_only needs an agent with ideas of its own, and {config.agent!r} has none; give another"
        )
    if config.propose_only and (config.gpus or config.workers > 1):
        raise ConfigError("propose_only trains nothing; leave out gpus and workers")


def _check_workers(config: Config) -> None:
    if not _is_gpus(config.gpus):
        raise ConfigError(f"gpus is {config.gpus!r}; give all, or different numbers such as 0,1")
    if not 1 <= config.workers <= WORKERS_MAX:
        raise ConfigError(f"workers is {config.workers}; give 1 to {WORKERS_MAX}")
    if config.gpus and config.workers > 1:
        raise ConfigError("gpus and workers exclude each other: there is one worker for each GPU")


def _is_gpus(text: str) -> bool:
    numbers = text.split(",")
    is_list = all(part.isascii() and part.isdigit() for part in numbers)
    return text in ("", "all") or (is_list and len({int(part) for part in numbers}) == len(numbers))


def _is_name(text: str) -> bool:
    """Empty, or fit for a folder and a public listing."""
    if not text:
        return True
    fits = len(text) <= NAME_LIMIT_CHARS and text.isascii() and text[0].isalnum()
    return fits and all(char.isalnum() or char in "._-" for char in text)
