"""``autoresearch-node``: parse, call, render. Each command imports what it needs, so help is quick."""

from __future__ import annotations

import re
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from node.config import HELP, SETTINGS, Config, ConfigError, Loaded, load_config
from node.exit_codes import ExitCode, exit_code_of

DEFAULT_HOST = "localhost"
LIMIT_MAX = 200
SEARCH_MAX = 100
EXPERIMENT_FORM = re.compile(r"[0-9a-f-]{6,36}")
"""An id, or so much of its beginning or end that it can be looked for."""
AGAINST = ("parent", "best")
EXTRA_OF_MODULE = {
    "anthropic": "anthropic",
    "optuna": "node",
    "git": "node",
    "mcp": "mcp",
    "mcp_types": "mcp",
    "pynvml": "node",
    "stamina": "node",
    "numpy": "trainer",
    "torch": "trainer",
}

app = typer.Typer(
    name="autoresearch-node",
    help="Give a machine to a swarm that improves one train.py, and look at what the swarm has found.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich takes as long as all the rest of --help
)
config_app = typer.Typer(help="Show the settings.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
ideas_app = typer.Typer(
    help="The queue of ideas: what waits, and your own.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(ideas_app, name="ideas")
service_app = typer.Typer(
    help="Keep a node running with systemd.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(service_app, name="service")

T = TypeVar("T")


def _option(setting: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=HELP[setting], show_default=False, **more)


Host = Annotated[str, typer.Argument(help="Coordinator: HOST, HOST:PORT or grpcs://HOST:PORT.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HardwareClassOption = Annotated[str, typer.Option("--class", help="Hardware class; unset for all.")]
Agent = Annotated[str | None, _option("agent", "--agent", metavar="search|anthropic|claude-code|...")]
AgentCommand = Annotated[str | None, _option("agent_command", "--agent-command")]
AgentTime = Annotated[float | None, _option("agent_time_limit_s", "--agent-time-limit", metavar="SECONDS")]
AgentTurns = Annotated[int | None, _option("agent_limit_turns", "--agent-limit-turns", metavar="N")]
AgentUsd = Annotated[float | None, _option("agent_limit_usd", "--agent-limit-usd", metavar="USD")]
AgentTokens = Annotated[int | None, _option("agent_limit_tokens", "--agent-limit-tokens", metavar="N")]
AgentEnv = Annotated[list[str] | None, _option("agent_variables", "--agent-env", metavar="NAME")]
AgentHistory = Annotated[int | None, _option("agent_history", "--agent-history", metavar="N")]
AgentSeed = Annotated[int | None, _option("agent_seed", "--agent-seed", metavar="N")]
AgentModel = Annotated[str | None, _option("agent_model", "--agent-model", metavar="NAME")]
AgentBaseUrl = Annotated[str | None, _option("agent_base_url", "--agent-base-url", metavar="URL")]
AnthropicKeyFile = Annotated[Path | None, _option("anthropic_key_file", "--anthropic-key-file")]
AgentThinking = Annotated[
    str | None,
    _option("agent_thinking", "--agent-thinking", metavar="default|adaptive|between_tools|disabled"),
]
AgentMaxTokens = Annotated[int | None, _option("agent_max_tokens", "--agent-max-tokens", metavar="N")]
AgentContext = Annotated[int | None, _option("agent_context_tokens", "--agent-context-tokens", metavar="N")]
AgentPriceIn = Annotated[float | None, _option("agent_price_in_usd", "--agent-price-in", metavar="USD")]
AgentPriceOut = Annotated[float | None, _option("agent_price_out_usd", "--agent-price-out", metavar="USD")]
UsdExperiment = Annotated[
    float | None, _option("budget_usd_experiment", "--budget-usd-experiment", metavar="USD")
]
UsdDay = Annotated[float | None, _option("budget_usd_day", "--budget-usd-day", metavar="USD")]
UsdTotal = Annotated[float | None, _option("budget_usd_total", "--budget-usd-total", metavar="USD")]
TokensExperiment = Annotated[
    int | None, _option("budget_tokens_experiment", "--budget-tokens-experiment", metavar="N")
]
TokensDay = Annotated[int | None, _option("budget_tokens_day", "--budget-tokens-day", metavar="N")]
TokensTotal = Annotated[int | None, _option("budget_tokens_total", "--budget-tokens-total", metavar="N")]
Program = Annotated[Path | None, _option("program", "--program", metavar="FILE")]
ProposeOnly = Annotated[bool, _option("propose_only", "--propose-only")]
ForClass = Annotated[str | None, _option("propose_for", "--for-class", metavar="CLASS")]
IdeasAhead = Annotated[int | None, _option("ideas_ahead", "--ideas-ahead", metavar="N")]
Name = Annotated[str | None, _option("name", "--name")]
Challenge = Annotated[str | None, _option("challenge", "--challenge")]
TokenFile = Annotated[Path | None, _option("token_file", "--token-file")]
StateDir = Annotated[Path | None, _option("state_dir", "--state-dir")]
MaxExperiments = Annotated[int | None, _option("max_experiments", "--max-experiments", metavar="N")]
MaxHours = Annotated[float | None, _option("max_hours", "--max-hours", metavar="HOURS")]
Device = Annotated[str | None, _option("device", "--device", metavar="auto|cuda|rocm|mps|cpu")]
Gpus = Annotated[str | None, _option("gpus", "--gpus", metavar="all|0,1")]
Workers = Annotated[int | None, _option("workers", "--workers", metavar="N")]
QuietHours = Annotated[str | None, _option("quiet_hours", "--quiet-hours", metavar="HH:MM-HH:MM")]
GpuHours = Annotated[float | None, _option("max_gpu_hours_day", "--max-gpu-hours-day", metavar="HOURS")]
MaxTemperature = Annotated[
    float | None, _option("max_temperature_c", "--max-temperature-c", metavar="DEGREES")
]
PauseWhenBusy = Annotated[bool | None, _option("pause_when_busy", "--pause-when-busy/--no-pause-when-busy")]
PauseOnBattery = Annotated[
    bool | None, _option("pause_on_battery", "--pause-on-battery/--no-pause-on-battery")
]
Sandbox = Annotated[str | None, _option("sandbox", "--sandbox", metavar="auto|none")]
Yes = Annotated[bool, _option("yes", "--yes", "-y")]
Insecure = Annotated[bool, _option("insecure", "--insecure")]
Ca = Annotated[Path | None, _option("ca_file", "--ca")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would run, and change nothing (exit code 6: it would not)."),
]
JsonLogs = Annotated[bool, typer.Option("--json-logs", help="Log lines for machines.")]


def main() -> None:
    """Entry point of the console script."""
    app()


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback protocol
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
def join(
    host: Host,
    *,
    agent: Agent = None,
    agent_command: AgentCommand = None,
    agent_time_limit: AgentTime = None,
    agent_limit_turns: AgentTurns = None,
    agent_limit_usd: AgentUsd = None,
    agent_limit_tokens: AgentTokens = None,
    agent_env: AgentEnv = None,
    agent_history: AgentHistory = None,
    agent_seed: AgentSeed = None,
    agent_model: AgentModel = None,
    agent_base_url: AgentBaseUrl = None,
    anthropic_key_file: AnthropicKeyFile = None,
    agent_thinking: AgentThinking = None,
    agent_max_tokens: AgentMaxTokens = None,
    agent_context_tokens: AgentContext = None,
    agent_price_in: AgentPriceIn = None,
    agent_price_out: AgentPriceOut = None,
    budget_usd_experiment: UsdExperiment = None,
    budget_usd_day: UsdDay = None,
    budget_usd_total: UsdTotal = None,
    budget_tokens_experiment: TokensExperiment = None,
    budget_tokens_day: TokensDay = None,
    budget_tokens_total: TokensTotal = None,
    program: Program = None,
    propose_only: ProposeOnly = False,
    for_class: ForClass = None,
    ideas_ahead: IdeasAhead = None,
    token_file: TokenFile = None,
    name: Name = None,
    challenge: Challenge = None,
    state_dir: StateDir = None,
    max_experiments: MaxExperiments = None,
    max_hours: MaxHours = None,
    device: Device = None,
    gpus: Gpus = None,
    workers: Workers = None,
    quiet_hours: QuietHours = None,
    max_gpu_hours_day: GpuHours = None,
    max_temperature_c: MaxTemperature = None,
    pause_when_busy: PauseWhenBusy = None,
    pause_on_battery: PauseOnBattery = None,
    sandbox: Sandbox = None,
    yes: Yes = False,
    insecure: Insecure = False,
    ca: Ca = None,
    json_logs: JsonLogs = False,
    dry_run: DryRun = False,
) -> None:
    """Join a swarm: train, claim, publish, until you stop it (Ctrl-C once: finish; twice: drop)."""
    with _one_sentence():
        loaded = _load(
            agent=agent,
            agent_command=agent_command,
            agent_time_limit_s=agent_time_limit,
            agent_limit_turns=agent_limit_turns,
            agent_limit_usd=agent_limit_usd,
            agent_limit_tokens=agent_limit_tokens,
            agent_variables=agent_env or None,
            agent_history=agent_history,
            agent_seed=agent_seed,
            agent_model=agent_model,
            agent_base_url=agent_base_url,
            anthropic_key_file=anthropic_key_file,
            agent_thinking=agent_thinking,
            agent_max_tokens=agent_max_tokens,
            agent_context_tokens=agent_context_tokens,
            agent_price_in_usd=agent_price_in,
            agent_price_out_usd=agent_price_out,
            budget_usd_experiment=budget_usd_experiment,
            budget_usd_day=budget_usd_day,
            budget_usd_total=budget_usd_total,
            budget_tokens_experiment=budget_tokens_experiment,
            budget_tokens_day=budget_tokens_day,
            budget_tokens_total=budget_tokens_total,
            program=program,
            propose_only=propose_only or None,
            propose_for=for_class,
            ideas_ahead=ideas_ahead,
            token_file=token_file,
            name=name,
            challenge=challenge,
            state_dir=state_dir,
            max_experiments=max_experiments,
            max_hours=max_hours,
            device=device,
            gpus=gpus,
            workers=workers,
            quiet_hours=quiet_hours,
            max_gpu_hours_day=max_gpu_hours_day,
            max_temperature_c=max_temperature_c,
            pause_when_busy=pause_when_busy,
            pause_on_battery=pause_on_battery,
            sandbox=sandbox,
            yes=yes or None,
            insecure=insecure or None,
            ca_file=ca,
            log_format="json" if json_logs else None,
        )
        if dry_run:
            _plan(loaded, host)
        _set_up_logging(loaded)
        if loaded.config.propose_only:
            from node.propose_only import run_proposer  # noqa: PLC0415 - gRPC and more

            raise typer.Exit(run_proposer(loaded.config, host))
        from node.join import run_joined  # noqa: PLC0415 - gRPC and more

        raise typer.Exit(run_joined(loaded.config, host))


@app.command()
def solo(
    *,
    agent: Agent = None,
    agent_command: AgentCommand = None,
    agent_time_limit: AgentTime = None,
    agent_limit_turns: AgentTurns = None,
    agent_limit_usd: AgentUsd = None,
    agent_limit_tokens: AgentTokens = None,
    agent_env: AgentEnv = None,
    agent_history: AgentHistory = None,
    agent_seed: AgentSeed = None,
    agent_model: AgentModel = None,
    agent_base_url: AgentBaseUrl = None,
    anthropic_key_file: AnthropicKeyFile = None,
    agent_thinking: AgentThinking = None,
    agent_max_tokens: AgentMaxTokens = None,
    agent_context_tokens: AgentContext = None,
    agent_price_in: AgentPriceIn = None,
    agent_price_out: AgentPriceOut = None,
    budget_usd_experiment: UsdExperiment = None,
    budget_usd_day: UsdDay = None,
    budget_usd_total: UsdTotal = None,
    budget_tokens_experiment: TokensExperiment = None,
    budget_tokens_day: TokensDay = None,
    budget_tokens_total: TokensTotal = None,
    program: Program = None,
    name: Name = None,
    challenge: Challenge = None,
    state_dir: StateDir = None,
    max_experiments: MaxExperiments = None,
    max_hours: MaxHours = None,
    device: Device = None,
    gpus: Gpus = None,
    workers: Workers = None,
    quiet_hours: QuietHours = None,
    max_gpu_hours_day: GpuHours = None,
    max_temperature_c: MaxTemperature = None,
    pause_when_busy: PauseWhenBusy = None,
    pause_on_battery: PauseOnBattery = None,
    sandbox: Sandbox = None,
    json_logs: JsonLogs = False,
) -> None:
    """Do the same alone: no coordinator, no network; what is found can be brought to a swarm later."""
    with _one_sentence():
        loaded = _load(
            agent=agent,
            agent_command=agent_command,
            agent_time_limit_s=agent_time_limit,
            agent_limit_turns=agent_limit_turns,
            agent_limit_usd=agent_limit_usd,
            agent_limit_tokens=agent_limit_tokens,
            agent_variables=agent_env or None,
            agent_history=agent_history,
            agent_seed=agent_seed,
            agent_model=agent_model,
            agent_base_url=agent_base_url,
            anthropic_key_file=anthropic_key_file,
            agent_thinking=agent_thinking,
            agent_max_tokens=agent_max_tokens,
            agent_context_tokens=agent_context_tokens,
            agent_price_in_usd=agent_price_in,
            agent_price_out_usd=agent_price_out,
            budget_usd_experiment=budget_usd_experiment,
            budget_usd_day=budget_usd_day,
            budget_usd_total=budget_usd_total,
            budget_tokens_experiment=budget_tokens_experiment,
            budget_tokens_day=budget_tokens_day,
            budget_tokens_total=budget_tokens_total,
            program=program,
            name=name,
            challenge=challenge,
            state_dir=state_dir,
            max_experiments=max_experiments,
            max_hours=max_hours,
            device=device,
            gpus=gpus,
            workers=workers,
            quiet_hours=quiet_hours,
            max_gpu_hours_day=max_gpu_hours_day,
            max_temperature_c=max_temperature_c,
            pause_when_busy=pause_when_busy,
            pause_on_battery=pause_on_battery,
            sandbox=sandbox,
            log_format="json" if json_logs else None,
        )
        _set_up_logging(loaded)
        from node.join import run_solo  # noqa: PLC0415 - see join

        raise typer.Exit(run_solo(loaded.config))


@app.command()
def status(*, name: Name = None, state_dir: StateDir = None, as_json: Json = False) -> None:
    """What the node of this state dir is doing: state, current experiment, outbox, last results."""
    with _one_sentence():
        config = _load(name=name, state_dir=state_dir).config
        from node.local_status import show_status  # noqa: PLC0415 - rich, sqlite

        raise typer.Exit(show_status(config.node_dir, as_json=as_json))


@app.command()
def pause(
    *,
    now: Annotated[bool, typer.Option("--now", help="Give back the run in hand, too.")] = False,
    name: Name = None,
    state_dir: StateDir = None,
) -> None:
    """Finish the run in hand and take no more, until `resume`; the node stays in the swarm.

    A pause outlives the node: one that starts later is paused, too.
    """
    with _one_sentence():
        config = _load(name=name, state_dir=state_dir).config
        from node.owner import pause_node  # noqa: PLC0415 - asyncio, structlog

        typer.echo(_run(pause_node(config.node_dir, now=now)))


@app.command()
def resume(*, name: Name = None, state_dir: StateDir = None) -> None:
    """Take work again after `pause`."""
    with _one_sentence():
        config = _load(name=name, state_dir=state_dir).config
        from node.owner import resume_node  # noqa: PLC0415 - see pause

        typer.echo(_run(resume_node(config.node_dir)))


@app.command()
def drain(*, name: Name = None, state_dir: StateDir = None) -> None:
    """Finish the run in hand, publish, leave: what one Ctrl-C does."""
    with _one_sentence():
        config = _load(name=name, state_dir=state_dir).config
        from node.owner import drain_node  # noqa: PLC0415 - see pause

        typer.echo(_run(drain_node(config.node_dir)))


@app.command()
def mcp(
    *,
    name: Name = None,
    state_dir: StateDir = None,
    skill: Annotated[bool, typer.Option("--skill", help="Print the skill file for your agent.")] = False,
) -> None:
    """Serve the swarm's tools to a coding agent over stdio: it is the researcher of a node that runs."""
    with _one_sentence():
        from node.agent.mcp import skill_text  # noqa: PLC0415 - kept off the path of --help

        if skill:
            typer.echo(skill_text(), nl=False)
            return
        config = _load(name=name, state_dir=state_dir).config
        from node.agent.mcp.server import serve  # noqa: PLC0415 - the SDK

        serve(config.node_dir)


@app.command()
def doctor(
    host: Host = DEFAULT_HOST,
    *,
    agent: Agent = None,
    agent_command: AgentCommand = None,
    agent_time_limit: AgentTime = None,
    agent_limit_turns: AgentTurns = None,
    agent_limit_usd: AgentUsd = None,
    agent_limit_tokens: AgentTokens = None,
    agent_env: AgentEnv = None,
    agent_history: AgentHistory = None,
    agent_seed: AgentSeed = None,
    agent_model: AgentModel = None,
    agent_base_url: AgentBaseUrl = None,
    anthropic_key_file: AnthropicKeyFile = None,
    agent_thinking: AgentThinking = None,
    agent_max_tokens: AgentMaxTokens = None,
    agent_context_tokens: AgentContext = None,
    agent_price_in: AgentPriceIn = None,
    agent_price_out: AgentPriceOut = None,
    propose_only: ProposeOnly = False,
    name: Name = None,
    challenge: Challenge = None,
    token_file: TokenFile = None,
    state_dir: StateDir = None,
    device: Device = None,
    sandbox: Sandbox = None,
    insecure: Insecure = False,
    ca: Ca = None,
    as_json: Json = False,
) -> None:
    """Look for what could keep a node from working, with a fix for each problem (exit code 6)."""
    with _one_sentence():
        config = _load(
            agent=agent,
            agent_command=agent_command,
            agent_time_limit_s=agent_time_limit,
            agent_limit_turns=agent_limit_turns,
            agent_limit_usd=agent_limit_usd,
            agent_limit_tokens=agent_limit_tokens,
            agent_variables=agent_env or None,
            agent_history=agent_history,
            agent_seed=agent_seed,
            agent_model=agent_model,
            agent_base_url=agent_base_url,
            anthropic_key_file=anthropic_key_file,
            agent_thinking=agent_thinking,
            agent_max_tokens=agent_max_tokens,
            agent_context_tokens=agent_context_tokens,
            agent_price_in_usd=agent_price_in,
            agent_price_out_usd=agent_price_out,
            propose_only=propose_only or None,
            name=name,
            challenge=challenge,
            token_file=token_file,
            state_dir=state_dir,
            device=device,
            sandbox=sandbox,
            insecure=insecure or None,
            ca_file=ca,
        ).config
        import os  # noqa: PLC0415

        from node.doctor import examine  # noqa: PLC0415
        from node.local_status import show_findings  # noqa: PLC0415

        findings = _run(examine(config, host, dict(os.environ)))
        show_findings(findings, as_json=as_json)
        raise typer.Exit(ExitCode.OK if all(f.is_fine for f in findings) else ExitCode.DOCTOR)


@app.command()
def leaderboard(
    host: Host = DEFAULT_HOST,
    *,
    as_json: Json = False,
    hardware_class: HardwareClassOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=LIMIT_MAX, help="Experiments per class.")] = 20,
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """The best experiments of each hardware class, with how sure we are."""
    with _one_sentence():
        from node import reading  # noqa: PLC0415 - gRPC and rich

        place = _place(host, challenge, ca, insecure=insecure)
        _run(
            reading.reading(
                place,
                lambda reader: reading.leaderboard(
                    reader, hardware_class=hardware_class, limit=limit, as_json=as_json
                ),
            )
        )


@app.command()
def show(
    experiment: Annotated[str, typer.Argument(help="Id of an experiment, or its beginning or end.")],
    host: Host = DEFAULT_HOST,
    *,
    as_json: Json = False,
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """One experiment: reasoning, changes, every run."""
    with _one_sentence():
        from node import reading  # noqa: PLC0415 - see leaderboard

        _check_experiment(experiment)
        place = _place(host, challenge, ca, insecure=insecure)
        _run(reading.reading(place, lambda reader: reading.show(reader, experiment, as_json=as_json)))


@app.command()
def diff(
    experiment: Annotated[str, typer.Argument(help="Id of an experiment, or its beginning or end.")],
    host: Host = DEFAULT_HOST,
    *,
    against: Annotated[str, typer.Option("--against", help="parent, best, or another id.")] = "parent",
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """What an experiment changes in train.py."""
    with _one_sentence():
        from node import reading  # noqa: PLC0415 - see leaderboard

        _check_experiment(experiment)
        if against not in AGAINST:
            _check_experiment(against)
        place = _place(host, challenge, ca, insecure=insecure)
        _run(reading.reading(place, lambda reader: reading.diff(reader, experiment, against=against)))


@app.command()
def best(
    host: Host = DEFAULT_HOST,
    *,
    save: Annotated[Path | None, typer.Option("--save", help="Write its train.py to this file.")] = None,
    as_json: Json = False,
    hardware_class: HardwareClassOption = "",
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """What a hardware class builds on, with its level of evidence."""
    with _one_sentence():
        from node import reading  # noqa: PLC0415 - see leaderboard

        place = _place(host, challenge, ca, insecure=insecure)
        _run(
            reading.reading(
                place,
                lambda reader: reading.best(
                    reader, hardware_class=hardware_class, save=save, as_json=as_json
                ),
            )
        )


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for, in your own words.")],
    host: Host = DEFAULT_HOST,
    *,
    hardware_class: HardwareClassOption = "",
    state: Annotated[str, typer.Option("--state", help="Such as completed or refuted; unset for all.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=SEARCH_MAX, help="Experiments shown.")] = 20,
    as_json: Json = False,
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """What was tried that is like this: the experiments nearest in meaning, with how they went."""
    with _one_sentence():
        from node import reading, searching  # noqa: PLC0415 - see leaderboard

        wanted = _state(state)
        place = _place(host, challenge, ca, insecure=insecure)
        _run(
            reading.reading(
                place,
                lambda reader: searching.search(
                    reader, text, hardware_class=hardware_class, state=wanted, limit=limit, as_json=as_json
                ),
            )
        )


@app.command()
def insights(
    text: Annotated[str, typer.Argument(help='What to look for, in your own words; "" for the newest.')] = "",
    host: Host = DEFAULT_HOST,
    *,
    hardware_class: HardwareClassOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=SEARCH_MAX, help="Insights shown.")] = 20,
    as_json: Json = False,
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """What agents have learned from what was run, newest or nearest first."""
    with _one_sentence():
        from node import insights as learned  # noqa: PLC0415 - see leaderboard
        from node import reading  # noqa: PLC0415

        place = _place(host, challenge, ca, insecure=insecure)
        _run(
            reading.reading(
                place,
                lambda reader: learned.insights(
                    reader, text, hardware_class=hardware_class, limit=limit, as_json=as_json
                ),
            )
        )


@app.command()
def programs(
    host: Host = DEFAULT_HOST,
    *,
    hardware_class: HardwareClassOption = "",
    as_json: Json = False,
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """What came of each program.md that agents went by: the swarm's, version by version, and volunteers'."""
    with _one_sentence():
        from node import programs as tried  # noqa: PLC0415 - see leaderboard
        from node import reading  # noqa: PLC0415

        place = _place(host, challenge, ca, insecure=insecure)
        _run(
            reading.reading(
                place, lambda reader: tried.programs(reader, hardware_class=hardware_class, as_json=as_json)
            )
        )


@ideas_app.command("list")
def ideas_list(
    host: Host = DEFAULT_HOST,
    *,
    as_json: Json = False,
    challenge: Challenge = None,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """What waits for a node, next first."""
    with _one_sentence():
        from node import ideas, reading  # noqa: PLC0415 - see leaderboard

        place = _place(host, challenge, ca, insecure=insecure)
        _run(reading.reading(place, lambda reader: ideas.list_ideas(reader, as_json=as_json)))


@ideas_app.command("propose")
def ideas_propose(
    host: Host = DEFAULT_HOST,
    *,
    title: Annotated[str, typer.Option("--title", help="The idea in one line.")],
    rationale: Annotated[str, typer.Option("--rationale", help="Why it should help.")] = "",
    change: Annotated[
        list[str] | None, typer.Option("--change", metavar="NAME=VALUE", help="A constant of train.py.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--source", help="A train.py that carries it out.")] = None,
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="EXPERIMENT", help="The whole id of what --source is an edit of."),
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=0, max=9, help="The higher the sooner; above 4 with a token.")
    ] = 0,
    as_json: Json = False,
    name: Name = None,
    challenge: Challenge = None,
    token_file: TokenFile = None,
    state_dir: StateDir = None,
    yes: Yes = False,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """Put an idea of your own into the queue: any node may run it, and you get the credit for it."""
    with _one_sentence():
        from node import ideas  # noqa: PLC0415 - see leaderboard

        new = ideas.NewIdea(
            title=title,
            rationale=rationale,
            changes=change or (),
            source_file=source,
            parent=parent,
            priority=priority,
        )
        config = _signing(name, challenge, token_file, state_dir, ca, yes=yes, insecure=insecure)
        ideas.propose(config, host, new, as_json=as_json)


@ideas_app.command("withdraw")
def ideas_withdraw(
    idea: Annotated[str, typer.Argument(help="The id that `ideas list` shows.")],
    host: Host = DEFAULT_HOST,
    *,
    as_json: Json = False,
    name: Name = None,
    challenge: Challenge = None,
    token_file: TokenFile = None,
    state_dir: StateDir = None,
    yes: Yes = False,
    insecure: Insecure = False,
    ca: Ca = None,
) -> None:
    """Take an idea of your own back, as long as it waits."""
    with _one_sentence():
        from node import ideas  # noqa: PLC0415 - see leaderboard

        config = _signing(name, challenge, token_file, state_dir, ca, yes=yes, insecure=insecure)
        ideas.withdraw(config, host, idea, as_json=as_json)


@service_app.command("install", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def service_install(context: typer.Context, host: Host) -> None:
    """Write a unit of your own that runs `join HOST` with the options that follow.

    Nobody is there to agree to the terms: join once by hand before, or add --yes.
    """
    with _one_sentence():
        arguments = _join_arguments(host, context.args)
        program = Path(sys.argv[0]).resolve()
        typer.echo(_service().install(str(program), arguments), nl=False)


@service_app.command("uninstall")
def service_uninstall() -> None:
    """Stop the service and remove its unit; the node's state stays."""
    with _one_sentence():
        typer.echo(_service().uninstall(), nl=False)


@service_app.command("status")
def service_status() -> None:
    """What is installed, and what systemd says of it."""
    with _one_sentence():
        typer.echo(_service().status(), nl=False)


@config_app.command("show")
def config_show(*, as_json: Json = False) -> None:
    """Every setting with its value, where it comes from, and how to set it."""
    with _one_sentence():
        loaded = _load()
        rows = [
            {
                "name": setting.name,
                "value": str(getattr(loaded.config, setting.name)),
                "source": loaded.sources[setting.name],
                "flag": setting.flag,
                "environment": setting.environment,
                "help": setting.help,
            }
            for setting in SETTINGS
        ]
        from node import rendering  # noqa: PLC0415 - rich

        if as_json:
            typer.echo(rendering.to_json(rows))
            return
        columns = [(name, "left") for name in ("name", "value", "source", "environment", "help")]
        cells = [[row[name] for name, _ in columns] for row in rows]
        rendering.console().print(rendering.plain_table("", columns, cells))


def _load(**flags: Any) -> Loaded:
    """The settings for a command that only looks: it logs what is wrong, and on stderr."""
    loaded = load_config(flags)
    _set_up_logging(loaded, level="warning")
    return loaded


def _plan(loaded: Loaded, host: str) -> None:
    """Shows what ``join`` would do, and leaves."""
    import os  # noqa: PLC0415

    from node.local_status import show_findings  # noqa: PLC0415 - see join
    from node.plan import plan_join  # noqa: PLC0415

    _set_up_logging(loaded, level="warning")
    findings = _run(plan_join(loaded.config, host, os.environ))
    show_findings(findings, as_json=loaded.config.log_format == "json")
    raise typer.Exit(ExitCode.OK if all(f.is_fine for f in findings) else ExitCode.DOCTOR)


def _service() -> Any:
    import os  # noqa: PLC0415

    from node.service import Service  # noqa: PLC0415 - kept off the path of --help

    return Service(os.environ)


def _join_arguments(host: str, options: list[str]) -> list[str]:
    """The arguments for ``join``, checked as it would, with whole paths: a service starts elsewhere."""
    from typer.main import get_command  # noqa: PLC0415 - kept off the path of --help

    command = get_command(app).commands["join"]  # type: ignore[attr-defined]
    context = command.make_context("join", [host, *options])
    paths = {
        str(value): str(value.expanduser().absolute())
        for value in context.params.values()
        if isinstance(value, Path)
    }
    return [host, *(_whole(word, paths) for word in options)]


def _whole(word: str, paths: dict[str, str]) -> str:
    flag, equals, value = word.partition("=")
    if word.startswith("--") and equals:
        return f"{flag}={paths.get(value, value)}"
    return paths.get(word, word)


def _check_experiment(text: str) -> None:
    """A typing error is told here; whether there is such an experiment, by the coordinator."""
    from node.failures import Failed  # noqa: PLC0415 - kept off the path of --help

    if not EXPERIMENT_FORM.fullmatch(text):
        raise Failed(
            f"{text!r} is no id of an experiment; give the whole id, or 6 characters or more of its "
            "beginning or end, as `autoresearch-node leaderboard` lists them",
            ExitCode.USAGE,
        )


def _state(text: str) -> Any:
    from autoresearch.model import ExperimentState  # noqa: PLC0415 - kept off the path of --help

    from node.failures import Failed  # noqa: PLC0415

    if not text:
        return None
    known = [state.value for state in ExperimentState]
    if text not in known:
        raise Failed(f"{text!r} is no state; choose one of {', '.join(known)}", ExitCode.USAGE)
    return ExperimentState(text)


def _place(host: str, challenge: str | None, ca: Path | None, *, insecure: bool) -> Any:
    from node.reading import Place  # noqa: PLC0415 - see leaderboard

    config = _load(challenge=challenge, ca_file=ca, insecure=insecure or None).config
    return Place(host=host, challenge=config.challenge, ca_file=config.ca_file, insecure=config.insecure)


def _signing(
    name: str | None,
    challenge: str | None,
    token_file: Path | None,
    state_dir: Path | None,
    ca: Path | None,
    *,
    yes: bool,
    insecure: bool,
) -> Config:
    """The settings for a command that calls with the key of the node of this state dir."""
    return _load(
        name=name,
        challenge=challenge,
        token_file=token_file,
        state_dir=state_dir,
        ca_file=ca,
        yes=yes or None,
        insecure=insecure or None,
    ).config


def _set_up_logging(loaded: Loaded, *, level: str | None = None) -> None:
    from node.logs import set_up_logging  # noqa: PLC0415 - structlog

    set_up_logging(loaded.config.log_format, level or loaded.config.log_level)


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncio  # noqa: PLC0415 - kept off the path of --help

    return asyncio.run(work)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turns what went wrong into one sentence on stderr and an exit code; our bugs keep their traceback."""
    try:
        yield
    except ConfigError as error:
        _leave(str(error), ExitCode.USAGE)
    except ModuleNotFoundError as error:
        extra = EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _leave(f"{error.name} is missing; run: pip install 'autoresearch-swarm[{extra}]'", ExitCode.FAILURE)
    except KeyboardInterrupt:
        _leave("interrupted", ExitCode.INTERRUPTED)
    except Exception as error:
        from autoresearch.errors import SwarmError  # noqa: PLC0415 - only where something failed

        from node.failures import Failed  # noqa: PLC0415

        if isinstance(error, SwarmError):
            _leave(error.message, exit_code_of(error))
        if isinstance(error, Failed):
            _leave(str(error), error.exit_code)
        raise


def _leave(message: str, code: ExitCode) -> None:
    """The message may repeat what a coordinator said: it is one line, and moves no cursor."""
    shown = "".join(char if char.isprintable() else " " for char in message)
    sys.stderr.write(f"error: {shown}\n")
    raise typer.Exit(code)
