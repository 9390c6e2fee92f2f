"""What readers see, from an in-memory index; no listing queries the store."""

from __future__ import annotations

from collections.abc import Sequence

from autoresearch.model import (
    BestChange,
    Comparison,
    ExperimentPage,
    ExperimentQuery,
    ExperimentSummary,
    HardwareClass,
    Node,
    Result,
    SourceHash,
    SwarmStatus,
    WorkingBest,
)


class Leaderboard:
    """Read only."""

    async def get_status(self) -> SwarmStatus:
        """The challenge at a glance."""

    async def list_experiments(self, query: ExperimentQuery) -> ExperimentPage:
        """A page of experiments. Raises InvalidArgument for a bad limit or cursor."""

    async def get_experiment(self, reference: str) -> tuple[ExperimentSummary, tuple[Result, ...]]:
        """One experiment with its runs, by id or by a start or end of 6 characters that only one id has.

        Raises:
            NotFound: no id has it.
            InvalidArgument: it is too short, or several ids have it.
        """

    async def get_source(self, *, reference: str = "", source_hash: str = "") -> tuple[SourceHash, bytes]:
        """The bytes of a train.py by experiment or by hash. Raises NotFound."""

    async def list_nodes(self) -> tuple[Node, ...]:
        """Who takes part, with credit."""

    async def get_progress(self, hardware_class: HardwareClass | None = None) -> tuple[BestChange, ...]:
        """Changes of working bests, oldest first."""

    async def compare(self, references: Sequence[str]) -> Comparison:
        """2 to 8 experiments side by side."""

    async def get_best(self, hardware_class: HardwareClass) -> WorkingBest:
        """What the class builds on. Raises NotFound while it has none."""

    async def working_bests(self) -> tuple[WorkingBest, ...]:
        """What each class builds on (for a watcher's snapshot)."""
