"""Whether the pairs of a candidate decide, what level that gives it, and what they say of their owners."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from autoresearch.evidence import BETTER, Verdict, margin, standard_error, verify
from autoresearch.model import ExperimentId, ExperimentState, Level, OwnerId

from coordinator.domain.bundles import remembered
from coordinator.domain.class_state import Decided, Pair, SmallGain, Standing, latest
from coordinator.domain.draft import OWNERS_TO_CONFIRM, is_final
from coordinator.domain.hidden_gap import (
    gap_contradictors,
    gap_outliers,
    is_gap_disputed,
    why_it_looks_ahead,
)
from coordinator.domain.reasons import in_figures, why_dropped
from coordinator.domain.refutation import RefutingDraft
from coordinator.domain.series import kept_votes, replications_of, required_test, votes_of
from coordinator.domain.trust import (
    can_spare_any,
    checked,
    gains_by_owner,
    is_disputed,
    is_trusted,
    outliers,
    trust_of,
    with_decided,
    with_trust,
)

INVENTED_ERRORS = 4.0
"""A screening run so far above its verification is no luck: of honest runs one in 30,000."""

STANDS_ERRORS = 3.5
"""Above the bounds of the sequential test, because it is asked after every pair. With it 0.03 per cent
of null edits are confirmed and 86 of gains of two spreads; without it, by the test on the pairs of trusted
owners alone, 0.8 and 86 (``scripts/bench/promotion_odds.py``)."""

CONTRADICTING_PAIRS = 3

FAILURES_LIMIT = 2
"""A candidate that fails this often in verification, where its control ran, is refuted."""

FORMER_LIMIT = 4


class JudgingDraft(RefutingDraft):
    """A draft that applies the sequential rules."""

    def judge(self, candidate_id: ExperimentId) -> None:
        """Applies the sequential rule to both series of a candidate's pairs."""
        standing = self.state.standings[candidate_id]
        if standing.level in (Level.BASELINE, Level.CONFIRMED):
            return
        if len(standing.failures) >= FAILURES_LIMIT:
            self.refute(standing, f"failed {len(standing.failures)} times where its control ran")
            return
        judged = self._judge_votes(standing)
        if judged is None:
            return
        standing = judged
        if not standing.has_passed and not self._is_disputed(standing):
            replications = replications_of(standing)
            verdict = self._verdict(standing, replications, standing.control_id)
            if verdict is Verdict.DROP:
                self._drop(standing, replications, f"dropped after {len(replications)} pairs")
                return
            if verdict is Verdict.PROMOTE:
                standing = replace(standing, has_passed=True)
        reason = self._why_it_looks_ahead(standing)
        if reason is not None:
            self.refute(standing, reason)
            return
        self._raise_level(standing)

    def _judge_votes(self, standing: Standing) -> Standing | None:
        """The series of other voting owners, without those who contradict the rest; None once refuted."""
        anchor_id = self.state.anchor_id
        left_out = self._outliers(standing)
        if left_out or standing.left_out:
            runs = (pair.candidate_score for pair in standing.pairs if pair.owner_id not in left_out)
            standing = replace(standing, left_out=tuple(sorted(left_out)), own_runs=latest(tuple(runs)))
        votes = kept_votes(standing, anchor_id)
        if standing.has_passed_votes:
            if self._is_contradicted(standing, votes):
                told = in_figures(self._gains(votes), self.state.spread(self._rules))
                self.refute(standing, f"contradicted: {len(votes)} pairs of other owners {told}")
                return None
            return standing
        verdict = self._verdict(standing, votes, anchor_id)
        if self._is_disputed(standing):
            verdict = self._while_disputed(standing, votes)
        if verdict is not Verdict.CONTINUE:
            self._check_owners(standing)
        if verdict is Verdict.DROP:
            self._check_proposer(standing, votes, is_dropped=True)
            self._drop(standing, votes, f"dropped after {len(votes)} pairs of other owners")
            return None
        if verdict is Verdict.PROMOTE:
            self._check_proposer(standing, votes, is_dropped=False)
            return replace(standing, has_passed=True, has_passed_votes=True)
        return standing

    def _is_disputed(self, standing: Standing) -> bool:
        votes = kept_votes(standing, self.state.anchor_id)
        spread = self.state.spread(self._rules)
        return is_disputed(votes, self._rules, spread) or is_gap_disputed(votes, self._rules)

    def _why_it_looks_ahead(self, standing: Standing) -> str | None:
        """A reason to refuse what has passed, asked after every pair: who hides it may come first.

        None while owners contradict each other about it: one of them may have come to kill a true gain.
        """
        if not standing.has_passed:
            return None
        votes = kept_votes(standing, self.state.anchor_id)
        pairs = votes if standing.has_passed_votes else replications_of(standing)
        return None if is_gap_disputed(pairs, self._rules) else why_it_looks_ahead(pairs, self._rules)

    def _while_disputed(self, standing: Standing, votes: Sequence[Pair]) -> Verdict:
        """More owners are asked; who still disagree after the last look have not shown a gain."""
        control = self.state.anchor_id
        test = required_test(standing.candidate, self.state.standings.get(control) if control else None)
        return Verdict.DROP if len(votes) >= test.looks[-1].pairs else Verdict.CONTINUE

    def _outliers(self, standing: Standing) -> frozenset[OwnerId]:
        """Owners whose votes on this candidate contradict the others': in scores, or in what was hidden."""
        return self._score_outliers(standing) | self._gap_outliers(standing)

    def _score_outliers(self, standing: Standing) -> frozenset[OwnerId]:
        votes = votes_of(standing, self.state.anchor_id)
        return outliers(votes, self._rules, self.state.spread(self._rules), self._trusted(votes))

    def _gap_outliers(self, standing: Standing) -> frozenset[OwnerId]:
        out, votes = self._score_outliers(standing), votes_of(standing, self.state.anchor_id)
        kept = [pair for pair in votes if pair.owner_id not in out]
        return gap_outliers(kept, self._rules, self._trusted(kept))

    def _contrary(self, standing: Standing, left_out: Collection[OwnerId]) -> frozenset[OwnerId]:
        """Owners who contradict others about what was hidden: their gains earn them nothing here."""
        votes = votes_of(standing, self.state.anchor_id)
        return self._gap_outliers(standing) | gap_contradictors(votes, self._rules, left_out)

    def _trusted(self, votes: Sequence[Pair]) -> frozenset[OwnerId]:
        """Those owners of votes whose word can carry a confirmation."""
        owners = {pair.owner_id for pair in votes}
        return frozenset(one for one in owners if is_trusted(self.state, one, self._context.voters))

    def _is_contradicted(self, standing: Standing, votes: Sequence[Pair]) -> bool:
        """True if what came after a promotion turns it: all votes lose, or the trusted ones are dropped.

        Trusted ones that stand, all together, are not dropped because the spread was estimated anew.
        """
        gains, allowed = self._gains(votes), self._allowed(standing)
        is_loss = len(gains) >= CONTRADICTING_PAIRS and math.fsum(gains) / len(gains) < -allowed
        if is_loss or self._trusted_verdict(standing, votes) is not Verdict.DROP:
            return is_loss
        trusted = self._trusted(votes)
        return not self._stands(standing, [pair for pair in votes if pair.owner_id in trusted])

    def _trusted_verdict(self, standing: Standing, votes: Sequence[Pair]) -> Verdict:
        """What the pairs of trusted owners decide alone."""
        trusted, anchor_id = self._trusted(votes), self.state.anchor_id
        anchor = self.state.standings.get(anchor_id) if anchor_id else None
        gains = self._gains([pair for pair in votes if pair.owner_id in trusted])
        test = required_test(standing.candidate, anchor)
        return verify(gains, self.state.spread(self._rules), test=test)

    def _allowed(self, standing: Standing) -> float:
        """How much worse than the anchor it may be."""
        anchor = self.state.standings.get(self.state.anchor_id) if self.state.anchor_id else None
        return margin(required_test(standing.candidate, anchor), self.state.spread(self._rules))

    def _check_owners(self, standing: Standing) -> None:
        """Checks every owner of a decided series against the others, and keeps it to audit by."""
        votes, anchor_id = votes_of(standing, self.state.anchor_id), self.state.anchor_id
        anchor = self.state.standings.get(anchor_id) if anchor_id else None
        if anchor is None or anchor_id is None:
            return
        copied = self._rules.gain(standing.candidate.screen_score, anchor.mean)
        spread, gains = self.state.spread(self._rules), gains_by_owner(votes, self._rules)
        contrary = self._contrary(standing, standing.left_out)
        self.state = checked(self.state, spread, gains, standing.left_out, copied, contrary=contrary)
        decided = Decided(
            candidate_id=standing.experiment_id,
            source_hash=standing.candidate.source_hash,
            control_id=anchor_id,
            gains=tuple(
                (pair.owner_id, self._rules.gain(pair.candidate_score, pair.control_score))
                for pair in kept_votes(standing, anchor_id)
            ),
        )
        self.state = with_decided(self.state, decided)

    def check_further_vote(self, standing: Standing, owner_id: OwnerId) -> None:
        """A pair of a code that has passed already says something about its owner."""
        votes, left_out = votes_of(standing, self.state.anchor_id), self._outliers(standing)
        # The first pair of a second owner also says something about the first one.
        is_first_meeting = len({pair.owner_id for pair in votes}) == OWNERS_TO_CONFIRM and (
            sum(pair.owner_id == owner_id for pair in votes) == 1
        )
        only = None if is_first_meeting else owner_id
        spread, gains = self.state.spread(self._rules), gains_by_owner(votes, self._rules)
        contrary = self._contrary(standing, left_out)
        self.state = checked(self.state, spread, gains, left_out, None, only=only, contrary=contrary)

    def _drop(self, standing: Standing, pairs: Sequence[Pair], reason: str) -> None:
        """Refutes by the rule. A gain that is only too small is remembered for a bundle."""
        candidate, gains = standing.candidate, self._gains(pairs)
        mean_gain, spread = math.fsum(gains) / len(gains), self.state.spread(self._rules)
        control = self.state.standings.get(pairs[0].slot.control_id)
        test = required_test(candidate, control)
        why = why_dropped(gains, spread, test, is_disputed=self._is_disputed(standing))
        reason = f"{reason} that {in_figures(gains, spread)}: {why}"
        is_edit = candidate.parent_id is not None and test is BETTER
        if mean_gain <= 0 or not is_edit:
            self.refute(standing, reason)
            return
        small = SmallGain(
            experiment_id=candidate.experiment_id,
            parent_id=candidate.parent_id or ExperimentId(""),
            title=candidate.title,
            mean_gain=mean_gain,
            pairs=len(pairs),
        )
        self.state = remembered(self.state, small)
        self.refute(standing, f"{reason}; the gain is kept for a bundle")

    def _verdict(self, standing: Standing, pairs: Sequence[Pair], control_id: ExperimentId | None) -> Verdict:
        """The sequential rule, which promotes only what is better on the mean of all its runs too."""
        gains = self._gains(pairs)
        control = self.state.standings.get(control_id) if control_id else None
        test = required_test(standing.candidate, control)
        last = test.looks[-1].pairs
        if len(gains) < last and all(len(gains) != look.pairs for look in test.looks):
            # Between looks nothing is decided, even if the spread is estimated anew.
            return Verdict.CONTINUE
        spread = self.state.spread(self._rules)
        verdict = verify(gains, spread, test=test)
        if verdict is not Verdict.PROMOTE or control is None:
            return verdict
        mean = math.fsum(pair.candidate_score for pair in pairs) / len(pairs)
        if self._rules.gain(mean, control.mean) > -margin(test, spread):
            return verdict
        return Verdict.CONTINUE if len(gains) < last else Verdict.DROP

    def _raise_level(self, standing: Standing) -> None:
        before = self.state.standings[standing.experiment_id]
        owners = self._passing_owners(standing) if standing.has_passed_votes else ()
        level = self._level(standing, owners)
        if level is Level.CONFIRMED and can_spare_any(self.state, standing, self._context.voters):
            owners = tuple(one for one in owners if one in self._trusted(standing.pairs))
        standing = replace(standing, level=level, confirmed_by=owners)
        if is_final(standing, self._context):
            standing = replace(standing, is_revealed=True)
        if standing != before:
            self.put(standing)
        if level is before.level:
            return
        if level is Level.CONFIRMED:
            self._confirm(standing)
        elif not before.has_passed and standing.control_id is not None:
            self._supersede(standing.control_id, standing.experiment_id)
        reason = self._shown(standing)
        if owners:
            word = "confirmed" if level is Level.CONFIRMED else "agreed"
            reason += f"; {word} by {', '.join(owners)}"
        state = ExperimentState.BEST if level is Level.CONFIRMED else ExperimentState.CANDIDATE
        self.mark(standing.experiment_id, state, reason)
        if standing.experiment_id == self.state.working_id:
            gap = self._holdout_gap(standing) if level is Level.CONFIRMED else None
            self.note_change(standing.control_id, reason, holdout_gap=gap)

    def _level(self, standing: Standing, owners: Sequence[OwnerId]) -> Level:
        if len(owners) >= OWNERS_TO_CONFIRM and self._is_vouched_for(standing, owners):
            return Level.CONFIRMED
        if owners:
            return Level.ONE_OWNER
        return Level.SELF_REPLICATED if standing.has_passed else standing.level

    def _holdout_gap(self, standing: Standing) -> float | None:
        """The mean over the verification runs that measured it."""
        gaps = [pair.holdout_gap for pair in standing.pairs if pair.holdout_gap is not None]
        return math.fsum(gaps) / len(gaps) if gaps else None

    def _passing_owners(self, standing: Standing) -> tuple[OwnerId, ...]:
        """Owners whose own pairs are for it: a gain on average or, for a shorter code, within its margin."""
        votes = kept_votes(standing, self.state.anchor_id)
        allowed = self._allowed(standing)
        gains = gains_by_owner(votes, self._rules)
        return tuple(owner for owner, own in gains.items() if math.fsum(own) / len(own) > -allowed)

    def _is_vouched_for(self, standing: Standing, owners: Sequence[OwnerId]) -> bool:
        """True if the pairs of trusted owners pass alone, and one of them is among those who are for it.

        And nobody contradicts the others about what was hidden. Where enough trusted owners are at hand, the
        pairs have to stand without any one of them: then one owner's word, or one owner's luck, confirms
        nothing.
        """
        votes = kept_votes(standing, self.state.anchor_id)
        trusted = self._trusted(votes)
        if not trusted & set(owners) or is_gap_disputed(votes, self._rules):
            return False
        if not can_spare_any(self.state, standing, self._context.voters):
            return self._trusted_verdict(standing, votes) is Verdict.PROMOTE
        return all(
            self._stands(
                standing, [pair for pair in votes if pair.owner_id in trusted and pair.owner_id != owner]
            )
            for owner in trusted
        )

    def _stands(self, standing: Standing, pairs: Sequence[Pair]) -> bool:
        """True if pairs taken together gain more than luck explains, looked at after each of them."""
        if not pairs:
            return False
        spread, gains = self.state.spread(self._rules), self._gains(pairs)
        mean_gain = math.fsum(gains) / len(gains) + self._allowed(standing)
        return mean_gain > STANDS_ERRORS * standard_error(spread, len(gains))

    def _check_proposer(self, standing: Standing, pairs: Sequence[Pair], *, is_dropped: bool) -> None:
        """Counts a screening run that the votes of two owners contradict by more than luck explains."""
        if len({pair.owner_id for pair in pairs}) < OWNERS_TO_CONFIRM:
            return
        scores = [pair.candidate_score for pair in pairs]
        record = trust_of(self.state, standing.candidate.owner_id)
        excess = self._rules.gain(standing.candidate.screen_score, math.fsum(scores) / len(scores))
        error = self.state.spread(self._rules) * math.sqrt(1 + 1 / len(scores))
        if is_dropped and excess > INVENTED_ERRORS * error:
            self.state = with_trust(self.state, replace(record, invented=record.invented + 1))
        elif not is_dropped and record.invented:
            self.state = with_trust(self.state, replace(record, invented=record.invented - 1))

    def _confirm(self, standing: Standing) -> None:
        """The class's best from now on; what was kept to fall back to is history."""
        for experiment_id in (*self.state.fallback_ids, self.state.confirmed_id):
            if experiment_id is not None and experiment_id != standing.experiment_id:
                self._supersede(experiment_id, standing.experiment_id)
        is_working = standing.experiment_id == self.state.working_id
        kept = () if is_working else self._above(standing.experiment_id)
        former = self.state.former
        if self.state.confirmed is not None:
            former = (*former, replace(self.state.confirmed, pairs=()))[-FORMER_LIMIT:]
        self.state = replace(
            self.state, confirmed_id=standing.experiment_id, fallback_ids=kept, former=former
        )

    def _above(self, experiment_id: ExperimentId) -> tuple[ExperimentId, ...]:
        ids = self.state.fallback_ids
        return ids[ids.index(experiment_id) :] if experiment_id in ids else ids
