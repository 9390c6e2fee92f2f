"""What a log line may show."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAILING = """
import sys
import structlog
from node.logs import set_up_logging

def refuse(token):
    raise ValueError("refused")

set_up_logging(sys.argv[1], "info")
try:
    refuse("-".join(("sw", "secret", "token")))
except ValueError:
    structlog.get_logger("test").exception("the call failed")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_never_shows_the_values_of_local_variables(form: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAILING, form], capture_output=True, text=True, check=True, timeout=60
    )

    assert "the call failed" in ended.stderr
    assert "ValueError: refused" in ended.stderr
    assert "in refuse" in ended.stderr
    assert "sw-secret-token" not in ended.stderr
