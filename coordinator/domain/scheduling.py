"""What a node does next: a pure choice, best first, from the class's state and what is under way.

Several choices are returned because another replica may take a slot in the meantime: the service tries
them in order until a lease is granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from autoresearch.model import HypothesisId, Idea, IdeaKind, NodeId

from coordinator.domain.class_state import ClassState, Rules, Slot
from coordinator.domain.combining import is_quiet
from coordinator.domain.trust import is_trusted
from coordinator.domain.verification import LiveSlot, Worker, audit_slot, wanted_slot

IDLE_RETRY_S = 10.0
BROKEN_RETRY_S = 300.0
BASELINE_ATTEMPTS_PER_NODE = 2
"""A node on which the baseline failed this often is not asked for it again."""

VERIFYING_SHARE = 0.5
"""At most this share of the active nodes verify, and at most this share run queued ideas before that; a node
that has nothing else to do verifies all the same.

A node that can propose verifies in no more than this share of its tasks: its agent is not kept waiting, and
the class's new best is built on by those who verify it too."""

IDEAS_TRIED_LIMIT = 8

ABLATION_CHANCE = 0.1
"""A node that can propose looks for dead weight in this share of the tasks in which nothing else waits; one
that cannot does so before it idles."""

AUDIT_CHANCE = 0.1
"""A trusted owner is audited in this share of its verifications, as far as the share of audits allows."""

AUDIT_CHANCE_UNTRUSTED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureBaseline:
    """Run the challenge's own code; ``number`` is the slot."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """Run one verification pair."""

    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQueued:
    """Claim a waiting idea."""

    hypothesis_id: HypothesisId


@dataclass(frozen=True, slots=True, kw_only=True)
class Explore:
    """Propose something new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Ask again later."""

    retry_after_s: float
    reason: str


Choice = MeasureBaseline | Verify | RunQueued | Explore | Idle


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a node can do."""

    can_propose: bool
    can_train: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """Leases of the class that live now: numbers of baseline slots, pairs, ideas."""

    baselines: frozenset[int] = frozenset()
    pairs: tuple[LiveSlot, ...] = ()
    ideas: frozenset[HypothesisId] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Swarm:
    """The class around a node: who is active, what is under way, what waits."""

    workers: Sequence[Worker]
    under_way: UnderWay
    ideas: Sequence[Idea]


def choose(
    state: ClassState,
    rules: Rules,
    node: Worker,
    capabilities: Capabilities,
    swarm: Swarm,
    *,
    coin: float,
    lot: float = 1.0,
    spare: float = 1.0,
) -> tuple[Choice, ...]:
    """The node's choices, best first; the last one needs no lease.

    Args:
        state: Of the node's class.
        rules: Of the challenge.
        node: Who asks.
        capabilities: What it can do.
        swarm: The class around it.
        coin: Uniform from 0 to 1; a node that can propose verifies in this share of its tasks only, so that
            every node both explores and verifies, however few they are.
        lot: Uniform from 0 to 1; decides whether a verification is an audit.
        spare: Uniform from 0 to 1; decides whether a node with an agent has time for dead weight.
    """
    choices: list[Choice] = []
    if capabilities.can_train:
        baseline = _baseline(state, rules, node, swarm.under_way)
        if baseline is not None:
            return (baseline, *_explore(state, capabilities))
        is_verifying = coin < VERIFYING_SHARE or not capabilities.can_propose
        queued = _queued(state, capabilities, swarm)
        may_explore = capabilities.can_propose or bool(queued)
        has_room = not may_explore or _verifiers_wanted(node, swarm, coin)
        verify = _verify(state, node, swarm, lot) if is_verifying and has_room else ()
        is_crowded = len(swarm.under_way.ideas) >= _share(len(swarm.workers), coin)
        first, second = (verify, queued) if is_crowded else (queued, verify)
        choices.extend((*first, *second))
        if is_quiet(state) and (not capabilities.can_propose or (not choices and spare < ABLATION_CHANCE)):
            choices.extend(_fitting(capabilities, swarm, is_ablation=True))
    return (*choices, *_explore(state, capabilities, node))


def _baseline(state: ClassState, rules: Rules, node: Worker, under_way: UnderWay) -> MeasureBaseline | None:
    done = len(state.baseline.control_runs) if state.baseline else 0
    missing = rules.baseline_runs - done - len(under_way.baselines)
    if missing <= 0 or _has_broken_baseline(state, node.node_id):
        return None
    taken = state.baseline_slots | under_way.baselines
    return MeasureBaseline(number=next(number for number in count() if number not in taken))


def _has_broken_baseline(state: ClassState, node_id: NodeId) -> bool:
    return state.baseline_failures.count(node_id) >= BASELINE_ATTEMPTS_PER_NODE


def _verifiers_wanted(node: Worker, swarm: Swarm, coin: float) -> bool:
    others = {one.node_id for one in swarm.under_way.pairs} - {node.node_id}
    return len(others) < _share(len(swarm.workers), coin)


def _verify(state: ClassState, node: Worker, swarm: Swarm, lot: float) -> tuple[Verify, ...]:
    voters = frozenset(one.owner_id for one in (*swarm.workers, node) if one.has_vote)
    chance = AUDIT_CHANCE if is_trusted(state, node.owner_id, voters) else AUDIT_CHANCE_UNTRUSTED
    slot = audit_slot(state, node, swarm.under_way.pairs) if lot < chance else None
    slot = slot or wanted_slot(state, node, swarm.workers, swarm.under_way.pairs)
    return () if slot is None else (Verify(slot=slot),)


def _share(nodes: int, coin: float) -> int:
    exact = nodes * VERIFYING_SHARE
    return int(exact) + (coin < exact - int(exact))


def _queued(state: ClassState, capabilities: Capabilities, swarm: Swarm) -> tuple[RunQueued, ...]:
    if state.working is None:
        return ()
    return _fitting(capabilities, swarm, is_ablation=False)


def _fitting(capabilities: Capabilities, swarm: Swarm, *, is_ablation: bool) -> tuple[RunQueued, ...]:
    """Ideas that wait and that the node can run; those for quiet times are apart."""
    fitting = [
        RunQueued(hypothesis_id=idea.hypothesis_id)
        for idea in swarm.ideas
        if idea.hypothesis_id not in swarm.under_way.ideas
        and (capabilities.can_propose or idea.source_hash is not None)
        and (idea.kind is IdeaKind.ABLATE) is is_ablation
    ]
    return tuple(fitting[:IDEAS_TRIED_LIMIT])


def _explore(
    state: ClassState, capabilities: Capabilities, node: Worker | None = None
) -> tuple[Explore | Idle]:
    if state.working is None:
        if node is not None and _has_broken_baseline(state, node.node_id):
            reason = "the challenge's own train.py failed on this node; mend its environment or its memory"
            return (Idle(retry_after_s=BROKEN_RETRY_S, reason=reason),)
        return (Idle(retry_after_s=IDLE_RETRY_S, reason="the baseline of this hardware is being measured"),)
    if capabilities.can_propose:
        return (Explore(),)
    return (Idle(retry_after_s=IDLE_RETRY_S, reason="nothing waits that this node can run"),)
