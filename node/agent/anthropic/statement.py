"""The tool with which a model states its idea, before it writes a line of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch.edits import ConstantTable, EditError, constants_of
from autoresearch.errors import InvalidArgument
from autoresearch.limits import check_hypothesis
from autoresearch.model import (
    CHANGES_LIMIT,
    RATIONALE_LIMIT_CHARS,
    TITLE_LIMIT_CHARS,
    Change,
    ConstantChange,
    Hypothesis,
    MechanismChange,
    MechanismOp,
)

from node.agent.anthropic.toolbox import BadArguments, ToolAnswer, text_argument

STATEMENT = "state_hypothesis"
STATEMENT_TOOL = {
    "name": STATEMENT,
    "description": (
        "States the one idea to be tried, before any code is written. title: what is changed, short and "
        "exact, for constants 'NAME old -> new'. rationale: why it should help, in a few sentences. changes: "
        "each constant that gets another value, as {name, old, new}, and each mechanism that is added, "
        "removed or replaced, as {op, what, where}. distinction: only where you were asked, why it is not "
        "what was tried."
    ),
    "input_schema": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "rationale": {"type": "string"},
            "changes": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "old": {"type": "string"},
                        "new": {"type": "string"},
                        "op": {"type": "string", "enum": [op.value for op in MechanismOp]},
                        "what": {"type": "string"},
                        "where": {"type": "string"},
                    },
                },
            },
            "distinction": {"type": "string"},
        },
        "required": ["title", "rationale", "changes"],
    },
}


class Statement:
    """Takes one hypothesis that keeps the rules."""

    missing = f"Nothing is stated yet; call {STATEMENT}."

    def __init__(self, parent_source: str, *, agent: str, was_asked: bool) -> None:
        self.hypothesis: Hypothesis | None = None
        self._agent = agent
        self._was_asked = was_asked
        try:
            self._constants: ConstantTable | None = constants_of(parent_source)
        except EditError:
            self._constants = None

    @property
    def is_done(self) -> bool:
        """One idea at a time."""
        return self.hypothesis is not None

    def use(self, name: str, arguments: Any) -> ToolAnswer:
        """One statement; the first that keeps the rules counts."""
        if name != STATEMENT:
            text = f"not now: state the idea with {STATEMENT} first; its code is written once it is granted"
            return ToolAnswer(text=text, is_error=True)
        if self.hypothesis is not None:
            return ToolAnswer(text="one idea at a time: the first one is taken", is_error=True)
        try:
            hypothesis = self._read(arguments)
            check_hypothesis(hypothesis)
        except BadArguments as error:
            return ToolAnswer(text=str(error), is_error=True)
        except InvalidArgument as error:
            return ToolAnswer(text=error.message, is_error=True)
        self.hypothesis = hypothesis
        return ToolAnswer(text="It is taken.")

    def _read(self, arguments: Any) -> Hypothesis:
        title = _clean(text_argument(arguments, "title"))
        rationale = _clean_lines(text_argument(arguments, "rationale"))
        if len(title) > TITLE_LIMIT_CHARS or len(rationale) > RATIONALE_LIMIT_CHARS:
            raise BadArguments(
                f"title may have {TITLE_LIMIT_CHARS} characters and rationale {RATIONALE_LIMIT_CHARS:,}; "
                f"these have {len(title):,} and {len(rationale):,}"
            )
        raw = arguments.get("changes")
        if not isinstance(raw, Sequence) or isinstance(raw, str) or not 1 <= len(raw) <= CHANGES_LIMIT:
            raise BadArguments(f"changes must be a list of 1 to {CHANGES_LIMIT}")
        distinction = _clean_lines(text_argument(arguments, "distinction", default=""))
        return Hypothesis(
            title=title,
            rationale=rationale,
            changes=tuple(self._change(item, place) for place, item in enumerate(raw)),
            distinction=distinction[:RATIONALE_LIMIT_CHARS] if self._was_asked else "",
            agent=self._agent,
        )

    def _change(self, item: Any, place: int) -> Change:
        if isinstance(item, Mapping) and item.get("op"):
            if item["op"] not in set(MechanismOp):
                raise BadArguments(f"changes[{place}].op must be one of {', '.join(MechanismOp)}")
            return MechanismChange(
                op=MechanismOp(item["op"]),
                what=_clean(text_argument(item, "what")),
                where=_clean(text_argument(item, "where", default="")),
            )
        if not isinstance(item, Mapping) or not item.get("name"):
            raise BadArguments(f"changes[{place}] must be {{name, old, new}} or {{op, what, where}}")
        name, new = _clean(text_argument(item, "name")), _clean(text_argument(item, "new"))
        old = _clean(text_argument(item, "old", default=""))
        return self._constant_change(name, old, new, place)

    def _constant_change(self, name: str, old: str, new: str, place: int) -> ConstantChange:
        """By the parent's own spelling and value, which the model may have copied wrongly."""
        if self._constants is None:
            return ConstantChange(name=name, old=old, new=new)
        texts = self._constants.texts()
        known = name if name in texts else self._constants.resolve(name)
        if known is None:
            raise BadArguments(
                f"changes[{place}]: train.py has no constant {name!r} at its top level; state it as a "
                "mechanism, {op, what, where}"
            )
        return ConstantChange(name=known, old=texts.get(known, old), new=new)


def _clean(text: str) -> str:
    """A text on one line, clean enough to travel."""
    return " ".join(_printable(text.replace("\n", " ")).split())


def _clean_lines(text: str) -> str:
    return "\n".join(_printable(line).rstrip() for line in text.strip().splitlines())


def _printable(text: str) -> str:
    whole = text.encode("utf-8", errors="replace").decode("utf-8")
    return "".join(char if char.isprintable() else " " for char in whole)
