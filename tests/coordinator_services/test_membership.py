from __future__ import annotations

import pytest
from autoresearch.errors import (
    ChallengeUnfrozen,
    ConsentMissing,
    InvalidArgument,
    NotFound,
    ProtocolMismatch,
    TokenRefused,
    UnknownChallenge,
)
from autoresearch.model import ClaimId, OwnerId, new_id
from autoresearch.signing import SigningKey, node_id_of
from swarm_builders import CLASS, Rig, change, make_challenge, make_hardware, make_rig

from coordinator.dedup.code import CodeReader
from coordinator.services.settings import ServiceSettings
from coordinator.services.swarm import SwarmServices
from coordinator.storage.memory.server import MemoryStoreServer


async def enrol(rig: Rig, key: SigningKey, *, token: str = "", has_consented: bool = True):
    return await rig.services.membership.enrol(
        key.public_key, token=token, name="a node", has_consented=has_consented
    )


async def make_token(
    rig: Rig, *, owner: str = "ada", uses: int | None = 1, expires_in_s: float | None = None
):
    return await rig.services.admin.create_token(
        owner_id=OwnerId(owner), uses=uses, expires_in_s=expires_in_s
    )


async def connect(rig: Rig, **changes):
    node = await rig.join("n")
    arguments = {
        "protocol_min": 1,
        "protocol_max": 1,
        "challenge": "",
        "hardware": make_hardware(),
        "node_version": "0",
    } | changes
    return await rig.services.membership.connect(node, **arguments)


async def test_server_info_brings_the_challenges_and_the_terms(rig: Rig) -> None:
    info = rig.services.membership.server_info()

    assert [one.name for one in info.challenges] == ["test"]
    assert "MIT" in info.terms
    assert info.is_enrolment_open


async def test_open_enrolment_makes_an_owner_without_a_vote(rig: Rig) -> None:
    key = SigningKey.generate()

    enrolment = await enrol(rig, key)

    assert enrolment.node_id == node_id_of(key.public_key)
    assert enrolment.owner_id.startswith("open-")
    assert not enrolment.has_vote


async def test_a_token_gives_its_owner_and_a_vote_and_is_spent_once(rig: Rig) -> None:
    _, text = await make_token(rig)

    key = SigningKey.generate()
    first = await enrol(rig, key, token=text)
    again = await enrol(rig, key, token=text)
    with pytest.raises(TokenRefused):
        await enrol(rig, SigningKey.generate(), token=text)

    assert first == again
    assert (first.owner_id, first.has_vote) == ("ada", True)


async def test_wrong_expired_and_revoked_tokens_are_refused(rig: Rig) -> None:
    _, expired = await make_token(rig, expires_in_s=10)
    token, revoked = await make_token(rig)
    await rig.services.admin.revoke_token(token.token_id)
    rig.clock.advance(seconds=11)

    for text in ("art_wrong", expired, revoked):
        with pytest.raises(TokenRefused):
            await enrol(rig, SigningKey.generate(), token=text)


async def test_where_enrolment_is_closed_a_token_is_needed(reader: CodeReader) -> None:
    rig = make_rig(reader, is_enrolment_open=False)

    with pytest.raises(TokenRefused, match="token only"):
        await enrol(rig, SigningKey.generate())


async def test_without_consent_nobody_is_enrolled(rig: Rig) -> None:
    key = SigningKey.generate()

    with pytest.raises(ConsentMissing, match="consent"):
        await enrol(rig, key, has_consented=False)

    assert await rig.server.identity_store().get_node(key.node_id) is None


async def test_a_key_of_the_wrong_size_is_refused(rig: Rig) -> None:
    with pytest.raises(InvalidArgument):
        await rig.services.membership.enrol(b"short", token="", name="", has_consented=True)


async def test_tokens_are_listed_without_their_text_and_unknown_ones_are_not_found(rig: Rig) -> None:
    token, text = await make_token(rig, uses=3)

    listed = await rig.services.admin.list_tokens()

    assert [one.token_id for one in listed] == [token.token_id]
    assert text not in repr(listed)
    with pytest.raises(NotFound):
        await rig.services.admin.revoke_token("t_none")


@pytest.mark.parametrize("owner", ["open-somebody", "two words", ""])
async def test_owners_that_could_be_mistaken_are_refused(rig: Rig, owner: str) -> None:
    with pytest.raises(InvalidArgument):
        await make_token(rig, owner=owner)


async def test_connecting_brings_the_challenge_and_is_repeatable(rig: Rig) -> None:
    session = await connect(rig)

    assert session.protocol == 1
    assert session.challenge.challenge_id == rig.challenge.challenge_id
    assert session.best is None
    assert session.lease_ttl_s > session.heartbeat_interval_s


async def test_a_protocol_mismatch_names_both_ranges(rig: Rig) -> None:
    with pytest.raises(ProtocolMismatch, match=r"7 to 9.*1 to 1"):
        await connect(rig, protocol_min=7, protocol_max=9)


async def test_an_unknown_challenge_names_those_that_are_hosted(rig: Rig) -> None:
    with pytest.raises(UnknownChallenge, match="test"):
        await connect(rig, challenge="nothing")


async def test_hardware_that_the_challenge_does_not_run_on_is_refused(rig: Rig) -> None:
    hardware = make_hardware()
    object.__setattr__(hardware, "device_kind", "cuda")

    with pytest.raises(InvalidArgument, match="runs on cpu"):
        await connect(rig, hardware=hardware)


async def test_heartbeats_renew_leases_and_say_which_are_lost(rig: Rig) -> None:
    node, other = await rig.join("n"), await rig.join("o")
    await rig.open_class(node)
    mine = await rig.claim(node, change("LR", "0.05"))
    theirs = await rig.claim(other, change("LR", "0.06"))
    gone = ClaimId(new_id())
    rig.clock.advance(seconds=100)

    beat = await rig.services.membership.heartbeat(
        node,
        challenge_id=rig.challenge.challenge_id,
        claim_ids=(mine.lease.claim_id, theirs.lease.claim_id, gone),
        activity="training",
    )

    assert [lease.claim_id for lease in beat.renewed] == [mine.lease.claim_id]
    assert beat.renewed[0].expires_at > mine.lease.expires_at
    assert set(beat.lost) == {theirs.lease.claim_id, gone}
    assert beat.best_experiment_id == rig.baseline_id


async def test_too_many_claims_in_one_heartbeat_are_refused(rig: Rig) -> None:
    node = await rig.join("n")

    with pytest.raises(InvalidArgument):
        await rig.services.membership.heartbeat(
            node,
            challenge_id=rig.challenge.challenge_id,
            claim_ids=[ClaimId(new_id()) for _ in range(65)],
            activity="",
        )


def test_an_unfrozen_challenge_is_not_hosted(reader: CodeReader) -> None:
    with pytest.raises(ChallengeUnfrozen):
        SwarmServices(
            MemoryStoreServer(),
            [make_challenge(frozen=False)],
            ServiceSettings(version="0"),
            reader=reader,
        )


def test_two_challenges_of_one_name_are_not_hosted(reader: CodeReader) -> None:
    with pytest.raises(InvalidArgument, match="same"):
        SwarmServices(
            MemoryStoreServer(),
            [make_challenge(), make_challenge()],
            ServiceSettings(version="0"),
            reader=reader,
        )


async def test_a_class_is_named_by_the_hardware_that_connected(rig: Rig) -> None:
    node = await rig.join("n")

    assert node.hardware_class == CLASS
