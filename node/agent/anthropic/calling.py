"""One call of the model: streamed, paid for, and tried again where that may help.

The SDK's own retries are off. They would hide attempts from the account, and they end where a stream begins,
which is when most of the time is spent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from autoresearch.model import Usage

from node.agent.account import Account, Bill
from node.agent.anthropic.faults import ContextTooLong, Fault, FaultKind, fault_of
from node.agent.anthropic.key import ApiKey
from node.agent.anthropic.replies import Block, Reply, reply_of
from node.agent.anthropic.tokens import TokenCounter
from node.agent.base import AgentError, AgentUnusable
from node.agent.prices import Price

ATTEMPTS_LIMIT = 6
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 30.0
RETRY_AFTER_MAX_S = 120.0
"""A server that asks for more than that is asked again later, for another idea."""

CONNECT_LIMIT_S = 10.0
SILENCE_LIMIT_S = 120.0
"""Between two events of a stream, and before the first: servers of this protocol send pings."""

REASON_SHOWN_CHARS = 300
INPUT_MARGIN = 1.3
"""What a call may read more than is estimated, for what is reserved beforehand."""
CHARS_PER_TOKEN = 3
"""Of what a model writes; less than usual, so that what was cut off is not counted too low."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Which model answers, where, and at what price; ``public_name`` is what results are signed with."""

    model: str
    base_url: str
    key: ApiKey
    price: Price
    max_tokens: int
    thinking: str = "default"
    public_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """All that one call sends."""

    system: Sequence[Block]
    messages: Sequence[Block]
    tools: Sequence[Block] = ()
    max_tokens: int | None = None
    estimated_tokens: int = 0


@dataclass(slots=True)
class _Heard:
    """What has come of a message so far."""

    usage: Any = None
    chars: int = 0
    told_output: int | None = None


