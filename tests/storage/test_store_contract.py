"""One suite for every store: memory, the embedded server, and a redis-server of the system."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from autoresearch.errors import Conflict, NotFound, PermissionDenied, TokenRefused
from autoresearch.model import (
    ClaimId,
    EventKind,
    Experiment,
    ExperimentId,
    ExperimentState,
    HardwareClass,
    HypothesisId,
    Idea,
    Insight,
    InsightId,
    Lease,
    Level,
    NodeId,
    OwnerId,
    Position,
    Program,
    SourceHash,
    new_id,
    utc_now,
)
from autoresearch.program import program_hash
from store_samples import (
    A100,
    ANN,
    BOB,
    CHALLENGE,
    EVE,
    H100,
    MAX_LIVE,
    START,
    TTL_S,
    make_best,
    make_change,
    make_experiment,
    make_idea,
    make_insight,
    make_key,
    make_node,
    make_publication,
    make_request,
    make_result,
    make_source,
    make_stored_reading,
    make_token,
    make_update,
    start_experiment,
    with_late,
)

from coordinator.storage.base import (
    IDEAS_PER_TURN,
    Accepted,
    Blocks,
    ClaimGone,
    ClaimIdTaken,
    ClaimKind,
    ClassUpdate,
    Credit,
    ExperimentIdTaken,
    IdentityStore,
    IndexBehind,
    KeyHeld,
    KeyKind,
    KeyTried,
    NewSource,
    ResultIdTaken,
    StaleClass,
    Store,
    StoredReading,
    StoreServer,
    SubjectsHeld,
    TooManyClaims,
    UnknownExperiment,
)

KEY, OTHER = make_key("edit"), make_key("other")
SUBJECT = make_key("subject", KeyKind.SUBJECT)


async def claim(
    store: Store,
    *keys,
    ttl_s: float = TTL_S,
    memory_mb: float = 0.0,
    waived=(),
    seen=None,
    compared=(),
    **request,
) -> object:
    asked = make_request(*keys, **request)
    return await store.claim(
        asked,
        ttl_s=ttl_s,
        max_live=MAX_LIVE,
        memory_mb=memory_mb,
        waived=waived,
        seen=seen,
        compared=compared,
    )


async def grant(store: Store, *keys, **request) -> Lease:
    lease = await claim(store, *keys, **request)
    assert isinstance(lease, Lease)
    return lease


async def expire(store: Store, lease: Lease, node=ANN) -> None:
    """Ends the lease's time at once, by the store's own clock."""
    renewal = await store.renew(node, [lease.claim_id], ttl_s=0.0)
    assert renewal.renewed


async def begin(store: Store, lease: Lease, experiment, *keys, source=None, **options) -> object:
    return await store.start(
        lease.claim_id,
        lease.fencing_token,
        keys=keys,
        experiment=experiment,
        source=source or make_source(),
        ttl_s=TTL_S,
        **options,
    )


async def kinds_since(store: Store, position: Position) -> list[EventKind]:
    page = await store.read_events(position, limit=100, block_s=0)
    assert not page.is_gap
    return [event.kind for event in page.events]


# Claims ----------------------------------------------------------------------------------------------


async def test_claim_returns_a_lease_by_the_stores_clock(store: Store) -> None:
    before = utc_now() - timedelta(seconds=1)

    lease = await grant(store, KEY)

    assert before + timedelta(seconds=TTL_S) <= lease.expires_at <= utc_now() + timedelta(seconds=TTL_S + 1)
    assert lease.ttl_s == TTL_S


async def test_second_claim_of_a_key_sees_who_holds_it(store: Store) -> None:
    first = await grant(store, KEY, node=ANN)

    second = await claim(store, OTHER, KEY, node=BOB)

    assert isinstance(second, KeyHeld)
    assert (second.key, second.claim_id, second.node_id) == (KEY, first.claim_id, ANN)
    assert second.title == "Raise MATRIX_LR to 0.05"
    assert second.experiment_id is None


async def test_refused_claim_holds_none_of_its_keys(store: Store) -> None:
    await grant(store, KEY, node=ANN)
    await claim(store, OTHER, KEY, node=BOB)

    third = await claim(store, OTHER, node=EVE)

    assert isinstance(third, Lease)


async def test_same_key_in_another_class_is_free(store: Store) -> None:
    await grant(store, KEY, node=ANN, hardware_class=H100)

    other = await claim(store, KEY, node=BOB, hardware_class=A100)

    assert isinstance(other, Lease)


async def test_kinds_of_key_do_not_block_each_other(store: Store) -> None:
    await grant(store, make_key("x", KeyKind.FILE))

    other = await claim(store, make_key("x", KeyKind.WORDS))

    assert isinstance(other, Lease)


async def test_simultaneous_claims_of_one_key_grant_one(store: Store) -> None:
    nodes = [f"node-{number}" for number in range(16)]

    outcomes = await asyncio.gather(*(claim(store, KEY, node=node) for node in nodes))

    assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, KeyHeld) for outcome in outcomes) == len(nodes) - 1


async def test_claim_of_a_subject_meets_all_that_are_about_it(store: Store) -> None:
    first = await grant(store, KEY, subjects=(SUBJECT,), node=ANN)
    second = await grant(store, OTHER, subjects=(SUBJECT,), node=BOB, compared=[first.claim_id])

    met = await claim(store, make_key("third"), subjects=(make_key("own"), SUBJECT), node=EVE)
    met_again = await claim(
        store, make_key("third"), subjects=(SUBJECT,), node=EVE, compared=[first.claim_id]
    )

    assert isinstance(met, SubjectsHeld)
    assert [holder.request.claim_id for holder in met.holders] == [first.claim_id, second.claim_id]
    assert met.holders[0] == await store.get_claim(first.claim_id)
    assert met.holders[0].request.subjects == (SUBJECT,)
    assert isinstance(met_again, SubjectsHeld)
    assert [holder.request.claim_id for holder in met_again.holders] == [second.claim_id]


async def test_subject_is_free_of_a_claim_that_ended(store: Store) -> None:
    released = await grant(store, KEY, subjects=(SUBJECT,), node=ANN)
    expired = await grant(store, OTHER, subjects=(SUBJECT,), node=BOB, compared=[released.claim_id])
    await store.release(released.claim_id, ANN, released.fencing_token)
    await expire(store, expired, node=BOB)

    third = await claim(store, make_key("third"), subjects=(SUBJECT,), node=EVE)

    assert isinstance(third, Lease)


async def test_claim_that_meets_others_by_its_subject_holds_nothing(store: Store) -> None:
    await grant(store, KEY, subjects=(SUBJECT,), node=ANN)
    await claim(store, OTHER, subjects=(SUBJECT,), node=BOB)

    other = await claim(store, OTHER, node=EVE)

    assert isinstance(other, Lease)


async def test_one_claim_about_two_shared_subjects_is_met_once(store: Store) -> None:
    subjects = (SUBJECT, make_key("wider", KeyKind.SUBJECT))
    first = await grant(store, KEY, subjects=subjects, node=ANN)

    met = await claim(store, OTHER, subjects=subjects, node=BOB)

    assert isinstance(met, SubjectsHeld)
    assert [holder.request.claim_id for holder in met.holders] == [first.claim_id]


async def test_holders_of_a_subject_are_named_some_at_a_time_until_all_were_compared(store: Store) -> None:
    compared: list[ClaimId] = []
    for number in range(40):
        lease = await grant(
            store, make_key(str(number)), subjects=(SUBJECT,), node=f"node-{number}", compared=compared
        )
        compared.append(lease.claim_id)

    known: list[ClaimId] = []
    rounds = 0
    while isinstance(met := await claim(store, KEY, subjects=(SUBJECT,), compared=known), SubjectsHeld):
        known += [holder.request.claim_id for holder in met.holders]
        rounds += 1

    assert isinstance(met, Lease)
    assert sorted(known) == sorted(compared)
    assert 1 < rounds < len(compared)


async def test_claim_that_is_compared_with_nobody_holds_its_subject_beside_the_others(store: Store) -> None:
    first = await grant(store, KEY, subjects=(SUBJECT,), node=ANN)
    second = await grant(store, OTHER, subjects=(SUBJECT,), node=BOB, compared=None)

    met = await claim(store, make_key("third"), subjects=(SUBJECT,), node=EVE)

    assert isinstance(met, SubjectsHeld)
    assert [holder.request.claim_id for holder in met.holders] == [first.claim_id, second.claim_id]


async def test_of_simultaneous_claims_about_a_subject_one_meets_nobody(store: Store) -> None:
    nodes = [f"node-{number}" for number in range(16)]

    outcomes = await asyncio.gather(
        *(claim(store, make_key(node), subjects=(SUBJECT,), node=node) for node in nodes)
    )

    assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, SubjectsHeld) for outcome in outcomes) == len(nodes) - 1


async def test_repeated_claim_returns_the_same_lease(store: Store) -> None:
    request = make_request(KEY)
    first = await store.claim(request, ttl_s=TTL_S, max_live=MAX_LIVE)

    again = await store.claim(request, ttl_s=TTL_S, max_live=MAX_LIVE)

    assert again == first
    assert (await store.counts()).live_claims == 1


async def test_claim_id_used_for_another_request_is_refused(store: Store) -> None:
    lease = await grant(store, KEY, fingerprint="one")

    by_content = await claim(store, OTHER, claim_id=lease.claim_id, fingerprint="two")
    by_node = await claim(store, KEY, claim_id=lease.claim_id, fingerprint="one", node=BOB)

    assert isinstance(by_content, ClaimIdTaken)
    assert isinstance(by_node, ClaimIdTaken)


async def test_expired_lease_can_be_claimed_by_another_node(store: Store) -> None:
    lease = await grant(store, KEY, node=ANN)
    await expire(store, lease)

    other = await claim(store, KEY, node=BOB)

    assert isinstance(other, Lease)
    assert other.fencing_token > lease.fencing_token
    assert await store.get_claim(lease.claim_id) is None


async def test_repeat_of_an_expired_claim_is_judged_anew(store: Store) -> None:
    request = make_request(KEY, node=ANN)
    lease = await store.claim(request, ttl_s=0.0, max_live=MAX_LIVE)
    other = await claim(store, KEY, node=BOB)

    again = await store.claim(request, ttl_s=TTL_S, max_live=MAX_LIVE)

    assert isinstance(lease, Lease)
    assert isinstance(other, Lease)
    assert isinstance(again, KeyHeld)


async def test_claim_id_of_an_expired_claim_is_free_for_another_node(store: Store) -> None:
    lease = await grant(store, KEY, node=ANN)
    await expire(store, lease)

    other = await claim(store, OTHER, claim_id=lease.claim_id, node=BOB, fingerprint="two")

    assert isinstance(other, Lease)
    assert (await store.counts()).live_claims == 1
    assert isinstance(await claim(store, KEY, node=EVE), Lease)


async def test_node_holds_at_most_its_share_of_live_claims(store: Store) -> None:
    leases = [await grant(store, make_key(str(number))) for number in range(MAX_LIVE)]

    refused = await claim(store, KEY)
    await store.release(leases[0].claim_id, ANN, leases[0].fencing_token)
    granted = await claim(store, KEY)

    assert refused == TooManyClaims(live=MAX_LIVE)
    assert isinstance(granted, Lease)


async def test_expired_claims_do_not_count_towards_the_share(store: Store) -> None:
    for number in range(MAX_LIVE):
        await expire(store, await grant(store, make_key(str(number))))

    outcome = await claim(store, KEY)

    assert isinstance(outcome, Lease)


async def test_fencing_tokens_grow_and_carry_the_epoch(store: Store) -> None:
    tokens = [(await grant(store, make_key(str(n)), node=f"node-{n}")).fencing_token for n in range(20)]

    epoch = (await store.position()).epoch

    assert tokens == sorted(set(tokens))
    assert {token >> 32 for token in tokens} == {epoch}


async def test_takeover_passes_the_slot_on_and_frees_the_share(store: Store) -> None:
    slot = make_key("idea", KeyKind.SLOT)
    queued = await grant(store, slot, kind=ClaimKind.QUEUED)

    lease = await store.claim(make_request(KEY, takes_over=queued.claim_id), ttl_s=TTL_S, max_live=1)

    assert isinstance(lease, Lease)
    assert await store.get_claim(queued.claim_id) is None
    assert isinstance(await claim(store, slot, node=BOB), KeyHeld)


async def test_takeover_of_another_nodes_lease_takes_nothing(store: Store) -> None:
    slot = make_key("idea", KeyKind.SLOT)
    queued = await grant(store, slot, node=ANN, kind=ClaimKind.QUEUED)

    lease = await claim(store, KEY, node=BOB, takes_over=queued.claim_id)

    assert isinstance(lease, Lease)
    assert await store.get_claim(queued.claim_id) is not None


async def test_get_claim_returns_the_request_as_it_was(store: Store) -> None:
    request = make_request(KEY, make_key("x", KeyKind.FILE), takes_over=ClaimId("gone"))
    lease = await store.claim(request, ttl_s=12.5, max_live=MAX_LIVE)

    record = await store.get_claim(request.claim_id)

    assert record is not None
    assert (record.request, record.lease, record.experiment_id) == (request, lease, None)
    assert await store.get_claim(ClaimId("unknown")) is None


# Start -----------------------------------------------------------------------------------------------


async def test_start_stores_source_and_running_experiment(store: Store) -> None:
    lease = await grant(store, KEY)
    source = make_source("LR = 1\n")
    experiment = make_experiment(source)

    started = await begin(store, lease, experiment, source=source)

    record = await store.get_experiment(experiment.experiment_id)
    assert isinstance(started, Lease)
    assert started.fencing_token == lease.fencing_token
    assert record is not None
    assert (record.experiment, record.state, record.results) == (experiment, ExperimentState.RUNNING, ())
    assert await store.get_source(source.source_hash) == source.text
    claimed = await store.get_claim(lease.claim_id)
    assert claimed is not None
    assert claimed.experiment_id == experiment.experiment_id


async def test_start_is_repeatable(store: Store) -> None:
    lease = await grant(store, KEY)
    experiment = make_experiment()
    first = await begin(store, lease, experiment, OTHER)

    again = await begin(store, lease, experiment, OTHER)

    assert isinstance(first, Lease)
    assert isinstance(again, Lease)
    assert again.fencing_token == first.fencing_token
    assert (await store.counts()).experiments == 1


async def test_start_with_a_wrong_token_or_after_expiry_is_gone(store: Store) -> None:
    lease = await grant(store, KEY)

    fenced = await begin(store, replace(lease, fencing_token=lease.fencing_token - 1), make_experiment())
    await expire(store, lease)
    late = await begin(store, lease, make_experiment())

    assert isinstance(fenced, ClaimGone)
    assert isinstance(late, ClaimGone)
    assert (await store.counts()).experiments == 0


async def test_start_refuses_a_used_experiment_id(store: Store) -> None:
    _, experiment = await start_experiment(store, KEY)
    lease = await grant(store, OTHER, node=BOB)

    by_other_claim = await begin(store, lease, experiment)
    second = make_experiment()
    await begin(store, lease, second)
    by_other_code = await begin(
        store, lease, make_experiment(make_source("new"), experiment_id=second.experiment_id)
    )

    assert isinstance(by_other_claim, ExperimentIdTaken)
    assert isinstance(by_other_code, ExperimentIdTaken)


async def test_start_with_code_that_another_holds_ends_the_claim(store: Store) -> None:
    code = make_key("code", KeyKind.FILE)
    holder = await grant(store, code, node=BOB)
    held = make_experiment(node=BOB)
    await begin(store, holder, held)
    lease = await grant(store, KEY, node=ANN)

    outcome = await begin(store, lease, make_experiment(), code)

    assert isinstance(outcome, KeyHeld)
    assert outcome.experiment_id == held.experiment_id
    assert await store.get_claim(lease.claim_id) is None
    assert isinstance(await claim(store, KEY, node=EVE), Lease)


async def test_keys_of_the_code_are_held_after_start(store: Store) -> None:
    code = make_key("code", KeyKind.FILE)
    lease = await grant(store, KEY)
    experiment = make_experiment()
    await begin(store, lease, experiment, code, KEY)

    other = await claim(store, code, node=BOB)
    await store.release(lease.claim_id, ANN, lease.fencing_token)
    freed = await claim(store, code, node=BOB)

    assert isinstance(other, KeyHeld)
    assert other.experiment_id == experiment.experiment_id
    assert isinstance(freed, Lease)


async def test_claim_judged_before_an_experiment_of_its_class_became_known_is_turned_back(
    store: Store,
) -> None:
    first = await store.position()
    lease = await grant(store, KEY)
    claimed = await grant(store, make_key("about"), node=BOB, seen=first)
    await begin(store, lease, make_experiment())
    begun = await store.position()

    behind = await claim(store, OTHER, node=EVE, seen=first)
    elsewhere = await claim(store, OTHER, node=EVE, seen=first, hardware_class=A100)
    blind = await claim(store, make_key("blind"), node=EVE)
    again = await claim(store, make_key("about"), node=BOB, seen=first, claim_id=claimed.claim_id)
    abreast = await claim(store, OTHER, node=EVE, seen=begun)

    assert behind == IndexBehind(position=begun)
    assert all(isinstance(outcome, Lease) for outcome in (elsewhere, blind, again, abreast))


async def test_position_of_another_history_has_seen_nothing(store: Store) -> None:
    await begin(store, await grant(store, KEY), make_experiment())
    begun = await store.position()
    millis = int(begun.stream_id.partition("-")[0])
    foreign = (
        replace(begun, epoch=begun.epoch - 1),
        replace(begun, epoch=begun.epoch + 1),
        replace(begun, stream_id=f"{millis}-77"),
        replace(begun, stream_id=f"{millis + 9}-0"),
    )

    behind = [await claim(store, OTHER, seen=seen) for seen in foreign]
    elsewhere = [await claim(store, OTHER, seen=seen, hardware_class=A100) for seen in foreign]
    abreast = await claim(store, OTHER, seen=begun)

    assert behind == [IndexBehind(position=begun)] * 4
    assert elsewhere == [IndexBehind(position=replace(begun, stream_id="0-0"))] * 4
    assert isinstance(abreast, Lease)


async def test_experiment_that_comes_with_its_result_turns_such_claims_back_but_a_further_result_does_not(
    store: Store,
) -> None:
    first = await store.position()
    experiment = make_experiment()
    await store.publish(make_publication(experiment))
    known = await store.position()
    await store.publish(make_publication(experiment))

    behind = await claim(store, KEY, seen=first)
    abreast = await claim(store, KEY, seen=known)

    assert behind == IndexBehind(position=known)
    assert isinstance(abreast, Lease)


async def test_what_a_waived_experiment_tried_does_not_block_but_live_leases_do(store: Store) -> None:
    code = make_key("code", KeyKind.FILE)
    tried = make_experiment()
    await store.publish(replace(make_publication(tried), blocks=Blocks(keys=(KEY, code))))
    waived = (make_experiment().experiment_id, tried.experiment_id)

    refused = await claim(store, KEY, waived=waived[:1])
    lease = await grant(store, KEY, node=ANN, waived=waived)
    started = await begin(store, lease, make_experiment(), code, waived=waived)
    held = await claim(store, KEY, node=BOB, waived=waived)
    other = await grant(store, OTHER, node=BOB)
    blocked = await begin(store, other, make_experiment(), code, waived=waived)

    assert isinstance(refused, KeyTried)
    assert isinstance(started, Lease)
    assert isinstance(held, KeyHeld)
    assert isinstance(blocked, KeyHeld)


async def test_code_tried_by_an_experiment_that_is_not_waived_is_refused(store: Store) -> None:
    code = make_key("code", KeyKind.FILE)
    tried = make_experiment()
    await store.publish(replace(make_publication(tried), blocks=Blocks(keys=(code,))))
    lease = await grant(store, KEY)

    blocked = await begin(store, lease, make_experiment(), code, waived=(make_experiment().experiment_id,))

    assert blocked == KeyTried(key=code, experiment_id=tried.experiment_id)
    assert await store.get_claim(lease.claim_id) is None


# Release, renewal, expiry ----------------------------------------------------------------------------


async def test_release_frees_the_keys_and_loses_the_experiment(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)

    released = await store.release(lease.claim_id, ANN, lease.fencing_token)

    record = await store.get_experiment(experiment.experiment_id)
    assert released
    assert record is not None
    assert record.state is ExperimentState.LOST
    assert isinstance(await claim(store, KEY, node=BOB), Lease)


async def test_only_the_holder_can_release(store: Store) -> None:
    lease = await grant(store, KEY, node=ANN)

    by_other = await store.release(lease.claim_id, BOB, lease.fencing_token)
    by_old_token = await store.release(lease.claim_id, ANN, lease.fencing_token - 1)
    unknown = await store.release(ClaimId("unknown"), ANN, lease.fencing_token)

    assert (by_other, by_old_token, unknown) == (False, False, False)
    assert isinstance(await claim(store, KEY, node=BOB), KeyHeld)


async def test_renewal_keeps_own_live_claims_and_names_the_lost(store: Store) -> None:
    kept = await grant(store, KEY, node=ANN)
    expired = await grant(store, OTHER, node=ANN)
    foreign = await grant(store, make_key("b"), node=BOB)
    await expire(store, expired)

    renewal = await store.renew(
        ANN, [kept.claim_id, expired.claim_id, foreign.claim_id, ClaimId("unknown")], ttl_s=TTL_S * 2
    )

    assert [lease.claim_id for lease in renewal.renewed] == [kept.claim_id]
    assert renewal.renewed[0].expires_at > kept.expires_at
    assert renewal.renewed[0].fencing_token == kept.fencing_token
    assert renewal.lost == (expired.claim_id, foreign.claim_id, ClaimId("unknown"))
    record = await store.get_claim(kept.claim_id)
    assert record is not None
    assert record.lease == renewal.renewed[0]


async def test_reap_ends_expired_claims_up_to_its_limit(store: Store) -> None:
    leases = [await grant(store, make_key(str(number)), node=f"node-{number}") for number in range(3)]
    alive = await grant(store, KEY)
    for number, lease in enumerate(leases):
        await expire(store, lease, node=f"node-{number}")
    position = await store.position()

    first = await store.reap(limit=2)
    rest = await store.reap(limit=10)

    assert len(first) == 2
    assert {record.lease.claim_id for record in first + rest} == {lease.claim_id for lease in leases}
    assert await kinds_since(store, position) == [EventKind.EXPIRED] * 3
    assert [record.lease.claim_id for record in await store.get_live_claims()] == [alive.claim_id]


async def test_reaped_experiment_is_lost(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)
    await expire(store, lease)

    (reaped,) = await store.reap(limit=10)

    record = await store.get_experiment(experiment.experiment_id)
    assert reaped.experiment_id == experiment.experiment_id
    assert record is not None
    assert record.state is ExperimentState.LOST


# Publish ---------------------------------------------------------------------------------------------


async def test_published_result_reads_back_whole(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)
    publication = replace(make_publication(experiment, lease=lease), reason="no gain")

    outcome = await store.publish(publication)

    record = await store.get_experiment(experiment.experiment_id)
    assert isinstance(outcome, Accepted)
    assert (outcome.is_repeat, outcome.is_late) == (False, False)
    assert record is not None
    assert (record.state, record.reason) == (ExperimentState.COMPLETED, "no gain")
    (result,) = record.results
    assert result.published_at is not None
    assert replace(result, published_at=None) == publication.result


async def test_result_keeps_its_attestation_or_that_it_has_none(store: Store) -> None:
    experiment = make_experiment()
    bare = replace(make_result(experiment), attestation=None)
    attested = make_result(experiment)

    for result in (bare, attested):
        await store.publish(make_publication(experiment, result=result))

    record = await store.get_experiment(experiment.experiment_id)
    assert record is not None
    assert [result.attestation for result in record.results] == [None, attested.attestation]
    assert attested.attestation is not None
    assert attested.attestation.digest == record.results[1].attestation.digest


async def test_result_without_logs_leaves_them_out(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(make_publication(experiment))

    record = await store.get_experiment(experiment.experiment_id, with_logs=False)

    assert record is not None
    assert (record.results[0].log_tail, record.results[0].curve) == ("", ())


async def test_publish_ends_the_claim_and_frees_its_keys(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)

    await store.publish(make_publication(experiment, lease=lease))

    assert await store.get_claim(lease.claim_id) is None
    assert isinstance(await claim(store, KEY, node=BOB), Lease)


async def test_first_run_of_a_pair_keeps_the_claim(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)

    await store.publish(replace(make_publication(experiment, lease=lease), ends_claim=False))

    assert await store.get_claim(lease.claim_id) is not None
    assert isinstance(await claim(store, KEY, node=BOB), KeyHeld)


async def test_repeated_publication_is_acknowledged_and_written_once(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)
    best = make_best(experiment)
    publication = make_publication(experiment, lease=lease, update=make_update(best))
    first = await store.publish(publication)

    again = await store.publish(publication)

    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (first.is_repeat, again.is_repeat, again.is_late) == (False, True, False)
    assert again.position == first.position
    assert [result_id async for result_id in store.get_result_ids()] == [publication.result.result_id]
    assert (await store.get_class(H100)).version == 1
    assert await store.get_credit() == {ANN: Credit(results=1, train_s=300.25, bests=1)}
    assert len(await store.get_history()) == 1


async def test_result_id_used_for_another_result_is_refused(store: Store) -> None:
    experiment = make_experiment()
    first = make_result(experiment, score=1.0)
    await store.publish(make_publication(experiment, result=first))

    other = make_result(experiment, score=0.5, result_id=first.result_id)
    outcome = await store.publish(make_publication(experiment, result=other))

    assert isinstance(outcome, ResultIdTaken)


async def test_experiment_that_nobody_brings_is_unknown(store: Store) -> None:
    publication = replace(make_publication(make_experiment()), experiment=None, source=None)

    outcome = await store.publish(publication)

    assert isinstance(outcome, UnknownExperiment)
    assert (await store.counts()).results == 0


async def test_publication_from_an_old_version_writes_nothing(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(make_publication(experiment, update=make_update(make_best(experiment))))
    stale = make_publication(make_experiment(), seen_version=0)

    outcome = await store.publish(stale)

    assert isinstance(outcome, StaleClass)
    assert (outcome.current.version, outcome.current.state) == (1, '{"n":1}')
    assert (await store.counts()).results == 1
    assert await store.get_experiment(stale.result.experiment_id) is None


async def test_late_result_is_kept_as_evidence(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)
    await expire(store, lease)
    other = await grant(store, KEY, node=BOB)

    publication = replace(make_publication(experiment, lease=lease), blocks=Blocks(keys=(KEY,)))
    outcome = await store.publish(publication)

    record = await store.get_experiment(experiment.experiment_id)
    assert isinstance(outcome, Accepted)
    assert outcome.is_late
    assert record is not None
    assert record.state is ExperimentState.COMPLETED
    assert replace(record.results[0], published_at=None) == with_late(publication.result, is_late=True)
    assert isinstance(await begin(store, other, make_experiment(node=BOB), KEY), Lease)
    repeat = await store.publish(publication)
    assert isinstance(repeat, Accepted)
    assert repeat.is_late


async def test_what_needs_its_claim_changes_nothing_but_the_evidence_once_it_is_lost(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)
    await expire(store, lease)
    before = await store.get_class(experiment.hardware_class)
    publication = replace(
        make_publication(experiment, lease=lease),
        blocks=Blocks(keys=(OTHER,)),
        update=ClassUpdate(state="next"),
        needs_claim=True,
    )

    outcome = await store.publish(publication)

    record = await store.get_experiment(experiment.experiment_id)
    assert isinstance(outcome, Accepted)
    assert outcome.is_late
    assert record is not None
    assert record.state is ExperimentState.LOST
    assert record.unscored == {publication.result.result_id}
    assert await store.get_class(experiment.hardware_class) == before
    await grant(store, OTHER, node=BOB)


async def test_what_needs_its_claim_counts_while_it_lives(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)
    publication = replace(
        make_publication(experiment, lease=lease), update=ClassUpdate(state="next"), needs_claim=True
    )

    await store.publish(publication)

    record = await store.get_experiment(experiment.experiment_id)
    assert record is not None
    assert record.unscored == frozenset()
    assert (await store.get_class(experiment.hardware_class)).state == "next"


async def test_which_results_are_unscored_is_kept(store: Store) -> None:
    experiment = make_experiment()
    scored, unscored = make_result(experiment), make_result(experiment)
    await store.publish(make_publication(experiment, result=scored))
    publication = replace(make_publication(experiment, result=unscored), is_scored=False)
    await store.publish(publication)

    repeat = await store.publish(publication)

    record = await store.get_experiment(experiment.experiment_id)
    scanned = [one async for one in store.scan_experiments()]
    assert isinstance(repeat, Accepted)
    assert not repeat.is_late
    assert record is not None
    assert record.unscored == scanned[0].unscored == {unscored.result_id}


async def test_result_without_a_claim_is_not_late(store: Store) -> None:
    outcome = await store.publish(make_publication(make_experiment()))

    assert isinstance(outcome, Accepted)
    assert not outcome.is_late


async def test_results_of_an_experiment_come_in_order_of_arrival(store: Store) -> None:
    experiment = make_experiment()
    results = [make_result(experiment, score=score) for score in (0.3, 0.1, 0.2)]
    for result in reversed(results):
        await store.publish(make_publication(experiment, result=result))

    record = await store.get_experiment(experiment.experiment_id)

    assert record is not None
    assert [result.result_id for result in record.results] == [
        result.result_id for result in reversed(results)
    ]


async def test_publication_decided_by_another_history_writes_nothing_but_a_repeat_is_acknowledged(
    store: Store,
) -> None:
    known = make_publication(make_experiment())
    await store.publish(known)
    here = await store.position()
    foreign = (replace(here, epoch=here.epoch - 1), replace(here, stream_id="1-0"))
    new = make_publication(make_experiment())

    behind = [await store.publish(replace(new, seen=seen)) for seen in foreign]
    repeated = [await store.publish(replace(known, seen=seen)) for seen in foreign]
    unwritten = await store.get_experiment(new.result.experiment_id)
    accepted = await store.publish(replace(new, seen=here))

    assert behind == [IndexBehind(position=here)] * 2
    assert all(isinstance(outcome, Accepted) and outcome.is_repeat for outcome in repeated)
    assert unwritten is None
    assert isinstance(accepted, Accepted)


async def test_blocked_keys_refuse_claims_and_starts_in_their_class(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(replace(make_publication(experiment), blocks=Blocks(keys=(KEY, OTHER))))

    claimed = await claim(store, KEY, node=BOB)
    lease = await grant(store, make_key("words"), node=BOB)
    started = await begin(store, lease, make_experiment(), OTHER)
    elsewhere = await claim(store, KEY, node=EVE, hardware_class=A100)

    assert claimed == KeyTried(key=KEY, experiment_id=experiment.experiment_id)
    assert started == KeyTried(key=OTHER, experiment_id=experiment.experiment_id)
    assert await store.get_claim(lease.claim_id) is None
    assert isinstance(elsewhere, Lease)


@pytest.mark.parametrize(("memory_mb", "is_blocked"), [(0.0, True), (40960.0, True), (40960.5, False)])
async def test_running_out_of_memory_blocks_no_larger_memory(
    store: Store, memory_mb: float, *, is_blocked: bool
) -> None:
    blocks = Blocks(keys=(KEY,), memory_mb=40960.0)
    await store.publish(replace(make_publication(make_experiment()), blocks=blocks))

    outcome = await claim(store, KEY, memory_mb=memory_mb)

    assert isinstance(outcome, KeyTried) == is_blocked


async def test_the_widest_block_of_a_key_stays(store: Store) -> None:
    first, wider, full, narrow = (make_experiment() for _ in range(4))
    for experiment, memory_mb in ((first, 100.0), (wider, 200.0), (full, None), (narrow, 300.0)):
        blocks = Blocks(keys=(KEY,), memory_mb=memory_mb)
        await store.publish(replace(make_publication(experiment), blocks=blocks))
        if experiment is wider:
            assert await claim(store, KEY, memory_mb=150.0) == KeyTried(
                key=KEY, experiment_id=wider.experiment_id
            )

    outcome = await claim(store, KEY, memory_mb=1e9)

    assert outcome == KeyTried(key=KEY, experiment_id=full.experiment_id)


async def test_simultaneous_updates_of_a_class_lose_nothing(store: Store) -> None:
    async def publish_one(number: int) -> None:
        experiment = make_experiment()
        result = make_result(experiment, score=float(number + 1))
        seen = await store.get_class(H100)
        while True:
            state = f"{seen.state}{number};"
            publication = make_publication(
                experiment, result=result, seen_version=seen.version, update=ClassUpdate(state=state)
            )
            outcome = await store.publish(publication)
            if isinstance(outcome, Accepted):
                return
            assert isinstance(outcome, StaleClass)
            seen = outcome.current

    await asyncio.gather(*(publish_one(number) for number in range(12)))

    final = await store.get_class(H100)
    assert final.version == 12
    assert sorted(final.state.strip(";").split(";"), key=int) == [str(number) for number in range(12)]
    assert (await store.counts()).results == 12


async def test_class_update_marks_experiments_and_writes_history(store: Store) -> None:
    old, new = make_experiment(), make_experiment(node=BOB)
    await store.publish(make_publication(old, update=make_update(make_best(old, 0.99))))
    best = make_best(new, 0.98)
    update = replace(
        make_update(best, state="two", previous=old.experiment_id),
        marks={
            old.experiment_id: (ExperimentState.SUPERSEDED, "beaten"),
            new.experiment_id: (ExperimentState.BEST, "gain"),
            ExperimentId("unknown"): (ExperimentState.LOST, ""),
        },
    )
    await store.publish(make_publication(new, seen_version=1, update=update))

    first, second = (
        await store.get_experiment(old.experiment_id),
        await store.get_experiment(new.experiment_id),
    )

    assert first is not None
    assert second is not None
    assert (first.state, first.reason) == (ExperimentState.SUPERSEDED, "beaten")
    assert (second.state, second.reason) == (ExperimentState.BEST, "gain")
    assert len(first.results) == 1
    assert await store.get_history() == (
        make_change(make_best(old, 0.99)),
        make_change(best, old.experiment_id),
    )
    assert await store.get_history(A100) == ()
    assert len(await store.get_history(H100)) == 2


async def test_update_class_compares_the_version(store: Store) -> None:
    done = await store.update_class(H100, 0, ClassUpdate(state="one"))
    stale = await store.update_class(H100, 0, ClassUpdate(state="two"))

    assert done is None
    assert stale is not None
    assert (stale.version, stale.state) == (1, "one")
    assert (await store.get_class(A100)).version == 0
    assert [one.hardware_class for one in await store.list_classes()] == [H100]


async def test_global_best_is_the_best_confirmed_of_all_classes(store: Store) -> None:
    one, two = make_experiment(), make_experiment(hardware_class=A100)
    provisional = make_best(one, 0.5)
    confirmed = make_best(one, 0.9, level=Level.CONFIRMED)
    lower = make_best(two, 0.8, level=Level.CONFIRMED)

    await store.update_class(H100, 0, make_update(provisional))
    assert await store.get_global_best() is None
    await store.update_class(H100, 1, make_update(confirmed, is_confirmed=True))
    assert await store.get_global_best() == confirmed
    await store.update_class(A100, 0, make_update(lower, is_confirmed=True))
    assert await store.get_global_best() == lower
    await store.update_class(A100, 1, ClassUpdate(state="refuted"))
    assert await store.get_global_best() == confirmed

    history = await store.get_global_history()
    assert [change.best for change in history] == [confirmed, lower, confirmed]
    assert [change.previous for change in history] == [None, one.experiment_id, two.experiment_id]


async def test_direction_higher_takes_the_highest_confirmed(store_server: StoreServer) -> None:
    store = store_server.challenge_store("ch_higher", direction="higher")
    low = make_best(make_experiment(), 0.1, level=Level.CONFIRMED)
    high = make_best(make_experiment(hardware_class=A100), 0.2, level=Level.CONFIRMED)

    await store.update_class(A100, 0, make_update(high, is_confirmed=True))
    await store.update_class(H100, 0, make_update(low, is_confirmed=True))

    assert await store.get_global_best() == high


async def test_credit_counts_results_time_and_first_times_at_the_top(store: Store) -> None:
    baseline, ours = make_experiment(node=BOB), make_experiment(node=ANN)
    first = make_best(baseline, level=Level.BASELINE)
    await store.publish(make_publication(ours, update=make_update(first)))
    provisional = make_best(ours, level=Level.PROVISIONAL)
    await store.update_class(H100, 1, make_update(provisional))
    await store.update_class(H100, 2, make_update(make_best(ours, level=Level.CONFIRMED)))

    credit = await store.get_credit()

    assert credit == {ANN: Credit(results=1, train_s=300.25, bests=1)}


async def test_publication_settles_its_idea(store: Store) -> None:
    idea = make_idea()
    await store.enqueue(idea, None, max_per_node=1)

    await store.publish(replace(make_publication(make_experiment()), settles=idea.hypothesis_id))

    assert await store.list_ideas() == ()
    assert await store.enqueue(make_idea("another"), None, max_per_node=1) is True


async def test_proposer_is_credited_once_as_the_claim_of_its_idea_ends(store: Store) -> None:
    lease, experiment = await start_experiment(store, node=BOB)
    publication = make_publication(experiment, result=make_result(experiment, node=BOB), lease=lease)
    publication = replace(publication, proposer=ANN)

    for _ in range(2):
        await store.publish(publication)
    late = replace(publication, result=make_result(experiment, node=BOB))
    await store.publish(late)

    credit = await store.get_credit()
    assert credit[ANN] == Credit(ideas_run=1)
    assert credit[BOB].ideas_run == 0


# Reading ---------------------------------------------------------------------------------------------


async def test_scan_returns_every_experiment_oldest_first_without_logs(store: Store) -> None:
    experiments = [make_experiment(title=f"number {number}") for number in range(7)]
    for experiment in experiments:
        await store.publish(make_publication(experiment))

    records = [record async for record in store.scan_experiments(batch=3)]

    assert [record.experiment for record in records] == experiments
    assert all(record.results[0].curve == () for record in records)


async def test_reading_is_kept_with_the_experiment_that_starts(store: Store) -> None:
    reading = make_stored_reading()
    lease = await grant(store, KEY)
    experiment = make_experiment()
    await begin(store, lease, experiment, OTHER, reading=reading)
    await begin(store, lease, experiment, OTHER, reading=make_stored_reading("repeat"))

    await store.publish(make_publication(experiment, lease=lease))

    record = await store.get_experiment(experiment.experiment_id)
    scanned = [one async for one in store.scan_experiments()]
    assert record is not None
    assert record.reading == reading
    assert [one.reading for one in scanned] == [reading]
    assert scanned[0].experiment == experiment


async def test_reading_comes_with_an_experiment_that_is_new_by_its_result(store: Store) -> None:
    first, second = make_experiment(), make_experiment()
    reading = make_stored_reading()
    for one in (first, second):
        await store.publish(replace(make_publication(one), reading=reading if one is first else None))
        await store.publish(replace(make_publication(one), reading=make_stored_reading("later")))

    records = [await store.get_experiment(one.experiment_id) for one in (first, second)]

    assert [record and record.reading for record in records] == [reading, None]
    assert [one.reading async for one in store.scan_experiments()] == [reading, None]


async def test_reading_is_put_in_place_of_the_one_before_and_of_nothing_else(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(replace(make_publication(experiment), reason="why"))
    before = await store.get_experiment(experiment.experiment_id)
    position = await store.position()
    assert before is not None

    for reading in (make_stored_reading("old", rules=1), *[make_stored_reading("new", rules=2)] * 2):
        await store.put_reading(experiment.experiment_id, reading)

    after = await store.get_experiment(experiment.experiment_id)
    assert after == replace(before, reading=make_stored_reading("new", rules=2))
    assert await store.position() == position


async def test_readings_put_at_once_leave_one_of_them_whole(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(make_publication(experiment))
    readings = [make_stored_reading(f"replica {number}") for number in range(4)]

    await asyncio.gather(*(store.put_reading(experiment.experiment_id, one) for one in readings))

    record = await store.get_experiment(experiment.experiment_id)
    assert record is not None
    assert record.experiment == experiment
    assert record.reading in readings


async def test_no_reading_is_kept_of_an_experiment_that_is_not_there(store: Store) -> None:
    blocks = Blocks(keys=(KEY,))

    with pytest.raises(NotFound):
        await store.put_reading(ExperimentId("unknown"), make_stored_reading(), blocks=blocks)

    assert isinstance(await claim(store, KEY), Lease)


@pytest.mark.parametrize("reading", [make_stored_reading("new", rules=2), None])
async def test_keys_that_are_put_with_a_reading_block_in_the_class_of_its_experiment(
    store: Store, reading: StoredReading | None
) -> None:
    experiment = make_experiment()
    await store.publish(replace(make_publication(experiment), reading=make_stored_reading("old", rules=1)))
    before, position = await store.get_experiment(experiment.experiment_id), await store.position()
    assert before is not None

    await store.put_reading(experiment.experiment_id, reading, blocks=Blocks(keys=(KEY, OTHER)))

    after = await store.get_experiment(experiment.experiment_id)
    assert after == replace(before, reading=reading or before.reading)
    assert await store.position() == position
    for key in (KEY, OTHER):
        assert await claim(store, key) == KeyTried(key=key, experiment_id=experiment.experiment_id)
        assert isinstance(await claim(store, key, hardware_class=A100), Lease)


@pytest.mark.parametrize(("memory_mb", "is_blocked"), [(100.0, True), (100.5, False)])
async def test_keys_put_for_a_run_out_of_memory_block_no_larger_memory(
    store: Store, memory_mb: float, *, is_blocked: bool
) -> None:
    experiment = make_experiment()
    await store.publish(make_publication(experiment))

    blocks = Blocks(keys=(KEY,), memory_mb=100.0)
    await store.put_reading(experiment.experiment_id, make_stored_reading(), blocks=blocks)

    assert isinstance(await claim(store, KEY, memory_mb=memory_mb), KeyTried) is is_blocked


@pytest.mark.parametrize(
    ("theirs_mb", "ours_mb", "is_theirs"),
    [
        (None, None, True),
        (None, 100.0, True),
        (200.0, 100.0, True),
        (100.0, 100.0, True),
        (100.0, None, False),
    ],
)
async def test_keys_put_with_a_reading_take_none_from_an_experiment_that_blocks_as_much(
    store: Store, theirs_mb: float | None, ours_mb: float | None, *, is_theirs: bool
) -> None:
    theirs, ours = make_experiment(), make_experiment()
    await store.publish(replace(make_publication(theirs), blocks=Blocks(keys=(KEY,), memory_mb=theirs_mb)))
    await store.publish(make_publication(ours))

    blocks = Blocks(keys=(KEY, OTHER), memory_mb=ours_mb)
    await store.put_reading(ours.experiment_id, make_stored_reading(), blocks=blocks)

    expected = theirs if is_theirs else ours
    assert await claim(store, KEY) == KeyTried(key=KEY, experiment_id=expected.experiment_id)
    assert await claim(store, OTHER) == KeyTried(key=OTHER, experiment_id=ours.experiment_id)


async def test_readings_that_are_put_at_once_lose_no_key(store: Store) -> None:
    experiments = [make_experiment() for _ in range(4)]
    for experiment in experiments:
        await store.publish(make_publication(experiment))
    own = [make_key(f"own {number}") for number in range(4)]

    await asyncio.gather(
        *(
            store.put_reading(
                experiment.experiment_id,
                make_stored_reading(f"replica {replica}"),
                blocks=Blocks(keys=(KEY, own[number])),
            )
            for number, experiment in enumerate(experiments)
            for replica in range(2)
        )
    )

    assert isinstance(await claim(store, KEY), KeyTried)
    found = [await claim(store, key) for key in own]
    assert found == [
        KeyTried(key=key, experiment_id=experiment.experiment_id)
        for key, experiment in zip(own, experiments, strict=True)
    ]


async def test_scan_tells_what_each_experiment_alone_tells(store: Store) -> None:
    experiments = [make_experiment(title=f"number {number}") for number in range(3)]
    for experiment in experiments:
        for scored in (True, False):
            result = make_result(experiment)
            publication = replace(make_publication(experiment, result=result), is_scored=scored)
            await store.publish(replace(publication, reason="why", reading=make_stored_reading()))
    await start_experiment(store, KEY)

    scanned = [one async for one in store.scan_experiments(batch=2)]

    assert scanned == [
        await store.get_experiment(one.experiment.experiment_id, with_logs=False) for one in scanned
    ]
    assert len(scanned) == 4


async def test_counts_tell_how_much_there_is(store: Store) -> None:
    await start_experiment(store, KEY)
    await expire(store, await grant(store, OTHER))
    await store.publish(make_publication(make_experiment()))
    await store.enqueue(make_idea(), None, max_per_node=5)

    counts = await store.counts()

    assert (counts.experiments, counts.results, counts.live_claims, counts.queued) == (2, 1, 1, 1)


async def test_sources_survive_a_long_line_of_edits(store: Store) -> None:
    lines = [f"CONSTANT_{number} = {number * 7919 % 1000}" for number in range(200)]
    source = make_source("\n".join(lines))
    await store.put_source(source)
    chain = [source]
    for number in range(30):
        lines[number * 5] = f"EDITED_{number} = {number}"
        source = make_source("\n".join(lines), chain[-1])
        await store.put_source(source)
        chain.append(source)

    texts = [await store.get_source(one.source_hash) for one in chain]

    assert texts == [one.text for one in chain]


async def test_unknown_source_is_none_and_an_unknown_parent_is_no_obstacle(store: Store) -> None:
    orphan = NewSource(
        source_hash=make_source("x").source_hash,
        text=b"x",
        parent_hash=make_source("never stored").source_hash,
    )

    await store.put_source(orphan)
    await store.put_source(orphan)

    assert await store.get_source(orphan.source_hash) == b"x"
    assert await store.get_source(SourceHash("sha256:" + "0" * 64)) is None


async def test_vectors_are_kept_per_model_once(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(make_publication(experiment))
    for vector in (b"\x00\xff" * 384, b"other"):
        await store.put_vector(experiment.experiment_id, "mini", vector)

    found = [entry async for entry in store.get_vectors("mini")]

    assert found == [(experiment.experiment_id, b"\x00\xff" * 384)]
    assert [entry async for entry in store.get_vectors("maxi")] == []
    with pytest.raises(NotFound):
        await store.put_vector(ExperimentId("unknown"), "mini", b"")


async def test_vectors_that_came_since_are_read_alone(store: Store) -> None:
    experiments = [make_experiment() for _ in range(3)]
    for number, experiment in enumerate(experiments):
        await store.publish(make_publication(experiment))
        await store.put_vector(experiment.experiment_id, "mini", bytes([number]))

    found = [entry async for entry in store.get_vectors("mini", after=2)]

    assert found == [(experiments[2].experiment_id, b"\x02")]
    assert [entry async for entry in store.get_vectors("mini", after=3)] == []


async def test_another_model_takes_the_place_of_one_that_is_dropped(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(make_publication(experiment))
    for model in ("mini", "maxi"):
        await store.put_vector(experiment.experiment_id, model, model.encode())
    before = await store.get_vector_models()

    await store.drop_vectors("mini")
    await store.drop_vectors("mini")

    assert (set(before), await store.get_vector_models()) == ({"mini", "maxi"}, ("maxi",))
    assert [entry async for entry in store.get_vectors("mini")] == []
    await store.put_vector(experiment.experiment_id, "mini", b"again")
    assert [entry async for entry in store.get_vectors("mini")] == [(experiment.experiment_id, b"again")]
    assert [entry async for entry in store.get_vectors("maxi")] == [(experiment.experiment_id, b"maxi")]


async def test_vector_leaves_state_and_results_as_they_are(store: Store) -> None:
    experiment = make_experiment()
    await store.publish(replace(make_publication(experiment), reason="why"))
    before = await store.get_experiment(experiment.experiment_id)

    await store.put_vector(experiment.experiment_id, "mini", b"v")

    assert await store.get_experiment(experiment.experiment_id) == before


async def test_challenges_do_not_see_each_other(store_server: StoreServer) -> None:
    ours, theirs = store_server.challenge_store(CHALLENGE), store_server.challenge_store("ch_other")
    await grant(ours, KEY)

    assert isinstance(await claim(theirs, KEY, node=BOB), Lease)
    assert (await ours.counts()).live_claims == 1


# Events ----------------------------------------------------------------------------------------------


async def test_each_change_has_its_event_in_order(store: Store) -> None:
    position = await store.position()
    lease, experiment = await start_experiment(store, KEY)
    best = make_best(experiment)
    accepted = await store.publish(make_publication(experiment, lease=lease, update=make_update(best)))
    await store.enqueue(make_idea(), None, max_per_node=5)

    page = await store.read_events(position, limit=100, block_s=0)

    assert [event.kind for event in page.events] == [
        EventKind.CLAIMED,
        EventKind.STARTED,
        EventKind.PUBLISHED,
        EventKind.BEST_CHANGED,
        EventKind.PROPOSED,
    ]
    assert isinstance(accepted, Accepted)
    assert page.events[3].position == accepted.position
    assert page.events[3].best == best
    assert {event.experiment_id for event in page.events[1:4]} == {experiment.experiment_id}
    assert page.events[4].position == await store.position()
    assert all(event.hardware_class == H100 for event in page.events[:4])


async def test_refusals_and_repeats_leave_no_event(store: Store) -> None:
    lease, experiment = await start_experiment(store, KEY)
    publication = make_publication(experiment, lease=lease)
    await store.publish(replace(publication, ends_claim=False))
    position = await store.position()

    await claim(store, KEY, node=BOB)
    await begin(store, lease, experiment)
    await store.publish(publication)
    await store.release(lease.claim_id, BOB, lease.fencing_token)

    assert await kinds_since(store, position) == []


async def test_events_come_page_by_page(store: Store) -> None:
    position = await store.position()
    for number in range(5):
        await grant(store, make_key(str(number)), node=f"node-{number}")

    first = await store.read_events(position, limit=3, block_s=0)
    rest = await store.read_events(first.events[-1].position, limit=3, block_s=0)

    assert [len(first.events), len(rest.events)] == [3, 2]
    assert [event.node_id for event in first.events + rest.events] == [f"node-{n}" for n in range(5)]


async def test_reader_that_waits_is_woken_by_an_event(store: Store) -> None:
    position = await store.position()
    waiting = asyncio.create_task(store.read_events(position, limit=10, block_s=30))
    await asyncio.sleep(0)

    await grant(store, KEY)
    page = await asyncio.wait_for(waiting, 20)

    assert [event.kind for event in page.events] == [EventKind.CLAIMED]


async def test_waiting_readers_do_not_hold_up_claims(store: Store) -> None:
    position = await store.position()
    waiting = [asyncio.create_task(store.read_events(position, limit=1, block_s=30)) for _ in range(64)]
    await asyncio.sleep(0)

    await grant(store, KEY)
    pages = await asyncio.wait_for(asyncio.gather(*waiting), 20)

    assert all(len(page.events) == 1 for page in pages)


async def test_time_that_runs_out_is_an_empty_page(store: Store) -> None:
    await grant(store, KEY)

    from_now = await store.read_events(None, limit=10, block_s=0.01)
    page = await store.read_events(await store.position(), limit=10, block_s=0.01)

    assert (from_now.events, from_now.is_gap) == ((), False)
    assert (page.events, page.is_gap) == ((), False)


async def test_position_of_another_epoch_or_of_the_future_is_a_gap(store: Store) -> None:
    await grant(store, KEY)
    position = await store.position()

    other_epoch = await store.read_events(replace(position, epoch=position.epoch - 1), limit=1, block_s=0)
    millis = int(position.stream_id.partition("-")[0])
    future = await store.read_events(replace(position, stream_id=f"{millis + 9}-0"), limit=1, block_s=0)

    assert (other_epoch.is_gap, other_epoch.events) == (True, ())
    assert future.is_gap


async def test_position_that_is_no_event_of_the_stream_is_a_gap(store: Store) -> None:
    for name in "ab":
        await grant(store, make_key(name))
    position = await store.position()
    millis, _, _ = position.stream_id.partition("-")

    for foreign in (f"{int(millis) - 1}-77", "1-0", "0-1", f"{int(millis) - 1}-{2**64}"):
        page = await store.read_events(replace(position, stream_id=foreign), limit=5, block_s=0)

        assert (page.is_gap, page.events) == (True, ())


async def test_start_of_an_untrimmed_stream_is_no_gap(store: Store) -> None:
    epoch = (await store.position()).epoch
    await grant(store, KEY)

    page = await store.read_events(Position(epoch=epoch, stream_id="0-0"), limit=5, block_s=0)

    assert not page.is_gap
    assert len(page.events) == 1


# Queue -----------------------------------------------------------------------------------------------


async def test_ideas_wait_in_order_and_read_back_whole(store: Store) -> None:
    source = make_source("IDEA = 1\n")
    ideas = [make_idea("first", source=source), make_idea("second"), make_idea("third")]
    for idea in ideas:
        assert await store.enqueue(idea, source if idea.source_hash else None, max_per_node=5) is True

    assert await store.list_ideas() == tuple(ideas)
    assert await store.list_ideas(limit=2) == tuple(ideas[:2])
    assert await store.list_ideas(start=1, limit=1) == (ideas[1],)
    assert await store.list_ideas(start=3) == ()
    assert await store.get_source(source.source_hash) == source.text


async def test_enqueue_is_repeatable_even_after_the_idea_is_settled(store: Store) -> None:
    idea = make_idea()
    await store.enqueue(idea, None, max_per_node=5)

    again = await store.enqueue(idea, None, max_per_node=5)
    await store.remove_idea(idea.hypothesis_id)
    settled = await store.enqueue(idea, None, max_per_node=5)

    assert (again, settled) == (False, False)
    assert await store.list_ideas() == ()


async def test_hypothesis_id_of_another_idea_is_a_conflict(store: Store) -> None:
    idea = make_idea()
    await store.enqueue(idea, None, max_per_node=5)

    with pytest.raises(Conflict):
        await store.enqueue(replace(make_idea("new"), hypothesis_id=idea.hypothesis_id), None, max_per_node=5)


async def test_queue_share_of_a_node_is_limited(store: Store) -> None:
    first = make_idea("one")
    await store.enqueue(first, None, max_per_node=1)

    full = await store.enqueue(make_idea("two"), None, max_per_node=1)
    other = await store.enqueue(make_idea("three", node=BOB), None, max_per_node=1)
    removed = await store.remove_idea(first.hypothesis_id)
    freed = await store.enqueue(make_idea("four"), None, max_per_node=1)

    assert (full, other, removed, freed) == (None, True, True, True)
    assert await store.remove_idea(HypothesisId("unknown")) is False


def ideas_of(node: NodeId, *priorities: int) -> list[Idea]:
    return [
        replace(make_idea(f"{node} {number}", node=node), priority=p) for number, p in enumerate(priorities)
    ]


async def queue(store: Store, *ideas: Idea) -> None:
    for idea in ideas:
        assert await store.enqueue(idea, None, max_per_node=99) is True


async def test_higher_priority_goes_first_then_age(store: Store) -> None:
    low, lower, high, higher = ideas_of(ANN, 3, 0, 3, 9)

    await queue(store, low, lower, high, higher)

    assert await store.list_ideas() == (higher, low, high, lower)


async def test_each_owner_has_a_share_of_the_head_of_the_queue(store: Store) -> None:
    greedy, modest = ideas_of(ANN, *[9] * (2 * IDEAS_PER_TURN + 1)), ideas_of(BOB, 0, 0)

    await queue(store, *greedy, *modest)

    head = greedy[:IDEAS_PER_TURN]
    assert await store.list_ideas() == (*head, *modest, *greedy[IDEAS_PER_TURN:])


async def test_owners_urgent_idea_passes_its_others(store: Store) -> None:
    usual, (urgent,) = ideas_of(ANN, *[1] * (2 * IDEAS_PER_TURN)), ideas_of(ANN, 2)

    await queue(store, *usual, urgent)

    assert (await store.list_ideas())[0] == urgent


async def test_nobody_who_keeps_proposing_starves_what_waits(store: Store) -> None:
    waiting = ideas_of(ANN, *[0] * (3 * IDEAS_PER_TURN))
    await queue(store, *waiting)
    served: list[Idea] = []
    newcomers = ideas_of(BOB, *[9] * 60)

    for newcomer in newcomers:
        await queue(store, newcomer)
        served.append((await store.list_ideas(limit=1))[0])
        assert await store.remove_idea(served[-1].hypothesis_id)

    assert set(waiting) <= set(served)
    # Each turn gives one owner no more than its share, so that the others' are never far.
    assert served.index(waiting[0]) <= IDEAS_PER_TURN


async def test_withdrawn_idea_is_gone_and_moves_no_turn_on(store: Store) -> None:
    ideas = ideas_of(ANN, *[0] * (IDEAS_PER_TURN + 1))
    await queue(store, *ideas)
    ann = {"node_id": ANN, "owner_id": OwnerId(f"owner-{ANN}")}

    first = await store.withdraw_idea(ideas[-1].hypothesis_id, **ann)
    again = await store.withdraw_idea(ideas[-1].hypothesis_id, **ann)
    unknown = await store.withdraw_idea(HypothesisId(new_id()), **ann)
    (theirs,) = ideas_of(BOB, 9)
    await queue(store, theirs)

    assert (first, again, unknown) == (True, False, False)
    assert await store.list_ideas() == (theirs, *ideas[:-1])


async def test_only_its_node_or_owner_can_withdraw_an_idea(store: Store) -> None:
    mine, other = ideas_of(ANN, 0, 0)
    await queue(store, mine, other)

    with pytest.raises(PermissionDenied):
        await store.withdraw_idea(mine.hypothesis_id, node_id=BOB, owner_id=OwnerId(f"owner-{BOB}"))
    by_owner = await store.withdraw_idea(mine.hypothesis_id, node_id=BOB, owner_id=OwnerId(f"owner-{ANN}"))
    by_node = await store.withdraw_idea(other.hypothesis_id, node_id=ANN, owner_id=OwnerId("new"))

    assert (by_owner, by_node) == (True, True)
    assert await store.list_ideas() == ()


async def test_idea_of_nobody_known_takes_up_its_nodes_share(store: Store) -> None:
    ideas = [replace(idea, owner_id=None) for idea in ideas_of(ANN, *[0] * (IDEAS_PER_TURN + 1))]
    (other,) = ideas_of(BOB, 0)

    await queue(store, *ideas, other)

    assert (await store.list_ideas())[-1] == ideas[-1]
    assert await store.withdraw_idea(ideas[0].hypothesis_id, node_id=ANN, owner_id=OwnerId("o")) is True


# Insights --------------------------------------------------------------------------------------------


async def known_experiment(store: Store) -> Experiment:
    _, experiment = await start_experiment(store)
    return experiment


async def share(store: Store, insight: Insight, *, max_per_day: int = 9, kept: int = 9) -> bool | None:
    return await store.put_insight(insight, max_per_day=max_per_day, kept=kept)


async def insights_of(store: Store, *, after: int = 0) -> list[Insight]:
    return [one.insight async for one in store.get_insights(after=after)]


async def test_insights_read_back_whole_in_order_of_arrival(store: Store) -> None:
    one, other = await known_experiment(store), await known_experiment(store)
    insights = [make_insight(one), make_insight(one, other, text="second"), make_insight(other, node=BOB)]

    kept = [await share(store, insight) for insight in insights]

    assert kept == [True, True, True]
    assert await insights_of(store) == insights
    numbers = [found.number async for found in store.get_insights()]
    assert await insights_of(store, after=numbers[0]) == insights[1:]
    assert await insights_of(store, after=numbers[-1]) == []


async def test_repeated_insight_is_kept_once_and_uses_up_no_share(store: Store) -> None:
    experiment = await known_experiment(store)
    insight = make_insight(experiment)

    answers = [await share(store, insight, max_per_day=1) for _ in range(3)]

    assert answers == [True, False, False]
    assert await insights_of(store) == [insight]


async def test_insight_id_of_another_insight_is_a_conflict(store: Store) -> None:
    experiment = await known_experiment(store)
    insight = make_insight(experiment)
    await share(store, insight)

    for other in (
        replace(insight, text="the opposite"),
        replace(insight, node_id=BOB),
        replace(insight, experiment_ids=(experiment.experiment_id, ExperimentId(new_id()))),
    ):
        with pytest.raises(Conflict):
            await share(store, other)

    assert await insights_of(store) == [insight]


async def test_insight_from_an_unknown_experiment_is_refused(store: Store) -> None:
    experiment = await known_experiment(store)
    unknown = make_experiment()

    with pytest.raises(NotFound, match=unknown.experiment_id):
        await share(store, make_insight(experiment, unknown))

    assert await insights_of(store) == []


async def test_node_shares_so_many_insights_in_a_day(store: Store) -> None:
    experiment = await known_experiment(store)

    answers = [await share(store, make_insight(experiment), max_per_day=2) for _ in range(3)]
    other = await share(store, make_insight(experiment, node=BOB), max_per_day=2)

    assert answers == [True, True, None]
    assert other is True


async def test_simultaneous_insights_of_one_node_do_not_exceed_its_share(store: Store) -> None:
    experiment = await known_experiment(store)

    answers = await asyncio.gather(
        *(share(store, make_insight(experiment), max_per_day=3) for _ in range(10))
    )

    assert sorted(answers, key=str) == [None] * 7 + [True] * 3
    assert len(await insights_of(store)) == 3


async def test_oldest_insights_make_room_with_their_vectors(store: Store) -> None:
    experiment = await known_experiment(store)
    insights = [make_insight(experiment, text=str(number)) for number in range(5)]
    for insight in insights:
        await share(store, insight, kept=3)
        await store.put_insight_vector(insight.insight_id, "mini", insight.text.encode())

    ids = [insight.insight_id for insight in insights]
    assert await insights_of(store) == insights[2:]
    assert await store.get_insight_vectors(ids, "mini") == {
        insight.insight_id: insight.text.encode() for insight in insights[2:]
    }


async def test_insight_has_the_vector_of_the_last_model_alone(store: Store) -> None:
    insight = make_insight(await known_experiment(store))
    await share(store, insight)

    await store.put_insight_vector(insight.insight_id, "mini", b"\0small")
    await store.put_insight_vector(insight.insight_id, "mini-two", b"large\xff")
    await store.put_insight_vector(InsightId(new_id()), "mini", b"of nothing")

    assert await store.get_insight_vectors([insight.insight_id], "mini") == {}
    assert await store.get_insight_vectors([insight.insight_id, InsightId(new_id())], "mini-two") == {
        insight.insight_id: b"large\xff"
    }
    assert await store.get_insight_vectors([], "mini-two") == {}


# Programs --------------------------------------------------------------------------------------------

OWN = program_hash("Make it better.")


async def set_program(store: Store, text: str, *, note: str = "", kept: int = 9) -> Program | None:
    return await store.set_program(program_hash(text), text, note, own=OWN, kept=kept)


async def test_programs_are_numbered_and_the_last_is_in_force(store: Store) -> None:
    before = await store.get_program()

    first = await set_program(store, 'Be "bold"\n\u00e9 \\', note="why not")
    second = await set_program(store, "Be careful.")

    assert before is None
    assert first is not None
    assert second is not None
    assert (first.version, first.text, first.note) == (1, 'Be "bold"\n\u00e9 \\', "why not")
    assert first.set_at is not None
    assert abs(first.set_at - utc_now()) < timedelta(minutes=1)
    assert second.version == 2
    assert await store.get_program() == second
    assert await store.get_programs() == (first, second)


async def test_program_in_force_is_not_set_again(store: Store) -> None:
    own = await set_program(store, "Make it better.")
    first = await set_program(store, "Be bold.")
    again = await set_program(store, "Be bold.")
    back = await set_program(store, "Make it better.")

    assert (own, again) == (None, None)
    assert first is not None
    assert back is not None
    assert [one.version for one in await store.get_programs()] == [1, 2]
    assert back.program_hash == OWN


async def test_oldest_programs_make_room_and_numbers_go_on(store: Store) -> None:
    for number in range(4):
        await set_program(store, f"number {number}", kept=2)

    assert [one.version for one in await store.get_programs()] == [3, 4]


async def test_simultaneous_programs_get_numbers_of_their_own(store: Store) -> None:
    made = await asyncio.gather(*(set_program(store, f"number {number}") for number in range(5)))

    assert sorted(one.version for one in made if one is not None) == [1, 2, 3, 4, 5]


# Identity --------------------------------------------------------------------------------------------


async def test_open_enrolment_keeps_the_node_as_given(identity: IdentityStore) -> None:
    node = make_node()

    enrolled = await identity.enrol(node, None)

    assert enrolled == node
    assert await identity.get_node(ANN) == node
    assert await identity.list_nodes() == (node,)
    assert await identity.get_node(BOB) is None


async def test_token_gives_its_owner_and_a_vote(identity: IdentityStore) -> None:
    await identity.put_token(make_token(uses_left=1), "hash")

    enrolled = await identity.enrol(make_node(), "hash")

    assert (enrolled.owner_id, enrolled.has_vote) == (OwnerId("lab"), True)
    assert (await identity.list_tokens())[0].uses_left == 0


async def test_enrolled_key_spends_nothing_again(identity: IdentityStore) -> None:
    await identity.put_token(make_token(uses_left=1), "hash")
    first = await identity.enrol(make_node(), "hash")

    again = await identity.enrol(make_node(), "hash")

    assert again == first


async def test_enrolled_key_is_told_of_a_token_that_is_nobodys_or_anothers(identity: IdentityStore) -> None:
    await identity.put_token(make_token(), "hash")
    await identity.put_token(replace(make_token(uses_left=1), owner_id=OwnerId("other")), "others")
    first = await identity.enrol(make_node(), "hash")

    with pytest.raises(TokenRefused, match="not known"):
        await identity.enrol(make_node(), "unknown")
    with pytest.raises(TokenRefused, match="another owner's already"):
        await identity.enrol(make_node(), "others")

    assert await identity.get_node(first.node_id) == first
    assert [token.uses_left for token in await identity.list_tokens() if token.owner_id == "other"] == [1]


async def test_open_node_that_brings_a_token_becomes_the_owners(identity: IdentityStore) -> None:
    await identity.enrol(make_node(), None)
    await identity.put_token(make_token(), "hash")

    upgraded = await identity.enrol(make_node(), "hash")
    without = await identity.enrol(make_node(), None)

    assert (upgraded.owner_id, upgraded.has_vote) == (OwnerId("lab"), True)
    assert without == upgraded


async def test_node_id_is_bound_to_its_key(identity: IdentityStore) -> None:
    await identity.enrol(make_node(), None)

    with pytest.raises(Conflict):
        await identity.enrol(make_node(key=b"\x02" * 32), None)


async def test_last_use_of_a_token_is_spent_once(identity: IdentityStore) -> None:
    await identity.put_token(make_token(uses_left=1), "hash")
    nodes = [make_node(f"node-{number}", key=bytes([number]) * 32) for number in range(8)]

    outcomes = await asyncio.gather(*(identity.enrol(node, "hash") for node in nodes), return_exceptions=True)

    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    refusals = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(refusal, TokenRefused) and "spent" in str(refusal) for refusal in refusals)
    assert len(await identity.list_nodes()) == 1


async def test_unknown_expired_and_revoked_tokens_say_so(identity: IdentityStore) -> None:
    expired = make_token(expires_at=START)
    revoked = make_token(expires_at=utc_now() + timedelta(hours=1))
    await identity.put_token(expired, "expired")
    await identity.put_token(revoked, "revoked")

    assert await identity.revoke_token(revoked.token_id)
    assert not await identity.revoke_token("unknown")
    for token_hash, word in (("unknown", "not known"), ("expired", "expired"), ("revoked", "revoked")):
        with pytest.raises(TokenRefused, match=word):
            await identity.enrol(make_node(), token_hash)
    tokens = {token.token_id: token for token in await identity.list_tokens()}
    assert tokens == {
        expired.token_id: expired,
        revoked.token_id: replace(revoked, is_revoked=True),
    }


async def test_touching_a_node_moves_its_last_seen_forward(identity: IdentityStore) -> None:
    await identity.enrol(make_node(), None)

    await identity.touch_node(ANN, H100)
    await identity.touch_node(ANN, activity="training (solo)")
    await identity.touch_node(BOB)

    node = await identity.get_node(ANN)
    assert node is not None
    assert node.last_seen_at > START
    assert node.hardware_class == H100
    assert node.activity == "training (solo)"
    assert await identity.get_node(BOB) is None


async def test_a_node_without_a_class_can_say_what_it_does(identity: IdentityStore) -> None:
    await identity.enrol(replace(make_node(), hardware_class=HardwareClass("")), None)

    await identity.touch_node(ANN, activity="exploring")

    node = await identity.get_node(ANN)
    assert node is not None
    assert (node.hardware_class, node.activity) == ("", "exploring")


async def test_a_node_can_say_that_it_has_no_hardware_any_more(identity: IdentityStore) -> None:
    await identity.enrol(make_node(), None)
    await identity.touch_node(ANN, H100)

    await identity.touch_node(ANN, HardwareClass(""), activity="exploring")

    node = await identity.get_node(ANN)
    assert node is not None
    assert (node.hardware_class, node.activity) == ("", "exploring")


# Health ----------------------------------------------------------------------------------------------


async def test_healthy_store_is_writable(store_server: StoreServer) -> None:
    health = await store_server.health()

    assert health.is_writable
    assert health.reason == ""
    assert health.description
