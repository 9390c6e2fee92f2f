"""Versions of the program.md, on Redis."""

from __future__ import annotations

import json

from autoresearch.model import Program, ProgramHash

from coordinator.storage.redis.link import ScriptRunner
from coordinator.storage.redis.records import from_millis


class RedisPrograms:
    """The programs of one challenge."""

    _runner: ScriptRunner

    async def set_program(
        self, program_hash: ProgramHash, text: str, note: str, *, own: ProgramHash, kept: int
    ) -> Program | None:
        fields = json.dumps({"hash": program_hash, "text": text, "note": note}, ensure_ascii=False)
        stamp = await self._runner.run("set_program", [program_hash, own, fields, kept])
        return _read(stamp + b" " + fields.encode()) if stamp else None

    async def get_program(self) -> Program | None:
        last = await self._runner.link.command("LINDEX", self._runner.keys.named("programs"), -1)
        return _read(last) if last is not None else None

    async def get_programs(self) -> tuple[Program, ...]:
        lines = await self._runner.link.command("LRANGE", self._runner.keys.named("programs"), 0, -1)
        return tuple(_read(line) for line in lines)


def _read(line: bytes) -> Program:
    version, set_ms, text = line.split(b" ", 2)
    fields = json.loads(text)
    return Program(
        program_hash=ProgramHash(fields["hash"]),
        text=fields["text"],
        version=int(version),
        note=fields["note"],
        set_at=from_millis(float(set_ms)),
    )
