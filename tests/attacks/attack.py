"""What an attack is: a small ``train.py``, what it tries, what must become of it, and what stops it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["completed", "crashed", "timed_out", "rejected"]
Arena = Literal["steps", "cpu", "hasty", "paced", "shards", "brief"]
"""Which tiny challenge: twenty steps; a CPU second; that and little time to score; a pace; a fixed text;
a CPU second and little CPU time to score."""

SUCCESS = "ESCAPED"
"""What an escape prints (or leaves as a reason) when it got what it wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """The run must end so, for a reason that matches."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmless:
    """The run may go on to a score, and the attack must have gained nothing by it.

    ``or_rejected``: where timing decides if the attack spoils its own answers, a rejection is as good.
    """

    or_rejected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack.

    ``without`` names the defences that are switched off to show that the attack works; with none of them
    off it must end as ``expected``. A ``probe`` has nothing to gain whatever is switched off: it is run
    with its defences on only, and does not count as an attack. What ``needs_root`` to succeed is shown to
    succeed only where the tests are run by root.
    """

    name: str
    tries: str
    defence: str
    source: str
    expected: Caught | Harmless
    without: tuple[str, ...] = ()
    arena: Arena = "steps"
    is_probe: bool = False
    needs_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheat(Attack):
    """An attack on the score: it gains when it beats ``control`` by ``gain_min`` bits per byte."""

    control: str = "counts"
    gain_min: float = 0.02
    forerunner: str = ""
    """A train.py that runs before it on the same machine, and may leave something behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escape(Attack):
    """An attack on the machine: it succeeds when ``SUCCESS`` is printed or the ``witness`` says so."""

    witness: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """An honest ``train.py`` that must be scored."""

    name: str
    source: str
    arena: Arena = "steps"
