"""``serve`` as a process: how it starts, is refused, stops, is killed and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from autoresearch.calls import LEADERBOARD_SERVICE, SWARM_SERVICE
from autoresearch.challenge import Challenge
from autoresearch.errors import SwarmError
from autoresearch.model import BaselineTask, Purpose, Result
from autoresearch.signing import SigningKey, save_key
from autoresearch.v1 import leaderboard_pb2, swarm_pb2, types_pb2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2
from rpc_nodes import TestNode
from rpc_process import run, run_python, serve_arguments, serving

from coordinator.config import Config
from coordinator.server import running_coordinator
from coordinator.storage.memory import MemoryStoreServer

LIMIT_S = 60.0
RETRY_S = 0.1


def node_at(address: str, key: SigningKey | None = None) -> TestNode:
    channel = grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
    return TestNode(channel, key or SigningKey.generate())


async def publish_baselines(node: TestNode, challenge: Challenge, count: int) -> list[Result]:
    source, done = challenge.baseline_source.encode(), []
    for _ in range(count):
        task = await node.next_task()
        assert isinstance(task, BaselineTask)
        result = node.result(task.experiment_id, source, 1.5, seed=task.seed, purpose=Purpose.BASELINE)
        await node.publish(result, task.lease)
        done.append(result)
    return done


async def published_ids(node: TestNode, experiment_id: str) -> set[str]:
    request = leaderboard_pb2.GetExperimentRequest(experiment_id=experiment_id)
    reply = await node.send(LEADERBOARD_SERVICE + "GetExperiment", request.SerializeToString())
    return {result.result_id for result in leaderboard_pb2.GetExperimentReply.FromString(reply).results}


def is_alive(pid: int) -> bool:
    """False for a zombie too: whoever adopts orphans may be slow to collect them."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return Path("/proc/self").exists() is False
    except ProcessLookupError:
        return False
    return state != "Z"


async def test_a_killed_coordinator_comes_back_with_all_that_it_acknowledged(
    tmp_path: Path, challenge_folder: Path, challenge: Challenge
) -> None:
    async with serving(tmp_path / "data", challenge_folder) as first:
        node = node_at(first.address)
        await node.join()
        results = await publish_baselines(node, challenge, 2)
        store_pid = first.store_pid
        await first.signalled(signal.SIGKILL)
        await node.channel.close()

    assert is_alive(store_pid)
    async with serving(tmp_path / "data", challenge_folder) as second:
        again = node_at(second.address, node.key)
        session = await again.connect()
        found = await published_ids(again, results[0].experiment_id)
        repeat = await again.publish(results[1])
        await again.channel.close()
        adopted_pid = second.store_pid

    assert found == {result.result_id for result in results}
    assert repeat.is_repeat
    assert session.best is not None
    assert adopted_pid == store_pid
    assert not is_alive(store_pid)


async def test_a_killed_store_is_started_again_with_all_that_was_acknowledged(
    tmp_path: Path, challenge_folder: Path, challenge: Challenge
) -> None:
    async with serving(tmp_path / "data", challenge_folder) as served:
        node = node_at(served.address)
        await node.join()
        results = await publish_baselines(node, challenge, 1)
        os.kill(served.store_pid, signal.SIGKILL)

        async with asyncio.timeout(LIMIT_S):
            more: list[Result] = []
            while not more:
                try:
                    more = await publish_baselines(node, challenge, 1)
                except SwarmError:
                    await asyncio.sleep(RETRY_S)
        found = await published_ids(node, results[0].experiment_id)
        await node.channel.close()

    assert found == {result.result_id for result in (*results, *more)}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_ends_the_coordinator_and_then_its_store(
    tmp_path: Path, challenge_folder: Path, number: int, code: int
) -> None:
    async with serving(tmp_path / "data", challenge_folder) as served:
        store_pid = served.store_pid
        ended_with = await served.signalled(number)

    assert ended_with == code
    assert not is_alive(store_pid)


