"""Puts the agent together from the settings, and refuses what could not work or would not be safe."""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

import structlog

from node.agent.anthropic.agent import AnthropicAgent
from node.agent.anthropic.briefing import Briefing
from node.agent.anthropic.calling import Caller, ModelSettings
from node.agent.anthropic.key import KEY_VARIABLE, NO_KEY, ApiKey, read_key
from node.agent.anthropic.tokens import TokenCounter
from node.agent.model_names import public_name
from node.agent.prices import Price, listed_price, own_price
from node.config import DEFAULT_BASE_URL, DEFAULT_MODEL, Config
from node.exit_codes import ExitCode
from node.failures import Failed

INSTALL = "pip install 'autoresearch-swarm[anthropic]'"

_log = structlog.get_logger(__name__)


def anthropic_agent(config: Config, environ: Mapping[str, str]) -> AnthropicAgent:
    """The agent of these settings. Raises Failed."""
    settings = model_settings(config, environ)
    if not settings.price.is_known:
        _log.warning(
            "no price is known for this model: its calls count as $0; cap tokens, or say the price",
            model=settings.public_name,
        )
    counter = TokenCounter()
    return AnthropicAgent(
        caller=Caller(settings, counter=counter),
        briefing=Briefing(budget_tokens=config.agent_context_tokens, counter=counter),
        counter=counter,
        time_limit_s=config.agent_time_limit_s,
    )


def model_settings(config: Config, environ: Mapping[str, str]) -> ModelSettings:
    """Model, server, key and price. Raises Failed."""
    if importlib.util.find_spec("anthropic") is None:
        raise Failed(f"agent 'anthropic' needs its SDK; run: {INSTALL}")
    base_url, model = config.agent_base_url or DEFAULT_BASE_URL, config.agent_model or DEFAULT_MODEL
    check_base_url(base_url, insecure=config.insecure)
    return ModelSettings(
        model=model,
        base_url=base_url,
        key=needed_key(config, environ),
        price=_price(config),
        max_tokens=config.agent_max_tokens,
        thinking=config.agent_thinking,
        public_name=public_name(model),
    )


def needed_key(config: Config, environ: Mapping[str, str]) -> ApiKey:
    """The owner's key; a server of one's own may go without. Raises Failed."""
    key = read_key(config.anthropic_key_file, environ)
    if key is not None:
        return key
    if is_makers(config):
        raise Failed(
            f"agent 'anthropic' needs a key: set {KEY_VARIABLE}, or name a file that holds it with "
            "--anthropic-key-file (--agent-base-url leads to a server of your own)",
            ExitCode.USAGE,
        )
    return ApiKey(NO_KEY)


def check_base_url(url: str, *, insecure: bool) -> None:
    """Raises Failed where a key and all that is sent with it would go in the clear, or nowhere."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Failed(
            f"--agent-base-url {url!r} is no address; give one such as http://127.0.0.1:8000", ExitCode.USAGE
        )
    if parts.username or parts.password:
        raise Failed("--agent-base-url must not hold a password; use --anthropic-key-file", ExitCode.USAGE)
    if parts.scheme == "http" and not insecure and not _is_loopback(parts.hostname):
        raise Failed(
            f"--agent-base-url {url} would send your key and prompts in the clear; use https, or give "
            "--insecure if the network is yours",
            ExitCode.USAGE,
        )


def is_makers(config: Config) -> bool:
    """True where the makers of the models answer, whose prices are known."""
    url = config.agent_base_url or DEFAULT_BASE_URL
    return urlsplit(url).hostname == urlsplit(DEFAULT_BASE_URL).hostname


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _price(config: Config) -> Price:
    read, written = config.agent_price_in_usd, config.agent_price_out_usd
    if read is not None and written is not None:
        return own_price(read_usd=read, written_usd=written)
    return listed_price(config.agent_model or DEFAULT_MODEL, is_makers=is_makers(config))
