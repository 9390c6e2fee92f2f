"""Versions of the program.md, in the process's memory."""

from __future__ import annotations

from autoresearch.model import Program, ProgramHash

from coordinator.storage.memory.tables import ChallengeTables


class MemoryPrograms:
    """The programs of one challenge."""

    _t: ChallengeTables

    async def set_program(
        self, program_hash: ProgramHash, text: str, note: str, *, own: ProgramHash, kept: int
    ) -> Program | None:
        programs = self._t.programs
        if (programs[-1].program_hash if programs else own) == program_hash:
            return None
        version = programs[-1].version + 1 if programs else 1
        programs.append(
            Program(program_hash=program_hash, text=text, version=version, note=note, set_at=self._t.now())
        )
        del programs[:-kept]
        return programs[-1]

    async def get_program(self) -> Program | None:
        return self._t.programs[-1] if self._t.programs else None

    async def get_programs(self) -> tuple[Program, ...]:
        return tuple(self._t.programs)