async def test_an_open_watch_neither_holds_up_a_stop_nor_hangs(config: Config, challenge: Challenge) -> None:
    async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as running:
        node = node_at(running.address)
        await node.join()
        request = swarm_pb2.WatchEventsRequest(
            challenge_id=node.challenge_id, scope=swarm_pb2.WATCH_SCOPE_NODE
        ).SerializeToString()
        method = SWARM_SERVICE + "WatchEvents"
        stub: Any = node.channel.unary_stream(method, response_deserializer=types_pb2.Event.FromString)
        watch = stub(request, metadata=node.sign(method, request))
        await watch.wait_for_connection()

    code = await asyncio.wait_for(watch.code(), LIMIT_S)
    await node.channel.close()

    assert code is grpc.StatusCode.UNAVAILABLE


async def test_health_is_told_per_service(config: Config, challenge: Challenge) -> None:
    async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as running:
        node = node_at(running.address)
        found = {}
        for service in ("", "autoresearch.v1.SwarmService", "autoresearch.v1.LeaderboardService"):
            body = health_pb2.HealthCheckRequest(service=service).SerializeToString()
            reply = await node.send("/grpc.health.v1.Health/Check", body)
            found[service] = health_pb2.HealthCheckResponse.FromString(reply).status
        await node.channel.close()

    assert set(found.values()) == {health_pb2.HealthCheckResponse.SERVING}


async def test_a_taken_port_is_one_clear_sentence(tmp_path: Path, challenge_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        ended = await run(*serve_arguments(tmp_path / "data", challenge_folder, listen=address))

    assert ended.code == 1
    assert f"error: cannot listen on {address}" in ended.err
    assert "Traceback" not in ended.err


async def test_a_data_folder_in_use_is_one_clear_sentence(tmp_path: Path, challenge_folder: Path) -> None:
    async with serving(tmp_path / "data", challenge_folder):
        ended = await run(*serve_arguments(tmp_path / "data", challenge_folder))

    assert ended.code == 1
    assert "in use by another coordinator" in ended.err


async def test_an_unknown_challenge_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    ended = await run(*serve_arguments(tmp_path / "data", Path("nope")))

    assert ended.code == 2
    assert "pocket" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "data").exists()


async def test_an_unfrozen_challenge_is_refused(tmp_path: Path, unfrozen_folder: Path) -> None:
    ended = await run(*serve_arguments(tmp_path / "data", unfrozen_folder))

    assert ended.code == 5
    assert "prepare --freeze" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "data").exists()


async def test_a_store_url_that_cannot_be_read_is_one_clear_sentence(
    tmp_path: Path, challenge_folder: Path
) -> None:
    arguments = serve_arguments(tmp_path / "data", challenge_folder)

    ended = await run(*arguments, "--store", "redis://host:notaport")

    assert ended.code == 2
    assert "redis://host:6379/0" in ended.err
    assert "Traceback" not in ended.err


async def test_status_of_nobody_says_how_to_start_one() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ended = await run("status", "--address", f"127.0.0.1:{unused.getsockname()[1]}")

    assert ended.code == 3
    assert "autoresearch-coordinator serve" in ended.err


async def test_an_address_given_for_the_challenge_is_told_its_option() -> None:
    ended = await run("status", "127.0.0.1:6178")

    assert ended.code == 2
    assert "--address 127.0.0.1:6178" in ended.err


