import io
from pathlib import Path

from autoresearch.limits import PROGRAM_LIMIT_BYTES, check_program

from node.config import Config
from node.order import Order, read_order


def test_an_order_comes_whole_through_the_pipe_with_the_longest_program():
    program = '"\n' * (PROGRAM_LIMIT_BYTES // 2)
    check_program(program, "program")
    order = Order(
        config=Config(state_dir=Path("state"), program=Path("own.md")),
        host="lab:50051",
        challenge_dir=Path("challenge"),
        seat="gpu-0",
        trainer_argv=("python", "-m", "trainer"),
        token="a-token",
        program=program,
    )

    stdin = io.BytesIO(order.line() + b"drain\n")

    assert read_order(stdin) == order
    assert stdin.readline() == b"drain\n"


def test_an_order_tells_its_token_to_the_worker_alone():
    order = Order(
        config=Config(),
        host="",
        challenge_dir=Path("challenge"),
        seat="cpu-0",
        trainer_argv=(),
        token="a-token",
    )

    assert "a-token" not in repr(order)
    assert b"a-token" in order.line()
