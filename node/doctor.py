"""Looks for everything that could keep a node from working, and says how to mend it."""

from __future__ import annotations

import asyncio
import importlib.util
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoresearch.challenge import Challenge, ChallengeError, parse_challenge
from autoresearch.errors import SwarmError
from autoresearch.model import PROTOCOL_MAX, PROTOCOL_MIN, ChallengeText, ServerInfo, utc_now
from autoresearch.signing import WINDOW_S

from node import places
from node.agent.anthropic.assembly import model_settings
from node.agent.anthropic.calling import Caller
from node.agent.anthropic.probe import probe_server
from node.agent.anthropic.tokens import TokenCounter
from node.agent.base import AgentError
from node.agent.coding.assembly import TOOLS, check_version, tool_setup
from node.agent.command import AgentCommand
from node.config import Config
from node.enrolment import read_token
from node.failures import Failed
from node.hardware import HardwareError, detect_hardware, installed_torch, machine_memory_mb, nvml
from node.isolation import ask_isolation
from node.loop import FREE_DISK_MIN_BYTES
from node.materialise import TRAINER_ARGV, PrepareError, find_hosted, materialise, prepare
from node.reading import Place, reading
from node.rendering import counted
from node.service import Service
from node.swarm.database import StateFileError, check_database

PYTHON_MIN = (3, 11)
GIT_MIN = (2, 20)
PROBE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``fix`` is set where it is wrong."""

    name: str
    seen: str
    fix: str = ""

    @property
    def is_fine(self) -> bool:
        """True if there is nothing to mend."""
        return not self.fix


async def examine(config: Config, host: str, environ: dict[str, str]) -> list[Finding]:
    """All findings, the local ones first; a later check that needs an earlier one is left out."""
    state_dir = _state_dir(config.node_dir)
    findings = [_python(), *_training(config, environ)]
    findings += [
        _disk(config.node_dir),
        state_dir,
        *_state_files(config.node_dir),
        *check_token(config.token_file),
        *_service(environ),
    ]
    findings += await agent_findings(config, environ)
    info, reached = await check_coordinator(config, host)
    findings.append(reached)
    if info is None:
        return findings
    findings += [_protocol(info), _clock(info, utc_now())]
    text = find_hosted(info, config.challenge)
    if text is None:
        known = ", ".join(challenge.name for challenge in info.challenges) or "none"
        fix = f"choose one that {host} hosts: {known}"
        return [*findings, Finding(name="challenge", seen=f"{config.challenge!r} is not hosted", fix=fix)]
    try:
        challenge = parse_challenge(text.manifest_toml, text.baseline_source, text.program_md)
    except ChallengeError as error:
        return [
            *findings,
            Finding(name="challenge", seen=str(error), fix="update this node or tell the operator"),
        ]
    if config.propose_only:
        return [*findings, Finding(name="challenge", seen=f"{challenge.name} is hosted")]
    findings += _device(challenge, config)
    if state_dir.is_fine:
        return [*findings, await _prepared(text, config.node_dir, environ)]
    fix = "mend the state dir first, then ask again"
    return [*findings, Finding(name="challenge", seen="not looked at: there is no state dir", fix=fix)]


def _training(config: Config, environ: dict[str, str]) -> list[Finding]:
    """What only nodes that train need: git keeps their notebook."""
    if config.propose_only:
        return [Finding(name="hardware", seen="none needed: ideas only, which others train")]
    return [_git(), _torch(), _trainer(), check_sandbox(config.sandbox, environ), _driver(config)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fix = "" if sys.version_info >= PYTHON_MIN else "install Python 3.11 or newer"
    return Finding(name="python", seen=version, fix=fix)


def _git() -> Finding:
    try:
        said = subprocess.run(
            ["git", "--version"], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return Finding(name="git", seen="not found", fix="install git (for example: apt install git)")
    words = said.split()
    numbers = words[2].split(".") if len(words) > 2 else []  # noqa: PLR2004 - "git version 2.39.5"
    version = tuple(int(part) for part in numbers[:2] if part.isdigit())
    fix = "" if version >= GIT_MIN else "update git to 2.20 or newer"
    return Finding(name="git", seen=said.strip().removeprefix("git version "), fix=fix)


def _torch() -> Finding:
    version = installed_torch()
    fix = "" if version else "pip install 'autoresearch-swarm[trainer]'"
    return Finding(name="torch", seen=version or "not installed", fix=fix)


def _trainer() -> Finding:
    """Starts it, since a torch that is installed may still be broken."""
    if importlib.util.find_spec("trainer") is None:
        return Finding(name="trainer", seen="not installed", fix="pip install 'autoresearch-swarm[trainer]'")
    command = [sys.executable, "-c", "import trainer.harness, torch"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(name="trainer", seen=f"does not start ({error})", fix="reinstall the [trainer] extra")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding(name="trainer", seen=last[:200], fix="pip install 'autoresearch-swarm[trainer]'")
    return Finding(name="trainer", seen="starts")


def _driver(config: Config) -> Finding:
    """Asked for where it is there, missed only where a GPU is wanted."""
    with nvml() as pynvml:
        if pynvml is not None:
            version = pynvml.nvmlSystemGetDriverVersion()
            text = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
            return Finding(name="gpu driver", seen=f"NVIDIA {text}")
    is_wanted = config.device == "cuda"
    fix = "install NVIDIA's driver and nvidia-ml-py, or choose another --device" if is_wanted else ""
    return Finding(name="gpu driver", seen="no NVIDIA driver answers", fix=fix)


async def agent_findings(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Who will have the ideas, and whether what it needs is here: a program, or a key and a server."""
    match config.agent:
        case "search" | "none":
            return [Finding(name="agent", seen=f"{config.agent}: needs nothing")]
        case "mcp":
            return [_researcher()]
        case "command":
            return [_command_agent(config, environ)]
        case "anthropic":
            return [await _model_agent(config, environ)]
        case "claude-code" | "codex" | "gemini" | "opencode":
            return [await asyncio.to_thread(_coding_agent, config, environ)]


