"""Gemini CLI: six tools for files, without a shell, the web, extensions or subagents.

Its output tells tokens when all is done; its record of the chat tells them call by call, and is read for the
limits. It tells no dollars; it counts turns, but leaves quietly when there were too many.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autoresearch.model import Usage

from node.agent.coding.heard import Heard, count, part, text
from node.agent.coding.tool import Setup, Tool

FILE_TOOLS = ("list_directory", "read_file", "glob", "grep_search", "replace", "write_file")
REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED", "API_KEY_INVALID", "API key not valid", "NOT_FOUND")
NO_SUCH_FILE = "NO-CONTEXT.md"


def _argv(setup: Setup) -> list[str]:
    words = ["--output-format", "stream-json", "--approval-mode", "auto_edit", "--extensions", "none"]
    return [*words, "--model", setup.model]


def _environ(setup: Setup) -> dict[str, str]:
    variables = {"GEMINI_API_KEY": setup.key.reveal(), "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    return variables | ({"GOOGLE_GEMINI_BASE_URL": setup.base_url} if setup.base_url else {})


def _files(setup: Setup) -> dict[str, str]:
    settings = {
        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
        "model": {
            "name": setup.model,
            "maxSessionTurns": setup.limits.turns,
            "disableLoopDetection": True,  # it gives up calls without telling what they took
        },
        "context": {"fileName": NO_SUCH_FILE},
        "tools": {"core": list(FILE_TOOLS)},
        "skills": {"enabled": False},
        "hooksConfig": {"enabled": False},
        "experimental": {"enableAgents": False},
    }
    return {".gemini/settings.json": json.dumps(settings)}


def _hear(heard: Heard, event: Mapping[str, Any]) -> None:
    match event.get("type"):
        case "gemini" if event.get("tokens"):  # in the record, where a message may stand twice
            name = text(event.get("id")) or str(len(heard.calls))
            heard.calls[name] = _usage(text(event.get("model")), part(event, "tokens"), "input")
        case "message" if event.get("role") == "assistant":
            heard.say(event.get("content"))
        case "tool_use":
            heard.said = ""  # what comes last is the answer
        case "result":
            models = part(event, "stats", "models")
            heard.whole = tuple(_usage(name, part(told), "input_tokens") for name, told in models.items())
            if event.get("status") != "success":
                message = text(part(event, "error").get("message"))
                heard.fail(message, is_refused=any(refusal in message for refusal in REFUSALS))


def _usage(model: str, told: Mapping[str, Any], input_name: str) -> Usage:
    """What was read from a cache is within its count of input; thoughts are within the sum alone."""
    read, whole = count(told.get("cached")), count(told.get(input_name))
    together = count(told.get("total")) or count(told.get("total_tokens"))
    return Usage(
        model=model,
        calls=1,
        input_tokens=max(0, whole - read),
        cache_read_tokens=min(read, whole),
        output_tokens=max(0, together - whole),
    )


TOOL = Tool(
    name="gemini",
    program="gemini",
    install="npm install -g @google/gemini-cli",
    oldest=(0, 61),
    model="gemini-3.1-pro-preview",
    tells_cost=False,
    key_variables=lambda _: ("GEMINI_API_KEY",),
    argv=_argv,
    environ=_environ,
    files=_files,
    hear=_hear,
    trail=".gemini/tmp/*/chats/*.jsonl",
)
