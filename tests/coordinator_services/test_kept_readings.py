"""What was read of an experiment is kept: a start or a replica parses only what cannot be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from autoresearch.edits import RULES
from autoresearch.errors import Unavailable
from autoresearch.model import Duplicate, ExperimentId, Hypothesis, NeedsDistinction, Node, Started, new_id
from swarm_builders import BASELINE, Rig, edited, make_rig

from coordinator.dedup.code import CodeReader, CodeReading, SourceText
from coordinator.services.reading import code_keys
from coordinator.services.sources import hash_of
from coordinator.storage.base import Store, StoredReading

SWIGLU = "use SwiGLU in the MLP"


class CountingReader(CodeReader):
    """Tells which sources it was asked for."""

    def __init__(self) -> None:
        super().__init__(limit_s=30.0)
        self.asked: list[SourceText] = []

    async def read(self, source: SourceText, parent: SourceText | None = None) -> CodeReading:
        if source.text != BASELINE:
            self.asked.append(source)
        return await super().read(source, parent)


@pytest.fixture
async def counting() -> AsyncIterator[CountingReader]:
    reader = CountingReader()
    yield reader
    await reader.close()


@pytest.fixture
async def later(rig: Rig, counting: CountingReader) -> AsyncIterator[Rig]:
    """A coordinator that is started over the same store by whoever uses it."""
    later = make_rig(counting, server=rig.server, clock=rig.clock)
    yield later
    await later.services.close()


def built(source: bytes, marker: str) -> bytes:
    """A source with a mechanism that goes by this name."""
    return source + f"\n\ndef {marker}(x):\n    return x\n".encode()


async def two_nodes(rig: Rig) -> tuple[Node, Node]:
    ada, bob = await rig.join("ada", owner="ada"), await rig.join("bob", owner="bob")
    await rig.open_class(ada)
    return ada, bob


async def tried(rig: Rig, node: Node, title: str, source: bytes, score: float = 1.2) -> ExperimentId:
    started, experiment_id = await rig.begin(node, Hypothesis(title=title), source)
    await rig.publish(
        node, rig.result(experiment_id, hash_of(source), score=score, seed=started.seed), lease=started.lease
    )
    return experiment_id


async def reading_of(rig: Rig, experiment_id: ExperimentId) -> StoredReading | None:
    record = await rig.one.store.get_experiment(experiment_id)
    assert record is not None
    return record.reading


async def test_after_a_restart_the_same_edit_on_another_parent_is_known_and_nothing_is_parsed(
    rig: Rig, later: Rig, counting: CountingReader
) -> None:
    ada, bob = await two_nodes(rig)
    first = await tried(rig, ada, "make the gadget quux", built(BASELINE.encode(), "swiglu"))
    other, _ = await rig.explore(ada, 1.1, LR="0.05")
    known = {one: rig.one.context.index.get(one) for one in (first, other)}

    await later.services.start()
    parsed = list(counting.asked)
    bob = await later.connect("bob", bob.node_id)
    started, _ = await later.begin(
        bob, Hypothesis(title="frob the widget"), built(edited(LR="0.05"), "swiglu"), other
    )

    assert parsed == []
    assert later.one.context.index.unread() == ()
    assert {one: later.one.context.index.get(one) for one in (first, other)} == known
    assert isinstance(started, Started)
    assert any(first in flag for flag in started.flags)


async def test_after_a_restart_an_idea_in_free_words_is_asked_about_at_once(
    rig: Rig, later: Rig, counting: CountingReader
) -> None:
    ada, bob = await two_nodes(rig)
    first = await tried(rig, ada, SWIGLU, built(BASELINE.encode(), "swiglu"))

    await later.services.start()
    asked = await later.claim(await later.connect("bob", bob.node_id), Hypothesis(title="SwiGLU MLP"))

    assert counting.asked == []
    assert isinstance(asked, NeedsDistinction)
    assert asked.match.experiment_id == first


async def test_after_a_restart_constants_in_free_words_are_still_a_duplicate(rig: Rig, later: Rig) -> None:
    ada, _ = await two_nodes(rig)
    first = await tried(rig, ada, "raise the learning rate from 0.04 to 0.05", edited(LR="0.05"))

    await later.services.start()
    verdict = await later.claim(await later.connect("ada", ada.node_id), Hypothesis(title="LR 0.04 -> 5e-2"))

    assert isinstance(verdict, Duplicate)
    assert verdict.match.experiment_id == first


async def test_replica_takes_over_what_the_other_has_read(
    rig: Rig, later: Rig, counting: CountingReader
) -> None:
    ada, _ = await two_nodes(rig)
    await later.services.start()

    first = await tried(rig, ada, SWIGLU, built(BASELINE.encode(), "swiglu"))
    await later.one.follower.catch_up()

    assert later.one.context.index.get(first) == rig.one.context.index.get(first)
    assert later.one.context.index.get(first).is_read
    assert counting.asked == []


@pytest.mark.parametrize("source", [edited(LR="0.05"), built(edited(LR="0.05"), "swiglu")])
async def test_result_of_what_another_replica_started_blocks_without_being_parsed(
    rig: Rig, later: Rig, counting: CountingReader, reader: CodeReader, source: bytes
) -> None:
    ada, _ = await two_nodes(rig)
    await later.services.start()
    started, experiment_id = await rig.begin(ada, Hypothesis(title=SWIGLU), source)
    await later.one.follower.catch_up()

    ada = await later.connect("ada", ada.node_id)
    result = later.result(experiment_id, hash_of(source), score=1.2, seed=started.seed)
    await later.publish(ada, result, lease=started.lease)

    assert counting.asked == []
    tables = rig.server.challenge_store(rig.challenge.challenge_id)._t
    blocked = {key for (_, key), entry in tables.tried.items() if entry.experiment_id == experiment_id}
    code = SourceText(source_hash=hash_of(source), text=source.decode())
    assert blocked == set(code_keys(await reader.read(code, rig.one.context.baseline)))


async def test_solo_experiment_is_kept_as_it_was_read(rig: Rig, later: Rig, counting: CountingReader) -> None:
    ada, _ = await two_nodes(rig)
    source = built(edited(LR="0.05"), "alone")
    experiment, result = rig.solo(source, 1.2, title="raise the learning rate to 0.05 with SwiGLU")
    await rig.publish(ada, result, experiment=experiment, source=source)

    await later.services.start()

    known = later.one.context.index.get(experiment.experiment_id)
    assert known == rig.one.context.index.get(experiment.experiment_id)
    assert known.knobs == {"LR": "0.05"}
    assert counting.asked == []


async def test_solo_experiment_on_an_unknown_parent_is_read_again(
    rig: Rig, later: Rig, counting: CountingReader
) -> None:
    ada, _ = await two_nodes(rig)
    source = edited(LR="0.05")
    experiment, result = rig.solo(source, 1.2, parent_id=ExperimentId(new_id()))
    await rig.publish(ada, result, experiment=experiment, source=source)

    await later.services.start()
    before = later.one.context.index.get(experiment.experiment_id)
    await later.one.follower.read_code()

    assert await reading_of(rig, experiment.experiment_id) is None
    assert not before.is_read
    assert [one.source_hash for one in counting.asked] == [experiment.source_hash]
    after = later.one.context.index.get(experiment.experiment_id)
    assert after.file_signature == rig.one.context.index.get(experiment.experiment_id).file_signature


class FailsOnce:
    """A store that is away when the first reading is written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures_left = 1

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def put_reading(self, *args: object, **options: object) -> None:
        if self.failures_left:
            self.failures_left -= 1
            raise Unavailable("the store does not answer")
        await self._store.put_reading(*args, **options)


