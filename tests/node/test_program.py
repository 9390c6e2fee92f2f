import asyncio
import json

import pytest
from autoresearch.errors import Unavailable
from autoresearch.model import Program, ProgramHash, ProgramRow
from autoresearch.program import program_hash

from node import programs
from node.agent.search import SearchAgent
from node.exit_codes import ExitCode
from node.failures import Failed
from node.program import ProgramInForce, program_of_challenge, read_program


def make_program(text, version=1):
    return Program(program_hash=program_hash(text), text=text, version=version, note="why")


class Swarm:
    def __init__(self, *answers):
        self.answers = list(answers)

    async def program(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def in_force(*answers, own=None):
    swarm = Swarm(*answers)
    return swarm, ProgramInForce(swarm.program, program_of_challenge("old"), own=own)


async def test_text_is_fetched_once_when_another_is_heard_of():
    swarm, program = in_force(make_program("new"))
    before = await program.text()

    program.hear(program_hash("new"))
    after = [await program.text() for _ in range(2)]

    assert before == "old"
    assert after == ["new", "new"]
    assert swarm.answers == []


async def test_old_text_stays_until_the_new_one_can_be_had():
    _, program = in_force(Unavailable("nobody answers"), make_program("new"))
    program.hear(program_hash("new"))

    assert [await program.text() for _ in range(2)] == ["old", "new"]


async def test_text_without_its_hash_is_not_taken():
    forged = Program(program_hash=program_hash("new"), text="something else", version=2)
    _, program = in_force(forged)
    program.hear(program_hash("new"))

    assert [await program.text() for _ in range(2)] == ["old", "old"]


async def test_owners_own_text_goes_before_the_swarms():
    swarm, program = in_force(make_program("new"), own="mine")
    program.hear(program_hash("new"))

    assert await program.text() == "mine"
    assert len(swarm.answers) == 1


def test_program_of_ones_own_is_read_or_refused_in_a_sentence(tmp_path):
    path = tmp_path / "program.md"
    path.write_text("mine \u00e9", encoding="utf-8")
    long, binary = tmp_path / "long.md", tmp_path / "binary.md"
    long.write_text("x" * 40_000)
    binary.write_bytes(b"\xff\xfe")

    assert read_program(None) is None
    assert read_program(path) == "mine \u00e9"
    for wrong in (tmp_path / "missing.md", long, binary):
        with pytest.raises(Failed) as refused:
            read_program(wrong)
        assert refused.value.exit_code == ExitCode.USAGE


class Reader:
    def __init__(self, *rows):
        self.rows, self.asked = rows, []

    async def programs(self, hardware_class=None):
        self.asked.append(hardware_class)
        return self.rows


def row(program, **parts):
    counts = {"experiments": 4, "completed": 3, "bests": 1, "best_delta": -0.0123, "cost_usd": 1.5}
    return ProgramRow(program=program, is_current=False, **{**counts, **parts})


def test_programs_are_listed_with_who_set_them(capsys):
    own = row(program_of_challenge("old"))
    theirs = row(Program(program_hash=ProgramHash("p_" + "1" * 32), text="", version=0), best_delta=None)
    reader = Reader(row(make_program("new", 7)), own, theirs)

    asyncio.run(programs.programs(reader, hardware_class="cpu-toy/torch-2.13", as_json=False))
    listed = capsys.readouterr().out
    asyncio.run(programs.programs(reader, hardware_class="", as_json=True))
    printed = json.loads(capsys.readouterr().out)

    assert "-0.0123" in listed
    assert "$1.50" in listed
    assert [one["set_by"] for one in printed] == ["the operator", "the challenge", "a volunteer"]
    assert [one["version"] for one in printed] == [7, 0, None]
    assert reader.asked == ["cpu-toy/torch-2.13", None]


def test_search_reads_no_program():
    assert not SearchAgent(node_id="n").reads_program
