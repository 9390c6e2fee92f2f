"""Codex: ``codex exec --json``, whose commands see the workspace and the system, offline.

Its output tells tokens when all is done; its record of the session tells them call by call, and is read for
the limits. It tells no dollars and knows no limit of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoresearch.model import Usage

from node.agent.coding.heard import Heard, count, part, text
from node.agent.coding.tool import Setup, Tool

REFUSALS = ("401 Unauthorized", "403 Forbidden", "does not exist or you do not have access")
OFF = (
    "apps",
    "browser_use",
    "computer_use",
    "goals",
    "hooks",
    "image_generation",
    "in_app_browser",
    "memories",
    "plugins",
    "skill_mcp_dependency_install",
)
"""Features that have no place in a scratch folder: they reach out, or take tokens for nothing."""

CONFIG = """\
model = {model}
{provider}approval_policy = "never"
default_permissions = "scratch"
web_search = "disabled"
check_for_update_on_startup = false
project_doc_max_bytes = 0

[permissions.scratch.filesystem]
":minimal" = "read"
"~/.codex/tmp" = "read"
{package} = "read"

[permissions.scratch.filesystem.":workspace_roots"]
"." = "write"

[permissions.scratch.network]
enabled = false

[shell_environment_policy]
inherit = "core"

[history]
persistence = "none"

[analytics]
enabled = false

[feedback]
enabled = false

[agents]
enabled = false

[skills]
bundled.enabled = false

[features]
{features}
"""
OWN_PROVIDER = """
[model_providers.own]
name = "own"
base_url = {base_url}
env_key = "CODEX_API_KEY"
wire_api = "responses"
requires_openai_auth = false
"""


def _argv(setup: Setup) -> list[str]:
    # No --sandbox: it would put a policy that reads the whole disk in the place of the profile.
    words = ["exec", "--json", "--skip-git-repo-check", "--ignore-rules"]
    return [*words, "--model", setup.model, "-"]


def _environ(setup: Setup) -> dict[str, str]:
    return {"CODEX_API_KEY": setup.key.reveal()}


def _files(setup: Setup) -> dict[str, str]:
    own = OWN_PROVIDER.format(base_url=_quoted(setup.base_url)) if setup.base_url else ""
    config = CONFIG.format(
        model=_quoted(setup.model),
        package=_quoted(str(_package(setup.program))),
        provider='model_provider = "own"\n' if setup.base_url else "",
        features="\n".join(f"{name} = false" for name in OFF),
    )
    return {".codex/config.toml": config + own}


def _hear(heard: Heard, event: Mapping[str, Any]) -> None:
    match event.get("type"):
        case "event_msg" if part(event, "payload").get("type") == "token_count":
            spent = part(event, "payload", "info", "total_token_usage")
            last = part(event, "payload", "info", "last_token_usage")
            if spent:  # the same sum may be told twice
                heard.calls[str(count(spent.get("total_tokens")))] = _usage(last)
        case "turn.completed":
            heard.whole, heard.problem = (_usage(part(event, "usage")),), ""
        case "item.completed" if part(event, "item").get("type") == "agent_message":
            heard.said = text(part(event, "item").get("text"))
        case "error" | "turn.failed":
            message = text(event.get("message")) or text(part(event, "error").get("message"))
            heard.fail(message, is_refused=any(refusal in message for refusal in REFUSALS))
        case "item.started" | "turn.started":
            heard.problem = ""  # an error that was followed by more work was none


def _package(program: str) -> Path:
    """Where npm has put the tool with its sandbox's helper, which starts every command; else itself."""
    path = Path(program).resolve()
    return path.parents[2] if path.match("@openai/codex/bin/*") else path


def _usage(told: Mapping[str, Any]) -> Usage:
    """What was read from a cache, or went into one, is within its count of input."""
    read, write = count(told.get("cached_input_tokens")), count(told.get("cache_write_input_tokens"))
    return Usage(
        calls=1,
        input_tokens=max(0, count(told.get("input_tokens")) - read - write),
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=count(told.get("output_tokens")),
    )


def _quoted(word: str) -> str:
    """A string of TOML, which takes those of JSON."""
    return json.dumps(word)


TOOL = Tool(
    name="codex",
    program="codex",
    install="npm install -g @openai/codex",
    oldest=(0, 169),
    model="gpt-6.1-sol",
    tells_cost=False,
    key_variables=lambda _: ("CODEX_API_KEY", "OPENAI_API_KEY"),
    argv=_argv,
    environ=_environ,
    files=_files,
    hear=_hear,
    trail=".codex/sessions/**/*.jsonl",
)
