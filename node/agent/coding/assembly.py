"""Puts a coding agent together from the settings, and refuses what could not work before work is taken."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

import structlog

from node.agent.anthropic.assembly import check_base_url
from node.agent.anthropic.key import NO_KEY, ApiKey, read_key
from node.agent.coding import claude_code, codex, gemini, opencode
from node.agent.coding.agent import CodingAgent
from node.agent.coding.attempt import PASSED_VARIABLES
from node.agent.coding.tool import AttemptLimits, Setup, Tool, Version
from node.agent.prices import FREE, Price, guessed, known_price, own_price
from node.config import Config
from node.exit_codes import ExitCode
from node.failures import Failed

TOOLS: Mapping[str, Tool] = {
    tool.name: tool for tool in (claude_code.TOOL, codex.TOOL, gemini.TOOL, opencode.TOOL)
}
VERSION_LIMIT_S = 60.0
_VERSION = re.compile(r"\d+(?:\.\d+)+")

_log = structlog.get_logger(__name__)


def coding_agent(config: Config, environ: Mapping[str, str]) -> CodingAgent:
    """The agent of these settings. Raises Failed."""
    tool = TOOLS[config.agent]
    setup = tool_setup(config, environ)
    check_version(tool, setup, environ)
    if setup.price is FREE or (setup.price is None and setup.base_url):
        _log.warning(
            "no price is known for this model: its calls may count as $0; cap tokens, or say the price",
            model=setup.model,
        )
    return CodingAgent(tool=tool, setup=setup, environ=environ)


def tool_setup(config: Config, environ: Mapping[str, str]) -> Setup:
    """Program, model, key, price and limits. Raises Failed."""
    tool = TOOLS[config.agent]
    program = shutil.which(tool.program, path=environ.get("PATH"))
    if program is None:
        raise Failed(f"agent {tool.name!r} needs {tool.program} on PATH; run: {tool.install}", ExitCode.USAGE)
    if config.agent_base_url:
        check_base_url(config.agent_base_url, insecure=config.insecure)
    model = config.agent_model or tool.model
    price, is_own = _price(config, tool, model)
    return Setup(
        program=program,
        model=model,
        key=_key(config, tool, model, environ),
        limits=attempt_limits(config),
        base_url=config.agent_base_url,
        price=price,
        is_own_price=is_own,
        variables=config.agent_variables,
    )


def attempt_limits(config: Config) -> AttemptLimits:
    """Those of the settings; before each attempt what the budgets have left is told, and goes before them."""
    usd = config.agent_limit_usd
    return AttemptLimits(
        time_s=config.agent_time_limit_s,
        turns=config.agent_limit_turns,
        usd=usd if usd is not None and math.isfinite(usd) else None,
        tokens=config.agent_limit_tokens,
    )


def attempt_ceiling_usd(config: Config) -> float | None:
    """What no attempt can pass, by its own limit or by the caps on all of them; None for no limit."""
    dollars = (
        config.agent_limit_usd,
        config.budget_usd_experiment,
        config.budget_usd_day,
        config.budget_usd_total,
    )
    return min((usd for usd in dollars if usd is not None and math.isfinite(usd)), default=None)


def check_version(tool: Tool, setup: Setup, environ: Mapping[str, str]) -> str:
    """The version of the tool, asked of it. Raises Failed where it is too old, or does not start."""
    with tempfile.TemporaryDirectory(prefix="autoresearch-agent-", ignore_cleanup_errors=True) as home:
        env = {name: environ[name] for name in PASSED_VARIABLES if name in environ} | {"HOME": home}
        try:
            done = subprocess.run(
                [setup.program, "--version"],
                cwd=home,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=VERSION_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Failed(f"{setup.program} does not start ({error}); run: {tool.install}") from error
    found = _VERSION.search(done.stdout)
    if done.returncode != 0 or found is None:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1][:200]
        raise Failed(f"{setup.program} --version fails and says: {said}; run: {tool.install}", ExitCode.USAGE)
    version = found.group()
    if _numbers(version) < tool.oldest:
        needed = ".".join(map(str, tool.oldest))
        raise Failed(
            f"{tool.program} is {version}, and agent {tool.name!r} needs {needed} or newer; run: "
            f"{tool.install}@latest",
            ExitCode.USAGE,
        )
    return version


def _numbers(version: str) -> Version:
    return tuple(int(part) for part in version.split("."))


def _key(config: Config, tool: Tool, model: str, environ: Mapping[str, str]) -> ApiKey:
    """The one key that the tool gets; a server of one's own may go without. Raises Failed."""
    names = tool.key_variables(model)
    file = config.anthropic_key_file if "ANTHROPIC_API_KEY" in names else None
    for name in names:
        key = read_key(file, environ, variable=name)
        if key is not None:
            return key
    named = any(environ.get(name) for name in config.agent_variables)
    if config.agent_base_url or (not names and named):
        return ApiKey(NO_KEY)
    if names:
        wish = f"set {' or '.join(names)}"
    else:
        wish = f"name the variable that holds the key for {model!r} with --agent-env, and set it"
    raise Failed(f"agent {tool.name!r} needs a key: {wish}", ExitCode.USAGE)


def _price(config: Config, tool: Tool, model: str) -> tuple[Price | None, bool]:
    """The owner's, or that of the list. Raises Failed where nobody would tell what a call costs."""
    read, written = config.agent_price_in_usd, config.agent_price_out_usd
    if read is not None and written is not None:
        return own_price(read_usd=read, written_usd=written), True
    known = known_price(model.rpartition("/")[2])
    if known is not None:
        return (guessed(known) if config.agent_base_url else known), False
    if tool.tells_cost:
        return None, False
    if config.agent_base_url:
        return FREE, False
    raise Failed(
        f"no price is known for the model {model!r}, and {tool.program} tells none; say dollars per million "
        "tokens with --agent-price-in and --agent-price-out (0 where it costs nothing)",
        ExitCode.USAGE,
    )
