"""A description as what can be compared: settings, mechanisms, and the words that are left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from autoresearch.edits.words.clause import Clause
from autoresearch.edits.words.clauses import MECHANISMS, read_clauses
from autoresearch.edits.words.parts import PARAMETERS, nest
from autoresearch.edits.words.settling import BETAS, settle, settled_value, split_betas
from autoresearch.edits.words.spelling import stem
from autoresearch.edits.words.tokens import number_of, tokenise
from autoresearch.edits.words.trimming import trim
from autoresearch.edits.words.vocabulary import Vocabulary

Subject = frozenset[str]
"""What a setting is about: a knob and the scopes that narrow it."""

_FOLDED = PARAMETERS | {"mlp_ratio", "warmdown"}
_NAME_WORDS_LIMIT = 3
_DEEDS = frozenset({"weight_tying", "untie", "share", "split", "freeze", "reset"})
"""Ideas that are verbs themselves."""

_SWITCHED_OFF = frozenset({"false", "none"})

_NOTHING: frozenset[str] = frozenset()
_EVERYWHERE = frozenset({"every_layer"})
_DIRECTIONS = {"up": "up", "double": "up", "triple": "up", "quadruple": "up"}
_DIRECTIONS |= {"down": "down", "half": "down", "quarter": "down"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A knob and its value; an empty text was not said.

    Attributes:
        subject: The knob with its scopes.
        old, new: Canonical values.
        factor: What the value is multiplied with; what is added to it, if it has a sign.
        direction: ``up`` or ``down`` where the verb says so.
        qualifiers: Words that the table does not know and that may narrow the knob.
        is_mechanism: The knob is no part of every program: naming it is to add it.
    """

    subject: Subject
    old: str = ""
    new: str = ""
    factor: str = ""
    direction: str = ""
    qualifiers: frozenset[str] = frozenset()
    is_mechanism: bool = False

    @property
    def is_open(self) -> bool:
        """True when it does not say how much."""
        return not self.new and not self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a description says to do.

    Attributes:
        settings: By subject.
        added, removed: Terms of the mechanisms that come and go; ``replaced`` are those that give way.
        amounts: Numbers of the mechanisms; ``rest`` are those that belong to nothing that was understood.
        before: What the amounts of the mechanisms were.
        words: What the table does not know, stemmed.
        is_specific: A term of the mechanisms names one, not a family of them.
        has_details: The text goes on after it has named a mechanism; what it says there is not read.
        context: Amounts that are mentioned as present ones of other knobs.
        mentioned: Terms that are named beside what is said to do: other knobs without a value, mechanisms
            that are there.
    """

    settings: Mapping[Subject, Setting] = field(default_factory=dict)
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    amounts: frozenset[str] = frozenset()
    rest: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    is_specific: bool = False
    has_details: bool = False
    context: frozenset[str] = frozenset()
    mentioned: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """True when nothing in it was understood."""
        return not (self.settings or self.mechanisms)

    @property
    def mechanisms(self) -> frozenset[str]:
        """Terms of what comes and what goes."""
        return self.added | self.removed


def read_with(table: Vocabulary, text: str) -> Reading:
    """The reading of a description by a table, without what its parent would say."""
    trimmed = trim(nest(list(table.find_terms(tokenise(text)))), table)
    builder = _Builder(table)
    for clause in read_clauses(trimmed.parts):
        builder.put(clause)
    reading = builder.reading()
    return replace(
        reading,
        has_details=trimmed.has_details,
        context=_frozen(trimmed.context),
        mentioned=_frozen(reading.mentioned | trimmed.mentioned),
    )


class _Builder:
    """Collects clauses into one reading."""

    def __init__(self, table: Vocabulary) -> None:
        self._table = table
        self._verb = ""
        self._settings: dict[Subject, Setting] = {}
        self._mentioned: set[Subject] = set()
        self._added: set[str] = set()
        self._removed: set[str] = set()
        self._replaced: set[str] = set()
        self._amounts: set[str] = set()
        self._rest: set[str] = set()
        self._before: set[str] = set()
        self._words: set[str] = set()

    def put(self, clause: Clause) -> None:
        if clause.is_context:
            return
        if self._verb == "remove" and not (clause.verb or clause.has_value or clause.ideas & _DEEDS):
            clause.verb = "remove"  # "remove the QK norm and the softcap"
        self._verb = "" if clause.is_aside else clause.verb
        settle(clause)
        clause.ideas -= self._table.implied_by(clause.knobs) | (_EVERYWHERE if clause.knobs else _NOTHING)
        self._words.update(self._stems(clause.words))
        if not clause.is_named and clause.is_explicit and clause.new:
            self._name_by_words(clause)
        if clause.ideas and clause.knobs & MECHANISMS and not (clause.has_value or clause.extras):
            # Several mechanisms in a row: each is its own.
            self.put(Clause(knobs=clause.knobs & MECHANISMS, verb=clause.verb))
            clause.knobs -= MECHANISMS
        if clause.knobs and not clause.ideas:
            self._put_settings(clause)
            self._rest |= clause.extras
        elif clause.ideas or (clause.scopes and not self._is_remark(clause)):
            self._put_mechanism(clause)
        else:
            self._rest |= {clause.new, *clause.extras} - {""}

    def _is_remark(self, clause: Clause) -> bool:
        """``SCALAR_LR 0.2, the scalars drift``: parts that are only talked about."""
        return bool(self._settings and clause.words) and not (clause.verb or clause.has_value or clause.old)

    def reading(self) -> Reading:
        self._compose()
        self._replace_in_families()
        self._fold_parameters()
        self._drop_derived()
        stated = {name: setting for name, setting in self._settings.items() if name not in self._mentioned}
        added, removed = frozenset(self._added), frozenset(self._removed)
        settings = stated if stated or added or removed else self._settings
        mentioned = {term for subject in self._mentioned - settings.keys() for term in subject}
        return Reading(
            settings=settings,
            added=_frozen(added - self._table.implied_by(added)),
            removed=_frozen(removed - self._table.implied_by(removed)),
            replaced=_frozen(self._replaced - added - self._table.implied_by(added)),
            amounts=_frozen(self._amounts),
            rest=_frozen(self._rest),
            before=_frozen(self._before),
            words=_frozen(self._words),
            is_specific=bool((added | removed) - self._table.generic),
            mentioned=_frozen(mentioned - self._table.implied_by(added | removed)),
        )

    def _compose(self) -> None:
        """Terms that make one mechanism together: a norm, queries and keys."""
        for terms in (self._added, self._removed):
            for name, parts in self._table.composed:
                if parts <= terms:
                    terms.difference_update(parts)
                    terms.add(name)

    def _replace_in_families(self) -> None:
        """``ReLU^2, no SwiGLU`` replaces the one by the other."""
        for family in self._table.families:
            if self._added & family and self._removed & family:
                self._replaced |= self._removed & family
                self._removed -= family

    def _drop_derived(self) -> None:
        """The width follows from the aspect ratio."""
        if any("aspect_ratio" in subject for subject in self._settings):
            self._settings.pop(frozenset({"width"}), None)

    def _fold_parameters(self) -> None:
        """Settings of what comes with a mechanism are amounts of it: the experts of an MoE."""
        implied = self._table.implied_by(self._added)
        for subject in [subject for subject in self._settings if subject & implied & _FOLDED]:
            setting = self._settings[subject]
            if not (setting.old or setting.factor):
                self._amounts |= {setting.new} - {""}
                del self._settings[subject]
        for name, knobs in self._table.parameters.items():
            amount = self._settings.get(knobs)
            known = self._settings.get(frozenset({name}))
            if amount is not None and known is not None and known.is_open:
                self._settings[known.subject] = replace(known, old=amount.old, new=amount.new)
                del self._settings[knobs]

    def _stems(self, words: Iterable[str]) -> Iterator[str]:
        return (stem(word) for word in words if word not in self._table.silent)

    def _name_by_words(self, clause: Clause) -> None:
        """A knob that the table does not know is called what the text calls it."""
        name = [word for word in clause.qualifiers if word not in self._table.silent]
        clause.knobs |= {"_".join(name[-_NAME_WORDS_LIMIT:])} if name else set()
        clause.qualifiers = []

    def _put_settings(self, clause: Clause) -> None:
        is_mention = clause.verb in {"", "set", "replace"} and not clause.knobs & MECHANISMS
        for setting in self._settings_of(clause):
            known = self._settings.get(setting.subject)
            if known is not None and not known.is_open and not (setting.new and not known.new):
                continue
            self._settings[setting.subject] = setting
            self._mentioned.discard(setting.subject)
            if setting.is_open and is_mention:
                self._mentioned.add(setting.subject)

    def _settings_of(self, clause: Clause) -> Iterator[Setting]:
        terms = frozenset(clause.knobs | clause.scopes)
        subject = terms - self._table.implied_by(terms)
        if BETAS in subject and "," in clause.new:
            for name, old, new in split_betas(clause.old, clause.new):
                yield Setting(subject=(subject - {BETAS}) | {name}, old=old, new=new)
            return
        is_removed = clause.verb == "remove" and not clause.factor
        yield Setting(
            subject=subject,
            old=clause.old,
            new=settled_value(subject, clause.new, is_removed=is_removed),
            factor="" if clause.new else clause.factor,
            direction=_DIRECTIONS.get(clause.verb, "" if clause.has_value else clause.leaning),
            qualifiers=_frozen(self._stems(clause.qualifiers)),
            is_mechanism=bool(subject & MECHANISMS),
        )

    def _put_mechanism(self, clause: Clause) -> None:
        terms = clause.knobs | clause.scopes | clause.ideas
        if clause.new in _SWITCHED_OFF:
            clause.verb, clause.new = "remove", ""
        if clause.verb == "remove":
            self._removed |= terms
        else:
            self._added |= terms
        self._replaced |= clause.replaced
        if clause.factor and clause.factor != clause.new and not (clause.old and clause.new):
            self._amounts.add(clause.factor if (number_of(clause.factor) or 0) > 1 else "*" + clause.factor)
        start = clause.old if clause.is_start and not clause.new else ""
        self._before |= {clause.old} - {"", start}
        self._amounts |= {clause.new or start, *clause.extras} - {"", "true"}


def _frozen(terms: Iterable[str]) -> frozenset[str]:
    """The terms for keeping: thousands of readings are kept, and most of their sets are the empty one."""
    return frozenset(terms) or _NOTHING
