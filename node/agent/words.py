"""What an edit is called and said to change: the agent's words, beside the changes that the files show."""

from __future__ import annotations

from autoresearch.edits import EditError, edit_signature
from autoresearch.model import (
    CHANGE_TEXT_LIMIT_CHARS,
    CHANGES_LIMIT,
    RATIONALE_LIMIT_CHARS,
    TITLE_LIMIT_CHARS,
    Change,
    ConstantChange,
    Hypothesis,
    MechanismChange,
    MechanismOp,
)

from node.agent.scratch import Draft

TITLE_MARK = "HYPOTHESIS:"


def hypothesis_of(parent_source: str, draft: Draft, *, agent: str, was_asked: bool = False) -> Hypothesis:
    """The words of the agent beside the changes that the files show: the latter are never its say.

    Its distinction counts where it ``was_asked`` for one: else it answers a warning that it has not seen.
    """
    try:
        signature = edit_signature(parent_source, draft.source)
        constants: list[Change] = list(signature.changes)
        touched = [where or "module level" for where in signature.touched] if signature.patch else []
    except EditError:
        constants, touched = [], []
    derived = ", ".join(f"{c.name} {c.old} -> {c.new}" for c in constants if isinstance(c, ConstantChange))
    title = _text(draft.words.get("title")) or _marked_title(draft.output) or derived
    title = title or f"edit of {', '.join(touched) or 'train.py'}"
    mechanisms = _mechanisms(draft.words.get("changes"))
    if touched and not mechanisms:
        where, what = ", ".join(touched)[:CHANGE_TEXT_LIMIT_CHARS], title[:CHANGE_TEXT_LIMIT_CHARS]
        mechanisms = [MechanismChange(op=MechanismOp.REPLACE, what=what, where=where)]
    return Hypothesis(
        title=title[:TITLE_LIMIT_CHARS],
        rationale=_text(draft.words.get("rationale"))[:RATIONALE_LIMIT_CHARS],
        changes=tuple([*constants, *(mechanisms if touched else [])][:CHANGES_LIMIT]),
        distinction=_text(draft.words.get("distinction"))[:RATIONALE_LIMIT_CHARS] if was_asked else "",
        agent=agent,
    )


def _mechanisms(raw: object) -> list[Change]:
    found: list[Change] = []
    for item in raw if isinstance(raw, list) else []:
        if not isinstance(item, dict) or item.get("op") not in set(MechanismOp):
            continue
        what = _text(item.get("what"))[:CHANGE_TEXT_LIMIT_CHARS]
        if what:
            where = _text(item.get("where"))[:CHANGE_TEXT_LIMIT_CHARS]
            found.append(MechanismChange(op=MechanismOp(item["op"]), what=what, where=where))
    return found[:CHANGES_LIMIT]


def _marked_title(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(TITLE_MARK)]
    return _text(lines[-1].removeprefix(TITLE_MARK)) if lines else ""


def _text(value: object) -> str:
    """A text on one line, clean enough to travel; empty for anything else."""
    if not isinstance(value, str):
        return ""
    clean = value.encode("utf-8", errors="replace").decode("utf-8")
    return " ".join("".join(char if char.isprintable() else " " for char in clean).split())
