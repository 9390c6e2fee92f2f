"""A conversation with tools: turns until the work is done, each with a limit to what may go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.agent.account import Account
from node.agent.anthropic.calling import Caller, Prompt
from node.agent.anthropic.faults import ContextTooLong
from node.agent.anthropic.replies import Block, Reply, ToolCall
from node.agent.anthropic.tokens import TokenCounter
from node.agent.anthropic.toolbox import Toolbox
from node.agent.base import AgentError
from node.agent.quoting import inline

TURNS_LIMIT = 24
NUDGES_LIMIT = 2
TOOL_ERRORS_LIMIT = 8
CUT_OFFS_LIMIT = 2
SAID_LIMIT_CHARS = 200
CACHED: Block = {"type": "ephemeral"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a conversation begins. ``stable`` is the same for many conversations, ``varying`` for this one."""

    system: str
    stable: str
    varying: str
    tools: Sequence[Block]

    def estimated_tokens(self, counter: TokenCounter) -> int:
        """What the first call reads."""
        return sum(counter.count(text) for text in (self.system, self.stable, self.varying, str(self.tools)))


class Conversation:
    """One conversation. ``hold`` may be called once."""

    def __init__(self, caller: Caller, counter: TokenCounter, account: Account) -> None:
        self._caller = caller
        self._counter = counter
        self._account = account
        self._messages: list[dict[str, Any]] = []
        self._nudges = self._cut_offs = self._tool_errors = 0

    async def hold(self, opening: Opening, tools: Toolbox) -> None:
        """Lets the model work until ``tools`` have what they need.

        Raises:
            ContextTooLong: The model cannot read the opening.
            AgentError: It refuses, does not come to an end, or a cap is reached.
        """
        stable = {"type": "text", "text": opening.stable, "cache_control": CACHED}
        self._say([stable, {"type": "text", "text": opening.varying}])
        estimated = opening.estimated_tokens(self._counter)
        for _ in range(TURNS_LIMIT):
            reply = await self._caller.ask(self._prompt(opening, estimated), self._account)
            if reply.content:
                self._messages.append({"role": "assistant", "content": list(reply.content)})
            said = self._answer(reply, tools)
            if tools.is_done or said is None:
                return
            self._say(said)
            estimated = reply.read_tokens + reply.written_tokens + self._counter.count(str(said))
        raise AgentError(f"the model did not come to an end in {TURNS_LIMIT} turns")

    def _answer(self, reply: Reply, tools: Toolbox) -> list[Block] | None:
        """What the model is told next; None where it may stop."""
        match reply.stop:
            case "refusal":
                why = f" ({reply.stop_detail})" if reply.stop_detail else ""
                said = inline(reply.text, SAID_LIMIT_CHARS) or "nothing"
                raise AgentError(f"the model refuses the task{why}; it said: {said}")
            case "model_context_window_exceeded":
                raise ContextTooLong("the conversation is longer than the model can read")
            case "max_tokens":
                return self._cut_off(reply)
            case "pause_turn":
                return []
            case "end_turn" | "tool_use" | "stop_sequence" if reply.calls:
                return [self._used(call, tools) for call in reply.calls]
            case "end_turn" | "tool_use" | "stop_sequence":
                return self._nudge(tools.missing, reply)
            case other:
                raise AgentError(f"the model stopped for an unknown reason: {inline(other)!r}")

    def _used(self, call: ToolCall, tools: Toolbox) -> Block:
        answer = tools.use(call.name, call.arguments)
        if answer.is_error:
            self._tool_errors += 1
            if self._tool_errors > TOOL_ERRORS_LIMIT:
                raise AgentError(
                    f"the model called its tools wrongly {self._tool_errors} times; the last: {answer.text}"
                )
        return _result(call, answer.text, is_error=answer.is_error)

    def _cut_off(self, reply: Reply) -> list[Block]:
        """Nothing of a message that was cut off is carried out: its last call is half of one."""
        self._cut_offs += 1
        if self._cut_offs > CUT_OFFS_LIMIT:
            raise AgentError(
                f"the model was cut off {self._cut_offs} times after {reply.written_tokens:,} tokens; "
                "give it more with --agent-max-tokens"
            )
        told = (
            f"You were cut off after {reply.written_tokens:,} tokens, and nothing of that message was "
            "carried out. Be brief, and make smaller edits."
        )
        if reply.calls:
            return [_result(call, told, is_error=True) for call in reply.calls]
        return [{"type": "text", "text": told}]

    def _nudge(self, missing: str, reply: Reply) -> list[Block] | None:
        if not missing:
            return None
        self._nudges += 1
        if self._nudges > NUDGES_LIMIT:
            said = inline(reply.text, SAID_LIMIT_CHARS) or "nothing"
            raise AgentError(f"the model stopped before it was done ({missing}); it said: {said}")
        return [{"type": "text", "text": missing}]

    def _say(self, blocks: Sequence[Block]) -> None:
        """Turns of the user in a row are one: a model that said nothing leaves no message between them."""
        if self._messages and self._messages[-1]["role"] == "user":
            self._messages[-1]["content"] += blocks
        elif blocks:
            self._messages.append({"role": "user", "content": list(blocks)})

    def _prompt(self, opening: Opening, estimated_tokens: int) -> Prompt:
        """Three marks: what never changes, what few conversations share, and this one so far."""
        *earlier, last = self._messages
        if last["role"] == "user":
            *blocks, end = last["content"]
            last = {**last, "content": [*blocks, {**end, "cache_control": CACHED}]}
        return Prompt(
            system=[{"type": "text", "text": opening.system, "cache_control": CACHED}],
            messages=[*earlier, last],
            tools=opening.tools,
            estimated_tokens=estimated_tokens,
        )


def _result(call: ToolCall, text: str, *, is_error: bool) -> Block:
    result = {"type": "tool_result", "tool_use_id": call.call_id, "content": text}
    return {**result, "is_error": True} if is_error else result
