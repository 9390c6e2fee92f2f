"""A coding agent that makes exactly the edits of a plan: for drills, as ``--agent-command``.

``python planned_agent.py PLAN WORKDIR``. PLAN is a folder. ``NN.json`` in it is an edit: a title, constants
with their new source text, lines to append, and optionally the text that ``train.py`` has to hold for the
edit to be due. Each is proposed once, in order of name; while none is due the agent waits for more. Asked to
write the code of somebody's idea, it makes the edit with the idea's title.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

POLL_S = 0.2
WAIT_LIMIT_S = 7200.0
USED = ".used"


def main() -> None:
    """One call of a node: propose, write the code of an idea, or leave a broken edit as it is."""
    plan, workdir = Path(sys.argv[1]), Path(sys.argv[2])
    prompt = (workdir / "prompt.md").read_text()
    if "holds an idea that failed" in prompt:
        return
    train = workdir / "train.py"
    source = train.read_text()
    if "one idea of somebody else" in prompt:
        edit = next((one for _, one in edits(plan) if one["title"] in prompt), None)
        if edit is None:
            sys.exit("the plan has no edit of this title")
    else:
        edit = wait_for_edit(plan, source)
        words = {"title": edit["title"], "rationale": edit["rationale"]}
        (workdir / "hypothesis.json").write_text(json.dumps(words))
    train.write_text(edited(source, edit))


def edits(plan: Path) -> list[tuple[Path, dict[str, Any]]]:
    """All of them, used or not."""
    return [(path, json.loads(path.read_text())) for path in sorted(plan.glob("*.json"))]


def wait_for_edit(plan: Path, source: str) -> dict[str, Any]:
    """The first edit that is due and was not proposed before."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while time.monotonic() < deadline:
        for path, edit in edits(plan):
            if edit["due_on"] in source and not path.with_suffix(USED).exists():
                path.with_suffix(USED).touch()
                return edit
        time.sleep(POLL_S)
    sys.exit("the plan has no edit that is due")


def edited(source: str, edit: dict[str, Any]) -> str:
    """The source with the edit's constants and its lines at the end."""
    for name, value in edit["constants"].items():
        source, count = re.subn(
            rf"(?m)^{re.escape(name)} = [^#\n]*?(?=\s*(#|$))", f"{name} = {value}", source
        )
        if count != 1:
            sys.exit(f"train.py has {count} constants {name}, not one")
    return source + edit["lines"]


if __name__ == "__main__":
    main()
