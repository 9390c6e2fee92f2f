"""The scratch folder of a command agent: what is put in, and what may come out of it."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoresearch.model import SOURCE_LIMIT_BYTES

from node.agent.base import AgentContext, EditRefused
from node.agent.quoting import history_table, inline, insights_text

TRAIN = "train.py"
PROGRAM = "program.md"
HISTORY = "history.md"
PROMPT = "prompt.md"
HYPOTHESIS = "hypothesis.json"
HYPOTHESIS_LIMIT_BYTES = 64 * 1024
OTHER_FILE_LIMIT_BYTES = 4 * 1024 * 1024
FILES_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What came back: the code, the words if there were any, the end of what the program printed."""

    source: str
    words: Mapping[str, Any]
    said: str = ""
    output: str = ""


def lay_out(workdir: Path, context: AgentContext, source: str, prompt: str) -> dict[str, str]:
    """Fills the folder; returns what every file is, for ``read_back`` to compare with."""
    texts = {
        TRAIN: source,
        PROGRAM: context.program,
        HISTORY: history_table(context.history) + insights_text(context.insights),
        PROMPT: prompt,
    }
    for name, text in texts.items():
        (workdir / name).write_bytes(text.encode())
    return _fingerprints(workdir)


def _fingerprints(workdir: Path) -> dict[str, str]:
    """Every file by its path with what it is; what hidden folders hold is the agent's own affair."""
    found: dict[str, str] = {}
    for path in sorted(workdir.rglob("*")):
        name = path.relative_to(workdir)
        if any(part.startswith(".") or part == "__pycache__" for part in name.parts):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if len(found) >= FILES_LIMIT:
            raise EditRefused(f"the agent left over {FILES_LIMIT:,} files in its folder")
        if not stat.S_ISREG(mode):
            found[str(name)] = "not a regular file"
        elif path.name != TRAIN and path.stat().st_size > OTHER_FILE_LIMIT_BYTES:
            found[str(name)] = "large"
        else:
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def read_back(workdir: Path, before: Mapping[str, str]) -> Draft:
    """The edited file and the words with it, if nothing else was touched. Raises EditRefused."""
    train = workdir / TRAIN
    if not train.exists() or not stat.S_ISREG(train.lstat().st_mode):
        raise EditRefused("train.py is gone or is no regular file any more")
    size = train.stat().st_size
    if size > SOURCE_LIMIT_BYTES:
        raise EditRefused(f"train.py has {size:,} bytes, over {SOURCE_LIMIT_BYTES:,}")
    after = _fingerprints(workdir)
    names_seen = (before.keys() | after.keys()) - {TRAIN, HYPOTHESIS}
    touched = sorted(name for name in names_seen if before.get(name) != after.get(name))
    if touched:
        names = ", ".join(inline(name, 60) for name in touched[:5])
        raise EditRefused(f"the agent touched {names}; only train.py may differ")
    try:
        source = train.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise EditRefused(f"train.py is not UTF-8 ({error.reason})") from error
    return Draft(source=source, words=_read_words(workdir / HYPOTHESIS))


def _read_words(path: Path) -> Mapping[str, Any]:
    """``hypothesis.json`` if it is there and makes sense; the diff speaks for itself otherwise."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > HYPOTHESIS_LIMIT_BYTES:
            return {}
        words = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return words if isinstance(words, dict) else {}
