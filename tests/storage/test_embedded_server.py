"""The embedded server under kill -9: nothing acknowledged is lost, and a living server is adopted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from autoresearch.errors import Conflict, ReadOnly, Unavailable
from autoresearch.model import Lease, ResultId
from store_samples import (
    ANN,
    CHALLENGE,
    MAX_LIVE,
    TTL_S,
    make_experiment,
    make_key,
    make_publication,
    make_request,
)

from coordinator.storage.base import Accepted, StoreServer
from coordinator.storage.binaries import find_server_program, packaged_server_program
from coordinator.storage.disk import DiskWatermark
from coordinator.storage.open import EmbeddedStoreServer, open_store_server
from coordinator.storage.redis import RedisStoreServer
from coordinator.storage.server_note import start_of

WRITERS = 8
ACKNOWLEDGED_BEFORE_KILL = 40
CONDITION_LIMIT_S = 30.0

OWNER = """
import asyncio, sys
from pathlib import Path
from coordinator.storage.binaries import packaged_server_program
from coordinator.storage.open import open_store_server

async def main():
    server = await open_store_server(None, Path(sys.argv[1]), program=packaged_server_program())
    position = await server.challenge_store("ch_owner").position()
    print(server.process.pid, position.epoch, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def open_embedded(folder: Path, **options) -> EmbeddedStoreServer:
    server = await open_store_server(None, folder, program=packaged_server_program(), **options)
    assert isinstance(server, EmbeddedStoreServer)
    return server


async def until(condition) -> None:
    """Waits for a condition that must come true."""
    async with asyncio.timeout(CONDITION_LIMIT_S):
        while not condition():  # noqa: ASYNC110 - another process cannot set our event
            await asyncio.sleep(0.01)


async def kill_server(server: EmbeddedStoreServer) -> None:
    pid = server.process.pid
    os.kill(pid, signal.SIGKILL)
    # A zombie can be waited for once the last of its threads is gone, which the leader's death does not say.
    await until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)


async def ledger(server: StoreServer) -> list[ResultId]:
    return [result_id async for result_id in server.challenge_store(CHALLENGE).get_result_ids()]


@pytest.fixture
async def embedded(short_folder: Path) -> AsyncIterator[EmbeddedStoreServer]:
    server = await open_embedded(short_folder / "data")
    yield server
    await server.close()


async def test_acknowledged_results_survive_kill_9_in_the_middle_of_writes(
    embedded: EmbeddedStoreServer,
) -> None:
    store = embedded.challenge_store(CHALLENGE)
    acknowledged: list[ResultId] = []

    async def publish_until_it_dies() -> None:
        while True:
            publication = make_publication(make_experiment())
            try:
                outcome = await store.publish(publication)
            except Unavailable:
                return
            assert isinstance(outcome, Accepted)
            acknowledged.append(publication.result.result_id)

    writers = [asyncio.create_task(publish_until_it_dies()) for _ in range(WRITERS)]
    await until(lambda: len(acknowledged) >= ACKNOWLEDGED_BEFORE_KILL)
    await kill_server(embedded)
    await asyncio.wait_for(asyncio.gather(*writers), CONDITION_LIMIT_S)
    await embedded.ensure_running()

    found = await ledger(embedded)
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))


async def test_restart_begins_a_new_epoch_and_keeps_leases(embedded: EmbeddedStoreServer) -> None:
    store = embedded.challenge_store(CHALLENGE)
    lease = await store.claim(make_request(make_key("a")), ttl_s=TTL_S, max_live=MAX_LIVE)
    before = await store.position()

    await kill_server(embedded)
    restarted = await embedded.ensure_running()
    after = await store.position()
    later = await store.claim(make_request(make_key("b")), ttl_s=TTL_S, max_live=MAX_LIVE)

    assert restarted
    assert after.epoch == before.epoch + 1
    assert after.stream_id == before.stream_id
    assert (await store.read_events(before, limit=1, block_s=0)).is_gap
    assert isinstance(lease, Lease)
    assert isinstance(later, Lease)
    assert later.fencing_token >> 32 == after.epoch
    assert later.fencing_token > lease.fencing_token
    assert await store.release(lease.claim_id, ANN, lease.fencing_token)


