"""What a result does to a node's own store: it is kept, it blocks repeats, and it may move the best."""

from __future__ import annotations

from autoresearch.baseline import baseline_id
from autoresearch.challenge import Challenge
from autoresearch.errors import InvalidArgument, UnknownChallenge
from autoresearch.model import ExperimentState, Outcome, Purpose, Result

from node.library import source_hash
from node.swarm.protocol import Publication
from node.swarm.solo_best import SoloBest
from node.swarm.solo_keys import EditKeys
from node.swarm.solo_listing import SoloListing
from node.swarm.solo_store import SoloStore

REPEATABLE_CRASHES = frozenset({"", "killed", "no_report", "cancelled"})
"""Crashes that say nothing about the code: trying it again is not repeating."""

STATE_OF = {
    Outcome.COMPLETED: ExperimentState.COMPLETED,
    Outcome.CRASHED: ExperimentState.CRASHED,
    Outcome.TIMED_OUT: ExperimentState.TIMED_OUT,
    Outcome.REJECTED: ExperimentState.REJECTED,
}


class SoloResults:
    """Takes results in, within its caller's transaction."""

    def __init__(self, store: SoloStore, best: SoloBest, listing: SoloListing, challenge: Challenge) -> None:
        self._store = store
        self._best = best
        self._listing = listing
        self._challenge = challenge

    def take(self, publication: Publication, done: EditKeys, raw: bytes) -> None:
        """Keeps a new result, decides on it, and ends its lease; ``raw`` tells a repeat from another."""
        self._record(publication, done, raw)
        self._decide(publication.result)
        self._end_lease(publication)

    def check(self, publication: Publication) -> None:
        result, experiment = publication.result, publication.experiment
        if {result.challenge_id, experiment.challenge_id} != {self._challenge.challenge_id}:
            raise UnknownChallenge(f"this is {self._challenge.challenge_id}, not {result.challenge_id}")
        if experiment.experiment_id != result.experiment_id:
            raise InvalidArgument("the publication's experiment is not the one of its result")
        if not source_hash(publication.source) == experiment.source_hash == result.code_hash:
            raise InvalidArgument("the publication's code does not have the hash that its result names")

    def keep_experiment(self, publication: Publication, done: EditKeys) -> None:
        experiment = publication.experiment
        self._store.put_source(experiment.source_hash, publication.source)
        self._store.put_experiment(experiment, STATE_OF[publication.result.outcome])
        self._store.put_knobs(experiment.hardware_class, done.knobs, experiment.experiment_id)

    def _record(self, publication: Publication, done: EditKeys, raw: bytes) -> None:
        result, experiment = publication.result, publication.experiment
        score = None
        if result.outcome is Outcome.COMPLETED:
            score = result.metrics[self._challenge.metric_name]
        self.keep_experiment(publication, done)
        self._store.put_result(result, score, raw)
        row = self._store.experiment_row(result.experiment_id)
        if row is not None and row["state"] in (ExperimentState.RUNNING, ExperimentState.LOST):
            self._store.mark(result.experiment_id, STATE_OF[result.outcome], result.reason)
        if blocks(result):
            self._store.put_tried(experiment.hardware_class, done.keys, experiment.experiment_id)
        if score is not None and experiment.parent is not None and result.purpose is Purpose.EXPLORE:
            reference = self._listing.mean(experiment.hardware_class, experiment.parent)
            if reference is not None:
                self._store.set_delta(experiment.experiment_id, score - reference)

    def _decide(self, result: Result) -> None:
        hardware_class = result.hardware.hardware_class
        if result.purpose is Purpose.BASELINE:
            if result.experiment_id == baseline_id(self._challenge.challenge_id, hardware_class):
                self._best.take_baseline(hardware_class, result.experiment_id)
        elif result.purpose is Purpose.EXPLORE:
            if result.outcome is Outcome.COMPLETED:
                score = result.metrics[self._challenge.metric_name]
                self._best.take_exploration(hardware_class, result.experiment_id, score)
        else:
            self._best.take_verification(hardware_class)

    def _end_lease(self, publication: Publication) -> None:
        """The run's claim is done; a pair's only with its second run."""
        if publication.lease is None:
            return
        row = self._store.claim_row(publication.lease.claim_id)
        if row is None or row["token"] != publication.lease.fencing_token:
            return
        result = publication.result
        if row["kind"] == "verification":
            runs = self._store.runs(result.hardware.hardware_class, verification=result.verification_id)
            if len({run.purpose for run in runs if run.seed == result.seed}) < 2:  # noqa: PLR2004
                return
        if row["kind"] == "hypothesis" and row["subject"] is not None:
            self._store.finish_idea(row["subject"])
        self._store.end_claim(publication.lease.claim_id)


def blocks(result: Result) -> bool:
    """Does this outcome make a repeat on this machine pointless?"""
    return not (result.outcome is Outcome.CRASHED and result.crash_kind in REPEATABLE_CRASHES)
