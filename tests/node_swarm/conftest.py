import dataclasses
from datetime import timedelta

import pytest
from autoresearch.challenge import find_challenge, load_challenge, parse_challenge
from swarm_samples import START


class Clock:
    """The wall clock of a test; stands still until it is told."""

    def __init__(self):
        self.at = START

    def __call__(self):
        return self.at

    def forward(self, seconds):
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


BASELINE = """\"\"\"A model.\"\"\"

DEPTH = 2
HEAD_DIM = 32


def train(ctx):
    model = ctx.build(DEPTH, HEAD_DIM)
    ctx.start()
    while ctx.running():
        model.step()
    return model
"""


@pytest.fixture(scope="session")
def challenge():
    built_in = load_challenge(find_challenge("pocket"))
    small = parse_challenge(built_in.manifest_toml, BASELINE, built_in.program_md)
    return dataclasses.replace(small, frozen=True)
