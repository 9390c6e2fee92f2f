"""Whom to believe: what owners report is checked against what others report of the same codes.

An owner's pairs are checked where the coordinator knows better: other owners have measured the same
candidate against the same control. Such a check is made at every decision, for every further pair of a code
that has passed, and in audits, which ask for a pair of a code that was decided before. All three are the same
task to the node: it is not told, and the coordinator itself may not know yet, whether a pair will be used or
checked.

A check compares the owner's mean gain with the others': agreement counts, a difference of more than
``CONFLICT_ERRORS`` standard errors is a strike, after which twice as many agreements are needed. That catches
who invents. It does not catch who copies. The runs of a code that is being verified are sealed, so what a
node that does not run can report is the screening run's score. But that score was picked for being good, so
whoever copies it reports too large a gain, again and again. ``candour`` adds up the log likelihood ratio of
"ran it" against "copied the screen" (Wald's sequential test) at every decision; an owner is trusted once it
has reached ``CANDOUR_MIN``. Audits, of codes whose score anybody can read, find liars and earn nobody trust.

What it does not catch is an owner who runs nothing and guesses well, taking a part of the screening run's
gain for true: in ``scripts/bench/liars.py`` such an owner may end up trusted. It hardly moves a mean, and a
confirmation has to stand without any one owner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from autoresearch.model import OwnerId

from coordinator.domain.class_state import ClassState, Decided, Pair, Rules, Standing, Trust

AGREEMENTS_TO_TRUST = 3
STRIKES_LIMIT = 6
"""Beyond this many, trust needs no more agreements than 3 * 2^6: for good, in practice."""

CONFLICT_ERRORS = 3.0
"""Honest owners differ by more in 0.3 per cent of the checks."""

TRUSTED_MAJORITY = 3
"""So many trusted owners who agree overrule one: two who collude do not."""

CANDOUR_MIN = 2.0
CANDOUR_LIMIT = 8.0
CANDOUR_STEP = 2.0
"""No single check says more than this: one lucky pair must not make up for many."""

COPIES_SHOW_FROM_VOTERS = 4
"""With fewer voting owners candour is not asked for: there are too few checks to tell by."""

INVENTED_LIMIT = 3
"""An owner with so many invented screening runs has its candidates verified no more."""

DECIDED_LIMIT = 12
TRUTH_PAIRS = 3
"""Others' pairs that make a decided code fit for an audit."""

AUDIT_SHARE_MAX = 0.1
"""Of the verification runs of the class, so of all its runs less."""

AUDIT_RUNS_FREE = 12
"""So many audit runs may come before the share counts, so that a young class is not without them."""

RUNS_PER_PAIR = 2


def trust_of(state: ClassState, owner_id: OwnerId) -> Trust:
    """An owner's record in this class."""
    return next((one for one in state.trust if one.owner_id == owner_id), Trust(owner_id=owner_id))


def is_trusted(state: ClassState, owner_id: OwnerId, voters: Collection[OwnerId]) -> bool:
    """True if the owner's word can carry a confirmation."""
    record = trust_of(state, owner_id)
    needed = AGREEMENTS_TO_TRUST << min(record.strikes, STRIKES_LIMIT)
    is_candid = record.candour >= CANDOUR_MIN or len(voters) < COPIES_SHOW_FROM_VOTERS
    return record.agreed >= needed and is_candid


def can_spare_any(state: ClassState, standing: Standing, voters: Collection[OwnerId]) -> bool:
    """True if so many trusted owners could verify a code that no one of them has to be needed for it."""
    others = [one for one in voters if one not in standing.candidate.owners]
    return sum(is_trusted(state, one, voters) for one in others) >= TRUSTED_MAJORITY


def may_audit(state: ClassState, audits_live: int) -> bool:
    """True if one more audit pair keeps within the audits' share of runs."""
    runs = state.audit_runs + RUNS_PER_PAIR * (audits_live + 1)
    return runs <= max(AUDIT_RUNS_FREE, AUDIT_SHARE_MAX * state.verification_runs)


