"""Real workers, held in every way that a machine may offer, try to get out; without a sandbox they do."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_probes import NUMBERS, PROBES, Arena, arena, read_probes
from tiny_challenge import GOOD

from trainer.sandbox import Layer
from trainer.sandbox.layers import BUBBLEWRAP
from trainer.sandbox.places import readable_places
from trainer.sandbox.syscalls import number_of

ALL = frozenset[Layer]()
LANDLOCK_ALONE = BUBBLEWRAP
BUBBLEWRAP_WITHOUT_LANDLOCK = frozenset({Layer.LANDLOCK})


class Listener:
    """A TCP and an abstract unix socket of the test's, which no worker may reach."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.abstract_name = f"autoresearch-probe-{os.getpid()}"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind("\0" + self.abstract_name)
        self.unix.listen()

    def close(self) -> None:
        self.tcp.close()
        self.unix.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Arena]:
    with arena() as made:
        yield made


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def probe(
    place: Arena,
    listener: Listener,
    name: str,
    *arguments: str,
    without: frozenset[Layer] = ALL,
    as_user: bool = False,
) -> dict:
    arch = "aarch64" if os.uname().machine == "aarch64" else "x86_64"
    told = {
        "secret": str(place.secret),
        "tokens": str(place.cache),
        "test_pid": os.getpid(),
        "port": listener.tcp.getsockname()[1],
        "abstract": listener.abstract_name,
        "numbers": {one: number_of(one, arch) for one in NUMBERS.split()},
        "fills": "--sandbox=none" not in arguments and Layer.FILE_VIEW not in without,
    }
    source = f"TOLD_JSON = {json.dumps(told)!r}\n" + PROBES
    report = place.run(name, source, *arguments, without=without, as_user=as_user)
    return {"layers": report["sandbox"]["layers"], **read_probes(report)}


@pytest.fixture(scope="module")
def root_or_user(place: Arena, listener: Listener) -> dict:
    return probe(place, listener, "auto")


@pytest.fixture(scope="module")
def as_user(place: Arena, listener: Listener) -> dict:
    return probe(place, listener, "as_user", as_user=True)


@pytest.fixture(scope="module")
def without_landlock(place: Arena, listener: Listener) -> dict:
    return probe(place, listener, "without_landlock", without=BUBBLEWRAP_WITHOUT_LANDLOCK, as_user=True)


@pytest.fixture(scope="module")
def landlock_alone(place: Arena, listener: Listener) -> dict:
    return probe(place, listener, "landlock_alone", without=LANDLOCK_ALONE)


@pytest.fixture(scope="module")
def unheld(place: Arena, listener: Listener) -> dict:
    return probe(place, listener, "unheld", "--sandbox=none")


WAYS = ("root_or_user", "as_user", "without_landlock", "landlock_alone")


@pytest.fixture(params=WAYS)
def held(request: pytest.FixtureRequest) -> dict:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=WAYS[:3])
def wrapped(request: pytest.FixtureRequest) -> dict:
    return request.getfixturevalue(request.param)


def test_files_of_the_home_the_tokens_and_the_system_cannot_be_read(held: dict) -> None:
    assert held["read secret"] in {"ENOENT", "EACCES"}
    assert held["list home"] in {"ENOENT", "EACCES"}
    assert held["list tokens"] in {"ENOENT", "EACCES"}
    assert held["read passwd"] in {"ENOENT", "EACCES"}


def test_no_environment_but_the_workers_own_can_be_read(held: dict) -> None:
    assert held["environ of 1"] in {"empty", "EACCES", "EPERM", "ENOENT"}
    assert held["environ of parent"] in {"empty", "EACCES", "EPERM", "ENOENT"}
    assert "SECRET_OF_THE_NODE" not in held["environ"]


def test_a_socket_of_no_family_can_be_had(held: dict) -> None:
    assert set(held["sockets"].values()) == {"EPERM"}, held["sockets"]


def test_listeners_of_the_machine_cannot_be_reached(held: dict) -> None:
    assert (held["tcp"], held["abstract"]) == ("EPERM", "EPERM")


def test_no_other_process_can_be_traced_read_or_signalled(held: dict) -> None:
    assert (held["ptrace"], held["process_vm_readv"]) == ("EPERM", "EPERM")
    assert held["signal test"] in {"ESRCH", "EPERM"}
    assert held["queue to test"] in {"ESRCH", "EPERM"}
    assert held["sees harness"] in {False, "EACCES"}


def test_the_harness_cannot_be_signalled(landlock_alone: dict) -> None:
    assert landlock_alone["signal parent"] == "EPERM"


