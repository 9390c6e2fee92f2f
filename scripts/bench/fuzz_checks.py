"""One input of the fuzzer at a time: what is asked of the readers of edits, and what they promised."""

from __future__ import annotations

import hashlib
import random
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache

from autoresearch.edits import (
    CanonicalChanges,
    EditError,
    EditSignature,
    canonical_changes,
    changes_from_title,
    changes_of_edit,
    constants_of,
    edit_signature,
    file_signature,
    program_size,
    words_match,
)
from autoresearch.edits.merge import merge
from autoresearch.edits.words import changes_from_reading, read_text
from autoresearch.model import TITLE_LIMIT_CHARS, Change
from bench.fuzz_mutations import mutated
from bench.fuzz_programs import nearby_lines, output_of, random_program, script_lines, script_of
from bench.fuzz_rewrites import rewritten
from bench.fuzz_texts import (
    hostile_changes,
    long_text,
    mutated_program,
    mutated_title,
    random_unicode,
    real_programs,
    token_soup,
)

from coordinator.dedup.pairs import Answer, Pair, judge_pair

TITLE_STALL_MS = 100.0
SOURCE_STALL_MS = 5_000.0
HANG_S = 30.0
"""CPU seconds after which an input is given up."""

RETRIALS = 2
PARENTS = 12
SENTENCE_MIN, SENTENCE_MAX = 10, 1_500
SHOWN_CHARS = 300
_KINDS = {
    "unicode": 20,
    "soup": 30,
    "titles": 25,
    "long": 5,
    "changes": 12,
    "programs": 8,
}
_FLOAT = re.compile(r"(?<![\d.])(\d+)\.0(?![\d.])")


@dataclass(frozen=True, slots=True)
class Failure:
    """A promise that one input broke."""

    promise: str
    kind: str
    index: int
    about: str

    def shown(self) -> dict[str, object]:
        return {"promise": self.promise, "kind": self.kind, "index": self.index, "about": self.about}


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one input."""

    kind: str
    index: int
    cpu_ms: float = 0.0
    is_refused: bool = False
    digest: str = ""
    failures: list[Failure] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)

    def check(self, promise: str, *, holds: bool, about: object = "") -> None:
        self.checks[promise] += 1
        if not holds:
            self.failures.append(Failure(promise, self.kind, self.index, repr(about)[:SHOWN_CHARS]))


class _Hanging(BaseException):
    """No reader's own handler may catch this."""


def kind_of(seed: int, index: int) -> str:
    """Which kind of input a number gives."""
    return _chance("kind", seed, index).choices(list(_KINDS), list(_KINDS.values()))[0]


def warm_up(seed: int) -> None:
    """Reads what is read once in a process: the vocabulary, and each parent."""
    for parent in _parents(seed):
        read_text("DEPTH 8 -> 10", parent)
        _no_edit(parent)


