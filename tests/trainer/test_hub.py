"""Downloads over real sockets, with everything that goes wrong on the way."""

from __future__ import annotations

import hashlib
import random
import socket
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub, Fault, serving

from trainer.corpora import CorpusError
from trainer.hub import Hub, HubFile
from trainer.hub_http import (
    ATTEMPTS_MAX,
    HubDiskFull,
    HubFileMissing,
    HubHashMismatch,
    HubRefused,
    HubUnreachable,
)

REPO = "someone/texts"
NAME = "shard_00000.parquet"
BYTES = random.Random(1).randbytes(300_000)


def hub_at(endpoint: str, *, token: str = "") -> Hub:
    return Hub(endpoint=endpoint, token=token, backoff_first_s=0.001, timeout_s=5)


def file_of(content: bytes = BYTES, *, name: str = NAME, is_frozen: bool = True) -> HubFile:
    return HubFile(
        repo=REPO,
        revision=COMMIT,
        path=name,
        sha256=hashlib.sha256(content).hexdigest() if is_frozen else "",
        size_bytes=len(content) if is_frozen else 0,
    )


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_arrives_under_its_name_and_nothing_else_stays(tmp_path: Path) -> None:
    with serving(FakeHub(files={NAME: BYTES})) as endpoint:
        path = hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert names_in(tmp_path) == [NAME]


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_cut_connection_goes_on_where_it_stopped(tmp_path: Path, *, is_frozen: bool) -> None:
    fake = FakeHub(files={NAME: BYTES})
    fake.faults[NAME] = [Fault(cut_after=100_000), Fault(cut_after=50_000)]

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(is_frozen=is_frozen), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert fake.ranges(NAME) == ["", "bytes=100000-", "bytes=150000-"]


def test_a_part_of_an_earlier_process_is_continued(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    (tmp_path / f"{NAME}.part").write_bytes(BYTES[:200_000])

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert fake.ranges(NAME) == ["bytes=200000-"]


def test_a_part_whose_version_nobody_knows_is_not_continued(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES}, with_etag=False)
    (tmp_path / f"{NAME}.part").write_bytes(b"?" * 1000)

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(is_frozen=False), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert fake.ranges(NAME) == [""]