def gains_by_owner(pairs: Iterable[Pair], rules: Rules) -> dict[OwnerId, list[float]]:
    """Each owner's gains, in their order."""
    gains: dict[OwnerId, list[float]] = {}
    for pair in pairs:
        gains.setdefault(pair.owner_id, []).append(rules.gain(pair.candidate_score, pair.control_score))
    return gains


def outliers(
    pairs: Sequence[Pair], rules: Rules, spread: float, trusted: Collection[OwnerId]
) -> frozenset[OwnerId]:
    """Owners whose pairs contradict the others', so that they decide nothing.

    First those who are not trusted, the farthest first, as long as two others or a trusted one stand against
    each. If trusted owners still contradict each other, the farthest give way where those who are left agree,
    are ``TRUSTED_MAJORITY`` or more, and twice as many. Otherwise they stay, and the candidate is disputed:
    who is right only further owners can say.
    """
    return outliers_among(gains_by_owner(pairs, rules), spread, trusted)


def outliers_among(
    figures: Mapping[OwnerId, Sequence[float]], spread: float, trusted: Collection[OwnerId]
) -> frozenset[OwnerId]:
    """``outliers`` by each owner's figures, whatever is measured; a pair's varies as sqrt(2) spreads."""
    kept = dict(figures)
    out = _farthest(kept, spread, lambda owner, left: _may_be_left_out(owner, left, trusted))
    kept = {owner: own for owner, own in kept.items() if owner not in out}
    overruled = _farthest(kept, spread, lambda _, left: len(left) > 1)
    agreeing = (kept.keys() - overruled) & set(trusted)
    if overruled and len(agreeing) >= max(TRUSTED_MAJORITY, 2 * len(overruled)):
        return out | overruled
    return out


def _farthest(
    gains: Mapping[OwnerId, Sequence[float]],
    spread: float,
    may_go: Callable[[OwnerId, Collection[OwnerId]], bool],
) -> frozenset[OwnerId]:
    """Owners to leave out, one at a time, until the rest agree or none of them may go."""
    kept, out = dict(gains), set[OwnerId]()
    while len(kept) > 1:
        errors = {owner: abs(_errors(kept, owner, spread)) for owner in kept if may_go(owner, kept.keys())}
        farthest = max(errors, key=lambda owner: errors[owner], default=None)
        if farthest is None or errors[farthest] <= CONFLICT_ERRORS:
            break
        out.add(farthest)
        del kept[farthest]
    return frozenset(out)


def is_disputed(pairs: Sequence[Pair], rules: Rules, spread: float) -> bool:
    """True if an owner among those that were kept still contradicts the others: nothing is promoted."""
    return disagree(gains_by_owner(pairs, rules), spread)


def disagree(figures: Mapping[OwnerId, Sequence[float]], spread: float) -> bool:
    """True if some owner's figures contradict the others'."""
    return any(contradicts(figures, owner, spread) for owner in figures)


def contradicts(figures: Mapping[OwnerId, Sequence[float]], owner: OwnerId, spread: float) -> bool:
    """True if an owner's figures are farther from the others' than luck explains."""
    return len(figures) > 1 and abs(_errors(figures, owner, spread)) > CONFLICT_ERRORS


