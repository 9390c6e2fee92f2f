"""Taking a code out again: with what was built on it, and back to what survives."""

from __future__ import annotations

import math
from dataclasses import replace

from autoresearch.evidence import margin
from autoresearch.model import ExperimentId, ExperimentState, Level

from coordinator.domain.class_state import Standing
from coordinator.domain.draft import Draft, is_worth_verifying
from coordinator.domain.series import required_test

REVIEW_RUNS = 8

REVIEW_ERRORS = 2.35
"""A confirmed best falls if as many control runs as a last look has lose what would be a gain there."""


class RefutingDraft(Draft):
    """A draft that can demote."""

    def review_confirmed(self) -> None:
        """Demotes a confirmed best whose runs as a control say that it never was better.

        Its runs as a candidate made it the best; those as a control were asked for by nobody who gains.
        """
        confirmed = self.state.confirmed
        before = self.state.former[-1] if self.state.former else self.state.baseline
        if confirmed is None or before is None or len(confirmed.control_runs) < REVIEW_RUNS:
            return
        runs = confirmed.control_runs
        gain = self._rules.gain(math.fsum(runs) / len(runs), before.mean)
        spread = self.state.spread(self._rules)
        error = spread * math.sqrt(1 / len(runs) + 1 / max(1, len(before.runs)))
        if gain < -REVIEW_ERRORS * error - self._allowed_against(confirmed, before):
            self.refute(confirmed, f"{len(runs)} runs as a control lose {-gain:.6g} on the best before it")

    def refute(self, standing: Standing, reason: str) -> None:
        """Takes a code out with all that was built on it; nodes go back to the best before it.

        Its descendants lose their place and wait to be verified against that best.
        """
        refuted_id, was_working = standing.experiment_id, self.state.working_id
        self.mark(refuted_id, ExperimentState.REFUTED, reason)
        demoted = self._descendants(refuted_id)
        gone = {refuted_id, *(one.experiment_id for one in demoted)}
        if self.state.confirmed_id == refuted_id:
            self._restore_former()
        fallback = tuple(one for one in self.state.fallback_ids if one not in gone)
        halves = tuple(one for one in self.state.halves if one.slot.candidate_id not in gone)
        self.state = replace(self.state, fallback_ids=fallback, halves=halves)
        if was_working in gone:
            self._restore(refuted_id, reason)
        for one in demoted:
            self._send_back(one, refuted_id)
        if was_working in gone:
            self.rescreen(refuted=refuted_id)

    def _send_back(self, standing: Standing, refuted_id: ExperimentId) -> None:
        """To be verified anew if all its runs so far say that it may be worth it, else to be tried anew.

        It waits by its screening run: an order by its other runs would tell of what is sealed.
        """
        by_its_runs = replace(standing.candidate, screen_score=standing.mean)
        working, spread = self.state.working, self.state.spread(self._rules)
        if working is None or is_worth_verifying(by_its_runs, working, self._rules, spread):
            state, what_next = ExperimentState.CANDIDATE, "waits to be verified on the best before it"
            self.wait(standing.candidate)
        else:
            state, what_next = ExperimentState.COMPLETED, "queued to be tried on the present best"
            self._requeued.append(standing.candidate)
        reason = f"was built on {refuted_id}, which was refuted; {what_next}"
        self.mark(standing.experiment_id, state, reason)

    def _restore(self, refuted_id: ExperimentId, reason: str) -> None:
        """Builds on what survives."""
        fallback = self.state.fallback_ids
        restored_id = fallback[-1] if fallback else self.state.anchor_id
        if restored_id is None:
            raise ValueError(f"{refuted_id} is built on, and {self.state.hardware_class} has no baseline")
        previous = self.state.working_id
        self.state = replace(self.state, working_id=restored_id, fallback_ids=fallback[:-1])
        restored = self.state.standings[restored_id]
        if restored.level is not Level.BASELINE:
            is_best = restored.level is Level.CONFIRMED
            state = ExperimentState.BEST if is_best else ExperimentState.CANDIDATE
            self.mark(restored_id, state, f"is built on again: {refuted_id} was refuted")
        self.note_change(previous, f"{refuted_id} was refuted ({reason}); back to the best before it")

    def _restore_former(self) -> None:
        """The confirmed best before this one is the best again; without one the baseline is compared with."""
        *former, best = self.state.former or (None,)
        self.state = replace(
            self.state,
            confirmed_id=best.experiment_id if best else None,
            former=tuple(one for one in former if one is not None),
        )
        if best is not None:
            self.put(best)
            self.mark(best.experiment_id, ExperimentState.BEST, "is the best again")

    def _descendants(self, refuted_id: ExperimentId) -> list[Standing]:
        """What stands above a code and came from it; a confirmed one has proved itself on its own."""
        gone = {refuted_id}
        found = []
        for experiment_id in (*self.state.fallback_ids, self.state.working_id):
            standing = self.state.standings.get(experiment_id) if experiment_id else None
            if standing is None or standing.level in (Level.BASELINE, Level.CONFIRMED):
                continue
            if standing.candidate.parent_id in gone or standing.control_id in gone:
                gone.add(standing.experiment_id)
                found.append(standing)
        return [one for one in found if one.experiment_id != refuted_id]

    def _allowed_against(self, standing: Standing, control: Standing) -> float:
        test = required_test(standing.candidate, control)
        return margin(test, self.state.spread(self._rules))