def check_input(seed: int, index: int, *, again: bool = True) -> Outcome:
    """Makes an input and asks all who read its kind, ``again`` to compare the answers."""
    kind = kind_of(seed, index)
    outcome = Outcome(kind=kind, index=index)
    chance = _chance("input", seed, index)
    match kind:
        case "changes":
            changes, parent = hostile_changes(chance), chance.choice([None, *_parents(seed)])
            _asked(
                outcome, lambda: _ask_changes(outcome, changes, parent), changes, TITLE_STALL_MS, again=again
            )
        case "programs":
            program, other, parent = mutated_program(chance), mutated_program(chance), _parent(seed, chance)
            _asked(
                outcome,
                lambda: _ask_program(outcome, program, other, parent),
                program,
                SOURCE_STALL_MS,
                again=again,
            )
        case _:
            make = {"unicode": random_unicode, "soup": token_soup, "titles": mutated_title, "long": long_text}
            title, parent = make[kind](chance), _parent(seed, chance)
            other = make[kind](_chance("other", seed, index // 2))  # some are neighbours, some the very same
            limit_ms = TITLE_STALL_MS if len(title) <= TITLE_LIMIT_CHARS else SOURCE_STALL_MS
            _asked(outcome, lambda: _ask_title(outcome, title, other, parent), title, limit_ms, again=again)
    return outcome


def check_program(seed: int, index: int) -> Outcome:
    """Rewrites a program, which changes no signature, and changes it, which changes them."""
    outcome = Outcome(kind="rewrites", index=index)
    chance = _chance("program", seed, index)
    program = chance.choice(real_programs()) if chance.random() < 0.05 else random_program(chance)
    with _watched(outcome, program):
        other, third = mutated(program, chance), mutated(program, chance)
        same, plain = rewritten(program, chance, keeps_derivation=False), rewritten(program, chance)
        spelled = rewritten(other, chance, keeps_derivation=False)
        edit, another = edit_signature(program, other), edit_signature(program, third)
        signatures = [file_signature(one) for one in (program, other, third)]
        outcome.check("rewritten_file", holds=file_signature(same) == signatures[0], about=same)
        outcome.check("rewritten_edit", holds=edit_signature(program, same).is_empty, about=same)
        outcome.check("changed_file", holds=signatures[1] != signatures[0], about=other)
        outcome.check("changed_edit", holds=not edit.is_empty, about=other)
        is_same = other == third
        outcome.check("two_changes", holds=(signatures[1] == signatures[2]) is is_same, about=third)
        outcome.check("two_edits", holds=(edit.key == another.key) is is_same, about=third)
        outcome.check("edit_in_both_spellings", holds=edit_signature(program, spelled) == edit, about=spelled)
        outcome.check("edit_on_both_spellings", holds=edit_signature(plain, spelled) == edit, about=plain)
        keys = (changes_of_edit(edit).key, changes_of_edit(another).key)
        outcome.check("two_edits_in_words", holds=(keys[0] == keys[1]) is is_same, about=third)
    return outcome


def check_scripts(seed: int, index: int) -> Outcome:
    """Two scripts that are nearly one: equal signatures mean that they print the same."""
    outcome = Outcome(kind="scripts", index=index)
    chance = _chance("scripts", seed, index)
    lines = script_lines(chance)
    parent, one, other = (
        script_of(part) for part in (nearby_lines(lines, chance), lines, nearby_lines(lines, chance))
    )
    with _watched(outcome, lines):
        same_file = file_signature(one) == file_signature(other)
        same_edit = edit_signature(parent, one).key == edit_signature(parent, other).key
        if same_file:
            outcome.check("equal_files_print_the_same", holds=_print_the_same(one, other), about=other)
        if same_edit:
            # On one parent an int is as good as the float that it replaces.
            outcome.check(
                "equal_edits_print_the_same", holds=_print_the_same(one, other, _FLOAT), about=other
            )
        outcome.check("equal_files_are_equal_edits", holds=same_edit or not same_file, about=(parent, other))
    return outcome


def _print_the_same(one: str, other: str, loose: re.Pattern[str] | None = None) -> bool:
    outputs = [output_of(source) for source in (one, other)]
    if any(output[-1:] == ["NameError"] for output in outputs):
        return True  # who reads a constant before its only assignment fails, wherever that may stand
    if loose is not None:
        outputs = [[loose.sub(r"\1", line) for line in output] for output in outputs]
    return outputs[0] == outputs[1]


def _ask_title(outcome: Outcome, title: str, other: str, parent: str) -> object:
    alone, reading = read_text(title), read_text(title, parent)
    exact, free = changes_from_title(title, parent), changes_from_reading(reading, parent)
    said = [changes for changes in (exact, free) if changes is not None]
    for changes in said:
        outcome.check("says_something", holds=not changes.is_empty, about=title)
        words_match(_no_edit(parent), changes)
    if exact is not None and free is not None:
        outcome.check("one_key_for_exact_and_free", holds=exact.key == free.key, about=title)
    pair = Pair(a=title, b=other, parent_code=parent if outcome.index % 4 else "")
    verdict, back = judge_pair(pair), judge_pair(replace(pair, a=other, b=title))
    about = (pair, verdict.answer.value, back.answer.value)
    outcome.check("symmetric", holds=verdict.answer is back.answer, about=about)
    if title.strip():
        own = judge_pair(Pair(a=title, b=title, parent_code=parent))
        outcome.check("reflexive", holds=own.answer is not Answer.ALLOW, about=title)
        shouted = judge_pair(Pair(a=title, b=f"  {title} \n", parent_code=parent))
        outcome.check("reflexive", holds=shouted.answer is not Answer.ALLOW, about=title)
    return [alone, reading, said, verdict, back]


def _ask_changes(outcome: Outcome, changes: list[Change], parent: str | None) -> CanonicalChanges:
    canonical = canonical_changes(changes, parent)
    for again in (changes[::-1], [*changes, *changes[: max(0, 64 - len(changes))]]):
        outcome.check("any_order", holds=canonical_changes(again, parent).key == canonical.key, about=changes)
    if parent is not None:
        words_match(_no_edit(parent), canonical)
    return canonical


def _ask_program(outcome: Outcome, program: str, other: str, parent: str) -> object:
    signature, size = file_signature(program), program_size(program)
    edit, back = edit_signature(parent, program), edit_signature(program, parent)
    outcome.check("nothing_is_empty", holds=edit_signature(program, program).is_empty)
    outcome.check(
        "empty_is_equal", holds=edit.is_empty is (signature == file_signature(parent)), about=program
    )
    said = changes_of_edit(edit)
    words_match(edit, said)
    words_match(edit, changes_of_edit(back))
    read_text("halve the LR", program)
    verdicts = []
    for a, b in ((program, parent), (parent, program), (program, program)):
        verdicts.append(judge_pair(Pair(a="one", b="two", a_code=a, b_code=b, parent_code=parent)))
    outcome.check("symmetric", holds=verdicts[0].answer is verdicts[1].answer, about=program)
    if program:  # else it was not given
        outcome.check("reflexive", holds=verdicts[2].answer is not Answer.ALLOW, about=program)
    merged = merge(parent, program, parent)
    outcome.check(
        "merge_keeps_one_side", holds=merged is None or file_signature(merged) == signature, about=program
    )
    try:
        sides = [merge(parent, program, other), merge(parent, other, program)]
        outcome.check("merge_is_symmetric", holds=sides[0] == sides[1], about=program)
    except EditError:
        sides = []
    return [signature, size, edit, back, constants_of(program).texts(), verdicts, sides]


def _asked(
    outcome: Outcome, ask: Callable[[], object], about: object, limit_ms: float, *, again: bool
) -> None:
    """Asks, takes the time, and notes whether a second answer is another."""
    answers: list[object] = []
    with _watched(outcome, about):
        for _ in range(1 + again):
            answer, cpu_ms = _timed(ask, outcome)
            outcome.cpu_ms = outcome.cpu_ms or cpu_ms
            answers.append(answer)
        for _ in range(RETRIALS):
            if outcome.cpu_ms > limit_ms:  # a stall stays one when asked again
                outcome.cpu_ms = min(outcome.cpu_ms, _timed(ask, outcome)[1])
        outcome.check("no_stall", holds=outcome.cpu_ms <= limit_ms, about=(outcome.cpu_ms, about))
        texts = [_text_of(answer) for answer in answers]
        if again:
            outcome.check("same_again", holds=texts[0] == texts[1], about=about)
        outcome.digest = hashlib.blake2b(texts[0].encode("utf-8", "surrogatepass")).hexdigest()


def _timed(ask: Callable[[], object], outcome: Outcome) -> tuple[object, float]:
    """An answer, or the sentence that refuses one, and the milliseconds of CPU that it took."""
    start = time.process_time()
    try:
        answer = ask()
    except EditError as error:
        outcome.is_refused = True
        answer = str(error)
        outcome.check(
            "refused_in_a_sentence", holds=SENTENCE_MIN <= len(answer) <= SENTENCE_MAX, about=answer
        )
    return answer, (time.process_time() - start) * 1e3


@contextmanager
def _watched(outcome: Outcome, about: object) -> Iterator[None]:
    """Notes a crash or a hang; nothing that an input does ends the run."""

    def give_up(*_: object) -> None:
        raise _Hanging

    signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANG_S)
    outcome.checks["no_crash"] += 1
    try:
        yield
    except _Hanging:
        outcome.check("no_stall", holds=False, about=("over", HANG_S, about))
    except Exception as error:  # noqa: BLE001 - any is a finding
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__}: {error} ({frame.name}, line {frame.lineno})"
        outcome.failures.append(
            Failure(
                "no_crash", outcome.kind, outcome.index, f"{where[:SHOWN_CHARS]} {about!r}"[: 3 * SHOWN_CHARS]
            )
        )
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _text_of(value: object) -> str:
    """One text for equal values; the order of mappings counts, that of sets does not."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = (f"{part.name}={_text_of(getattr(value, part.name))}" for part in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(_text_of, value))) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text_of(key)}: {_text_of(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text_of, value)) + "]"
    return ascii(value)


def _chance(what: str, seed: int, index: int) -> random.Random:
    return random.Random(f"{what} {seed} {index}")


def _parent(seed: int, chance: random.Random) -> str:
    return chance.choice(_parents(seed))


@lru_cache(maxsize=2 * PARENTS)
def _no_edit(parent: str) -> EditSignature:
    return edit_signature(parent, parent)


@lru_cache(maxsize=1)
def _parents(seed: int) -> tuple[str, ...]:
    """Sources that titles and changes are read against; few, since each is read but once."""
    own = tuple(random_program(_chance("parent", seed, index)) for index in range(PARENTS))
    return (*own, *real_programs(), "A = 1\nB = 2\nC = (A, B)\nDEPTH = 8\nADAM_BETAS = (0.8, 0.95)\n", "")
