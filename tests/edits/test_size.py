from __future__ import annotations

import pytest
from autoresearch.edits import EditError, is_shorter, program_size

PROGRAM = """\
import torch

LR = 0.04


def train(ctx):
    model = build(ctx, LR)
    model = wrap(model)
    return model
"""


def test_layout_comments_names_and_annotations_do_not_count() -> None:
    spelled = '''\
"""What it does."""
import torch
LEARNING_RATE: float = 0.04  # per step
def train(context_of_the_run):
    """Trains."""
    pass
    the_model = build( context_of_the_run,
                       LEARNING_RATE )
    the_model = wrap(the_model)
    return the_model
'''

    assert program_size(spelled) == program_size(PROGRAM)


def test_a_removed_statement_is_shorter_and_a_rearrangement_is_not() -> None:
    without = PROGRAM.replace("    model = wrap(model)\n", "")
    chained = PROGRAM.replace(
        "    model = build(ctx, LR)\n    model = wrap(model)\n", "    model = wrap(build(ctx, LR))\n"
    )

    assert is_shorter(program_size(without), program_size(PROGRAM))
    assert program_size(chained) < program_size(PROGRAM)
    assert not is_shorter(program_size(chained), program_size(PROGRAM))


def test_code_in_texts_is_no_shorter_than_code() -> None:
    hidden = f"exec({PROGRAM!r})\n"
    in_docstring = f'"""{PROGRAM}"""\nexec(__doc__)\n'

    assert not is_shorter(program_size(hidden), program_size(PROGRAM))
    assert program_size(in_docstring) > len(PROGRAM) // 8
    assert program_size(f'"""{PROGRAM}"""\n') < 5


def test_a_size_that_is_not_known_is_never_shorter() -> None:
    assert not is_shorter(0, 1_000)
    assert not is_shorter(10, 0)


def test_what_is_not_python_has_no_size() -> None:
    with pytest.raises(EditError):
        program_size("def broken(:")
