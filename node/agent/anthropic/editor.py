"""The tool with which a model edits ``train.py``: in memory, so there is nothing else that it could reach."""

from __future__ import annotations

import warnings
from typing import Any

from autoresearch.errors import InvalidArgument
from autoresearch.limits import check_source

from node.agent.anthropic.toolbox import (
    BadArguments,
    ToolAnswer,
    number_argument,
    range_argument,
    text_argument,
)
from node.agent.quoting import numbered, quoted

EDITOR = "edit_train_py"
UNDO_LIMIT = 32
CONTEXT_LINES = 4
COMMANDS = ("view", "str_replace", "insert", "undo")
EDITOR_TOOL = {
    "name": EDITOR,
    "description": (
        "Looks at train.py or changes it. view: shows the file, or the lines of view_range. str_replace: "
        "puts new_str in the place of old_str, which must stand in the file exactly once, with its white "
        "space and without line numbers. insert: puts insert_text after the line insert_line; 0 is before "
        "the first. undo: takes the last change back."
    ),
    "input_schema": {
        "type": "object",
        "properties": {
            "command": {"type": "string", "enum": list(COMMANDS)},
            "view_range": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
            "old_str": {"type": "string"},
            "new_str": {"type": "string"},
            "insert_line": {"type": "integer"},
            "insert_text": {"type": "string"},
        },
        "required": ["command"],
    },
}


class Editor:
    """One file and its former states."""

    def __init__(self, source: str) -> None:
        self.original = source
        self.source = source
        self._former: list[str] = []

    is_done = False

    @property
    def missing(self) -> str:
        """A changed file that is Python."""
        if self.source == self.original:
            return f"train.py is unchanged; carry out the change with {EDITOR}."
        complaint = syntax_complaint(self.source)
        if not complaint:
            return ""
        return f"train.py is no Python any more; mend it with {EDITOR}. Python says:\n{quoted(complaint)}"

    def use(self, name: str, arguments: Any) -> ToolAnswer:
        """One command."""
        if name != EDITOR:
            return ToolAnswer(text=f"there is no tool {name[:80]!r} for this; use {EDITOR}", is_error=True)
        try:
            return ToolAnswer(text=self._obey(arguments))
        except BadArguments as error:
            return ToolAnswer(text=str(error), is_error=True)

    def _obey(self, arguments: Any) -> str:
        match text_argument(arguments, "command"):
            case "view":
                return self._view(range_argument(arguments, "view_range"))
            case "str_replace" | "replace":
                new = text_argument(arguments, "new_str", default="")
                return self._replace(text_argument(arguments, "old_str"), new)
            case "insert":
                line = number_argument(arguments, "insert_line")
                return self._insert(line, text_argument(arguments, "insert_text"))
            case "undo" | "undo_edit":
                return self._undo()
            case other:
                raise BadArguments(f"there is no command {other[:80]!r}; use one of {', '.join(COMMANDS)}")

    def _view(self, lines: tuple[int, int] | None) -> str:
        count = len(self.source.split("\n"))
        first, last = lines or (1, count)
        last = count if last == -1 else last
        if not 1 <= first <= last:
            raise BadArguments(f"view_range must be within 1 and {count}, the first line first")
        return numbered(self.source, first=first, last=min(last, count))

    def _replace(self, old: str, new: str) -> str:
        if not old:
            raise BadArguments("old_str is empty; use insert to add lines")
        found = self.source.count(old)
        if found == 0:
            raise BadArguments(
                "old_str does not stand in train.py; copy it with its white space and without the line "
                "numbers and bars of the view"
            )
        if found > 1:
            raise BadArguments(f"old_str stands in train.py {found} times; take more lines around it")
        at = self.source.index(old)
        return self._change(self.source[:at] + new + self.source[at + len(old) :], at, len(new))

    def _insert(self, line: int, text: str) -> str:
        lines = self.source.split("\n")
        count = len(lines) - 1 if lines[-1] == "" else len(lines)
        if not 0 <= line <= count:
            raise BadArguments(f"insert_line must be within 0 and {count}")
        before = "\n".join(lines[:line]) + ("\n" if line else "")
        after = "\n".join(lines[line:])
        block = text if text.endswith("\n") or not after else text + "\n"
        return self._change(before + block + after, len(before), len(block))

    def _undo(self) -> str:
        if not self._former:
            raise BadArguments("there is nothing to undo")
        self.source = self._former.pop()
        return "The last change is taken back."

    def _change(self, source: str, at: int, length: int) -> str:
        try:
            check_source(source.encode(), "train.py")
        except UnicodeEncodeError as error:
            raise BadArguments("the new text holds half a character; write it anew") from error
        except InvalidArgument as error:
            raise BadArguments(error.message) from error
        if source == self.source:
            raise BadArguments("that changes nothing")
        self._former = [*self._former, self.source][-UNDO_LIMIT:]
        self.source = source
        first = source.count("\n", 0, at) + 1
        last = source.count("\n", 0, at + length) + 1
        shown = numbered(source, first=max(1, first - CONTEXT_LINES), last=last + CONTEXT_LINES)
        complaint = syntax_complaint(source)
        note = f"\nIt is no Python any more. Python says:\n{quoted(complaint)}" if complaint else ""
        return f"Done. train.py is now, around it:\n{shown}{note}"


def syntax_complaint(source: str) -> str:
    """What Python says about a text before anything runs it; empty where it is fine.

    It repeats names of the code, whose words may be a stranger's: data like the code itself.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "train.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return str(error)
    return ""