class Caller:
    """Calls one model at one server. The client is made at the first call."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        counter: TokenCounter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: random.Random | None = None,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        self._settings = settings
        self._counter = counter
        self._sleep = sleep
        self._jitter = jitter or random.Random()
        self._silence_limit_s = silence_limit_s
        self._client: Any = None

    async def ask(self, prompt: Prompt, account: Account) -> Reply:
        """The model's answer, whatever attempts that takes; each is on the account.

        Raises:
            ContextTooLong: The model cannot read that much.
            AgentUnusable: The key, the model or the account at the server is refused.
            AgentError: It does not answer, or refuses the call, or a cap is reached.
        """
        client = await self.made_client()
        for attempt in range(1, ATTEMPTS_LIMIT + 1):
            outcome = await self._attempt(client, prompt, account)
            if isinstance(outcome, Reply):
                return outcome
            reason = self.shown(outcome)
            match outcome.kind:
                case FaultKind.TOO_LONG:
                    raise ContextTooLong(f"{self._settings.model} was given too much to read: {reason}")
                case FaultKind.UNUSABLE:
                    raise AgentUnusable(
                        f"{self._settings.base_url} does not let {self._settings.model} be used: {reason}; "
                        "check the key, the model's name and --agent-base-url"
                    )
                case FaultKind.REFUSED:
                    raise AgentError(f"{self._settings.base_url} refuses the call: {reason}")
                case FaultKind.PASSING:
                    await self._wait(attempt, outcome, reason)
        raise AssertionError("the last attempt raises")

    async def made_client(self) -> Any:
        """The SDK's client, made at the first use: its import takes seconds."""
        if self._client is None:
            self._client = await asyncio.to_thread(self._make_client)
        return self._client

    def shown(self, fault: Fault) -> str:
        """What went wrong, as people may see it: without the key, which servers repeat, and in short."""
        return self._settings.key.hidden_in(fault.reason)[:REASON_SHOWN_CHARS]

    async def _wait(self, attempt: int, fault: Fault, reason: str) -> None:
        """Until the next attempt is due. Raises AgentError where there is none."""
        ceiling_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** (attempt - 1))
        pause_s = self._jitter.uniform(0.5, 1.0) * ceiling_s
        if fault.retry_after_s is not None:
            pause_s = max(pause_s, fault.retry_after_s)
        where = self._settings.base_url
        if attempt == ATTEMPTS_LIMIT:
            raise AgentError(f"{where} did not answer well in {ATTEMPTS_LIMIT} attempts; the last: {reason}")
        if pause_s > RETRY_AFTER_MAX_S:
            raise AgentError(f"{where} wants to be asked again in {pause_s:.0f} s only: {reason}")
        _log.info("calling the model again", reason=reason, attempt=attempt, pause_s=round(pause_s, 1))
        await self._sleep(pause_s)

    async def _attempt(self, client: Any, prompt: Prompt, account: Account) -> Reply | Fault:
        max_tokens = prompt.max_tokens or self._settings.max_tokens
        reading = int(prompt.estimated_tokens * INPUT_MARGIN)
        most = self._priced(Usage(calls=1, cache_write_tokens=reading, output_tokens=max_tokens))
        heard = _Heard()
        with account.call(most) as bill:
            # If this is cancelled before anything is heard, the server may have read it all the same.
            bill.usage = self._priced(Usage(calls=1, input_tokens=prompt.estimated_tokens, is_estimate=True))
            try:
                message = await self._stream(client, self._request(prompt, max_tokens), heard, bill)
            except Exception as error:
                fault = fault_of(error)
                if fault is None:
                    raise
                if not fault.was_heard and heard.usage is None:
                    bill.usage = Usage()
                return fault
        if message.stop_reason is None:
            return Fault(kind=FaultKind.PASSING, reason="the answer broke off", was_heard=True)
        reply = reply_of(message)
        self._counter.learn(prompt.estimated_tokens, reply.read_tokens)
        return reply

    async def _stream(self, client: Any, request: dict[str, Any], heard: _Heard, bill: Bill) -> Any:
        """The whole message; the bill grows with every event."""
        async with client.messages.stream(**request) as stream:
            async for event in stream:
                _hear(heard, event)
                if heard.usage is not None:
                    bill.usage = self._bill_of(heard)
            if heard.usage is None:
                raise ValueError("it holds no message")
            message = await stream.get_final_message()
        bill.usage = self._bill_of(replace(heard, usage=message.usage))
        return message

    def _request(self, prompt: Prompt, max_tokens: int) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._settings.model,
            "max_tokens": max_tokens,
            "system": list(prompt.system),
            "messages": list(prompt.messages),
        }
        if prompt.tools:
            request["tools"] = list(prompt.tools)
        if self._settings.thinking != "default":
            request["thinking"] = {"type": self._settings.thinking}
        return request

    def _bill_of(self, heard: _Heard) -> Usage:
        """What is counted by the server, and what it has not counted yet by its length."""
        written = heard.told_output
        usage = Usage(
            calls=1,
            input_tokens=heard.usage.input_tokens or 0,
            cache_read_tokens=heard.usage.cache_read_input_tokens or 0,
            cache_write_tokens=heard.usage.cache_creation_input_tokens or 0,
            output_tokens=heard.chars // CHARS_PER_TOKEN if written is None else written,
            is_estimate=written is None,
        )
        return self._priced(usage)

    def _priced(self, usage: Usage) -> Usage:
        price = self._settings.price
        return replace(
            usage,
            model=self._settings.public_name or self._settings.model,
            cost_usd=price.cost_usd(usage),
            is_estimate=usage.is_estimate or price.is_estimate,
        )

    def _make_client(self) -> Any:
        import anthropic  # noqa: PLC0415 - takes seconds to import
        import httpx2  # noqa: PLC0415

        timeout = httpx2.Timeout(self._silence_limit_s, connect=CONNECT_LIMIT_S)
        return anthropic.AsyncAnthropic(
            api_key=self._settings.key.reveal(),
            base_url=self._settings.base_url,
            max_retries=0,
            timeout=timeout,
            open_telemetry=False,
            # A redirect would carry the key to wherever it leads.
            http_client=anthropic.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
        )


def _hear(heard: _Heard, event: Any) -> None:
    """Takes in what counts of one event of a stream."""
    match event.type:
        case "message_start":
            heard.usage = event.message.usage
        case "content_block_delta":
            delta = event.delta
            parts = (getattr(delta, name, None) for name in ("text", "partial_json", "thinking"))
            heard.chars += sum(len(part) for part in parts if part)
        case "message_delta":
            heard.told_output = event.usage.output_tokens
