"""What a volunteer agrees to: shown in full before anything is sent, and asked again when it changes."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from autoresearch.challenge import Challenge

from node.rendering import clean, clean_lines

CONSENT_NAME = "consent.json"
TERMS_LIMIT_CHARS = 8_000

SENT = """\
What leaves this machine, and becomes public:
  - the code (train.py) of your experiments, with titles, reasons and changes, and what was learned;
  - their results: scores, timings, loss curves, seeds, and the end of the training's log;
  - what your agent spent on them: the model's name, tokens, dollars and time;
  - the hardware class (model of the accelerator or CPU, memory, torch version);
  - this node's public name and key, and how long it trained.
Paths, user and host names are taken out of texts before they are sent. Nothing else is read or sent."""

ISOLATED = """\
The trainer runs train.py files that strangers wrote. Each runs in a sandbox: it finds neither your files nor
the network nor your programs, gets limits on time, memory and disk, and none of your keys. No sandbox is
perfect: docs/sandbox.md says what this one does not cover, and `autoresearch-node doctor` what it is here."""

NOT_ISOLATED = """\
The trainer runs train.py files that strangers wrote. By your wish (--sandbox none) each runs as a process of
your user with an empty environment, limits on time and memory, and none of your keys, but it is NOT isolated
beyond that: it could read files that you can read, use the network, and stop your programs."""


class ConsentMissing(Exception):
    """Nobody agreed; the message says how to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """All that is agreed to with one coordinator."""

    coordinator: str
    licence: str
    operator_text: str
    is_held: bool

    @classmethod
    def of(cls, coordinator: str, challenge: Challenge, operator_text: str, *, is_held: bool) -> Terms:
        """The terms of a challenge at a coordinator, with what its operator adds."""
        return cls(
            coordinator=coordinator,
            licence=challenge.contribution_licence,
            operator_text=clean_lines(operator_text[:TERMS_LIMIT_CHARS]).strip(),
            is_held=is_held,
        )

    @property
    def text(self) -> str:
        """Everything, as it is shown."""
        parts = [
            f"Joining the swarm at {self.coordinator}.",
            f"Contributions are licensed under {clean(self.licence)}.",
            SENT,
            ISOLATED if self.is_held else NOT_ISOLATED,
        ]
        if self.operator_text:
            quoted = "\n".join(f"  | {line}" for line in self.operator_text.splitlines())
            parts.append(f"The operator says:\n{quoted}")
        return "\n\n".join(parts) + "\n"

    @property
    def digest(self) -> str:
        """Changes when anything in the text does."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def has_agreed(folder: Path, terms: Terms) -> bool:
    """True if a yes to this very text is remembered."""
    return _remembered(folder / CONSENT_NAME) == terms.digest


def ask_consent(terms: Terms, folder: Path, *, agreed: bool) -> None:
    """Shows the terms and takes a yes, once per text.

    Args:
        terms: What is agreed to.
        folder: Where a yes is remembered.
        agreed: The user said yes beforehand (``--yes`` or the setting).

    Raises:
        ConsentMissing: Nobody said yes.
    """
    path = folder / CONSENT_NAME
    if _remembered(path) == terms.digest:
        return
    sys.stderr.write(terms.text + "\n")
    sys.stderr.flush()
    if not agreed:
        if not sys.stdin.isatty():
            raise ConsentMissing("nobody is at a terminal to agree to these terms; give --yes if you do")
        sys.stderr.write("Agree and join? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise ConsentMissing("not agreed; nothing was sent")
    path.write_text(json.dumps({"digest": terms.digest, "coordinator": terms.coordinator}), encoding="utf-8")


def _remembered(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(found.get("digest", "")) if isinstance(found, dict) else ""
