"""What the ``command`` agent hands to a program, text by text: the program writes down all that it sees."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus import Hostile
from prompts import KINDS, LIKE, PLAINS
from slots import broken_source, hostile_context, hostile_failure, hostile_hypothesis, with_materials
from watch import Watch

from node.agent.command import AgentCommand, CommandAgent

FILES = ("history.md", "program.md", "prompt.md", "train.py")
RECORDER = """#!/bin/sh
cd "$PWD" || exit 1
cat /proc/$$/cmdline > {records}/argv
cat /proc/$$/environ > {records}/env
pwd > {records}/cwd
ls -A > {records}/names
cat > {records}/stdin
cp history.md program.md prompt.md train.py {records}
echo '# tried' >> train.py
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one call of the program saw, and what it should have found in two of its files."""

    argv: list[str]
    env: str
    cwd: str
    names: str
    stdin: str
    files: Mapping[str, str]
    program: str
    source: str


class Commands:
    """One program for each thing that is asked, so that all three can be asked at once."""

    def __init__(self, folder: Path, environ: Mapping[str, str], agent_of: type = CommandAgent) -> None:
        self.folder = folder
        self._agents = {}
        for name in ("propose", "edit", "repair"):
            records = folder / name
            records.mkdir(parents=True)
            script = folder / f"{name}.sh"
            script.write_text(RECORDER.format(records=records))
            words = ("/bin/sh", str(script), "{prompt}", "--file={prompt_file}", "--dir={workdir}")
            command = AgentCommand(template=words, time_limit_s=60.0)
            self._agents[name] = agent_of(command=command, environ=environ)

    async def seen_by(self, hostile: Hostile) -> dict[str, Seen]:
        """The three calls with one text in all places at once."""
        context, hypothesis = hostile_context(hostile), hostile_hypothesis(hostile)
        merged = with_materials(context, hostile, KINDS[hostile.number % len(KINDS)])
        broken = broken_source(hostile)
        await asyncio.gather(
            self._agents["propose"].propose(context),
            self._agents["edit"].edit(merged, hypothesis),
            self._agents["repair"].repair(context, broken, hostile_failure(hostile)),
        )
        sources = {"propose": context.parent_source, "edit": context.parent_source, "repair": broken}
        return {name: self._read(name, context.program, source) for name, source in sources.items()}

    def _read(self, name: str, program: str, source: str) -> Seen:
        records = self.folder / name

        def text(part: str) -> str:
            return (records / part).read_bytes().decode()

        return Seen(
            argv=text("argv").split("\0")[:-1],
            env=text("env"),
            cwd=text("cwd"),
            names=text("names"),
            stdin=text("stdin"),
            files={part: text(part) for part in FILES},
            program=program,
            source=source,
        )


async def watch_commands(
    watch: Watch,
    texts: Iterable[Hostile],
    folder: Path,
    environ: Mapping[str, str],
    agent_of: type = CommandAgent,
) -> None:
    """Looks at command line, environment, folder, files and stdin of each call."""
    commands = Commands(folder, environ, agent_of)
    plain = [await commands.seen_by(hostile) for hostile in PLAINS]
    turn_of = {hostile.number % LIKE: place for place, hostile in enumerate(PLAINS)}
    for hostile in texts:
        seen = await commands.seen_by(hostile)
        for name, one in seen.items():
            _watch_call(watch, f"command, {name}", one, plain[turn_of[hostile.number % LIKE]][name])
    watch_for_files(watch, "command", folder)


def watch_for_files(watch: Watch, place: str, folder: Path) -> None:
    """Nothing made what the texts for shells would make."""
    made = sorted(path.name for path in folder.rglob("*pwned*"))
    watch.expect(f"{place}, files that a shell would have made", made, [])


def _watch_call(watch: Watch, place: str, seen: Seen, plain: Seen) -> None:
    watch.expect(f"{place}, number of arguments", len(seen.argv), len(plain.argv))
    watch.expect(f"{place}, prompt on the command line", seen.argv[2], plain.argv[2])
    watch.without_texts(f"{place}, command line", "\n".join(seen.argv))
    watch.without_texts(f"{place}, environment", seen.env)
    watch.without_texts(f"{place}, folder", seen.cwd)
    watch.expect(f"{place}, stdin", seen.stdin, "")
    watch.expect(f"{place}, names of files", tuple(seen.names.split("\n")[:-1]), FILES)
    watch.expect(f"{place}, program.md", seen.files["program.md"], seen.program)
    watch.expect(f"{place}, train.py", seen.files["train.py"], seen.source)
    for name in ("history.md", "prompt.md"):
        watch.quoted(f"{place}, {name}", seen.files[name])
        watch.same_frame(f"{place}, {name}", seen.files[name], plain.files[name])
    for text in (*seen.argv, seen.env, *seen.files.values()):
        watch.without_secrets(place, text)
