"""Lessons, on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from autoresearch.errors import Conflict, NotFound
from autoresearch.model import Insight, InsightId

from coordinator.storage.base import NumberedInsight
from coordinator.storage.fingerprints import FINGERPRINT_BYTES, insight_fingerprint
from coordinator.storage.redis.keys import pack_id, unpack_id
from coordinator.storage.redis.link import Arg, ScriptRunner
from coordinator.storage.redis.records import RecordCodec, insight_parts, read_insight

PAGE = 200
"""Insights read in one round trip."""

MODEL_ID_LIMIT_BYTES = 255
"""A model's id is stored after one byte of its length; of a longer one the end, where its revision is."""


class RedisInsights:
    """The insights of one challenge."""

    _runner: ScriptRunner
    _codec: RecordCodec

    async def put_insight(self, insight: Insight, *, max_per_day: int, kept: int) -> bool | None:
        args: list[Arg] = [
            pack_id(insight.insight_id),
            insight_fingerprint(insight),
            self._codec.pack(insight_parts(insight)),
            insight.node_id,
            max_per_day,
            kept,
            *(pack_id(experiment_id) for experiment_id in insight.experiment_ids),
        ]
        match await self._runner.run("put_insight", args):
            case b"kept":
                return True
            case b"repeat":
                return False
            case b"full":
                return None
            case b"taken":
                raise Conflict(f"insight id {insight.insight_id} was used for another insight")
            case place:
                missing = insight.experiment_ids[place - 1]
                raise NotFound(f"experiment {missing}, which an insight names, is not in the store")

    async def get_insights(self, *, after: int = 0) -> AsyncIterator[NumberedInsight]:
        named = self._runner.keys.named
        while True:
            flat = await self._runner.link.command(
                "ZRANGE",
                named("insight_order"),
                f"({after}",
                "+inf",
                "BYSCORE",
                "LIMIT",
                0,
                PAGE,
                "WITHSCORES",
            )
            numbered = list(zip(flat[::2], map(int, flat[1::2]), strict=True))
            if not numbered:
                return
            blobs = await self._runner.link.command("HMGET", named("insights"), *(key for key, _ in numbered))
            for (key, number), blob in zip(numbered, blobs, strict=True):
                after = number
                if blob is not None:  # else it has made room between the two reads
                    parts = self._codec.unpack(blob[FINGERPRINT_BYTES:])
                    yield NumberedInsight(number=number, insight=read_insight(unpack_id(key), parts))

    async def put_insight_vector(self, insight_id: InsightId, model: str, vector: bytes) -> None:
        name = _model_bytes(model)
        entry = bytes([len(name)]) + name + vector
        await self._runner.run("put_insight_vector", [pack_id(insight_id), entry])

    async def get_insight_vectors(
        self, insight_ids: Sequence[InsightId], model: str
    ) -> Mapping[InsightId, bytes]:
        if not insight_ids:
            return {}
        key = self._runner.keys.named("insight_vectors")
        entries = await self._runner.link.command("HMGET", key, *map(pack_id, insight_ids))
        name = _model_bytes(model)
        begin = bytes([len(name)]) + name
        return {
            insight_id: entry[len(begin) :]
            for insight_id, entry in zip(insight_ids, entries, strict=True)
            if entry is not None and entry.startswith(begin)
        }


def _model_bytes(model: str) -> bytes:
    return model.encode()[-MODEL_ID_LIMIT_BYTES:]
