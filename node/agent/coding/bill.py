"""What an attempt has cost so far, and whether that is too much."""

from __future__ import annotations

from dataclasses import replace

from autoresearch.model import NAME_LIMIT_CHARS, Usage

from node.agent.coding.heard import Heard, total
from node.agent.coding.tool import AttemptLimits, Setup
from node.agent.model_names import public_name
from node.agent.prices import FREE, Price, guessed, known_price

ELSE = "or what the budgets had left"
LEAST_TOKENS = 10_000
"""What a tool reads in its first call: its own instructions and tools, and the code."""


def least_of(setup: Setup) -> Usage:
    """With less than this no attempt is worth its price; never more than the owner gives to one."""
    limits = setup.limits
    tokens = LEAST_TOKENS if limits.tokens is None else min(LEAST_TOKENS, limits.tokens)
    usd = (setup.price or FREE).cost_usd(Usage(input_tokens=tokens))
    return Usage(input_tokens=tokens, cost_usd=usd if limits.usd is None else min(usd, limits.usd))


def billed(heard: Heard, setup: Setup) -> Usage:
    """All that was heard of, with its price.

    The owner's price goes before what the tool says, and that before the list, by which calls count until the
    tool says anything.
    """
    usages = heard.usages
    spent = total(usages)
    prices = [_price(usage.model, setup) for usage in usages]
    listed = sum(price.cost_usd(usage) for price, usage in zip(prices, usages, strict=True))
    told = None if setup.is_own_price else heard.told_usd
    names = dict.fromkeys(public_name(usage.model) for usage in usages if usage.model)
    return replace(
        spent,
        model=",".join(names)[:NAME_LIMIT_CHARS] or public_name(setup.model),
        calls=max(len(heard.calls), spent.calls),
        cost_usd=listed if told is None else told,
        is_estimate=told is not None or any(price.is_estimate for price in prices),
    )


def excess(usage: Usage, limits: AttemptLimits) -> str:
    """Which limit is passed, as what may follow "took"; empty for none."""
    if limits.usd is not None and usage.cost_usd > limits.usd:
        return f"${usage.cost_usd:.4f}, over the ${limits.usd:g} of an attempt (--agent-limit-usd, {ELSE})"
    if limits.tokens is not None and usage.tokens > limits.tokens:
        over = f"over the {limits.tokens:,} of an attempt (--agent-limit-tokens, {ELSE})"
        return f"{usage.tokens:,} tokens, {over}"
    if usage.calls > limits.turns:
        return f"{usage.calls} turns, over the {limits.turns} of an attempt (--agent-limit-turns)"
    return ""


def _price(model: str, setup: Setup) -> Price:
    """Tools call a second model for small things, which has a price of its own."""
    if setup.is_own_price or model in ("", setup.model):
        return setup.price or FREE
    return known_price(model) or guessed(setup.price or FREE)
