"""Claude Code: ``claude -p`` with five tools for files, and no others.

It enforces turns and dollars itself, by its own price list. The events of the model's stream are asked for,
since its own messages come with the tokens that were counted when they began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autoresearch.model import Usage

from node.agent.coding.heard import Heard, count, dollars, part, text
from node.agent.coding.tool import Setup, Tool

FILE_TOOLS = "Read,Edit,Write,Glob,Grep"
REFUSED_STATUSES = (401, 403, 404)
REFUSALS = ("authentication_failed", "billing_error", "model_not_found")


def _argv(setup: Setup) -> list[str]:
    limits = setup.limits
    words = ["-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"]
    words += ["--model", setup.model, "--max-turns", str(limits.turns)]
    if limits.usd is not None and not setup.is_own_price:
        words += ["--max-budget-usd", f"{limits.usd:.6f}"]
    words += ["--tools", FILE_TOOLS, "--permission-mode", "acceptEdits"]
    words += ["--strict-mcp-config", "--setting-sources", "", "--disable-slash-commands"]
    return [*words, "--no-session-persistence"]


def _environ(setup: Setup) -> dict[str, str]:
    variables = {
        "ANTHROPIC_API_KEY": setup.key.reveal(),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    return variables | ({"ANTHROPIC_BASE_URL": setup.base_url} if setup.base_url else {})


def _hear(heard: Heard, event: Mapping[str, Any]) -> None:
    match event.get("type"):
        case "stream_event":
            _hear_stream(heard, part(event, "event"))
        case "system" if event.get("subtype") == "api_retry" and event.get("error") in REFUSALS:
            heard.fail(text(event.get("error")).replace("_", " "), is_refused=True)
        case "result":
            _hear_result(heard, event)


def _hear_stream(heard: Heard, event: Mapping[str, Any]) -> None:
    match event.get("type"):
        case "message_start":
            message = part(event, "message")
            name = text(message.get("id")) or str(len(heard.calls))
            heard.calls[name] = _usage(text(message.get("model")), part(message, "usage"))
        case "message_delta" if heard.calls:  # its counts are those of the whole message, where it has any
            name, begun = next(reversed(heard.calls.items()))
            told = _usage(begun.model, part(event, "usage"))
            heard.calls[name] = replace(
                told,
                input_tokens=max(begun.input_tokens, told.input_tokens),
                cache_read_tokens=max(begun.cache_read_tokens, told.cache_read_tokens),
                cache_write_tokens=max(begun.cache_write_tokens, told.cache_write_tokens),
                output_tokens=max(begun.output_tokens, told.output_tokens),
            )


def _hear_result(heard: Heard, event: Mapping[str, Any]) -> None:
    models = part(event, "modelUsage")
    heard.whole = tuple(
        Usage(
            model=name,
            calls=1,
            input_tokens=count(part(usage).get("inputTokens")),
            cache_read_tokens=count(part(usage).get("cacheReadInputTokens")),
            cache_write_tokens=count(part(usage).get("cacheCreationInputTokens")),
            output_tokens=count(part(usage).get("outputTokens")),
        )
        for name, usage in models.items()
    )
    heard.told_usd = dollars(event.get("total_cost_usd"))
    heard.said = text(event.get("result"))
    if event.get("is_error") or event.get("subtype") != "success":
        errors = event.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else event.get("result")
        is_refused = event.get("api_error_status") in REFUSED_STATUSES
        heard.fail(first or event.get("subtype"), is_refused=is_refused)


def _usage(model: str, told: Mapping[str, Any]) -> Usage:
    return Usage(
        model=model,
        calls=1,
        input_tokens=count(told.get("input_tokens")),
        cache_read_tokens=count(told.get("cache_read_input_tokens")),
        cache_write_tokens=count(told.get("cache_creation_input_tokens")),
        output_tokens=count(told.get("output_tokens")),
    )


TOOL = Tool(
    name="claude-code",
    program="claude",
    install="npm install -g @anthropic-ai/claude-code",
    oldest=(2, 1),
    model="claude-sonnet-5-5",
    tells_cost=True,
    key_variables=lambda _: ("ANTHROPIC_API_KEY",),
    argv=_argv,
    environ=_environ,
    files=lambda _: {},
    hear=_hear,
)
