"""What is there, on Redis."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace

from autoresearch.errors import NotFound, Unavailable
from autoresearch.model import ExperimentId, Result, ResultId, SourceHash

from coordinator.storage.base import Blocks, ExperimentRecord, NewSource, StoredReading
from coordinator.storage.redis.evidence import unpack_evidence
from coordinator.storage.redis.keys import edit_key_id, pack_id, unpack_id
from coordinator.storage.redis.link import Arg, ScriptRunner
from coordinator.storage.redis.records import (
    FLAGS_AT,
    LATE_FLAG,
    RESULT_HEADER_BYTES,
    UNSCORED_FLAG,
    RecordCodec,
    memory_text,
    pack_experiment,
    read_result,
    read_state,
    unpack_experiment,
)
from coordinator.storage.redis.sources import SourceShelf

PAGE = 500
"""Entries of a list read in one round trip."""

VECTORS_PAGE = 500
"""Vectors read in one round trip: 400 kB."""

PUT_ATTEMPTS = 8
"""How often a reading is put beside a record that another replica changes meanwhile."""

_LENGTH = struct.Struct(">I")
_RESULT_HEADER = struct.Struct(">8sBd")


class RedisReading:
    """The experiments, results, sources and vectors of one challenge."""

    _runner: ScriptRunner
    _shelf: SourceShelf
    _codec: RecordCodec

    async def get_experiment(
        self, experiment_id: ExperimentId, *, with_logs: bool = True
    ) -> ExperimentRecord | None:
        records = await self._read_records([pack_id(experiment_id)], with_logs=with_logs)
        return records[0] if records else None

    async def _read_records(self, packed: Sequence[bytes], *, with_logs: bool) -> list[ExperimentRecord]:
        named = self._runner.keys.named
        blobs, states = await self._runner.link.read_together(
            ["HMGET", named("experiments"), *packed], ["HMGET", named("states"), *packed]
        )
        found = [
            (unpack_id(key), blob, read_state(state))
            for key, blob, state in zip(packed, blobs, states, strict=True)
            if blob is not None and state is not None
        ]
        result_ids = [result_id for _, _, (_, _, ids) in found for result_id in ids]
        results, unscored = await self._read_results(result_ids, with_logs=with_logs)
        records = []
        for experiment_id, blob, (state, reason, ids) in found:
            experiment, reading = unpack_experiment(self._codec, experiment_id, blob)
            records.append(
                ExperimentRecord(
                    experiment=experiment,
                    state=state,
                    reason=reason,
                    results=tuple(results[result_id] for result_id in ids),
                    unscored=unscored.intersection(ResultId(result_id) for result_id in ids),
                    reading=reading,
                )
            )
        return records

    async def _read_results(
        self, result_ids: Sequence[str], *, with_logs: bool
    ) -> tuple[dict[str, Result], frozenset[ResultId]]:
        """The results by id, and those of them that are unscored."""
        if not result_ids:
            return {}, frozenset()
        packed = [pack_id(result_id) for result_id in result_ids]
        named = self._runner.keys.named
        reads: list[list[Arg]] = [["HMGET", named("results"), *packed]]
        if with_logs:
            reads.append(["HMGET", named("evidence"), *packed])
        blobs, *evidence = await self._runner.link.read_together(*reads)
        results, unscored = {}, set()
        for index, (result_id, blob) in enumerate(zip(result_ids, blobs, strict=True)):
            result = self._read_result(result_id, blob)
            if blob[FLAGS_AT] & UNSCORED_FLAG:
                unscored.add(result.result_id)
            if evidence and evidence[0][index] is not None:
                log_tail, curve = unpack_evidence(evidence[0][index])
                result = replace(result, log_tail=log_tail, curve=curve)
            results[result_id] = result
        return results, frozenset(unscored)

    def _read_result(self, result_id: str, blob: bytes) -> Result:
        _, flags, published_ms = _RESULT_HEADER.unpack_from(blob)
        parts = self._codec.unpack(blob[RESULT_HEADER_BYTES:])
        return read_result(result_id, parts, is_late=bool(flags & LATE_FLAG), published_ms=published_ms)

    async def scan_experiments(self, *, batch: int = PAGE) -> AsyncIterator[ExperimentRecord]:
        async for page in self._pages_ahead("scan", 0, batch, texts_each=4):
            for record in self._read_page(iter(page)):
                yield record

    async def _pages_ahead(
        self, script: str, start: int, count: int, *, texts_each: int, **renamed: str
    ) -> AsyncIterator[list[bytes]]:
        """The texts of a list that only grows, page by page. The server gets one ready while one is read."""
        texts = list(_split(await self._runner.run(script, [start, count], **renamed)))
        while texts:
            start += len(texts) // texts_each
            following = asyncio.ensure_future(self._runner.run(script, [start, count], **renamed))
            try:
                yield texts
                texts = list(_split(await following))
            finally:
                following.cancel()

    def _read_page(self, texts: Iterator[bytes]) -> Iterator[ExperimentRecord]:
        """The records of a page of ``scan.lua``, but for those that are not whole."""
        for packed_id, blob, state_text, results_text in zip(texts, texts, texts, texts, strict=True):
            if not blob or not state_text:
                continue
            experiment, reading = unpack_experiment(self._codec, unpack_id(packed_id), blob)
            state, reason, result_ids = read_state(state_text)
            blobs = list(_split(results_text))
            results = tuple(map(self._read_result, result_ids, blobs))
            yield ExperimentRecord(
                experiment=experiment,
                state=state,
                reason=reason,
                results=results,
                unscored=frozenset(
                    [
                        result.result_id
                        for result, result_blob in zip(results, blobs, strict=True)
                        if result_blob[FLAGS_AT] & UNSCORED_FLAG
                    ]
                ),
                reading=reading,
            )

    async def get_result_ids(self) -> AsyncIterator[ResultId]:
        states_key = self._runner.keys.named("states")
        async for page in self._pages("ids", PAGE):
            states = await self._runner.link.command("HMGET", states_key, *page)
            for state in states:
                for result_id in read_state(state)[2] if state is not None else ():
                    yield ResultId(result_id)

    async def _pages(self, name: str, batch: int) -> AsyncIterator[list[bytes]]:
        """A list that only grows, page by page."""
        start = 0
        while page := await self._runner.link.command(
            "LRANGE", self._runner.keys.named(name), start, start + batch - 1
        ):
            yield page
            start += len(page)

    async def get_source(self, source_hash: SourceHash) -> bytes | None:
        return await self._shelf.get(source_hash)

    async def put_source(self, source: NewSource) -> None:
        await self._shelf.put(source)

    async def put_reading(
        self, experiment_id: ExperimentId, reading: StoredReading | None, *, blocks: Blocks | None = None
    ) -> None:
        packed, experiments = pack_id(experiment_id), self._runner.keys.named("experiments")
        for _ in range(PUT_ATTEMPTS):
            seen = await self._runner.link.command("HGET", experiments, packed)
            if seen is None:
                raise NotFound(f"experiment {experiment_id} is not in the store, so no reading of it is kept")
            experiment, _ = unpack_experiment(self._codec, experiment_id, seen)
            written = seen if reading is None else pack_experiment(self._codec, experiment, reading)
            if seen == written and blocks is None:
                return
            keys = blocks.keys if blocks else ()
            key_ids = [edit_key_id(experiment.hardware_class, key) for key in keys]
            buckets = [self._runner.keys.tried(key_id) for key_id in key_ids]
            args: list[Arg] = [packed, seen, written, len(keys), memory_text(blocks), *key_ids]
            if await self._runner.run("put_reading", args, buckets):
                return
        raise Unavailable(f"experiment {experiment_id} is read by too many at once; try again")

    async def put_vector(self, experiment_id: ExperimentId, model: str, vector: bytes) -> None:
        vectors = self._runner.keys.vectors(model)
        args: list[Arg] = [pack_id(experiment_id), model, vector]
        if not await self._runner.run("put_vector", args, vectors=vectors):
            raise NotFound(f"experiment {experiment_id} is not in the store, so it can have no vector")

    async def get_vectors(self, model: str, *, after: int = 0) -> AsyncIterator[tuple[ExperimentId, bytes]]:
        key = self._runner.keys.vectors(model)
        async for page in self._pages_ahead("scan_vectors", after, VECTORS_PAGE, texts_each=1, vectors=key):
            for entry in page:
                end = 1 + entry[0]
                yield ExperimentId(unpack_id(entry[1:end])), entry[end:]

    async def get_vector_models(self) -> tuple[str, ...]:
        models = await self._runner.link.command("HKEYS", self._runner.keys.named("models"))
        return tuple(model.decode() for model in models if model)

    async def drop_vectors(self, model: str) -> None:
        await self._runner.run("drop_vectors", [model], vectors=self._runner.keys.vectors(model))


def _split(texts: bytes) -> Iterator[bytes]:
    """The texts that each follow four bytes of their length."""
    at, end = 0, len(texts)
    while at < end:
        begin = at + _LENGTH.size
        at = begin + _LENGTH.unpack_from(texts, at)[0]
        yield texts[begin:at]
