"""Draw what ``autoresearch-node leaderboard HOST`` prints as an SVG, for the README.

The picture is of a real leaderboard: the command's own output, in its own colours, and nothing else.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from local_swarm import program
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 112
FONT_FACE = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)
"""Rich refers to fonts on somebody's server; a reader's own monospace does as well."""


def main() -> None:
    """``scripts/leaderboard_picture.py HOST FILE``."""
    if len(sys.argv) != 3:
        sys.exit("usage: scripts/leaderboard_picture.py HOST FILE.svg")
    host, target = sys.argv[1:]
    shown = subprocess.run(
        [program("autoresearch-node"), "leaderboard", host, "--limit", "12"],
        capture_output=True,
        check=True,
        env={**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"},
    )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown.stdout.decode()))
    svg = console.export_svg(title=f"autoresearch-node leaderboard {host}", theme=MONOKAI)
    Path(target).write_text(FONT_FACE.sub("", svg), "utf-8")


if __name__ == "__main__":
    main()