async def test_dead_server_is_unavailable_and_grants_nothing(embedded: EmbeddedStoreServer) -> None:
    store = embedded.challenge_store(CHALLENGE)
    await store.position()

    await kill_server(embedded)

    with pytest.raises(Unavailable):
        await store.claim(make_request(make_key("a")), ttl_s=TTL_S, max_live=MAX_LIVE)
    health = await embedded.health()
    assert not health.is_writable
    assert health.reason


async def test_watch_starts_a_dead_server_again_and_tells(embedded: EmbeddedStoreServer) -> None:
    told = asyncio.Event()

    async def on_restart() -> None:
        told.set()

    watcher = asyncio.create_task(embedded.watch(on_restart))
    await kill_server(embedded)
    await asyncio.wait_for(told.wait(), CONDITION_LIMIT_S)
    watcher.cancel()

    assert (await embedded.health()).is_writable
    assert await embedded.ensure_running() is False


async def test_watch_outlives_a_full_disk(
    embedded: EmbeddedStoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    told = asyncio.Event()
    publication = make_publication(make_experiment())
    await embedded.challenge_store(CHALLENGE).publish(publication)
    # What is written there meets ENOSPC, as all of a full disk would.
    full = embedded.process.folder / "server.new"
    full.symlink_to("/dev/full")

    async def on_restart() -> None:
        told.set()

    watcher = asyncio.create_task(embedded.process.watch(on_restart, pause_s=0.01))
    await kill_server(embedded)
    await until(lambda: "does not start; trying again" in caplog.text)
    health_while_full = await embedded.health()
    full.unlink()
    await asyncio.wait_for(told.wait(), CONDITION_LIMIT_S)
    watcher.cancel()

    assert not health_while_full.is_writable
    assert "No space left" in caplog.text
    assert (await embedded.health()).is_writable
    assert await ledger(embedded) == [publication.result.result_id]


async def test_start_on_a_full_disk_says_so_and_leaves_the_directory(short_folder: Path) -> None:
    folder = short_folder / "data"
    folder.mkdir()
    full = folder / "server.new"
    full.symlink_to("/dev/full")

    with pytest.raises(Unavailable, match="No space left"):
        await open_embedded(folder)
    full.unlink()
    server = await open_embedded(folder)

    assert (await server.health()).is_writable
    await server.close()


async def test_reader_that_waits_learns_of_the_servers_death(embedded: EmbeddedStoreServer) -> None:
    store = embedded.challenge_store(CHALLENGE)
    waiting = asyncio.create_task(store.read_events(await store.position(), limit=1, block_s=60))
    await asyncio.sleep(0)

    await kill_server(embedded)

    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, CONDITION_LIMIT_S)


async def test_server_of_a_killed_owner_is_adopted(short_folder: Path) -> None:
    argv = [sys.executable, "-c", OWNER, str(short_folder / "data")]
    owner = subprocess.Popen(argv, stdout=subprocess.PIPE)  # noqa: ASYNC220 - nothing else runs yet
    assert owner.stdout is not None
    pid, epoch = (int(word) for word in owner.stdout.readline().split())
    owner.kill()
    owner.wait()
    owner.stdout.close()

    server = await open_embedded(short_folder / "data")

    assert server.process.is_adopted
    assert server.process.pid == pid
    assert (await server.challenge_store("ch_owner").position()).epoch == epoch
    await server.close()
    assert not start_of(pid)


async def test_directory_of_a_living_coordinator_is_refused(embedded: EmbeddedStoreServer) -> None:
    with pytest.raises(Conflict, match=f"process {os.getpid()}"):
        await open_embedded(embedded.process.folder)

    assert (await embedded.health()).is_writable


