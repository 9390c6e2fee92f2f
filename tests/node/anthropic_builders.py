"""Makers of agents that call the scripted server, and of what it answers most of the time."""

from __future__ import annotations

import asyncio
import random

from messages_server import KEY, Says, call, text

from node.agent.anthropic.agent import AnthropicAgent
from node.agent.anthropic.briefing import Briefing
from node.agent.anthropic.calling import Caller, ModelSettings
from node.agent.anthropic.key import ApiKey
from node.agent.anthropic.tokens import TokenCounter, by_bytes
from node.agent.prices import listed_price

MODEL = "claude-sonnet-5-5"
IDEA = {
    "title": "MATRIX_LR 0.04 -> 0.05",
    "rationale": "The matrices are cold.",
    "changes": [{"name": "MATRIX_LR", "old": "0.04", "new": "0.05"}],
}


def states(**changes):
    return Says.of(call("state_hypothesis", **{**IDEA, **changes}))


def replaces(old="MATRIX_LR = 0.04 ", new="MATRIX_LR = 0.05 "):
    return Says.of(call("edit_train_py", command="str_replace", old_str=old, new_str=new))


def ends(said="Done."):
    return Says.of(text(said))


class Pauses:
    """Takes the place of sleeping, and remembers for how long."""

    def __init__(self):
        self.taken = []

    async def __call__(self, pause_s):
        self.taken.append(pause_s)
        await asyncio.sleep(0)


def agent_for(
    server,
    *,
    key=KEY,
    max_tokens=4_000,
    context_tokens=20_000,
    thinking="default",
    pauses=None,
    silence_limit_s=20.0,
    time_limit_s=60.0,
    url=None,
    price=None,
):
    counter = TokenCounter(load=lambda: by_bytes)
    settings = ModelSettings(
        model=MODEL,
        base_url=url or server.url,
        key=ApiKey(key),
        price=price or listed_price(MODEL, is_makers=True),
        max_tokens=max_tokens,
        thinking=thinking,
    )
    caller = Caller(
        settings,
        counter=counter,
        sleep=pauses or Pauses(),
        jitter=random.Random(1),
        silence_limit_s=silence_limit_s,
    )
    briefing = Briefing(budget_tokens=context_tokens, counter=counter)
    return AnthropicAgent(caller=caller, briefing=briefing, counter=counter, time_limit_s=time_limit_s)