def checked(
    state: ClassState,
    spread: float,
    gains: Mapping[OwnerId, Sequence[float]],
    left_out: Collection[OwnerId],
    copied_gain: float | None,
    *,
    only: OwnerId | None = None,
    informed: OwnerId | None = None,
    contrary: Collection[OwnerId] = (),
) -> ClassState:
    """The state after every owner of these gains (or one) was checked against the others.

    Args:
        state: Of the class.
        spread: Of the class.
        gains: Of one candidate against one control, by owner.
        left_out: Owners that contradict the others: nobody is measured by them.
        copied_gain: What a node would report that copied the screening run; None to leave candour as it is.
        only: The owner whose further pair this is.
        informed: An owner who could read what the others had measured: agreeing earns it nothing.
        contrary: Owners who contradict others about another figure than the score, whatever their gains say.
    """
    for owner in gains if only is None else (only,):
        others = {key: own for key, own in gains.items() if key not in left_out or key == owner}
        if len(others) < 2:  # noqa: PLR2004  (the owner and another)
            continue
        record = trust_of(state, owner)
        if owner in contrary or contradicts(others, owner, spread):
            if owner in left_out:
                record = replace(record, agreed=0, strikes=record.strikes + 1, candour=0.0)
        else:
            if owner != informed:
                pairs_agreed = 1 if only is not None else len(gains[owner])
                record = replace(record, agreed=record.agreed + pairs_agreed)
            if copied_gain is not None:
                step = _candour(others, owner, spread, copied_gain)
                record = replace(record, candour=min(CANDOUR_LIMIT, record.candour + step))
        state = with_trust(state, record)
    return state


def audited(state: ClassState, spread: float, decided: Decided, owner_id: OwnerId, gain: float) -> ClassState:
    """The state after an audit pair: its owner is checked against others' pairs, with which it is kept."""
    gains: dict[OwnerId, list[float]] = {owner_id: [gain]}
    for owner, known in decided.gains:
        if owner != owner_id:
            gains.setdefault(owner, []).append(known)
    left_out = {owner_id} if contradicts(gains, owner_id, spread) else set[OwnerId]()
    state = checked(state, spread, gains, left_out, None, only=owner_id, informed=owner_id)
    kept = replace(
        decided,
        audited=(*decided.audited, owner_id),
        gains=decided.gains if left_out else (*decided.gains, (owner_id, gain)),
    )
    return replace(state, decided=tuple(kept if one is decided else one for one in state.decided))


def with_trust(state: ClassState, record: Trust) -> ClassState:
    """The state with an owner's record."""
    others = tuple(one for one in state.trust if one.owner_id != record.owner_id)
    return replace(state, trust=(*others, record))


def with_decided(state: ClassState, decided: Decided) -> ClassState:
    """The state with one more decided code to audit by, the oldest left out past the limit."""
    if len({owner for owner, _ in decided.gains}) < 2:  # noqa: PLR2004  (two owners agree)
        return state
    others = [one for one in state.decided if one.candidate_id != decided.candidate_id]
    return replace(state, decided=tuple([*others, decided][-DECIDED_LIMIT:]))


def _errors(gains: Mapping[OwnerId, Sequence[float]], owner: OwnerId, spread: float) -> float:
    """An owner's mean gain against the others', in standard errors of that difference."""
    own, rest = _split(gains, owner)
    return (_mean(own) - _mean(rest)) / math.sqrt(_variance(own, spread) + _variance(rest, spread))


def _candour(
    gains: Mapping[OwnerId, Sequence[float]], owner: OwnerId, spread: float, copied_gain: float
) -> float:
    own, rest = _split(gains, owner)
    ran = _log_density(_mean(own) - _mean(rest), _variance(own, spread) + _variance(rest, spread))
    copied = _log_density(_mean(own) - copied_gain, _variance(own, spread))
    return max(-CANDOUR_STEP, min(CANDOUR_STEP, ran - copied))


def _split(
    gains: Mapping[OwnerId, Sequence[float]], owner: OwnerId
) -> tuple[Sequence[float], Sequence[float]]:
    return gains[owner], [gain for key, own in gains.items() if key != owner for gain in own]


def _may_be_left_out(owner: OwnerId, owners: Collection[OwnerId], trusted: Collection[OwnerId]) -> bool:
    others = set(owners) - {owner}
    return owner not in trusted and (len(others) > 1 or bool(others & set(trusted)))


def _mean(gains: Sequence[float]) -> float:
    return math.fsum(gains) / len(gains)


def _variance(gains: Sequence[float], spread: float) -> float:
    """Of a mean difference of pairs."""
    return 2 * spread**2 / len(gains)


def _log_density(difference: float, variance: float) -> float:
    return -0.5 * (math.log(variance) + difference**2 / variance)
