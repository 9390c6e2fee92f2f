"""Results of experiments that were made without the coordinator: their code is judged as they come in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoresearch.errors import InvalidArgument, NotFound
from autoresearch.evidence import passes_screen
from autoresearch.limits import FLAGS_LIMIT
from autoresearch.model import Experiment, Node, Result

from coordinator.dedup.code import CodeReading, SourceText
from coordinator.domain.baseline import is_baseline_of
from coordinator.domain.class_state import ClassState, Rules
from coordinator.services.catalog import REPLICATES
from coordinator.services.context import ChallengeContext
from coordinator.services.reading import (
    WordReader,
    code_keys,
    kept_reading,
    mismatches,
    tried_edit,
    words_alone,
)
from coordinator.storage.base import EditKey, NewSource, StoredReading

UNKNOWN_PARENT = "its parent {} is unknown here"
UNREADABLE = "its code cannot be read: {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SoloRun:
    """An experiment as the coordinator takes it in. ``source`` is None where it is known already."""

    experiment: Experiment
    source: NewSource | None
    blocked: tuple[EditKey, ...]
    reading: StoredReading | None = None


class SoloReader:
    """Reads an experiment that comes with its result."""

    def __init__(self, context: ChallengeContext) -> None:
        self._c = context
        self._words = WordReader()

    async def read(
        self,
        caller: Node,
        result: Result,
        *,
        known: Experiment | None,
        experiment: Experiment | None,
        source: bytes | None,
    ) -> SoloRun:
        """The experiment of a result without a claim.

        Raises:
            NotFound: the experiment is unknown and was not brought.
            InvalidArgument: the experiment is of another challenge, or has the id of a baseline.
        """
        if known is not None:
            is_baseline = is_baseline_of(
                self._c.challenge.challenge_id, known.hardware_class, known.experiment_id
            )
            keeps = self._c.baseline_source() if is_baseline else None
            return SoloRun(experiment=known, source=keeps, blocked=())
        if experiment is None or source is None:
            raise NotFound(f"experiment {result.experiment_id} is unknown here; publish it with its source")
        if experiment.challenge_id != self._c.challenge.challenge_id:
            raise InvalidArgument(f"the experiment is of another challenge, {experiment.challenge_id}")
        self._c.check_new_id(result.experiment_id)
        code = SourceText(source_hash=result.code_hash, text=source.decode())
        return await self._read_new(caller, result, experiment, code)

    async def _read_new(
        self, caller: Node, result: Result, experiment: Experiment, code: SourceText
    ) -> SoloRun:
        flags: list[str] = []
        parent = await self._parent(experiment, result, flags)
        reading = await self._reading(code, parent, flags)
        stated = words_alone(experiment.hypothesis)
        if parent is not None:
            try:
                stated = await self._words.read(experiment.hypothesis, parent)
            except InvalidArgument as error:
                flags.append(error.message)
        if reading is not None:
            flags.extend(mismatches(reading, stated))
            flags.extend(self._replicates(reading, result))
        taken = replace(
            experiment,
            node_id=caller.node_id,
            owner_id=caller.owner_id,
            # Whose idea it was is known of what the coordinator handed out alone.
            proposer_id=None,
            proposer_owner_id=None,
            idea_usage=None,
            source_hash=result.code_hash,
            hardware_class=result.hardware.hardware_class,
            # A replication goes first, so that no cap can cut it off.
            flags=tuple(sorted(flags, key=lambda flag: not flag.startswith(REPLICATES))[:FLAGS_LIMIT]),
        )
        self._c.sources.keep(code)
        tried = tried_edit(taken, stated, reading)
        self._c.index.put(tried)
        return SoloRun(
            experiment=taken,
            source=NewSource(
                source_hash=code.source_hash,
                text=code.text.encode(),
                parent_hash=parent.source_hash if parent else None,
            ),
            blocked=code_keys(reading) if reading is not None else (),
            reading=kept_reading(taken, tried, reading),
        )

    async def _parent(self, experiment: Experiment, result: Result, flags: list[str]) -> SourceText | None:
        if experiment.parent is None:
            return None
        try:
            return await self._c.source_of(experiment.parent, result.hardware.hardware_class)
        except NotFound:
            flags.append(UNKNOWN_PARENT.format(experiment.parent))
            return None

    async def _reading(
        self, code: SourceText, parent: SourceText | None, flags: list[str]
    ) -> CodeReading | None:
        """The code's reading; a result is never lost for code that cannot be read."""
        try:
            return await self._c.reader.read(code, parent)
        except InvalidArgument as error:
            flags.append(UNREADABLE.format(error.message)[:500])
            return None

    def _replicates(self, reading: CodeReading, result: Result) -> list[str]:
        """An equal file of the class is a replication: evidence for that experiment, no new best."""
        same = [
            edit
            for edit in self._c.index.same_file(result.hardware.hardware_class, reading.file_signature)
            if edit.experiment_id != result.experiment_id
        ]
        return [REPLICATES + same[0].experiment_id] if same else []

    @staticmethod
    def is_win(rules: Rules, delta: float, state: ClassState) -> bool:
        """True for a gain over the parent that would pass the screen."""
        return passes_screen(rules.gain(delta, 0.0), state.spread(rules))
