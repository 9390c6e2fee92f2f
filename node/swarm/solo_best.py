"""What a node alone builds on: the same rule as a coordinator's, as far as one node can follow it.

A run that passes the screen becomes the working best as ``provisional`` and is verified at once in pairs
against the best before it. The pairs make it ``self-replicated``, or the best before it returns. More than
that takes other owners.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from autoresearch.evidence import Verdict, next_look, passes_screen, pooled_spread, verify
from autoresearch.model import (
    ExperimentId,
    ExperimentState,
    HardwareClass,
    Level,
    NodeId,
    Outcome,
    Purpose,
    SourceHash,
    WorkingBest,
    new_id,
)

from node.swarm.solo_store import MEASURED, Run, SoloStore, Verification

CANDIDATE_FAILURES_LIMIT = 2
"""A candidate that fails this often while it is verified is dropped."""
PAIRS_ISSUED_LIMIT = 16
"""Pairs that are begun for one candidate, those that came to nothing among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloRules:
    """What the challenge says about its metric."""

    direction: Literal["lower", "higher"]
    prior_sd: float

    def gain(self, score: float, reference: float) -> float:
        """How much better ``score`` is; negative for worse."""
        return reference - score if self.direction == "lower" else score - reference


class SoloBest:
    """Decides over a store; every method that decides runs within its caller's transaction."""

    def __init__(self, store: SoloStore, rules: SoloRules, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._rules = rules
        self._now = now

    def spread(self, hardware_class: HardwareClass) -> float:
        """Standard deviation of a rerun, from runs that nobody picked, without the open candidate's."""
        verification = self._store.open_verification(hardware_class)
        groups: dict[ExperimentId, list[float]] = defaultdict(list)
        for run in self._store.runs(hardware_class):
            if run.score is not None and run.purpose in MEASURED:
                groups[run.experiment_id].append(run.score)
        if verification is not None:
            groups.pop(verification.candidate_id, None)
        row = self._store.class_row(hardware_class)
        prior = row["swarm_spread"] or self._rules.prior_sd
        return pooled_spread(list(groups.values()), prior_sd=prior)

    def take_baseline(self, hardware_class: HardwareClass, experiment_id: ExperimentId) -> None:
        """The challenge's own code is the first working best; each of its runs sharpens the mean."""
        working = self._store.working(hardware_class)
        if working is not None and working.experiment_id != experiment_id:
            return
        if self._store.class_row(hardware_class)["swarm_spread"] is not None:
            return  # the swarm has measured it, with more runs than these
        runs = self._store.runs(hardware_class, experiment_id=experiment_id)
        scores = [run.score for run in runs if run.score is not None and run.purpose in MEASURED]
        if scores:
            self._build_on(experiment_id, hardware_class, Level.BASELINE, scores)
            self._store.mark(experiment_id, ExperimentState.BEST)

    def take_exploration(
        self, hardware_class: HardwareClass, experiment_id: ExperimentId, score: float
    ) -> None:
        """One run of an edit: screened, and verified if it passes and nothing else is being verified."""
        working = self._store.working(hardware_class)
        if working is None or working.experiment_id == experiment_id:
            return
        if not passes_screen(self._rules.gain(score, working.mean), self.spread(hardware_class)):
            return
        if self._store.open_verification(hardware_class) is not None:
            self._store.mark(experiment_id, ExperimentState.CANDIDATE)
            return
        self._promote_provisionally(working, experiment_id, score)

    def take_verification(self, hardware_class: HardwareClass) -> None:
        """After a run of a pair: promotes, drops, or waits for more pairs."""
        verification = self._store.open_verification(hardware_class)
        if verification is None:
            return
        runs = self._store.runs(hardware_class, verification=verification.verification_id)
        verdict = self._verdict(hardware_class, verification, runs)
        if verdict is Verdict.PROMOTE:
            self._promote(hardware_class, verification, runs)
        elif verdict is Verdict.DROP:
            self._refute(verification, runs)
        if verdict is not Verdict.CONTINUE:
            self._verify_next(hardware_class)

    def adopt(self, best: WorkingBest) -> None:
        """The swarm's best takes the place of what was decided here; an open verification ends."""
        verification = self._store.open_verification(best.hardware_class)
        if verification is not None and verification.candidate_id != best.experiment_id:
            self._store.end_verification(verification.verification_id, "overtaken")
            self._store.mark(verification.candidate_id, ExperimentState.COMPLETED)
        elif verification is not None:
            self._store.end_verification(verification.verification_id, "taken over")
        before = self._store.working(best.hardware_class)
        if before is not None and before.experiment_id != best.experiment_id:
            self._store.mark(before.experiment_id, ExperimentState.SUPERSEDED)
        self._store.set_working(best)
        self._store.connection.execute(
            "UPDATE classes SET swarm_spread = ? WHERE hardware_class = ?",
            (best.spread if math.isfinite(best.spread) and best.spread > 0 else None, best.hardware_class),
        )

    def wants_pair(self, hardware_class: HardwareClass, pending: int) -> Verification | None:
        """The verification that needs one more pair than those done and under way."""
        verification = self._store.open_verification(hardware_class)
        if verification is None:
            return None
        done = len(
            _gains(self._store.runs(hardware_class, verification=verification.verification_id), self._rules)
        )
        target = next_look(done)
        return verification if target is not None and done + pending < target else None

    def _verdict(
        self, hardware_class: HardwareClass, verification: Verification, runs: Sequence[Run]
    ) -> Verdict:
        failures = sum(
            run.purpose is Purpose.VERIFY_CANDIDATE and run.outcome is not Outcome.COMPLETED for run in runs
        )
        if failures >= CANDIDATE_FAILURES_LIMIT:
            return Verdict.DROP
        verdict = verify(_gains(runs, self._rules), self.spread(hardware_class))
        if verdict is Verdict.CONTINUE and verification.issued >= PAIRS_ISSUED_LIMIT:
            return Verdict.DROP
        return verdict

    def _promote_provisionally(self, working: WorkingBest, experiment_id: ExperimentId, score: float) -> None:
        self._store.begin_verification(new_id(), experiment_id, working)
        self._store.put_win(experiment_id, new_id())
        self._store.mark(working.experiment_id, ExperimentState.SUPERSEDED)
        self._build_on(experiment_id, working.hardware_class, Level.PROVISIONAL, [score])
        self._store.mark(experiment_id, ExperimentState.BEST)

    def _promote(
        self, hardware_class: HardwareClass, verification: Verification, runs: Sequence[Run]
    ) -> None:
        scores = [
            run.score for run in runs if run.purpose is Purpose.VERIFY_CANDIDATE and run.score is not None
        ]
        self._store.end_verification(verification.verification_id, "promoted")
        self._build_on(verification.candidate_id, hardware_class, Level.SELF_REPLICATED, scores)

    def _refute(self, verification: Verification, runs: Sequence[Run]) -> None:
        """The best before returns, its mean sharpened by the runs that it had as control."""
        self._store.end_verification(verification.verification_id, "dropped")
        self._store.mark(
            verification.candidate_id, ExperimentState.REFUTED, "its gain did not hold in reruns"
        )
        previous = verification.previous
        own = [run.score for run in runs if run.purpose is Purpose.VERIFY_CONTROL and run.score is not None]
        count = previous.runs + len(own)
        mean = math.fsum([previous.mean * previous.runs, *own]) / count if count else previous.mean
        spread = self.spread(previous.hardware_class)
        self._store.set_working(replace(previous, mean=mean, runs=count, spread=spread))
        self._store.mark(previous.experiment_id, ExperimentState.BEST)

    def _verify_next(self, hardware_class: HardwareClass) -> None:
        """The best of those that passed the screen meanwhile, if it still does."""
        working = self._store.working(hardware_class)
        waiting = [
            (row["experiment_id"], self._mean(hardware_class, ExperimentId(row["experiment_id"])))
            for row in self._store.class_rows(hardware_class)
            if row["state"] == ExperimentState.CANDIDATE and row["swarm_summary"] is None
        ]
        scored = [(experiment_id, mean) for experiment_id, mean in waiting if mean is not None]
        if working is None or not scored:
            return
        best_id, best_mean = max(scored, key=lambda pair: self._rules.gain(pair[1], working.mean))
        spread = self.spread(hardware_class)
        for experiment_id, mean in scored:
            if not passes_screen(self._rules.gain(mean, working.mean), spread):
                self._store.mark(ExperimentId(experiment_id), ExperimentState.COMPLETED)
        if passes_screen(self._rules.gain(best_mean, working.mean), spread):
            self._promote_provisionally(working, ExperimentId(best_id), best_mean)

    def _mean(self, hardware_class: HardwareClass, experiment_id: ExperimentId) -> float | None:
        runs = self._store.runs(hardware_class, experiment_id=experiment_id)
        scores = [run.score for run in runs if run.score is not None]
        return math.fsum(scores) / len(scores) if scores else None

    def _build_on(
        self,
        experiment_id: ExperimentId,
        hardware_class: HardwareClass,
        level: Level,
        scores: Sequence[float],
    ) -> None:
        row = self._store.experiment_row(experiment_id)
        if row is None:
            raise AssertionError(f"{experiment_id} has runs and no record")
        working = self._store.working(hardware_class)
        is_same = working is not None and working.experiment_id == experiment_id
        best = WorkingBest(
            experiment_id=experiment_id,
            hardware_class=hardware_class,
            source_hash=SourceHash(row["source_hash"]),
            level=level,
            mean=math.fsum(scores) / len(scores),
            runs=len(scores),
            spread=self.spread(hardware_class),
            since=working.since if working is not None and is_same else self._now(),
            title=row["title"],
            node_id=NodeId(row["node_id"]),
        )
        self._store.set_working(best)


def _gains(runs: Sequence[Run], rules: SoloRules) -> list[float]:
    """The gains of whole pairs, in the order in which they became whole."""
    sides: dict[int, dict[Purpose, float]] = defaultdict(dict)
    gains: list[float] = []
    for run in runs:
        if run.score is None or run.purpose not in (Purpose.VERIFY_CANDIDATE, Purpose.VERIFY_CONTROL):
            continue
        pair = sides[run.seed]
        if run.purpose not in pair:
            pair[run.purpose] = run.score
            if len(pair) == 2:  # noqa: PLR2004 - a pair has two sides
                gains.append(rules.gain(pair[Purpose.VERIFY_CANDIDATE], pair[Purpose.VERIFY_CONTROL]))
    return gains
