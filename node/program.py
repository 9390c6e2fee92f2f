"""The program.md that this node's agents are told: its owner's, or else the one of the swarm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from autoresearch.errors import InvalidArgument, SwarmError
from autoresearch.limits import check_program
from autoresearch.model import Program, ProgramHash
from autoresearch.program import program_hash

from node.exit_codes import ExitCode
from node.failures import Failed

_log = structlog.get_logger(__name__)


class ProgramInForce:
    """Holds the text, and fetches another when it hears that there is one; for one event loop."""

    def __init__(self, fetch: Callable[[], Awaitable[Program]], first: Program, *, own: str | None) -> None:
        """``fetch`` is a ``Swarm.program``; ``own`` is what the node's owner wants told instead."""
        self._fetch = fetch
        self._known = first
        self._heard = first.program_hash
        self._own = own

    def hear(self, told: ProgramHash) -> None:
        """A heartbeat says what is in force."""
        self._heard = told

    async def text(self) -> str:
        """What to tell an agent now; what was told before where the new text cannot be had."""
        if self._own is not None:
            return self._own
        if self._heard != self._known.program_hash:
            await self._renew()
        return self._known.text

    async def _renew(self) -> None:
        try:
            program = await self._fetch()
        except SwarmError as error:
            _log.warning("the new program.md cannot be had; going on with the old one", reason=error.message)
            return
        if program_hash(program.text) != program.program_hash:
            _log.warning("the new program.md does not have its hash; going on with the old one")
        elif program.program_hash != self._known.program_hash:
            _log.info("another program.md is in force", version=program.version, note=program.note)
            self._known = program
        self._heard = self._known.program_hash


def read_program(path: Path | None) -> str | None:
    """The text of a program.md of one's own; None where no file was given. Raises Failed."""
    if path is None:
        return None
    try:
        text = path.read_bytes().decode("utf-8")
        check_program(text, str(path))
    except OSError as error:
        raise Failed(f"cannot read {path} ({error.strerror})", ExitCode.USAGE) from error
    except UnicodeDecodeError as error:
        raise Failed(f"{path} is not UTF-8 at byte {error.start}", ExitCode.USAGE) from error
    except InvalidArgument as error:
        raise Failed(error.message, ExitCode.USAGE) from error
    return text


def program_of_challenge(text: str) -> Program:
    """The challenge's own, for a coordinator that names none."""
    return Program(program_hash=program_hash(text), text=text, version=0)
