"""One statement of a description while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto


class Role(Enum):
    """What the word before an amount or a name makes of it."""

    PLAIN = auto()
    FROM = auto()
    """The value before, where another one follows."""
    OLD = auto()
    """What gives way: "was 3", "instead of 3"."""
    NEW = auto()
    BY = auto()


@dataclass(slots=True)
class Clause:
    """What is named, and what it was, becomes and is scaled by; empty where not said.

    Attributes:
        knobs, scopes, ideas: Names of terms.
        replaced: Names of terms that give way.
        verb: Name of the leading verb.
        old, new: Values as canonical text.
        factor: What a value is multiplied with; a difference if it has a sign.
        extras: Other amounts.
        words: Words that the table does not know; ``qualifiers`` are those before the first amount.
        is_explicit: It gives a value as such: with an equals sign, an arrow, or from one to another.
        is_start: The old value is where something starts: "from 90 % of the run".
        is_context: It says what stays as it is.
        is_aside: It stood in brackets; its verb is not that of what follows.
        leaning: ``up`` or ``down`` by a comparative: "a higher rate".
    """

    knobs: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=set)
    ideas: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    verb: str = ""
    old: str = ""
    new: str = ""
    factor: str = ""
    extras: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)
    qualifiers: list[str] = field(default_factory=list)
    is_explicit: bool = False
    is_start: bool = False
    is_context: bool = False
    is_aside: bool = False
    leaning: str = ""

    @property
    def is_named(self) -> bool:
        """True when it says what it is about."""
        return bool(self.knobs or self.ideas)

    @property
    def has_value(self) -> bool:
        """True when it says how much."""
        return bool(self.new or self.factor)

    def name_multiple(self) -> None:
        """``3x MLP`` says how wide the MLP is."""
        if "mlp" in self.scopes and self.factor and not self.is_named:
            self.knobs.add("mlp_ratio")


@dataclass(slots=True)
class Sentence:
    """The open clause, those before it, and what the last words have promised.

    Attributes:
        late_scopes: Scopes after a complete setting: of that one, or of the next if an amount follows.
        given_scopes: Scopes that seem to give way: they only narrow a knob that follows.
        direction: ``up`` or ``down``, by the last word that says so.
        is_parted: A comma, an "and" or the like stood last.
        is_replacing: What is named gives way, until "with" or "by".
        is_scaling: The next amount is a factor: "scale ... by 2".
    """

    done: list[Clause] = field(default_factory=list)
    clause: Clause = field(default_factory=Clause)
    late_scopes: set[str] = field(default_factory=set)
    given_scopes: set[str] = field(default_factory=set)
    role: Role = Role.PLAIN
    direction: str = ""
    is_parted: bool = False
    is_replacing: bool = False
    is_scaling: bool = False

    def close(self) -> None:
        """Ends the open clause, if it says anything, and opens another one."""
        clause = self.clause
        clause.scopes |= self.late_scopes
        clause.is_explicit |= bool(clause.old and clause.new)
        if clause.is_named or clause.scopes or clause.has_value:
            self.done.append(clause)
        self.clause, self.role, self.direction = Clause(), Role.PLAIN, ""
        self.late_scopes, self.given_scopes = set(), set()
        self.is_parted = self.is_replacing = self.is_scaling = False

    def keep_scopes(self) -> None:
        """``change the embedding LR``: the LR gives way, not the embedding."""
        self.clause.replaced -= self.given_scopes
        self.clause.scopes |= self.given_scopes
        self.given_scopes = set()

    def turn(self) -> None:
        """What was said last is what it was: an arrow."""
        clause = self.clause
        clause.is_explicit = True
        if not clause.old:
            clause.old = clause.new
        clause.new = ""
        if not clause.old and not clause.knobs and not clause.factor:
            self.turn_ideas()
        self.role = Role.NEW

    def turn_ideas(self) -> None:
        """The mechanisms named so far give way to those that follow."""
        self.clause.replaced |= self.clause.ideas
        self.clause.ideas = set()
        self.is_replacing = False

    def end_replacing(self) -> None:
        """The knob itself gives way, unless its value was given: "replace the linear LR decay with"."""
        clause = self.clause
        if self.is_replacing and not (clause.new or clause.old):
            clause.replaced |= clause.knobs
            clause.knobs = set()
        self.is_replacing = False
