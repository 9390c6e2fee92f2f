"""What calls of a model cost: a table of known prices, or what the owner says.

``prices.toml`` holds the list prices of Anthropic (platform.claude.com/docs/en/about-claude/pricing), OpenAI
(developers.openai.com/api/docs/pricing) and Google (ai.google.dev/gemini-api/docs/pricing), each with its
date.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from autoresearch.model import Usage

MILLION = 1_000_000
CACHE_WRITE_RATIO = 1.25
CACHE_READ_RATIO = 0.1
"""Of the price of reading, where only that is known: what the makers of the protocol charge at most."""

_DATED = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Dollars per million tokens."""

    read: float
    cache_write: float
    cache_read: float
    written: float

    def cost_usd(self, usage: Usage) -> float:
        """What these tokens cost."""
        dollars = (
            usage.input_tokens * self.read
            + usage.cache_write_tokens * self.cache_write
            + usage.cache_read_tokens * self.cache_read
            + usage.output_tokens * self.written
        )
        return dollars / MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The rates of one model; ``long`` holds for calls that read more than ``long_from_tokens``.

    ``is_estimate``: nobody who charges has told it. ``is_known`` is False where it is a mere guess that
    nothing is charged.
    """

    rates: Rates
    long: Rates | None = None
    long_from_tokens: int = 0
    is_estimate: bool = False
    is_known: bool = True

    def cost_usd(self, usage: Usage) -> float:
        """What one call with this usage costs."""
        read = usage.input_tokens + usage.cache_write_tokens + usage.cache_read_tokens
        rates = self.long if self.long is not None and read > self.long_from_tokens else self.rates
        return rates.cost_usd(usage)


FREE = Price(
    rates=Rates(read=0.0, cache_write=0.0, cache_read=0.0, written=0.0), is_estimate=True, is_known=False
)


def own_price(*, read_usd: float, written_usd: float) -> Price:
    """The price that the owner says, per million tokens."""
    return Price(
        rates=Rates(
            read=read_usd,
            cache_write=read_usd * CACHE_WRITE_RATIO,
            cache_read=read_usd * CACHE_READ_RATIO,
            written=written_usd,
        ),
        is_estimate=True,
    )


def listed_price(model: str, *, is_makers: bool, maker: str = "anthropic") -> Price:
    """The price of a model by the table.

    Args:
        model: Its name, with or without its date.
        is_makers: Whether the makers of the models answer. Theirs is the table: one that it lacks is taken to
            cost as much as the dearest. Elsewhere, one that it lacks is taken to cost nothing.
        maker: Whose models these are.
    """
    known = known_price(model)
    if known is not None:
        return known if is_makers else guessed(known)
    if is_makers:
        table = _tables()[maker].values()
        return guessed(max(table, key=lambda price: (price.rates.written, price.rates.cache_read)))
    return FREE


def known_price(model: str) -> Price | None:
    """The list price of a model, whoever makes it; None for one that the table lacks."""
    name = _DATED.sub("", model)
    rows = (table.get(model) or table.get(name) for table in _tables().values())
    return next((price for price in rows if price is not None), None)


def guessed(price: Price) -> Price:
    """The same price as an estimate."""
    return replace(price, is_estimate=True)


@cache
def _tables() -> Mapping[str, Mapping[str, Price]]:
    text = resources.files("node.agent").joinpath("prices.toml").read_text(encoding="utf-8")
    return {
        maker: {name: _price(row) for name, row in table["models"].items()}
        for maker, table in tomllib.loads(text).items()
    }


def _price(row: Mapping[str, Any]) -> Price:
    long = row.get("long")
    return Price(
        rates=_rates(row),
        long=_rates(long) if long else None,
        long_from_tokens=int(long["from_tokens"]) if long else 0,
    )


def _rates(row: Mapping[str, Any]) -> Rates:
    return Rates(
        read=row["input"],
        cache_write=row["cache_write"],
        cache_read=row["cache_read"],
        written=row["output"],
    )
