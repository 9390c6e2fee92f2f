from datetime import timedelta

import pytest
from autoresearch.challenge import find_challenge, load_challenge
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


@pytest.fixture(scope="session")
def challenge():
    return load_challenge(find_challenge("pocket"))
