"""What a coding tool is to us: how it is called, what it finds in its home, and how its output is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.agent.anthropic.key import ApiKey
from node.agent.coding.heard import Heard
from node.agent.prices import Price

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimits:
    """What one attempt may take; None for no limit."""

    time_s: float
    turns: int
    usd: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A tool as its owner wants it. ``base_url`` is empty for the maker's own server.

    ``price`` is that of ``model``, None where nobody told one: then the tool's own figure counts alone.
    ``is_own_price`` says that the owner told it, and that it goes before whatever the tool says.
    """

    program: str
    model: str
    key: ApiKey
    limits: AttemptLimits
    base_url: str = ""
    price: Price | None = None
    is_own_price: bool = False
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The scratch of one attempt: it works in ``work``; its settings lie beside that, out of its reach."""

    work: Path
    home: Path
    temporary: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A headless coding agent.

    Attributes:
        name: Of the agent that it makes.
        program: What is looked for on PATH.
        install: The command that installs it.
        oldest: The first version that is known to take these flags and to print this output.
        model: What it runs unless its owner says otherwise.
        tells_cost: True where its output has dollars, and not tokens alone.
        key_variables: Where the key for a model is looked for, in this order.
        argv: Its arguments; what it is asked comes on stdin.
        environ: Its variables, the key among them.
        files: What its home holds, by path.
        hear: Takes in one line of its output or of its trail.
        trail: Where in its home it notes what its output tells only at the end, a pattern; empty for nowhere.
    """

    name: str
    program: str
    install: str
    oldest: Version
    model: str
    tells_cost: bool
    key_variables: Callable[[str], tuple[str, ...]]
    argv: Callable[[Setup], list[str]]
    environ: Callable[[Setup], dict[str, str]]
    files: Callable[[Setup], dict[str, str]]
    hear: Callable[[Heard, Mapping[str, Any]], None]
    trail: str = ""
