"""How often is the promotion of bests right, and what does it cost? Prints JSON.

It drives the coordinator's own pure functions (what to run next, what a result does); only the scores are
drawn, normal with a true mean per code and one spread. Three parts:

- ``edits``: one edit at a time in a class of its own, whose baseline has ten runs; from the screening run to
  the end of the rule, by pairs of owners without a vote (``passed``) and by the votes of five owners whose
  trust is earned (``confirmed``). Effects are true gains in spreads.
- ``shorter``: the same for edits that shorten the code.
- ``mix``: one class with ten owners, one node each, that explore and verify as the scheduler asks. An edit's
  true gain over what nodes build on is drawn from ``MIX``; 15 per cent of the edits shorten the code.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from autoresearch.model import ExperimentId, HardwareClass, Level, NodeId, OwnerId, Purpose, SourceHash

from coordinator.domain.class_state import Candidate, ClassState, Half, Rules, Slot, Trust
from coordinator.domain.draft import Context, Decision
from coordinator.domain.promotion import record_baseline, record_exploration, record_verification
from coordinator.domain.scheduling import Capabilities, Swarm, UnderWay, Verify, choose
from coordinator.domain.trust import with_trust
from coordinator.domain.verification import Worker

SPREAD = 0.01
RULES = Rules(direction="lower", prior_sd=SPREAD, baseline_runs=3)
START = datetime(2026, 1, 1, tzinfo=UTC)
BASELINE = ExperimentId("baseline")
BASELINE_RUNS = 10
SIZE, SHORTER = 400, 380
PAIRS_LIMIT = 64
"""Pairs of one edit: more than any rule takes."""

MIX = (
    (0.60, -3.0, -0.5, "worse by 0.5 to 3 spreads"),
    (0.28, 0.0, 0.0, "no effect"),
    (0.08, 0.3, 1.0, "better by 0.3 to 1"),
    (0.03, 1.0, 2.0, "better by 1 to 2"),
    (0.01, 2.0, 4.0, "better by 2 to 4"),
)
"""Share, lowest and highest true gain in spreads: most edits of a good baseline hurt, few help."""

SHORTENING_SHARE = 0.15
STEP = timedelta(minutes=1)


@dataclass
class World:
    """One class, the true means of its codes, and what was spent."""

    rng: random.Random
    owners: tuple[str, ...]
    are_voters: bool = True
    state: ClassState = field(default_factory=lambda: ClassState(hardware_class=HardwareClass("sim")))
    means: dict[str, float] = field(default_factory=lambda: {str(BASELINE): 1.0})
    now: datetime = START
    made: int = 0
    runs: int = 0

    def context(self) -> Context:
        voters = frozenset(map(OwnerId, self.owners)) if self.are_voters else frozenset[OwnerId]()
        return Context(rules=RULES, now=self.now, voters=voters)

    def workers(self) -> list[Worker]:
        return [
            Worker(node_id=NodeId(f"n-{one}"), owner_id=OwnerId(one), has_vote=self.are_voters)
            for one in self.owners
        ]

    def take(self, decision: Decision) -> Decision:
        self.state = decision.state
        return decision

    def run(self, experiment_id: str) -> float:
        self.runs += 1
        return self.rng.gauss(self.means[experiment_id], SPREAD)

    def open(self, runs: int) -> None:
        for number in range(runs):
            code = self.code(BASELINE, self.run(BASELINE), owner="challenge", parent=None, size=SIZE)
            self.take(
                record_baseline(self.state, self.context(), run=code, node_id=NodeId("n"), number=number)
            )

    def code(
        self, name: str, score: float, *, owner: str, parent: ExperimentId | None, size: int
    ) -> Candidate:
        return Candidate(
            experiment_id=ExperimentId(name),
            source_hash=SourceHash(name),
            parent_id=parent,
            node_id=NodeId(f"n-{owner}"),
            owner_id=OwnerId(owner),
            title=name,
            screen_score=score,
            size=size,
        )

    def explore(self, owner: str, gain_in_spreads: float, *, size: int, parent: ExperimentId) -> str:
        self.made += 1
        name = f"x{self.made}"
        self.means[name] = self.means[parent] - gain_in_spreads * SPREAD
        code = self.code(name, self.run(name), owner=owner, parent=parent, size=size)
        self.take(record_exploration(self.state, self.context(), code))
        return name

    def pair(self, worker: Worker, slot: Slot) -> Decision:
        self.made += 1
        decision = Decision(state=self.state, marks={}, changes=(), requeued=())
        for purpose, code in (
            (Purpose.VERIFY_CANDIDATE, slot.candidate_id),
            (Purpose.VERIFY_CONTROL, slot.control_id),
        ):
            half = Half(
                verification_id=f"v{self.made}",
                slot=slot,
                purpose=purpose,
                owner_id=worker.owner_id,
                node_id=worker.node_id,
                score=self.run(code),
            )
            decision = self.take(record_verification(self.state, self.context(), half))
        return decision

    def next_slot(self, worker: Worker, *, can_propose: bool = False) -> Slot | None:
        """The pair that the scheduler asks this worker for, or None to explore."""
        choices = choose(
            self.state,
            RULES,
            worker,
            Capabilities(can_propose=can_propose, can_train=True),
            Swarm(workers=self.workers(), under_way=UnderWay(), ideas=()),
            coin=self.rng.random(),
            lot=self.rng.random(),
        )
        return next((one.slot for one in choices if isinstance(one, Verify)), None) if choices else None


def one_edit(
    rng: random.Random, gain: float, *, size: int = SIZE, has_votes: bool = False
) -> tuple[bool, int]:
    """Whether one edit passes, and how many runs that took."""
    world = World(rng=rng, owners=("a", "b", "c", "d", "e"), are_voters=has_votes)
    world.open(BASELINE_RUNS)
    if has_votes:
        for owner in world.owners:
            world.state = with_trust(world.state, Trust(owner_id=OwnerId(owner), agreed=99, candour=8.0))
    before = world.runs
    name = ExperimentId(world.explore("proposer", gain, size=size, parent=BASELINE))
    workers = world.workers()
    for index in range(PAIRS_LIMIT * len(workers)):
        standing = world.state.standings.get(name)
        if standing is None or (standing.level is Level.CONFIRMED if has_votes else standing.has_passed):
            break
        worker = workers[index % len(workers)]
        slot = world.next_slot(worker)
        if slot is not None and not slot.is_audit:
            world.pair(worker, slot)
    standing = world.state.standings.get(name)
    passed = standing is not None and (
        standing.level is Level.CONFIRMED if has_votes else standing.has_passed
    )
    return passed, world.runs - before


def odds(seed: int, gain: float, trials: int, *, size: int = SIZE, has_votes: bool = False) -> dict[str, Any]:
    """Over many edits of one true gain."""
    rng = random.Random(seed)
    results = [one_edit(rng, gain, size=size, has_votes=has_votes) for _ in range(trials)]
    return {
        "gain_in_spreads": gain,
        "trials": trials,
        "passed": round(sum(passed for passed, _ in results) / trials, 4),
        "runs_per_edit": round(sum(runs for _, runs in results) / trials, 2),
    }


def drawn_gain(rng: random.Random) -> tuple[float, str]:
    """A true gain from the mix, and its kind."""
    at = rng.random()
    for share, low, high, kind in MIX:
        if at < share:
            return rng.uniform(low, high), kind
        at -= share
    return 0.0, "no effect"


def mixed_swarm(seed: int, experiments: int, owners: int = 10) -> dict[str, Any]:
    """One class on the documented mix, from its baseline on."""
    rng = random.Random(seed)
    world = World(rng=rng, owners=tuple(f"o{index}" for index in range(owners)))
    world.open(RULES.baseline_runs)
    explored, confirmed, best_means = 0, list[str](), list[float]()
    kinds: dict[str, str] = {}
    tried, promoted = dict[str, int](), dict[str, int]()
    while explored < experiments:
        worker = rng.choice(world.workers())
        world.now += STEP
        slot = world.next_slot(worker, can_propose=True)
        if slot is not None:
            world.pair(worker, slot)
        elif world.state.working is not None:
            gain, kind = drawn_gain(rng)
            working = world.state.working
            is_shorter = rng.random() < SHORTENING_SHARE
            change = -20 if is_shorter else rng.randint(0, 20)
            size = max(50, working.candidate.size + change)
            name = world.explore(str(worker.owner_id), gain, size=size, parent=working.experiment_id)
            kinds[name] = kind + (", shorter" if is_shorter else "")
            tried[kinds[name]] = tried.get(kinds[name], 0) + 1
            explored += 1
        best = world.state.confirmed_id
        if best is not None and (not confirmed or confirmed[-1] != best):
            confirmed.append(str(best))
            best_means.append(world.means[best])
            promoted[kinds[best]] = promoted.get(kinds[best], 0) + 1
    steps = [before - after for before, after in zip([1.0, *best_means], best_means, strict=False)]
    return {
        "experiments": explored,
        "owners": owners,
        "runs": world.runs,
        "runs_per_experiment": round(world.runs / explored, 3),
        "audit_runs": world.state.audit_runs,
        "audit_share_of_runs": round(world.state.audit_runs / world.runs, 4),
        "confirmed": len(confirmed),
        "confirmed_that_are_worse_than_the_best_before": sum(step < -1e-12 for step in steps),
        "of_these_by_more_than_half_a_spread": sum(step < -SPREAD / 2 for step in steps),
        "true_gain_in_spreads": round((1.0 - world.means[confirmed[-1]]) / SPREAD, 2) if confirmed else 0.0,
        "tried": dict(sorted(tried.items())),
        "confirmed_by_kind": dict(sorted(promoted.items())),
        "small_gains_waiting": len(world.state.small_gains),
    }


def report(scale: float, seed: int) -> dict[str, Any]:
    """All parts; ``scale`` shrinks the numbers of trials."""
    many, some, few = (max(20, int(count * scale)) for count in (20_000, 4_000, 2_000))
    return {
        "seed": seed,
        "edits": {
            "passed": [
                odds(seed, 0.0, many),
                *(odds(seed + 1, gain, few) for gain in (0.5, 1.0)),
                odds(seed + 2, 2.0, some),
                odds(seed + 3, 3.0, few),
            ],
            "confirmed": [
                odds(seed + 4, 0.0, some, has_votes=True),
                odds(seed + 5, 2.0, few, has_votes=True),
            ],
        },
        "shorter": [odds(seed + 6, gain, few, size=SHORTER) for gain in (-1.0, -0.5, 0.0, 0.5, 1.0)],
        "mix": {
            "shares": [{"share": share, "kind": kind} for share, _, _, kind in MIX],
            "shorter_share": SHORTENING_SHARE,
            "swarm": mixed_swarm(seed + 7, max(100, int(3_000 * scale))),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the numbers of trials")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(report(arguments.scale, arguments.seed), indent=2))


if __name__ == "__main__":
    main()
