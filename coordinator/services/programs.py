"""The program.md: what the swarm's agents are told to look for, version by version, and what came of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from autoresearch.challenge import Challenge
from autoresearch.limits import REASON_LIMIT_CHARS, check_line, check_program
from autoresearch.model import (
    ExperimentId,
    HardwareClass,
    Level,
    Program,
    ProgramRow,
)
from autoresearch.program import program_hash

from coordinator.domain.class_state import Rules
from coordinator.services.catalog import Catalog
from coordinator.storage.base import Store

PROGRAMS_KEPT = 64
"""Versions of a challenge, of 32 KiB at most each: 2 MiB, which a listing brings whole."""

ROWS_LIMIT = 200
"""Programs of volunteers are anybody's to make up: those with the most experiments are listed."""

ROWS_REFRESH_S = 5.0
COUNTED_AT_ONCE = 1_000
"""Experiments that are counted between two looks at the other tasks."""


class Programs:
    """One challenge's."""

    def __init__(
        self,
        store: Store,
        catalog: Callable[[], Catalog],
        challenge: Challenge,
        rules: Rules,
        *,
        refresh_s: float,
    ) -> None:
        """``catalog`` gives the present one; ``refresh_s`` is how old this process's picture of what is in
        force may be.
        """
        self._store = store
        self._catalog = catalog
        self._rules = rules
        self._refresh_s = refresh_s
        own = program_hash(challenge.program_md)
        self._own = Program(program_hash=own, text=challenge.program_md, version=0)
        self._present = self._own
        self._read_at = -refresh_s
        self._rows: dict[HardwareClass | None, tuple[float, tuple[ProgramRow, ...]]] = {}
        self._counting = asyncio.Lock()

    async def current(self) -> Program:
        """What is in force: the last that an operator set, or else the challenge's own."""
        now = time.monotonic()
        if now - self._read_at >= self._refresh_s:
            self._present = await self._store.get_program() or self._own
            self._read_at = now
        return self._present

    async def put(self, text: str, note: str = "") -> tuple[Program, bool]:
        """Puts a text in force: what is afterwards, and whether it was before. Raises InvalidArgument."""
        check_program(text, "text")
        check_line(note, "note", limit=REASON_LIMIT_CHARS)
        made = await self._store.set_program(
            program_hash(text), text, note, own=self._own.program_hash, kept=PROGRAMS_KEPT
        )
        self._read_at = -self._refresh_s
        self._rows.clear()
        return (made, False) if made is not None else (await self.current(), True)

    async def rows(self, hardware_class: HardwareClass | None = None) -> tuple[ProgramRow, ...]:
        """The swarm's programs, newest first, then those that only volunteers have, the most used first."""
        async with self._counting:
            counted_at, rows = self._rows.get(hardware_class, (0.0, ()))
            if not rows or time.monotonic() - counted_at >= ROWS_REFRESH_S:
                rows = await self._count(hardware_class)
                if len(self._rows) >= ROWS_LIMIT:
                    self._rows.clear()
                self._rows[hardware_class] = (time.monotonic(), rows)
            return rows

    async def _count(self, hardware_class: HardwareClass | None) -> tuple[ProgramRow, ...]:
        # Of a text that was set twice the later version speaks.
        of_swarm = {one.program_hash: one for one in (self._own, *await self._store.get_programs())}
        present = await self.current()
        by_program = {key: tuple(ids) for key, ids in self._catalog().by_program().items()}
        history = await self._store.get_history(hardware_class)
        bests = {one.best.experiment_id for one in history if one.best.level is not Level.BASELINE}
        rows, counted = [], 0
        for key in {**dict.fromkeys(of_swarm), **dict.fromkeys(by_program)}:
            program = of_swarm.get(key) or Program(program_hash=key, text="", version=0)
            experiment_ids = by_program.get(key, ())
            counted += 1 + len(experiment_ids)
            if counted >= COUNTED_AT_ONCE:  # of many small ones; a large one looks up by itself
                counted = 0
                await asyncio.sleep(0)
            row = await self._row(program, experiment_ids, bests, hardware_class)
            rows.append(replace(row, is_current=key == present.program_hash))
        shown = (row for row in rows if row.program.text or row.experiments or row.is_current)
        return tuple(sorted(shown, key=_order)[:ROWS_LIMIT])

    async def _row(
        self,
        program: Program,
        experiment_ids: Sequence[ExperimentId],
        bests: set[ExperimentId],
        hardware_class: HardwareClass | None,
    ) -> ProgramRow:
        experiments = completed = made_best = 0
        best_delta, cost_usd = None, 0.0
        for number, experiment_id in enumerate(experiment_ids):
            if number % COUNTED_AT_ONCE == COUNTED_AT_ONCE - 1:
                await asyncio.sleep(0)
            entry = self._catalog().entry(experiment_id)
            if entry is None or hardware_class not in (None, entry.experiment.hardware_class):
                continue
            experiments += 1
            completed += bool(entry.runs)
            made_best += experiment_id in bests
            cost_usd += entry.usage.cost_usd if entry.usage else 0.0
            delta = self._catalog().delta_of(experiment_id)
            if delta is not None and (best_delta is None or self._rules.gain(delta, best_delta) > 0):
                best_delta = delta
        return ProgramRow(
            program=program,
            is_current=False,
            experiments=experiments,
            completed=completed,
            bests=made_best,
            best_delta=best_delta,
            cost_usd=cost_usd,
        )


def _order(row: ProgramRow) -> tuple[bool, int, int]:
    # A challenge's own may be empty.
    is_volunteers = not row.program.text and not row.is_current
    return is_volunteers, -row.program.version, -row.experiments