def test_processes_of_the_machine_are_invisible(wrapped: dict) -> None:
    assert wrapped["processes"] <= 3
    assert wrapped["pid"] <= 3


def test_no_namespace_can_be_made(held: dict) -> None:
    assert {held["unshare user"], held["unshare net"], held["mount"]} == {"EPERM"}
    assert {held["clone NEWUSER"], held["clone NEWNS"], held["clone NEWNET"]} == {"EPERM"}
    assert held["clone3"] == "ENOSYS"


@pytest.mark.parametrize(
    "name",
    [
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "setns",
        "pidfd_open",
        "pidfd_getfd",
        "kcmp",
        "open_by_handle_at",
        "name_to_handle_at",
        "personality",
        "memfd_create",
        "shmget",
        "mq_open",
        "mknodat",
        "chroot",
        "pivot_root",
        "swapon",
        "reboot",
        "init_module",
        "kexec_load",
        "quotactl",
        "statmount",
    ],
)
def test_calls_that_no_training_needs_are_refused(name: str, held: dict) -> None:
    assert held[name] == "EPERM"


def test_calls_that_libraries_do_without_are_missing(held: dict) -> None:
    assert (held["io_uring_setup"], held["call from the future"]) == ("ENOSYS", "ENOSYS")


def test_scratch_alone_can_be_written(held: dict) -> None:
    assert held["writable"] == []
    assert held["writes to scratch"]


def test_nothing_under_proc_can_be_written_but_ones_own_place_in_the_queue_of_victims(held: dict) -> None:
    found = {name for name, answer in held.items() if name.startswith("write /proc") and answer == "ok"}

    with_landlock = "landlock" in held["layers"]
    assert found <= (
        set() if with_landlock else {"write /proc/self/oom_score_adj", "write /proc/1/oom_score_adj"}
    )


def test_modes_of_others_files_cannot_be_changed(held: dict) -> None:
    assert held["chmod secret"] in {"ENOENT", "EPERM", "EACCES"}


def test_scratch_in_memory_is_capped_by_the_kernel(wrapped: dict) -> None:
    assert "capped-scratch" in wrapped["layers"]
    assert 60 <= wrapped["scratch mb"] <= 64
    seen = [Path(place) for place in readable_places()]
    places = [place for place in ("/tmp", "/dev/shm") if not any(path.is_relative_to(place) for path in seen)]
    assert wrapped["links"] == dict.fromkeys(places, "/scratch")


def test_processes_are_limited_by_the_kernel(wrapped: dict) -> None:
    assert 100 <= wrapped["spawned"] <= 256


def test_the_worker_has_no_capabilities_and_cannot_gain_any(held: dict) -> None:
    assert (held["capabilities"], held["no new privileges"], held["core limit"]) == (["0" * 16], 1, 0)


def test_the_filter_is_in_force_where_it_is_reported(held: dict) -> None:
    assert set(held["filtered"]) == {"2"}
    assert "seccomp" in held["layers"]


def test_root_hands_the_worker_to_a_user_whom_nobody_else_is(root_or_user: dict) -> None:
    if os.getuid() == 0:
        assert root_or_user["uid"] >= 0x7000_0000
        assert "other-user" in root_or_user["layers"]
    else:
        assert "user-namespace" in root_or_user["layers"]


def test_a_user_gets_a_namespace_of_users(as_user: dict) -> None:
    assert as_user["uid"] == (65534 if os.getuid() == 0 else os.getuid())
    assert "user-namespace" in as_user["layers"]
    assert "other-user" not in as_user["layers"]


def test_without_a_sandbox_the_same_probes_get_out(unheld: dict) -> None:
    assert unheld["read secret"] == "do not tell"
    assert unheld["tcp"] == "ok"
    assert unheld["abstract"] == "ok"
    assert unheld["ptrace"] == "ok"
    assert unheld["signal parent"] == "ok"
    assert unheld["sockets"]["inet/1"] == "ok"
    assert unheld["writable"]
    assert unheld["processes"] > 3
    assert set(unheld["filtered"]) == {"0"}
    assert not set(unheld["layers"]) & {Layer.SECCOMP, Layer.LANDLOCK, Layer.FILE_VIEW}


def test_scores_are_identical_with_and_without_a_sandbox(place: Arena) -> None:
    reports = [
        place.run("held", GOOD),
        place.run("landlock", GOOD, without=LANDLOCK_ALONE),
        place.run("user", GOOD, as_user=True),
        place.run("free", GOOD, "--sandbox=none"),
    ]

    kept = ("outcome", "metrics", "curve", "code_hash", "steps")
    first = [reports[0][key] for key in kept]
    assert first[0] == "completed", reports[0]["reason"]
    for report in reports[1:]:
        assert [report[key] for key in kept] == first