async def test_reading_that_could_not_be_written_is_read_and_written_later(rig: Rig, later: Rig) -> None:
    ada, _ = await two_nodes(rig)
    experiment_id = await tried(rig, ada, SWIGLU, built(BASELINE.encode(), "swiglu"))
    kept = await reading_of(rig, experiment_id)
    await rig.one.store.put_reading(experiment_id, of_other_rules(kept))
    await later.services.start()
    later.one.context.store = FailsOnce(later.one.store)

    with pytest.raises(Unavailable):
        await later.one.follower.read_code()
    await later.one.follower.read_code()

    assert await reading_of(rig, experiment_id) == kept
    assert later.one.context.index.get(experiment_id).is_read


def of_other_rules(reading: StoredReading) -> StoredReading:
    return replace(reading, rules=RULES + 1)


def with_a_wrong_digest(reading: StoredReading) -> StoredReading:
    return replace(reading, digests=reading.digests[:3] + b"\0\1\2" + reading.digests[6:])


def with_a_wrong_text(reading: StoredReading) -> StoredReading:
    return replace(reading, texts=("LR", "0.06", *reading.texts[2:]))


def cut_short(reading: StoredReading) -> StoredReading:
    return replace(reading, digests=reading.digests[:20])


def empty(reading: StoredReading) -> StoredReading:
    return replace(reading, digests=b"", texts=())