async def _model_agent(config: Config, environ: Mapping[str, str]) -> Finding:
    try:
        settings = model_settings(config, environ)
    except Failed as error:
        return Finding(name="agent", seen="cannot work as it is set up", fix=str(error))
    problem = await probe_server(Caller(settings, counter=TokenCounter()))
    seen = f"{settings.public_name} at {settings.base_url}"
    if problem:
        fix = "check --agent-base-url, the key, and that the server runs"
        return Finding(name="agent", seen=f"{seen}: {problem}", fix=fix)
    return Finding(name="agent", seen=f"{seen} answers")


def _coding_agent(config: Config, environ: Mapping[str, str]) -> Finding:
    tool = TOOLS[config.agent]
    try:
        setup = tool_setup(config, environ)
        version = check_version(tool, setup, environ)
    except Failed as error:
        return Finding(name="agent", seen=f"{tool.name} cannot work as it is set up", fix=str(error))
    where = f" at {setup.base_url}" if setup.base_url else ""
    return Finding(name="agent", seen=f"{tool.name}: {tool.program} {version} with {setup.model}{where}")


def _command_agent(config: Config, environ: Mapping[str, str]) -> Finding:
    try:
        command = AgentCommand.parse(
            config.agent_command, time_limit_s=config.agent_time_limit_s, variables=()
        )
    except AgentError as error:
        return Finding(name="agent", seen=str(error), fix="mend --agent-command")
    program = command.template[0]
    if shutil.which(program, path=environ.get("PATH")) is None:
        fix = f"install {program}, or give its whole path in --agent-command"
        return Finding(name="agent", seen=f"command: {program} is not found", fix=fix)
    missing = [name for name in config.agent_variables if name not in environ]
    if missing:
        fix = f"set {', '.join(missing)}, or leave out its --agent-env"
        return Finding(name="agent", seen=f"command: {program} gets variables that are not set", fix=fix)
    return Finding(name="agent", seen=f"command: {program}")


def _researcher() -> Finding:
    """The node works without the SDK; its researcher does not."""
    if importlib.util.find_spec("mcp") is None:
        fix = "where your coding agent runs: pip install 'autoresearch-swarm[mcp]'"
        return Finding(name="agent", seen="mcp: the package of that name is not installed", fix=fix)
    return Finding(name="agent", seen="mcp: register `autoresearch-node mcp` with your coding agent")


def check_sandbox(
    policy: str, environ: Mapping[str, str], trainer_argv: tuple[str, ...] = TRAINER_ARGV
) -> Finding:
    """The layers that would hold strangers' code."""
    found = ask_isolation(trainer_argv, policy, environ)
    if found.problem:
        return Finding(
            name="sandbox", seen=found.problem, fix=f"{found.fix} (or --sandbox none, in full knowledge)"
        )
    wish = "none, by your wish; " if policy == "none" else ""
    notes = "".join(f" ({note})" for note in found.notes)
    return Finding(name="sandbox", seen=wish + ", ".join(found.layers) + notes)


