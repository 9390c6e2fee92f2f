"""Takes what says who and where a volunteer is out of texts that leave the machine."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MIN_NAME_CHARS = 3
"""Shorter names would take the vowels out of ordinary words."""

COMMON_NAMES = frozenset({"root", "user", "localhost", "admin", "ubuntu", "runner", "home", "train", "main"})
"""Names that say nothing about anybody and that logs use for other things."""

_HOME_PATH = re.compile(r"(?:/home|/Users|/var/home)/[^/\s\"':]+|[A-Za-z]:\\Users\\[^\\\s\"':]+")
_ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+\b")

Scrub = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The names and places of this machine."""

    homes: tuple[str, ...]
    users: tuple[str, ...]
    hosts: tuple[str, ...]

    @classmethod
    def detect(cls, *private_dirs: Path) -> Identity:
        """This process's user, home and host; ``private_dirs`` (state, run folders) count as home."""
        try:
            users: tuple[str, ...] = (getpass.getuser(),)
        except (KeyError, OSError):
            users = ()
        hosts = (
            (socket.gethostname(), os.uname().nodename) if hasattr(os, "uname") else (socket.gethostname(),)
        )
        homes = (*(str(path) for path in private_dirs), str(Path.home()))
        return cls(
            homes=homes,
            users=users,
            hosts=tuple({name for host in hosts for name in (host, host.partition(".")[0])}),
        )


def scrubber(identity: Identity) -> Scrub:
    """A function that replaces homes by ``~``, and users, hosts and addresses by a placeholder."""
    homes = sorted(
        {home.rstrip("/") for home in identity.homes if len(home.rstrip("/")) > 1}, key=len, reverse=True
    )
    patterns = [(re.compile(re.escape(home) + r"(?![\w.-])"), "~") for home in homes]
    patterns.append((_HOME_PATH, "~"))
    for names, placeholder in ((identity.hosts, "<host>"), (identity.users, "<user>")):
        patterns += [
            (re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE), placeholder)
            for name in sorted(names, key=len, reverse=True)
            if len(name) >= MIN_NAME_CHARS and name.lower() not in COMMON_NAMES
        ]
    patterns += [(_EMAIL, "<email>"), (_ADDRESS, "<address>")]

    def scrub(text: str) -> str:
        for pattern, replacement in patterns:
            text = pattern.sub(replacement, text)
        return text

    return scrub
