"""What only a real server can show: unsafe settings, full memory, restarts, trimmed streams, deltas."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from autoresearch.errors import Internal, InvalidArgument, ReadOnly, Unavailable
from autoresearch.model import Lease
from conftest import DebianServer
from store_samples import (
    CHALLENGE,
    MAX_LIVE,
    TTL_S,
    make_experiment,
    make_key,
    make_publication,
    make_request,
    make_source,
)

from coordinator.storage.base import NewSource, Store, StoreServer
from coordinator.storage.memory import MemoryStoreServer
from coordinator.storage.open import open_store_server
from coordinator.storage.redis import RedisStoreServer
from coordinator.storage.redis.keys import pack_hash
from coordinator.storage.redis.sources import CHAIN_LIMIT

TRIMMED_TO = 100
"""Streams are trimmed by whole nodes of a hundred entries."""


@pytest.fixture
async def server(own_debian_server: DebianServer) -> AsyncIterator[RedisStoreServer]:
    server = RedisStoreServer(own_debian_server.url, description="redis", events_kept=TRIMMED_TO)
    yield server
    await server.close()


@pytest.fixture
async def store(server: RedisStoreServer) -> Store:
    return server.challenge_store(CHALLENGE)


async def grant(store: Store, name: str) -> Lease:
    lease = await store.claim(make_request(make_key(name), node=name), ttl_s=TTL_S, max_live=MAX_LIVE)
    assert isinstance(lease, Lease)
    return lease


async def stored_source(server: RedisStoreServer, source: NewSource) -> bytes:
    key = f"{{{CHALLENGE}}}:sources"
    blob = await server._link.command("HGET", key, pack_hash(source.source_hash))
    assert isinstance(blob, bytes)
    return blob


async def test_external_server_that_persists_is_accepted(own_debian_server: DebianServer) -> None:
    server = await open_store_server(own_debian_server.url, Path("unused"))

    assert (await server.health()).is_writable
    await server.close()


async def test_server_that_may_evict_is_refused_with_the_fix(
    own_debian_server: DebianServer, server: RedisStoreServer
) -> None:
    await server._link.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

    with pytest.raises(ReadOnly, match="CONFIG SET maxmemory-policy noeviction"):
        await open_store_server(own_debian_server.url, Path("unused"))


@pytest.mark.parametrize(
    "settings",
    [
        {"appendonly": "no"},
        {"appendonly": "no", "save": "60 1"},
        {"appendfsync": "everysec"},
        {"appendfsync": "no"},
    ],
)
async def test_server_that_answers_before_its_disk_has_it_is_refused_unless_allowed(
    own_debian_server: DebianServer, server: RedisStoreServer, settings: dict[str, str]
) -> None:
    for name, value in settings.items():
        await server._link.command("CONFIG", "SET", name, value)

    with pytest.raises(ReadOnly, match="CONFIG SET appendonly yes and CONFIG SET appendfsync always"):
        await open_store_server(own_debian_server.url, Path("unused"))
    allowed = await open_store_server(own_debian_server.url, Path("unused"), allow_unsafe=True)

    assert (await allowed.health()).is_writable
    await allowed.close()


async def test_server_that_hides_its_settings_is_refused(
    own_debian_server: DebianServer, server: RedisStoreServer
) -> None:
    await server._link.command("ACL", "SETUSER", "default", "-config")

    with pytest.raises(ReadOnly, match="appendfsync always"):
        await open_store_server(own_debian_server.url, Path("unused"))


async def test_unreachable_server_is_unavailable(short_folder: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await open_store_server(f"unix://{short_folder}/none.sock", Path("unused"))


@pytest.mark.parametrize(
    ("url", "what_to_give"),
    [
        ("postgres://host/db", "redis, rediss, unix, memory"),
        ("redis://host:notaport", "redis://host:6379/0"),
        ("redis://[::1", "redis://host:6379/0"),
        ("redis://", "names no host"),
        ("redis://host/results", "no database"),
        ("unix://", "names no socket"),
    ],
)
async def test_url_that_names_no_store_is_refused_with_what_to_give(url: str, what_to_give: str) -> None:
    with pytest.raises(InvalidArgument, match=what_to_give):
        await open_store_server(url, Path("unused"))


async def test_store_in_memory_is_refused_unless_allowed() -> None:
    with pytest.raises(ReadOnly, match="--allow-unsafe-store"):
        await open_store_server("memory://", Path("unused"))

    allowed = await open_store_server("memory://", Path("unused"), allow_unsafe=True)
    assert isinstance(allowed, MemoryStoreServer)


async def test_server_that_is_full_is_read_only_and_still_reads(
    server: RedisStoreServer, store: Store
) -> None:
    publication = make_publication(make_experiment())
    await store.publish(publication)
    await server._link.command("CONFIG", "SET", "maxmemory", "1")

    with pytest.raises(ReadOnly):
        await grant(store, "a")

    assert await store.get_experiment(publication.result.experiment_id) is not None
    assert (await store.counts()).live_claims == 0
    assert (await store.position()).epoch > 0


async def test_restart_keeps_all_and_begins_a_new_epoch(
    own_debian_server: DebianServer, store: Store
) -> None:
    publication = make_publication(make_experiment())
    await store.publish(publication)
    lease = await grant(store, "a")
    before = await store.position()

    own_debian_server.stop(signal.SIGKILL)
    with pytest.raises(Unavailable):
        await store.position()
    own_debian_server.start()
    later = await grant(store, "b")

    assert [result_id async for result_id in store.get_result_ids()] == [publication.result.result_id]
    assert later.fencing_token >> 32 == before.epoch + 1
    assert later.fencing_token > lease.fencing_token
    assert (await store.position()).epoch == before.epoch + 1


async def test_emptied_store_never_repeats_a_token(server: RedisStoreServer, store: Store) -> None:
    before = [(await grant(store, str(number))).fencing_token for number in range(3)]
    await server._link.command("FLUSHALL")

    after = (await grant(store, "a")).fencing_token

    assert after > max(before)


async def test_forgotten_scripts_are_sent_again(server: RedisStoreServer, store: Store) -> None:
    await grant(store, "a")
    await server._link.command("SCRIPT", "FLUSH")

    await grant(store, "b")

    assert (await store.counts()).live_claims == 2


async def test_time_never_goes_back(server: RedisStoreServer, store: Store) -> None:
    first = await grant(store, "a")
    ahead_ms = int(first.expires_at.timestamp() * 1000) + 3_600_000
    await server._link.command("HSET", f"{{{CHALLENGE}}}:meta", "now", ahead_ms)

    second = await grant(store, "b")

    assert (second.expires_at - first.expires_at).total_seconds() >= 3_600
    assert (await store.get_live_claims())[0].lease == second


async def test_position_older_than_a_trimmed_stream_is_a_gap(store: Store) -> None:
    start = await store.position()
    for number in range(4 * TRIMMED_TO):
        await grant(store, str(number))

    old = await store.read_events(start, limit=1, block_s=0)
    recent = await store.read_events(await store.position(), limit=1, block_s=0)

    assert (old.is_gap, old.events) == (True, ())
    assert not recent.is_gap


async def test_edits_are_stored_as_small_deltas_in_bounded_chains(
    server: RedisStoreServer, store: Store
) -> None:
    lines = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(400)]
    source = make_source("\n".join(lines))
    await store.put_source(source)
    depths = []
    for number in range(3 * CHAIN_LIMIT):
        lines[number] = f"edited {number}"
        source = make_source("\n".join(lines), source)
        await store.put_source(source)
        blob = await stored_source(server, source)
        depths.append(blob[0])
        assert len(blob) < 800

    assert max(depths) == CHAIN_LIMIT
    assert depths.count(1) == 3


async def test_source_reads_the_same_in_a_fresh_process(
    own_debian_server: DebianServer, store: Store
) -> None:
    chain = [make_source("line\n" * 500)]
    for number in range(2 * CHAIN_LIMIT):
        chain.append(make_source(chain[-1].text.decode() + f"more {number}\n", chain[-1]))
    for source in chain:
        await store.put_source(source)

    other = RedisStoreServer(own_debian_server.url, description="other")
    texts = [await other.challenge_store(CHALLENGE).get_source(one.source_hash) for one in reversed(chain)]

    assert texts == [one.text for one in reversed(chain)]
    await other.close()


async def test_damaged_source_is_an_error_and_never_served(server: RedisStoreServer, store: Store) -> None:
    good, other = make_source("good"), make_source("other")
    for source in (good, other):
        await store.put_source(source)
    blob = await stored_source(server, other)
    await server._link.command("HSET", f"{{{CHALLENGE}}}:sources", pack_hash(good.source_hash), blob)
    fresh: StoreServer = RedisStoreServer(server._link.url, description="fresh")

    with pytest.raises(Internal, match="damaged"):
        await fresh.challenge_store(CHALLENGE).get_source(good.source_hash)

    await fresh.close()


async def test_delta_is_not_stored_when_its_parent_was_lost(server: RedisStoreServer, store: Store) -> None:
    parent = make_source("parent\n" * 50)
    await store.put_source(parent)
    await server._link.command("DEL", f"{{{CHALLENGE}}}:sources")
    child = make_source("parent\n" * 50 + "child", parent)

    await store.publish(make_publication(make_experiment(child), source=child))

    assert (await stored_source(server, child))[0] == 0
    assert await store.get_source(child.source_hash) == child.text