async def test_a_store_that_nobody_serves_is_one_clear_sentence(
    tmp_path: Path, challenge_folder: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"redis://127.0.0.1:{unused.getsockname()[1]}/0"
        ended = await run(*serve_arguments(tmp_path / "data", challenge_folder), "--store", place)

    assert ended.code == 3
    assert "leave --store out" in ended.err
    assert "Traceback" not in ended.err


async def test_a_data_folder_that_cannot_be_made_is_one_clear_sentence(
    tmp_path: Path, challenge_folder: Path
) -> None:
    (tmp_path / "file").touch()

    ended = await run(*serve_arguments(tmp_path / "file" / "data", challenge_folder))

    assert ended.code == 2
    assert "give another folder with --data-dir" in ended.err
    assert "Traceback" not in ended.err


@pytest.fixture
async def served_address(tmp_path: Path, challenge_folder: Path) -> AsyncIterator[str]:
    async with serving(tmp_path / "data", challenge_folder) as served:
        yield served.address


async def test_the_operator_asks_for_status_and_handles_tokens(tmp_path: Path, served_address: str) -> None:
    where = ("--address", served_address, "--data-dir", str(tmp_path / "data"))

    status = await run("status", "--json", "--address", served_address)
    table = await run("status", "--address", served_address)
    made = await run("token", "create", "ada", "--uses", "2", "--expires-in", "7d", "--json", *where)
    listed = await run("token", "list", "--json", *where)
    token_id = json.loads(made.out)["token_id"]
    revoked = await run("token", "revoke", token_id, *where)
    after = await run("token", "list", *where)
    unknown = await run("token", "revoke", "t_unknown", *where)

    assert json.loads(status.out)["challenge_name"] == "pocket"
    assert "pocket" in table.out
    assert [(one["token_id"], one["owner_id"], one["uses_left"]) for one in json.loads(listed.out)] == [
        (token_id, "ada", 2)
    ]
    assert (revoked.code, unknown.code) == (0, 1)
    assert "revoked" in after.out


async def test_the_operator_shows_and_sets_the_program(tmp_path: Path, served_address: str) -> None:
    where = ("--address", served_address)
    signed = (*where, "--data-dir", str(tmp_path / "data"))
    new = tmp_path / "program.md"
    new.write_text("# Be bold\n\u00e9\n", encoding="utf-8")

    before = await run("program", "show", *where)
    made = await run("program", "set", str(new), "--note", "for a change", *signed)
    again = await run("program", "set", str(new), "--json", *signed)
    after = await run("program", "show", *where)
    history = await run("program", "history", *where)
    rows = await run("program", "history", "--json", *where)
    new.write_text("")
    empty = await run("program", "set", str(new), *signed)

    assert "version 0" in before.err
    assert (made.code, "version 1" in made.out) == (0, True)
    assert json.loads(again.out)["is_repeat"] is True
    assert after.out == "# Be bold\n\u00e9\n"
    assert "for a change" in history.out
    assert "1 in force" in history.out
    assert [(one["program"]["version"], one["is_current"]) for one in json.loads(rows.out)] == [
        (1, True),
        (0, False),
    ]
    assert (empty.code, empty.out) == (2, "")


async def test_a_strangers_key_may_not_handle_tokens(tmp_path: Path, served_address: str) -> None:
    save_key(SigningKey.generate(), tmp_path / "other" / "operator.key")

    ended = await run(
        *("token", "create", "ada", "--address", served_address, "--data-dir", str(tmp_path / "other"))
    )

    assert ended.code == 4
    assert ended.out == ""


async def test_the_operators_key_is_the_operators_alone(tmp_path: Path, served_address: str) -> None:
    del served_address
    key = tmp_path / "data" / "operator.key"

    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("module", "package", "flags"),
    [
        ("redis", "autoresearch-swarm[coordinator]", ()),
        ("grpc_reflection", "grpcio-reflection", ("--reflection",)),
    ],
)
async def test_a_missing_extra_is_one_sentence_with_the_command(
    tmp_path: Path, challenge_folder: Path, module: str, package: str, flags: tuple[str, ...]
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from coordinator.cli import main; main()"
    arguments = (*serve_arguments(tmp_path / "data", challenge_folder), *flags)

    ended = await run_python("-c", code, *arguments)

    assert ended.code == 1
    assert f"pip install '{package}'" in ended.err
    assert "Traceback" not in ended.err


async def test_tls_serves_those_who_trust_the_certificate(tmp_path: Path, challenge: Challenge) -> None:
    cert, key = make_certificate(tmp_path)
    config = Config(listen="localhost:0", data_dir=tmp_path / "data", tls_cert=cert, tls_key=key)

    async with running_coordinator(config, store=MemoryStoreServer(), challenges=[challenge]) as running:
        trusting = await run("status", "--json", "--address", running.address, "--ca", str(cert))
        plain = await run("status", "--address", running.address)

    assert json.loads(trusting.out)["challenge_name"] == "pocket"
    assert plain.code == 3


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
