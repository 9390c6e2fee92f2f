"""OpenCode: ``opencode run`` with tools for files alone, on whichever provider its model names.

It tells tokens and dollars after each step, by its own price list, and knows no limit of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autoresearch.model import Usage

from node.agent.coding.heard import Heard, count, dollars, part, text
from node.agent.coding.tool import Setup, Tool

ALLOWED = ("read", "edit", "glob", "grep", "list")
KEYS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"),
    "openai": ("OPENAI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY",),
}
"""Where the keys of the providers are looked for that most people have; the rest is for --agent-env."""

OWN = "own"
OWN_PACKAGE = "@ai-sdk/openai-compatible"
REFUSED_STATUSES = (401, 403, 404)
KEY_VARIABLE = "AUTORESEARCH_AGENT_KEY"


def _key_variables(model: str) -> tuple[str, ...]:
    return KEYS.get(_provider(model), ())


def _argv(setup: Setup) -> list[str]:
    # Without a title it asks a model for one, with the prompt.
    return ["run", "--format", "json", "--pure", "--title", "edit", "--model", _model(setup)]


def _environ(setup: Setup) -> dict[str, str]:
    return {
        KEY_VARIABLE: setup.key.reveal(),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_CLAUDE_CODE": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
    }


def _files(setup: Setup) -> dict[str, str]:
    config = {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "model": _model(setup),
        "small_model": _model(setup),
        "permission": {"*": "deny", **dict.fromkeys(ALLOWED, "allow"), "external_directory": "deny"},
        "provider": _providers(setup),
        "lsp": False,
        "formatter": False,
    }
    return {".config/opencode/opencode.json": json.dumps(config)}


def _hear(heard: Heard, event: Mapping[str, Any]) -> None:
    step = part(event, "part")
    match event.get("type"):
        case "step_finish":
            told = part(step, "tokens")
            cache = part(told, "cache")
            heard.calls[text(step.get("id")) or str(len(heard.calls))] = Usage(
                calls=1,
                input_tokens=count(told.get("input")),
                cache_read_tokens=count(cache.get("read")),
                cache_write_tokens=count(cache.get("write")),
                output_tokens=count(told.get("output")) + count(told.get("reasoning")),
            )
            heard.told_usd = (heard.told_usd or 0.0) + (dollars(step.get("cost")) or 0.0)
        case "step_start":
            heard.said = ""  # what comes last is the answer
        case "text":
            heard.say(step.get("text"))
        case "error":
            error = part(event, "error")
            message = text(part(error, "data").get("message")) or text(error.get("name"))
            status = part(error, "data").get("statusCode")
            is_missing = error.get("name") == "ProviderModelNotFoundError"
            heard.fail(message, is_refused=status in REFUSED_STATUSES or is_missing)


def _provider(model: str) -> str:
    return model.partition("/")[0] if "/" in model else ""


def _model(setup: Setup) -> str:
    """A server of one's own that speaks OpenAI's protocol needs no name of a provider."""
    return setup.model if _provider(setup.model) in KEYS or not setup.base_url else f"{OWN}/{setup.model}"


def _providers(setup: Setup) -> dict[str, Any]:
    """The key, and the model with its price where one is known: the tool's own list may lack it."""
    provider, _, model = _model(setup).partition("/")
    if provider not in KEYS and provider != OWN:
        return {}  # its key comes by --agent-env, and under the name that the tool knows
    options = {"apiKey": f"{{env:{KEY_VARIABLE}}}"} | ({"baseURL": setup.base_url} if setup.base_url else {})
    told: dict[str, Any] = {"options": options}
    if provider == OWN:
        told |= {"npm": OWN_PACKAGE, "name": OWN, "models": {model: {"name": model}}}
    if setup.price is not None:
        rates = setup.price.rates
        cost = {"input": rates.read, "output": rates.written}
        cost |= {"cache_read": rates.cache_read, "cache_write": rates.cache_write}
        told["models"] = {model: {"name": model, "cost": cost}}
    return {provider: told}


TOOL = Tool(
    name="opencode",
    program="opencode",
    install="npm install -g opencode-ai",
    oldest=(1, 18),
    model="anthropic/claude-sonnet-5-5",
    tells_cost=True,
    key_variables=_key_variables,
    argv=_argv,
    environ=_environ,
    files=_files,
    hear=_hear,
)
