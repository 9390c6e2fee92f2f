"""Random histories of claims, starts, results and expiry: memory and a real server decide alike.

Memory is the model. After every step both have said the same, and what must never happen has not: two live
holders of one key, a token used twice or smaller than one before, a result twice or lost, a class version
that goes back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from autoresearch.model import ClaimId, Experiment, ExperimentState, Lease, NodeId, Result, new_id
from conftest import DebianServer
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_samples import (
    ANN,
    BOB,
    EVE,
    H100,
    make_experiment,
    make_key,
    make_publication,
    make_request,
    make_result,
    make_source,
    make_stored_reading,
)

from coordinator.storage.base import (
    Accepted,
    Blocks,
    ClaimKind,
    ClassUpdate,
    EditKey,
    IndexBehind,
    Publication,
    StaleClass,
    Store,
)
from coordinator.storage.memory import MemoryStoreServer
from coordinator.storage.redis import RedisStoreServer

KEYS = [make_key(name) for name in "abc"]
NODES = [ANN, BOB, EVE]
CLAIMS = [ClaimId(f"claim-{number}") for number in range(10)]
MAX_LIVE = 2
LONG_S = 3_600.0
STEPS = 50
EXAMPLES = 40

nodes = st.sampled_from(NODES)
claim_ids = st.sampled_from(CLAIMS)
key_sets = st.lists(st.sampled_from(KEYS), max_size=2, unique=True)
blocked_keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True)
flags = st.booleans()
some_claims = st.lists(claim_ids, min_size=1, max_size=3, unique=True)
memories = st.sampled_from([None, 10.0, 20.0])


@dataclass
class Run:
    """What a node knows of an experiment of its own; each store gave it a lease of its own."""

    experiment: Experiment
    node: NodeId
    claim_id: ClaimId
    leases: tuple[Lease, Lease]
    results: list[Result] = field(default_factory=list)


def said(outcome: object) -> object:
    """An outcome without what the two stores choose by themselves: tokens, times and positions."""
    match outcome:
        case Lease():
            return (Lease, outcome.claim_id, outcome.ttl_s)
        case Accepted():
            return (Accepted, outcome.is_repeat, outcome.is_late)
        case IndexBehind():
            return IndexBehind
    return outcome


class StoresAgree(RuleBasedStateMachine):
    """One history, told to both stores."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = RedisStoreServer(self.url, description="redis")
        challenge = f"ch_{new_id()}"
        self.stores: tuple[Store, Store] = (
            MemoryStoreServer().challenge_store(challenge),
            self.redis.challenge_store(challenge),
        )
        self.leases: dict[ClaimId, tuple[Lease, Lease]] = {}
        self.holders: dict[ClaimId, NodeId] = {}
        self.runs: list[Run] = []
        self.published: set[str] = set()
        self.last_tokens = [0, 0]
        self.versions = [0, 0]
        # A store that was never written to reckons its epoch by its clock.
        self.both(lambda _, store: store.reap(limit=1))
        self.positions = [tuple(self.loop.run_until_complete(store.position()) for store in self.stores)]

    def teardown(self) -> None:
        self.loop.run_until_complete(self.redis.close())
        self.loop.close()

    def both(self, call) -> tuple:
        """Tells both stores, one after the other, and compares what they say."""
        first, second = (
            self.loop.run_until_complete(call(index, store)) for index, store in enumerate(self.stores)
        )
        assert said(first) == said(second)
        return first, second

    def lease_of(self, claim_id: ClaimId) -> tuple[Lease, Lease]:
        unknown = Lease(
            claim_id=claim_id, fencing_token=1, expires_at=make_experiment().created_at, ttl_s=1.0
        )
        return self.leases.get(claim_id, (unknown, unknown))

    @initialize(version=st.integers(0, 2))
    def the_class_has_a_past(self, version: int) -> None:
        for seen in range(version):
            self.both(
                lambda _, store, seen=seen: store.update_class(H100, seen, ClassUpdate(state=str(seen)))
            )

    @rule(
        node=nodes, claim_id=claim_ids, keys=key_sets, over=st.sampled_from([None, *CLAIMS]), data=st.data()
    )
    def claim(self, node, claim_id, keys, over, data) -> None:
        kind = data.draw(st.sampled_from([ClaimKind.HYPOTHESIS, ClaimKind.QUEUED]))
        memory_mb = data.draw(st.sampled_from([0.0, 15.0, 30.0]))
        waived = [run.experiment.experiment_id for run in self.runs] if data.draw(st.booleans()) else []
        request = make_request(
            *keys,
            node=node,
            claim_id=claim_id,
            kind=kind,
            fingerprint=repr((sorted(key.digest for key in keys), kind)),
            takes_over=over if over != claim_id else None,
        )
        leases = self.both(
            lambda _, store: store.claim(
                request, ttl_s=LONG_S, max_live=MAX_LIVE, memory_mb=memory_mb, waived=waived
            )
        )
        if isinstance(leases[0], Lease):
            self.note_grant(claim_id, node, leases)

    @rule(node=nodes, claim_id=claim_ids, keys=key_sets, ago=st.integers(0, 3))
    def claim_by_an_index(self, node, claim_id, keys, ago) -> None:
        seen = self.positions[-1 - min(ago, len(self.positions) - 1)]
        request = make_request(*keys, node=node, claim_id=claim_id, fingerprint="by an index")
        leases = self.both(
            lambda index, store: store.claim(request, ttl_s=LONG_S, max_live=MAX_LIVE, seen=seen[index])
        )
        if isinstance(leases[0], Lease):
            self.note_grant(claim_id, node, leases)

    @rule()
    def the_stream_is_looked_at(self) -> None:
        self.positions.append(tuple(self.loop.run_until_complete(store.position()) for store in self.stores))

    def note_grant(self, claim_id: ClaimId, node: NodeId, leases: tuple[Lease, Lease]) -> None:
        tokens = [lease.fencing_token for lease in leases]
        known = [lease.fencing_token for lease in self.leases.get(claim_id, ())]
        if tokens != known:
            assert all(new > last for new, last in zip(tokens, self.last_tokens, strict=True))
            self.last_tokens = tokens
        self.leases[claim_id] = leases
        self.holders[claim_id] = node

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), keys=key_sets, waives=st.booleans(), is_repeat=st.booleans())
    def start(self, data, keys, waives, is_repeat) -> None:
        claim_id = data.draw(st.sampled_from(sorted(self.leases)))
        leases, node = self.leases[claim_id], self.holders[claim_id]
        earlier = [run for run in self.runs if run.claim_id == claim_id]
        experiment = earlier[-1].experiment if is_repeat and earlier else make_experiment(node=node)
        started = self.both(
            lambda index, store: store.start(
                claim_id,
                leases[index].fencing_token,
                keys=keys,
                experiment=experiment,
                source=make_source(),
                ttl_s=LONG_S,
                waived=[run.experiment.experiment_id for run in self.runs] if waives else (),
            )
        )
        if isinstance(started[0], Lease) and not (is_repeat and earlier):
            self.runs.append(Run(experiment=experiment, node=node, claim_id=claim_id, leases=leases))

    @precondition(lambda self: self.runs)
    @rule(
        data=st.data(),
        memory_mb=memories,
        blocked=blocked_keys,
        updates=st.booleans(),
        sees_old=st.booleans(),
    )
    def publish(self, data, memory_mb, blocked, updates, sees_old) -> None:
        run = data.draw(st.sampled_from(self.runs))
        repeats = data.draw(st.booleans()) and run.results
        result = run.results[-1] if repeats else make_result(run.experiment, node=run.node)
        seen = self.versions[0] - 1 if sees_old and self.versions[0] else self.versions[0]
        publication = replace(
            make_publication(run.experiment, result=result, seen_version=seen),
            claim_id=run.claim_id,
            ends_claim=data.draw(st.booleans()),
            blocks=Blocks(keys=tuple(blocked), memory_mb=memory_mb),
            state=data.draw(st.sampled_from([None, ExperimentState.COMPLETED])),
            update=ClassUpdate(state=f"after {result.result_id}") if updates else None,
        )
        outcomes = self.both(lambda index, store: store.publish(self.fenced(publication, run, index)))
        match outcomes[0]:
            case Accepted(is_repeat=is_repeat):
                assert is_repeat == (result.result_id in self.published)
                self.published.add(result.result_id)
                run.results.append(result)
            case StaleClass():
                assert seen != self.versions[0]

    @staticmethod
    def fenced(publication: Publication, run: Run, index: int) -> Publication:
        return replace(publication, fencing_token=run.leases[index].fencing_token)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), memory_mb=memories, blocked=blocked_keys, is_kept=flags)
    def put_reading(self, data, memory_mb, blocked, is_kept) -> None:
        experiment_id = data.draw(st.sampled_from(self.runs)).experiment.experiment_id
        reading = make_stored_reading() if is_kept else None
        blocks = Blocks(keys=tuple(blocked), memory_mb=memory_mb)
        self.both(lambda _, store: store.put_reading(experiment_id, reading, blocks=blocks))

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), node=nodes)
    def release(self, data, node) -> None:
        claim_id = data.draw(claim_ids)
        leases = self.lease_of(claim_id)
        self.both(lambda index, store: store.release(claim_id, node, leases[index].fencing_token))

    @rule(
        node=nodes,
        ids=st.lists(claim_ids, min_size=1, max_size=3, unique=True),
        ttl_s=st.sampled_from([0.0, LONG_S]),
    )
    def renew(self, node, ids, ttl_s) -> None:
        first, second = (
            self.loop.run_until_complete(store.renew(node, ids, ttl_s=ttl_s)) for store in self.stores
        )
        assert [lease.claim_id for lease in first.renewed] == [lease.claim_id for lease in second.renewed]
        assert first.lost == second.lost

    @rule(limit=st.integers(1, 3))
    def reap(self, limit) -> None:
        # Which of several expired claims come first is the store's choice, so all are ended in the end.
        for store in self.stores:
            while len(self.loop.run_until_complete(store.reap(limit=limit))) == limit:
                pass
            assert self.loop.run_until_complete(store.reap(limit=1)) == ()

    @rule(key=st.sampled_from(KEYS))
    def probe(self, key: EditKey) -> None:
        """Asks for a key and lets go of it again: both stores must say who holds or tried it."""
        request = make_request(key, node=NodeId("probe"), claim_id=f"probe-{new_id()}")
        leases = self.both(lambda _, store: store.claim(request, ttl_s=LONG_S, max_live=1))
        if isinstance(leases[0], Lease):
            self.note_grant(request.claim_id, request.node_id, leases)
            self.both(
                lambda index, store: store.release(
                    request.claim_id, request.node_id, leases[index].fencing_token
                )
            )

    @invariant()
    def no_key_has_two_live_holders(self) -> None:
        views = []
        for store in self.stores:
            claims = self.loop.run_until_complete(store.get_live_claims())
            held = [key for record in claims for key in record.request.keys]
            assert len(held) == len(set(held))
            tokens = [record.lease.fencing_token for record in claims]
            assert len(tokens) == len(set(tokens))
            views.append({record.request.claim_id: record.experiment_id for record in claims})
        assert views[0] == views[1]

    @invariant()
    def every_result_is_there_once(self) -> None:
        for store in self.stores:
            ledger = self.loop.run_until_complete(_ledger(store))
            assert len(ledger) == len(set(ledger))
            assert set(ledger) == self.published

    @invariant()
    def versions_only_grow_and_states_agree(self) -> None:
        current = [self.loop.run_until_complete(store.get_class(H100)) for store in self.stores]
        assert all(one.version >= last for one, last in zip(current, self.versions, strict=True))
        assert current[0] == current[1]
        self.versions = [one.version for one in current]

    @invariant()
    def experiments_agree(self) -> None:
        for run in self.runs:
            first, second = (
                self.loop.run_until_complete(store.get_experiment(run.experiment.experiment_id))
                for store in self.stores
            )
            assert (first.state, first.reason) == (second.state, second.reason)
            assert [one.result_id for one in first.results] == [one.result_id for one in second.results]
            assert [one.is_late for one in first.results] == [one.is_late for one in second.results]


async def _ledger(store: Store) -> list[str]:
    return [result_id async for result_id in store.get_result_ids()]


def test_memory_and_a_server_decide_alike_whatever_happens(debian_server: DebianServer) -> None:
    machine = type("StoresAgreeHere", (StoresAgree,), {"url": debian_server.url})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            # A shorter history of the same failure would take minutes of round trips to find.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
