"""What a model answers: the edge at which the SDK's messages end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """What the model wants done; ``arguments`` are whatever it sent."""

    call_id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One message of the model. ``content`` goes back to it as it came."""

    content: tuple[Block, ...]
    text: str
    calls: tuple[ToolCall, ...]
    stop: str
    stop_detail: str = ""
    read_tokens: int = 0
    written_tokens: int = 0


def reply_of(message: Any) -> Reply:
    """The SDK's message as a reply."""
    blocks = (block.model_dump(mode="json", exclude_none=True) for block in message.content)
    content = tuple(block for block in blocks if _can_go_back(block))
    usage = message.usage
    detail = message.stop_details
    read = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
    return Reply(
        content=content,
        text="\n".join(block["text"] for block in content if block["type"] == "text"),
        calls=tuple(
            ToolCall(call_id=block["id"], name=block["name"], arguments=block.get("input"))
            for block in content
            if block["type"] == "tool_use"
        ),
        stop=message.stop_reason,
        stop_detail=(detail.category or "") if detail is not None else "",
        read_tokens=sum(tokens or 0 for tokens in read),
        written_tokens=usage.output_tokens,
    )


def _can_go_back(block: Block) -> bool:
    """False for what servers send and do not take back: empty texts, and thoughts that were cut off."""
    match block["type"]:
        case "text":
            return bool(block["text"].strip())
        case "thinking":
            return bool(block.get("signature"))
        case _:
            return True
