"""What ``join`` would do here, said without doing any of it: no key, no enrolment, nothing on disk."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoresearch.challenge import Challenge, ChallengeError, parse_challenge
from autoresearch.model import ServerInfo

from node.agent.coding.assembly import attempt_ceiling_usd
from node.board import StatusUnreadable, read_status
from node.config import Config
from node.doctor import Finding, agent_findings, check_coordinator, check_memory, check_sandbox, check_token
from node.failures import Failed
from node.join import take_seats
from node.loop import FREE_DISK_MIN_BYTES
from node.manners import QuietHours
from node.materialise import TRAINER_ARGV, find_hosted
from node.pausing import is_noted
from node.program import read_program
from node.rendering import clean, clean_lines, counted
from node.terms import Terms, has_agreed

DAY_S = 86_400.0
MB = 1 << 20


async def plan_join(
    config: Config, host: str, environ: Mapping[str, str], *, trainer_argv: tuple[str, ...] = TRAINER_ARGV
) -> list[Finding]:
    """What would run, line by line; a ``fix`` says why it would not."""
    info, reached = await check_coordinator(config, host)
    findings = [reached]
    challenge = None
    if info is not None:
        challenge, hosted = _challenge(config, host, info)
        findings += hosted
    if config.propose_only:
        findings.append(Finding(name="hardware", seen="none needed: ideas only, which others train"))
    else:
        findings += _hardware(config, challenge) if challenge is not None else []
        findings.append(check_sandbox(config.sandbox, environ, trainer_argv))
    findings += [
        *await agent_findings(config, environ),
        _cost(config),
        *check_token(config.token_file),
        *_program(config),
        _manners(config),
    ]
    return findings


def _challenge(config: Config, host: str, info: ServerInfo) -> tuple[Challenge | None, list[Finding]]:
    text = find_hosted(info, config.challenge)
    if text is None:
        known = ", ".join(challenge.name for challenge in info.challenges) or "none"
        seen = f"{config.challenge!r} is not hosted"
        return None, [Finding(name="challenge", seen=seen, fix=f"choose one that {host} hosts: {known}")]
    try:
        challenge = parse_challenge(text.manifest_toml, text.baseline_source, text.program_md)
    except ChallengeError as error:
        fix = "update this node or tell the operator"
        return None, [Finding(name="challenge", seen=str(error), fix=fix)]
    fix = "" if challenge.frozen else "ask the operator to freeze it"
    seen = f"{challenge.name} ({challenge.challenge_id}): {clean(challenge.title)}"
    return challenge, [
        Finding(name="challenge", seen=seen, fix=fix),
        _terms(config, host, challenge, info),
        *(() if config.propose_only else (_download(config, challenge),)),
    ]


def _terms(config: Config, host: str, challenge: Challenge, info: ServerInfo) -> Finding:
    terms = Terms.of(host, challenge, info.terms, is_held=config.sandbox != "none")
    licence = f"contributions under {clean(terms.licence)}"
    operator = f"; the operator says: {clean_lines(terms.operator_text)}" if terms.operator_text else ""
    agreed = "agreed by --yes" if config.yes else "agreed before"
    if not config.yes and not has_agreed(config.node_dir, terms):
        agreed = "you will be asked to agree"
    return Finding(name="terms", seen=f"{licence}; {agreed}{operator}")


def _download(config: Config, challenge: Challenge) -> Finding:
    """As far as the manifest tells: what is made here has no source."""
    download = sum(_source_bytes(challenge.corpus)) + sum(_source_bytes(challenge.validation))
    scratch = challenge.limits.scratch_mb * MB * max(1, config.workers)
    needed = FREE_DISK_MIN_BYTES + download + scratch
    existing = next(path for path in (config.node_dir, *config.node_dir.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    what = f"{download / MB:,.0f} MB to download at first" if download else "nothing to download"
    seen = f"{what}; {needed / MB:,.0f} MB of disk, {free / MB:,.0f} MB are free at {existing}"
    return Finding(name="disk", seen=seen, fix="" if free >= needed else "make room, or give --state-dir")


def _source_bytes(table: Mapping[str, object]) -> Iterator[int]:
    for name, value in table.items():
        if name == "source_bytes" and isinstance(value, int):
            yield value
        elif isinstance(value, Mapping):
            yield from _source_bytes(value)
        elif isinstance(value, (list, tuple)):
            for entry in value:
                if isinstance(entry, Mapping):
                    yield from _source_bytes(entry)


def _hardware(config: Config, challenge: Challenge) -> list[Finding]:
    try:
        seats, hardware = take_seats(config, challenge)
    except Failed as error:
        fix = "choose another challenge or machine, --device, --gpus or --workers"
        return [Finding(name="hardware", seen=str(error), fix=fix)]
    workers = max(1, len(seats))
    where = f", {counted(workers, 'worker')}: {', '.join(seat.name for seat in seats)}" if seats else ""
    tier = f"{hardware.memory_mb / 1024:.0f} GB"
    if hardware.device_kind != "cpu":
        tier += f", tier {hardware.tier.value}; the baseline fits itself to it"
    return [
        Finding(name="hardware", seen=f"{hardware.hardware_class} ({tier}){where}"),
        check_memory(challenge, workers),
        _pace(config, challenge, workers),
    ]


def _pace(config: Config, challenge: Challenge, workers: int) -> Finding:
    usual = _usual_s(config.node_dir)
    seconds = usual or challenge.budget.seconds
    if seconds is None:
        return Finding(name="pace", seen=f"a budget of {challenge.budget.amount} steps a run")
    hours = 24.0 - _quiet_h(config)
    machine_h = hours * workers
    if config.max_gpu_hours_day is not None:
        machine_h = min(machine_h, config.max_gpu_hours_day)
    source = "as the last run here" if usual else "its budget alone; start and scoring come on top"
    runs = machine_h * 3600.0 / seconds
    return Finding(
        name="pace",
        seen=f"{seconds:.0f} s a run ({source}), up to {runs:,.0f} a day in {machine_h:g} hours of training",
    )


def _cost(config: Config) -> Finding:
    """What the agent may cost: its caps, since what an idea will cost is known when it is had."""
    match config.agent:
        case "search" | "none":
            return Finding(name="cost", seen="nothing but power")
        case "command" | "mcp":
            limit = f"{config.agent_time_limit_s:g} s an attempt"
            return Finding(name="cost", seen=f"what your agent charges, which no node can see; {limit}")
        case "anthropic":
            return Finding(name="cost", seen=_caps(config))
        case "claude-code" | "codex" | "gemini" | "opencode":
            dollars = attempt_ceiling_usd(config)
            each = f"${dollars:g}" if dollars is not None else "NO LIMIT"
            return Finding(name="cost", seen=f"{each} an attempt; {_caps(config)}")


def _caps(config: Config) -> str:
    parts = []
    for span, usd, tokens in (
        ("an experiment", config.budget_usd_experiment, config.budget_tokens_experiment),
        ("a day", config.budget_usd_day, config.budget_tokens_day),
        ("in total", config.budget_usd_total, config.budget_tokens_total),
    ):
        caps = [f"${usd:g}"] if usd is not None and math.isfinite(usd) else []
        caps += [f"{tokens:,} tokens"] if tokens is not None else []
        parts += [f"{' and '.join(caps)} {span}"] if caps else []
    return f"at most {'; '.join(parts)}" if parts else "NO CAP is set"


def _program(config: Config) -> list[Finding]:
    """Of one's own, where there is one."""
    try:
        text = read_program(config.program)
    except Failed as error:
        return [Finding(name="program", seen=str(error), fix="mend the file, or leave out --program")]
    if text is None:
        return []
    return [Finding(name="program", seen=f"{config.program}, in place of the swarm's")]


def _usual_s(node_dir: Path) -> float | None:
    try:
        picture = read_status(node_dir)
    except StatusUnreadable:
        return None
    usual = (picture or {}).get("usual_s")
    return usual if isinstance(usual, float) and usual > 0 else None


def _quiet_h(config: Config) -> float:
    if not config.quiet_hours:
        return 0.0
    hours = QuietHours.parse(config.quiet_hours)
    minutes = [at.hour * 60 + at.minute for at in (hours.start, hours.end)]
    return ((minutes[1] - minutes[0]) % (24 * 60)) / 60.0


def _manners(config: Config) -> Finding:
    wishes = [
        f"quiet {config.quiet_hours}" if config.quiet_hours else "",
        f"up to {config.max_gpu_hours_day:g} GPU hours a day" if config.max_gpu_hours_day else "",
        f"up to {config.max_temperature_c:g} degrees C" if config.max_temperature_c else "",
        "not while others use the machine" if config.pause_when_busy else "",
        "not on battery" if config.pause_on_battery else "",
        "PAUSED by you until `resume`" if is_noted(config.node_dir) else "",
    ]
    return Finding(name="pauses", seen="; ".join(wish for wish in wishes if wish) or "never by itself")