def test_a_part_of_another_version_starts_again(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    (tmp_path / f"{NAME}.part").write_bytes(b"?" * 1000)
    (tmp_path / f"{NAME}.part.etag").write_text('"of yesterday"')

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(is_frozen=False), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert fake.ranges(NAME) == ["bytes=1000-"]


def test_a_rotten_part_is_thrown_away_and_the_file_fetched_whole(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    (tmp_path / f"{NAME}.part").write_bytes(b"?" * 1000)

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert fake.ranges(NAME) == ["bytes=1000-", ""]


def test_a_part_longer_than_the_file_starts_again(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    (tmp_path / f"{NAME}.part").write_bytes(b"?" * (len(BYTES) + 5))

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert path.read_bytes() == BYTES


def test_wrong_bytes_are_refused_and_nothing_of_them_is_kept(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    fake.faults[NAME] = [Fault(flip_first_byte=True)]

    with serving(fake) as endpoint, pytest.raises(HubHashMismatch, match="not what the manifest names"):
        hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert names_in(tmp_path) == []


def test_a_file_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES + b"more"})

    with serving(fake) as endpoint, pytest.raises(HubHashMismatch, match="300,004 bytes, not 300,000"):
        hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert names_in(tmp_path) == []


def test_a_busy_hub_is_asked_again_until_it_answers(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    fake.faults[NAME] = [
        Fault(status=503),
        Fault(status=429, headers=(("Retry-After", "0"),)),
        Fault(status=502),
    ]

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert len(fake.requests) == 4


def test_a_hub_that_stays_busy_is_given_up_after_the_named_attempts(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    fake.faults[NAME] = [Fault(status=503)] * 50

    with serving(fake) as endpoint, pytest.raises(HubUnreachable, match=f"in {ATTEMPTS_MAX} attempts"):
        hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert len(fake.requests) == ATTEMPTS_MAX


def test_progress_makes_up_for_failures(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    fake.faults[NAME] = [Fault(cut_after=20_000)] * (ATTEMPTS_MAX + 4)

    with serving(fake) as endpoint:
        path = hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert path.read_bytes() == BYTES


def test_a_missing_file_is_named_at_once(tmp_path: Path) -> None:
    fake = FakeHub(files={})

    with serving(fake) as endpoint, pytest.raises(HubFileMissing, match=NAME):
        hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert len(fake.requests) == 1


def test_a_refusal_names_the_token_to_set(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES}, required_token="secret")

    with serving(fake) as endpoint, pytest.raises(HubRefused, match="HF_TOKEN"):
        hub_at(endpoint, token="wrong").download(file_of(), tmp_path / NAME)


def test_the_token_goes_to_the_hub_and_never_to_where_it_redirects(tmp_path: Path) -> None:
    storage = FakeHub(files={NAME: BYTES})
    with serving(storage) as cdn:
        front = FakeHub(files={NAME: BYTES}, required_token="secret", cdn=cdn)
        storage.faults[NAME] = [Fault(cut_after=1000)]
        with serving(front) as endpoint:
            path = hub_at(endpoint, token="secret").download(file_of(), tmp_path / NAME)

    assert path.read_bytes() == BYTES
    assert all("Authorization" not in headers for _, headers in storage.requests)
    assert storage.ranges(NAME) == ["", "bytes=1000-"]


def test_no_network_is_one_clear_sentence_and_keeps_the_part(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    (tmp_path / f"{NAME}.part").write_bytes(BYTES[:10])

    with pytest.raises(HubUnreachable, match="Check the network, or set HF_ENDPOINT"):
        hub_at(endpoint).download(file_of(), tmp_path / NAME)

    assert names_in(tmp_path) == [f"{NAME}.part"]


def test_a_file_that_cannot_fit_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    fake.faults[NAME] = [Fault(claimed_length=1 << 60)]

    with serving(fake) as endpoint, pytest.raises(HubDiskFull, match="make room"):
        hub_at(endpoint).download(file_of(is_frozen=False), tmp_path / NAME)

    assert NAME not in names_in(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_disk_that_fills_up_midway_is_one_clear_sentence(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")

    with serving(fake) as endpoint, pytest.raises(HubDiskFull, match="is full"):
        hub_at(endpoint).download(file_of(), tmp_path / NAME)


def test_a_batch_fetches_all_and_asks_for_nothing_twice(tmp_path: Path) -> None:
    contents = {f"shard_{number:05d}.parquet": random.Random(number).randbytes(40_000) for number in range(9)}
    fake = FakeHub(files=contents)
    files = [file_of(content, name=name) for name, content in contents.items()]

    with serving(fake) as endpoint:
        first = hub_at(endpoint).download_all(files, tmp_path)
        asked = len(fake.requests)
        hub_at(endpoint).download_all(files, tmp_path)

    assert [path.read_bytes() for path in first] == list(contents.values())
    assert len(fake.requests) == asked == 9


def test_a_batch_ends_with_its_first_failure(tmp_path: Path) -> None:
    fake = FakeHub(files={NAME: BYTES})
    files = [file_of(), file_of(name="shard_00001.parquet")]

    with serving(fake) as endpoint, pytest.raises(HubFileMissing, match="shard_00001"):
        hub_at(endpoint).download_all(files, tmp_path)


def test_a_branch_resolves_to_its_commit() -> None:
    fake = FakeHub(files={})
    fake.faults["main"] = [Fault(status=503)]

    with serving(fake) as endpoint:
        commit = hub_at(endpoint).commit_of(REPO, "main")

    assert commit == COMMIT


def test_the_environment_names_endpoint_and_token_and_the_token_is_never_shown() -> None:
    hub = Hub.from_environment({"HF_ENDPOINT": "https://mirror.example/", "HF_TOKEN": " secret\n"})

    assert (hub.endpoint, hub.token) == ("https://mirror.example", "secret")
    assert "secret" not in repr(hub)


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(CorpusError, match="no http"):
        Hub.from_environment({"HF_ENDPOINT": "file:///etc"})
