"""The coordinator's settings, each declared once: name, type, default and help in one line of ``Config``.

The first source that names a setting wins: flag, environment ``AUTORESEARCH_COORDINATOR_*``, the
``[coordinator]`` table of ``autoresearch.toml`` in the working directory, the same table of the user's
``config.toml``, default. Commands take their help from ``SETTINGS``, and so does the table in the docs.
pydantic is imported by ``load_config`` alone, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ENV_PREFIX = "AUTORESEARCH_COORDINATOR_"
PROJECT_FILE = "autoresearch.toml"
USER_FILE = "config.toml"
TABLE = "coordinator"

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_PORT = 50051
HEARTBEATS_PER_LEASE = 4
"""A lease survives three lost heartbeats before its claim is free again."""


class ConfigError(ValueError):
    """A setting is wrong; the message names it, its source where known, and what to give instead."""


def _default_data_dir() -> Path:
    import platformdirs  # noqa: PLC0415  (kept off the path of --help)

    return platformdirs.user_data_path("autoresearch") / "coordinator"


def _setting(default: Any, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that ``serve`` can be told."""

    listen: str = _setting(DEFAULT_ADDRESS, "Address and port to listen on; port 0 takes a free one.")
    store: str | None = _setting(
        None, "URL of a Redis or Valkey (redis://, rediss://, unix://); unset starts an own one."
    )
    data_dir: Path = field(
        default_factory=_default_data_dir,
        metadata={"help": "Folder of the operator's key and of the embedded store."},
    )
    challenges: tuple[str, ...] = _setting(
        ("pocket",),
        "Challenges to host, by name or folder; the first is the default of a node that names none.",
    )
    enrolment: Literal["open", "token"] = _setting(
        "open", "Who may join: anybody (open, without a vote in confirmations) or holders of a token."
    )
    tls_cert: Path | None = _setting(None, "PEM file of the server's certificate chain.")  # noqa: RUF009
    tls_key: Path | None = _setting(None, "PEM file of the certificate's private key.")  # noqa: RUF009
    insecure: bool = _setting(False, "Serve without TLS on an address that others can reach.")
    lease_ttl_s: float = _setting(
        120.0, "Seconds until the claim of a silent node is free again; nodes report four times as often."
    )
    claims_per_node: int = _setting(
        32, "Claims that one node may hold at once; each of its workers needs two, or three for a moment."
    )
    calls_per_node_s: float = _setting(50.0, "Calls per second and node; bursts may be four times as many.")
    calls_per_peer_s: float = _setting(
        500.0, "Calls per second and network address, all its nodes together; bursts as above."
    )
    calls_in_flight: int = _setting(1_000, "Calls that may run at once, watch streams apart.")
    watchers: int = _setting(10_000, "Open watch streams of nodes.")
    feeds: int = _setting(100, "Open watch streams that see every event.")
    embedding_model: str = _setting(
        "sentence-transformers/all-MiniLM-L6-v2",
        "Model that compares ideas by meaning: a name on the Hugging Face hub or a folder; none for none.",
    )
    embedding_revision: str = _setting(
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "Commit of the model on the hub; a folder is taken as it is.",
    )
    allow_unsafe_store: bool = _setting(False, "Use a store at a URL even if it may forget or evict results.")
    free_disk_min_mb: int = _setting(512, "Below this much free disk (MiB) the own store takes no writes.")
    grace_s: float = _setting(5.0, "Seconds that running calls get to end when the coordinator stops.")
    reflection: bool = _setting(False, "Answer gRPC reflection.")
    log_format: Literal["text", "json"] = _setting("text", "Lines for people or for machines, on stderr.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "The least that is logged.")

    def __post_init__(self) -> None:
        _check(self)

    @property
    def heartbeat_interval_s(self) -> float:
        """How often nodes are asked to report."""
        return self.lease_ttl_s / HEARTBEATS_PER_LEASE

    @property
    def has_tls(self) -> bool:
        """True when calls are encrypted."""
        return self.tls_cert is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One line of the settings' table."""

    name: str
    flag: str
    environment: str
    default: str
    help: str
    choices: tuple[str, ...] = ()


_CHOICES = {
    name: typing.get_args(kind)
    for name, kind in typing.get_type_hints(Config).items()
    if typing.get_origin(kind) is Literal
}


def _describe(spec: dataclasses.Field[Any]) -> Setting:
    if spec.default is not dataclasses.MISSING:
        default = spec.default
        shown = ", ".join(default) if isinstance(default, tuple) else default
    else:
        shown = "<user data>/autoresearch/coordinator"
    return Setting(
        name=spec.name,
        flag="--" + spec.name.replace("_", "-").removesuffix("s" if spec.name == "challenges" else ""),
        environment=ENV_PREFIX + spec.name.upper(),
        default="" if shown is None else str(shown),
        help=spec.metadata["help"],
        choices=_CHOICES.get(spec.name, ()),
    )


SETTINGS: tuple[Setting, ...] = tuple(_describe(spec) for spec in dataclasses.fields(Config))
HELP: Mapping[str, str] = {setting.name: setting.help for setting in SETTINGS}


def load_config(flags: Mapping[str, Any], *, folder: Path | None = None) -> Config:
    """The settings from all sources.

    Args:
        flags: what the command line gave; None stands for not given.
        folder: where the project's TOML file is looked for; the working directory if None.

    Raises:
        ConfigError: a source is unreadable, names an unknown setting, or gives a wrong value.
    """
    import platformdirs  # noqa: PLC0415  (see the module's docstring)
    import pydantic  # noqa: PLC0415
    from pydantic_settings import (  # noqa: PLC0415
        BaseSettings,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
    )

    files = ((folder or Path.cwd()) / PROJECT_FILE, platformdirs.user_config_path("autoresearch") / USER_FILE)
    tables = [_read_table(path) for path in files]

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
    model = pydantic.create_model("_Settings", __base__=_Sources, **fields)
    try:
        loaded = model(**{name: value for name, value in flags.items() if value is not None})
    except (pydantic.ValidationError, ValueError) as error:
        raise ConfigError(_explain(error)) from error
    return Config(**{name: getattr(loaded, name) for name in fields})


def is_loopback(listen: str) -> bool:
    """True if only this machine can reach the address."""
    host = split_address(listen)[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[ipv6]:port``.

    Raises:
        ConfigError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:  # noqa: PLR2004
        raise ConfigError(f"{address!r} is not an address; give host:port, such as {DEFAULT_ADDRESS}")
    return host, int(port)


def _read_table(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  (see the module's docstring)

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
    lines = [
        f"{'.'.join(str(part) for part in line['loc']) or 'settings'}: {line['msg']}" for line in complaints()
    ]
    return "; ".join(lines)


def _check(config: Config) -> None:
    split_address(config.listen)
    if not config.challenges:
        raise ConfigError("challenges is empty; name at least one, such as pocket")
    if not config.embedding_model or not config.embedding_revision:
        raise ConfigError("embedding_model and embedding_revision need a value; none does without a model")
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigError("tls_cert and tls_key belong together; give both or neither")
    lows: tuple[tuple[str, float], ...] = (
        ("lease_ttl_s", 1.0),
        ("claims_per_node", 1),
        ("calls_per_node_s", 0.1),
        ("calls_per_peer_s", 0.1),
        ("calls_in_flight", 1),
        ("watchers", 0),
        ("feeds", 0),
        ("free_disk_min_mb", 0),
        ("grace_s", 0.0),
    )
    for name, low in lows:
        if not low <= getattr(config, name) <= 1e9:  # noqa: PLR2004
            raise ConfigError(f"{name} is {getattr(config, name)!r}; give at least {low:g}")
    if not (config.has_tls or config.insecure or is_loopback(config.listen)):
        raise ConfigError(
            f"{config.listen} can be reached from other machines and would serve without encryption: give "
            "--tls-cert and --tls-key, or --insecure if something else protects it"
        )
