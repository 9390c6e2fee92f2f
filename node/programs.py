"""What came of each program.md, as a table."""

from __future__ import annotations

import sys
from typing import Any

from autoresearch.model import HardwareClass, Program, ProgramRow
from rich.text import Text

from node import rendering
from node.swarm.grpc_client import GrpcReader

DELTA_DIGITS = 4
COLUMNS = (
    ("version", "left"),
    ("hash", "left"),
    ("experiments", "right"),
    ("completed", "right"),
    ("bests", "right"),
    ("best delta", "right"),
    ("cost", "right"),
    ("set by", "left"),
    ("note", "left"),
)


async def programs(reader: GrpcReader, *, hardware_class: str, as_json: bool) -> None:
    """Prints the swarm's programs, newest first, then those of volunteers."""
    rows = await reader.programs(HardwareClass(hardware_class) if hardware_class else None)
    if as_json:
        sys.stdout.write(rendering.to_json([program_fields(row) for row in rows]) + "\n")
        return
    table = rendering.plain_table("", COLUMNS, [_cells(row) for row in rows])
    rendering.console().print(table if rows else Text("Nobody has gone by a program yet."))


def program_fields(row: ProgramRow) -> dict[str, Any]:
    """A program with what came of it, for JSON; a volunteer's has neither version nor text."""
    program = row.program
    is_swarms = bool(program.text)
    return {
        "program_hash": program.program_hash,
        "version": program.version if is_swarms else None,
        "is_current": row.is_current,
        "set_by": set_by(program),
        "set_at": program.set_at.isoformat() if program.set_at else None,
        "note": program.note,
        "experiments": row.experiments,
        "completed": row.completed,
        "bests": row.bests,
        "best_delta": row.best_delta,
        "cost_usd": row.cost_usd,
        "text": program.text or None,
    }


def set_by(program: Program) -> str:
    """Who chose it: version 0 comes with the challenge, and one without a text is no swarm's."""
    if not program.text:
        return "a volunteer"
    return "the operator" if program.version else "the challenge"


def _cells(row: ProgramRow) -> tuple[str, ...]:
    program = row.program
    version = str(program.version) if program.text else "-"
    return (
        version + (" (in force)" if row.is_current else ""),
        program.program_hash,
        str(row.experiments),
        str(row.completed),
        str(row.bests),
        rendering.number(row.best_delta, DELTA_DIGITS, signed=True),
        f"${row.cost_usd:.2f}",
        set_by(program),
        program.note,
    )
