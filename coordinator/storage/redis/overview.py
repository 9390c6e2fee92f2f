"""A challenge at a glance, and its stream of events, on Redis."""

from __future__ import annotations

from collections.abc import Mapping

from autoresearch.model import (
    BestChange,
    Event,
    EventKind,
    ExperimentId,
    HardwareClass,
    NodeId,
    Position,
    WorkingBest,
)

from coordinator.storage.base import Counts, Credit, EventPage
from coordinator.storage.redis.link import Arg, Reply, ScriptRunner
from coordinator.storage.redis.records import from_millis, read_best, read_change


class RedisOverview:
    """Bests, credit and counts."""

    _runner: ScriptRunner

    async def get_history(self, hardware_class: HardwareClass | None = None) -> tuple[BestChange, ...]:
        changes = await self._read_history("history")
        return tuple(change for change in changes if hardware_class in (None, change.best.hardware_class))

    async def get_global_best(self) -> WorkingBest | None:
        text = await self._runner.link.command("GET", self._runner.keys.named("global"))
        return read_best(text) if text is not None else None

    async def get_global_history(self) -> tuple[BestChange, ...]:
        return await self._read_history("ghistory")

    async def _read_history(self, name: str) -> tuple[BestChange, ...]:
        lines = await self._runner.link.command("LRANGE", self._runner.keys.named(name), 0, -1)
        return tuple(read_change(line) for line in lines)

    async def get_credit(self) -> Mapping[NodeId, Credit]:
        flat = await self._runner.link.command("HGETALL", self._runner.keys.named("credit"))
        table = as_table(flat)
        nodes = sorted({field[1:] for field in table})
        return {
            NodeId(node.decode()): Credit(
                results=int(table.get(b"r" + node, 0)),
                train_s=float(table.get(b"t" + node, 0.0)),
                bests=int(table.get(b"b" + node, 0)),
                ideas_run=int(table.get(b"i" + node, 0)),
            )
            for node in nodes
        }

    async def counts(self) -> Counts:
        named = self._runner.keys.named
        experiments, results, queued = await self._runner.link.read_together(
            ["LLEN", named("ids")], ["HLEN", named("results")], ["ZCARD", named("queue")]
        )
        _, _, live_claims = await self._runner.run("position", [])
        return Counts(experiments=experiments, results=results, live_claims=live_claims, queued=queued)

    async def position(self) -> Position:
        epoch, stream_id, _ = await self._runner.run("position", [])
        return Position(epoch=epoch, stream_id=stream_id.decode())


class RedisEvents:
    """The stream of what happened."""

    _runner: ScriptRunner

    async def read_events(self, after: Position | None, *, limit: int, block_s: float) -> EventPage:
        args: list[Arg] = [after.epoch, after.stream_id] if after else ["", ""]
        epoch, is_gap, read_after, entries = await self._runner.run("events", [*args, limit])
        if is_gap:
            return EventPage(events=(), is_gap=True)
        if not entries and block_s > 0:
            stream = self._runner.keys.named("stream")
            reply = await self._runner.link.wait_for_entries(
                stream, read_after.decode(), limit=limit, block_s=block_s
            )
            entries = _entries_of(reply)
        return EventPage(events=tuple(_read_event(entry, epoch) for entry in entries), is_gap=False)


def as_table(flat: Reply) -> dict[bytes, bytes]:
    """The reply to HGETALL, whether the client has made a mapping of it or not."""
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def _entries_of(reply: Reply) -> list[Reply]:
    """The entries of the one stream that was waited for; none when the time was up."""
    if not reply:
        return []
    streams = list(reply.values()) if isinstance(reply, dict) else [reply[0][1]]
    entries: list[Reply] = streams[0]
    return entries


def _read_event(entry: Reply, epoch: int) -> Event:
    stream_id, fields = entry
    table = {key: value.decode() for key, value in as_table(fields).items()}
    text_id = stream_id.decode()
    best = table.get(b"b")
    return Event(
        position=Position(epoch=epoch, stream_id=text_id),
        kind=EventKind(table[b"k"]),
        at=from_millis(int(text_id.partition("-")[0])),
        hardware_class=HardwareClass(table[b"c"]),
        experiment_id=ExperimentId(table[b"x"]) if table[b"x"] else None,
        node_id=NodeId(table[b"n"]),
        text=table[b"t"],
        best=read_best(best) if best else None,
    )