async def test_directory_is_free_again_after_close_and_keeps_everything(short_folder: Path) -> None:
    first = await open_embedded(short_folder / "data")
    publication = make_publication(make_experiment())
    await first.challenge_store(CHALLENGE).publish(publication)
    await first.close()
    await first.close()

    second = await open_embedded(short_folder / "data")

    assert not second.process.is_adopted
    assert await ledger(second) == [publication.result.result_id]
    await second.close()


async def test_close_after_the_servers_death_leaves_a_directory_that_opens_again(short_folder: Path) -> None:
    server = await open_embedded(short_folder / "data")
    publication = make_publication(make_experiment())
    await server.challenge_store(CHALLENGE).publish(publication)
    await kill_server(server)
    await server.close()

    again = await open_embedded(short_folder / "data")

    assert await ledger(again) == [publication.result.result_id]
    await again.close()


async def test_torn_end_of_the_append_only_file_is_survived(short_folder: Path) -> None:
    server = await open_embedded(short_folder / "data")
    publication = make_publication(make_experiment())
    await server.challenge_store(CHALLENGE).publish(publication)
    await kill_server(server)
    (increment,) = (short_folder / "data" / "appendonlydir").glob("*.incr.aof")
    with increment.open("ab") as file:
        file.write(b"*4\r\n$4\r\nHSET\r\n$10\r\nhalf")

    await server.ensure_running()

    assert await ledger(server) == [publication.result.result_id]
    await server.close()


async def test_long_data_path_gets_a_short_socket(short_folder: Path) -> None:
    folder = short_folder / ("long-" * 30) / "data"
    server = await open_embedded(folder)
    socket = Path(server.process.url.removeprefix("unix://"))

    await kill_server(server)
    await server.ensure_running()

    assert len(str(socket)) < 100
    assert (await server.health()).is_writable
    await server.close()
    assert not socket.parent.exists()


async def test_data_directory_is_for_its_owner_alone(embedded: EmbeddedStoreServer) -> None:
    assert embedded.process.folder.stat().st_mode & 0o777 == 0o700


async def test_server_has_a_session_of_its_own(embedded: EmbeddedStoreServer) -> None:
    assert os.getsid(embedded.process.pid) != os.getsid(0)


async def test_program_that_does_not_start_says_why(short_folder: Path) -> None:
    with pytest.raises(Unavailable, match=r"server\.log"):
        await open_store_server(None, short_folder / "data", program=Path(sys.executable))
    with pytest.raises(Unavailable, match="cannot be started"):
        await open_store_server(None, short_folder / "data", program=short_folder / "nothing")


async def test_low_disk_turns_the_store_read_only(short_folder: Path) -> None:
    server = await open_embedded(short_folder / "data", min_free_bytes=1 << 60)
    store = server.challenge_store(CHALLENGE)

    with pytest.raises(ReadOnly, match="MiB free"):
        await store.publish(make_publication(make_experiment()))
    health = await server.health()

    assert not health.is_writable
    assert (await store.counts()).results == 0
    await server.close()


def test_watermark_asks_the_disk_at_most_once_a_second() -> None:
    times, measured = iter([10.0, 10.5, 11.5]), iter([100, 5])
    watermark = DiskWatermark(
        Path("/data"), min_free_bytes=10, measure=lambda _: next(measured), clock=lambda: next(times)
    )

    watermark.check()
    watermark.check()

    with pytest.raises(ReadOnly):
        watermark.check()


def test_watermark_of_a_disk_that_cannot_be_asked_takes_no_writes() -> None:
    def measure(_folder: Path) -> int:
        raise OSError("stale file handle")

    with pytest.raises(ReadOnly, match="stale file handle"):
        DiskWatermark(Path("/data"), measure=measure).check()


async def test_health_of_a_disk_that_cannot_be_asked_says_so(embedded: EmbeddedStoreServer) -> None:
    def check_writable() -> None:
        raise OSError("stale file handle")

    server = RedisStoreServer(embedded.process.url, description="", check_writable=check_writable)
    health = await server.health()
    await server.close()

    assert not health.is_writable
    assert "stale file handle" in health.reason


def test_a_server_program_is_found() -> None:
    assert find_server_program().exists()
