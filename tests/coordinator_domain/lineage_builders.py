"""Lineages in a few words."""

from __future__ import annotations

from dataclasses import dataclass, field

from autoresearch.model import ExperimentId

from coordinator.domain.lineage import Step


@dataclass
class Lineage:
    """Experiments by name; ``baseline`` is there from the start."""

    known: dict[str, Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known["baseline"] = Step(experiment_id=ExperimentId("baseline"), parents=())

    def steps(self, experiment_id: ExperimentId) -> Step | None:
        return self.known.get(experiment_id)

    def edit(self, name: str, parent: str) -> None:
        self._put(name, (parent,))

    def merge(self, name: str, base: str, *others: str) -> None:
        self._put(name, (base, *others))

    def ablate(self, name: str, best: str, edit: str) -> None:
        self._put(name, (best,), takes_out=edit)

    def _put(self, name: str, parents: tuple[str, ...], takes_out: str | None = None) -> None:
        self.known[name] = Step(
            experiment_id=ExperimentId(name),
            parents=tuple(ExperimentId(one) for one in parents),
            takes_out=ExperimentId(takes_out) if takes_out else None,
        )
