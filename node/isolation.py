"""Asks the trainer whether this machine can hold strangers' code, before anything is promised to a swarm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.exit_codes import ExitCode
from node.failures import Failed
from node.training.runner import minimal_environment

ASK_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """The layers that would hold a ``train.py``; ``problem`` and ``fix`` are set where they are too few."""

    layers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    fix: str = ""


def ask_isolation(argv: tuple[str, ...], policy: str, environ: Mapping[str, str]) -> Isolation:
    """What the trainer says for a policy; one that cannot answer is a problem too."""
    command = [*argv, "sandbox", "--sandbox", policy, "--json"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=ASK_LIMIT_S,
            check=False,
            env=minimal_environment(environ),
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return Isolation(
            layers=tuple(map(str, told["layers"])),
            notes=tuple(map(str, told["notes"])),
            problem=str(told.get("problem", "")),
            fix=str(told.get("fix", "")),
        )
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        return Isolation(
            problem=f"the trainer cannot tell how it holds code ({error})",
            fix="pip install 'autoresearch-swarm[trainer]'",
        )


def require_isolation(argv: tuple[str, ...], policy: str, environ: Mapping[str, str]) -> Isolation:
    """As ``ask_isolation``, for a node that is about to run strangers' code.

    Raises:
        Failed: this machine cannot hold it, and the policy does not say that it may go unheld.
    """
    found = ask_isolation(argv, policy, environ)
    if not found.problem:
        return found
    raise Failed(
        f"{found.problem}. Mend it with: {found.fix} - or say --sandbox none, if a stranger's code may read "
        "your files, use your network and stop your programs",
        ExitCode.USAGE,
    )