@pytest.mark.parametrize("spoil", [of_other_rules, with_a_wrong_digest, with_a_wrong_text, cut_short, empty])
async def test_reading_that_cannot_be_used_is_made_anew_and_put_back(
    rig: Rig, later: Rig, counting: CountingReader, spoil
) -> None:
    ada, _ = await two_nodes(rig)
    source = edited(LR="0.05")
    experiment_id = await tried(rig, ada, "LR 0.04 -> 0.05", source)
    kept = await reading_of(rig, experiment_id)
    assert kept is not None
    await rig.one.store.put_reading(experiment_id, spoil(kept))

    await later.services.start()
    before = later.one.context.index.get(experiment_id)
    await later.one.follower.read_code()

    assert not before.is_read
    assert [one.source_hash for one in counting.asked] == [hash_of(source)]
    assert later.one.context.index.get(experiment_id) == rig.one.context.index.get(experiment_id)
    assert await reading_of(rig, experiment_id) == kept


def tried_keys(rig: Rig) -> dict:
    return rig.server.challenge_store(rig.challenge.challenge_id)._t.tried


def as_by_other_rules(rig: Rig) -> dict:
    """Leaves readings and tried keys as other rules would have made them; the keys as they were."""
    tables = rig.server.challenge_store(rig.challenge.challenge_id)._t
    for entry in tables.experiments.values():
        entry.reading = of_other_rules(entry.reading) if entry.reading else None
    before = dict(tables.tried)
    tables.tried = {
        (hardware_class, replace(key, digest=key.digest[::-1])): entry
        for (hardware_class, key), entry in before.items()
    }
    return before


async def test_what_is_read_anew_blocks_in_the_store_as_it_did_before(rig: Rig, later: Rig) -> None:
    ada, _ = await two_nodes(rig)
    await tried(rig, ada, "LR 0.04 -> 0.05", edited(LR="0.05"))
    await tried(rig, ada, SWIGLU, built(BASELINE.encode(), "swiglu"))
    started, small = await rig.begin(ada, Hypothesis(title="DEPTH 4 -> 40"), edited(DEPTH="40"))
    out_of_memory = rig.result(
        small, hash_of(edited(DEPTH="40")), score=None, seed=started.seed, crash_kind="oom"
    )
    await rig.publish(ada, out_of_memory, lease=started.lease)
    await rig.begin(ada, Hypothesis(title="LR 0.04 -> 0.07"), edited(LR="0.07"))
    experiment, result = rig.solo(edited(LR="0.09"), 1.2, parent_id=ExperimentId(new_id()))
    await rig.publish(ada, result, experiment=experiment, source=edited(LR="0.09"))
    before = as_by_other_rules(rig)

    await later.services.start()
    at_first = {key: entry for key, entry in tried_keys(rig).items() if key in before}
    await later.one.follower.read_code()

    assert before
    assert at_first == {}
    assert {key: entry for key, entry in tried_keys(rig).items() if key in before} == before
    assert {entry.memory_mb for entry in before.values() if entry.experiment_id == small} == {1_000}
    assert len(tried_keys(rig)) == 2 * len(before)


async def test_reading_of_other_code_is_not_taken_for_ones_own(rig: Rig, later: Rig) -> None:
    ada, _ = await two_nodes(rig)
    first = await tried(rig, ada, "LR 0.04 -> 0.05", edited(LR="0.05"))
    second = await tried(rig, ada, "LR 0.04 -> 0.06", edited(LR="0.06"))
    theirs = await reading_of(rig, second)
    assert theirs is not None
    await rig.one.store.put_reading(first, theirs)

    await later.services.start()

    assert later.one.context.index.unread() == (first,)


async def test_experiment_from_before_readings_were_kept_is_read_once(
    rig: Rig, later: Rig, counting: CountingReader, reader: CodeReader
) -> None:
    ada, _ = await two_nodes(rig)
    first = await tried(rig, ada, SWIGLU, built(BASELINE.encode(), "swiglu"))
    tables = rig.server.challenge_store(rig.challenge.challenge_id)._t
    tables.experiments[first].reading = None

    again = make_rig(reader, server=rig.server, clock=rig.clock)
    await again.services.start()
    await later.services.start()
    unread = [one.one.context.index.unread() for one in (again, later)]
    await again.one.follower.read_code()
    await later.one.follower.read_code()
    await again.services.close()

    assert unread == [(first,), (first,)]
    # The second replica finds what the first has put there.
    assert counting.asked == []
    assert later.one.context.index.get(first) == rig.one.context.index.get(first)


async def test_code_that_nobody_can_read_is_not_kept_and_stops_nobody(
    rig: Rig, later: Rig, counting: CountingReader
) -> None:
    ada, _ = await two_nodes(rig)
    source = b"def broken(:\n"
    experiment, result = rig.solo(source, 1.2)
    await rig.publish(ada, result, experiment=experiment, source=source)

    await later.services.start()
    await later.one.follower.read_code()

    assert await reading_of(rig, experiment.experiment_id) is None
    assert later.one.context.index.unread() == ()
    assert not later.one.context.index.get(experiment.experiment_id).is_read
