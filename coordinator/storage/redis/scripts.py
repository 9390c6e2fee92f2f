"""The Lua transitions: each file's header names its keys, and the loader puts its text together."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

_HEADER = re.compile(r"^-- (USES|FLAGS|KEYS|ARGV): (.*)$")
_CONTINUED = re.compile(r"^--  +(\S.*)$")
_REST = "tried..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One transition.

    ``keys`` are the names that its KEYS begin with, in order; a caller may add more behind them.
    """

    name: str
    keys: tuple[str, ...]
    writes: bool
    text: str
    sha: str


@cache
def load_scripts(events_kept: int) -> dict[str, Script]:
    """Every transition by its name.

    Args:
        events_kept: length to which the event stream is trimmed, about.
    """
    folder = resources.files("coordinator.storage") / "scripts"
    texts = {
        entry.name.removesuffix(".lua"): entry.read_text()
        for entry in folder.iterdir()
        if entry.name.endswith(".lua")
    }
    return {
        name: _assemble(name, text, texts, events_kept)
        for name, text in texts.items()
        if not name.startswith("_")
    }


def _assemble(name: str, body: str, texts: dict[str, str], events_kept: int) -> Script:
    header = _read_header(body)
    keys = tuple(key for key in header.get("KEYS", "").split("  ")[0].split() if key != _REST)
    flags = header.get("FLAGS", "")
    named = ", ".join(f"{key} = KEYS[{index}]" for index, key in enumerate(keys, start=1))
    text = "\n".join(
        [
            # With the shebang a server that is out of memory, read-only or unable to persist refuses the
            # script before its first command instead of in its middle.
            f"#!lua flags={flags}" if flags else "#!lua",
            f"local K = {{{named}}}",
            f"local NAMED_KEYS = {len(keys)}",
            f"local EVENTS_KEPT = {events_kept}",
            *(texts[f"_{part}"] for part in header.get("USES", "").split()),
            body,
        ]
    )
    return Script(
        name=name,
        keys=keys,
        writes="no-writes" not in flags,
        text=text,
        sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
    )


def _read_header(body: str) -> dict[str, str]:
    header: dict[str, str] = {}
    current = ""
    for line in body.splitlines():
        if match := _HEADER.match(line):
            current = match[1]
            header[current] = match[2]
        elif current == "KEYS" and (more := _CONTINUED.match(line)):
            header[current] += " " + more[1]
        else:
            current = ""
    return header