def _disk(folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    needed_mb = FREE_DISK_MIN_BYTES >> 20
    fix = (
        ""
        if free >= FREE_DISK_MIN_BYTES
        else f"free {needed_mb} MB on the disk of {existing}, or give --state-dir"
    )
    return Finding(name="disk", seen=f"{free >> 20} MB free at {existing}", fix=fix)


def _state_dir(folder: Path) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        open_to = stat.S_IMODE(folder.stat().st_mode) & 0o022
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding(
            name="state dir",
            seen=f"{folder}: {error.strerror}",
            fix="mend its permissions, or give --state-dir",
        )
    if open_to:
        return Finding(
            name="state dir",
            seen=f"others may write in {folder}",
            fix=f"chmod go-w {shlex.quote(str(folder))}",
        )
    return Finding(name="state dir", seen=str(folder))


def _service(environ: Mapping[str, str]) -> list[Finding]:
    """Where a service is installed: does it outlive the login?"""
    user = Service(environ)
    if not user.is_installed:
        return []
    if user.lingers() is False:
        fix = "loginctl enable-linger: without it the service ends when you log out"
        return [Finding(name="service", seen=f"{user.unit} is installed and does not linger", fix=fix)]
    return [Finding(name="service", seen=f"{user.unit} is installed")]


def _state_files(folder: Path) -> list[Finding]:
    """What waits for a coordinator, and what was learned alone, as far as they are there."""
    findings = []
    files = {
        "outbox": [places.outbox_path(folder)],
        "purse": [places.purse_path(folder)],
        "solo": places.solo_paths(folder),
    }
    for name, paths in files.items():
        findings += [_state_file(name, path) for path in paths if path.exists()]
    return findings


def _state_file(name: str, path: Path) -> Finding:
    try:
        check_database(path)
    except StateFileError as error:
        return Finding(name=name, seen=error.seen, fix=error.fix)
    return Finding(name=name, seen=f"{path} is whole")


def check_token(path: Path | None) -> list[Finding]:
    """Whether the coordinator takes it is told when it is shown, at ``join``."""
    if path is None:
        return []
    try:
        read_token(path)
    except Failed as error:
        return [Finding(name="token", seen=str(error), fix="give the operator's token in --token-file")]
    return [Finding(name="token", seen=f"{path} has one")]


async def check_coordinator(config: Config, host: str) -> tuple[ServerInfo | None, Finding]:
    """Who answers there, if anybody."""
    place = Place(host=host, challenge=config.challenge, ca_file=config.ca_file, insecure=config.insecure)
    try:
        info = await reading(place, lambda reader: reader.server_info())
    except SwarmError as error:
        fix = "check the address and that the coordinator runs; alone, `autoresearch-node solo` works too"
        return None, Finding(name="coordinator", seen=error.message, fix=fix)
    return info, Finding(name="coordinator", seen=f"{host} answers, version {info.version}")


def _protocol(info: ServerInfo) -> Finding:
    theirs, ours = f"{info.protocol_min} to {info.protocol_max}", f"{PROTOCOL_MIN} to {PROTOCOL_MAX}"
    fits = info.protocol_min <= PROTOCOL_MAX and info.protocol_max >= PROTOCOL_MIN
    older = "this node" if info.protocol_min > PROTOCOL_MAX else "the coordinator"
    fix = "" if fits else f"update {older}: pip install -U autoresearch-swarm"
    return Finding(name="protocol", seen=f"coordinator {theirs}, node {ours}", fix=fix)


def _clock(info: ServerInfo, now: datetime) -> Finding:
    skew_s = (now - info.server_time).total_seconds()
    fix = "" if abs(skew_s) < WINDOW_S else "set this machine's clock (for example: timedatectl set-ntp true)"
    return Finding(name="clock", seen=f"{skew_s:+.1f} s against the coordinator", fix=fix)


def _device(challenge: Challenge, config: Config) -> list[Finding]:
    try:
        hardware = detect_hardware(challenge.device_kinds, config.device)
    except HardwareError as error:
        fix = "choose another challenge or machine, or --device"
        return [Finding(name="device", seen=str(error), fix=fix)]
    found = Finding(name="device", seen=f"{hardware.hardware_class} ({hardware.device_name})")
    return [found, check_memory(challenge, config.workers)]


def check_memory(challenge: Challenge, workers: int) -> Finding:
    """Whether every worker's training may take what the challenge allows it."""
    needed, there = challenge.limits.memory_mb * workers, machine_memory_mb()
    seen = f"up to {needed:,.0f} MB for {counted(workers, 'training')}, {there:,.0f} MB in the machine"
    fix = "" if needed <= there else "start fewer workers, or join another challenge"
    return Finding(name="memory", seen=seen, fix=fix)


async def _prepared(text: ChallengeText, node_dir: Path, environ: dict[str, str]) -> Finding:
    try:
        challenge = materialise(text, node_dir / "challenges")
        await prepare(node_dir / "challenges" / challenge.challenge_id, environ=environ)
    except PrepareError as error:
        return Finding(name="challenge", seen=str(error), fix="see the trainer's message above")
    except (SwarmError, OSError) as error:
        return Finding(name="challenge", seen=str(error), fix="tell the operator, or mend the state dir")
    return Finding(name="challenge", seen=f"{challenge.name} is prepared")
