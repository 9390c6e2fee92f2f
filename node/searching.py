"""The command that finds tried experiments by what they are about."""

from __future__ import annotations

import sys

from autoresearch.model import ExperimentState, HardwareClass, InsightQuery, SearchBasis, SearchQuery
from rich.text import Text

from node import rendering
from node.insights import BESIDE_LIMIT, beside, insight_fields, insight_lines
from node.swarm.grpc_client import GrpcReader

BY_WORDS = "Compared by words in common: this coordinator has no model at hand that compares meanings."
SIMILARITY_DIGITS = 2
COLUMNS = (
    ("similar", "right"),
    ("score", "right"),
    ("delta", "right"),
    ("state", "left"),
    ("title", "left"),
    ("class", "left"),
    ("id", "left"),
)


async def search(
    reader: GrpcReader,
    text: str,
    *,
    hardware_class: str,
    state: ExperimentState | None,
    limit: int,
    as_json: bool,
) -> None:
    """Prints the experiments whose titles are nearest to a text, by what they were compared, and insights."""
    query = SearchQuery(
        text=text,
        hardware_class=HardwareClass(hardware_class) if hardware_class else None,
        state=state,
        limit=limit,
    )
    found = await reader.search(query)
    learned = await beside(
        reader, InsightQuery(text=text, hardware_class=query.hardware_class, limit=BESIDE_LIMIT)
    )
    if as_json:
        matches = [
            {"similarity": match.similarity, **rendering.summary_fields(match.summary, {})}
            for match in found.matches
        ]
        fields = {
            "basis": found.basis.value,
            "matches": matches,
            "insights": [insight_fields(insight) for insight in learned],
        }
        sys.stdout.write(rendering.to_json(fields) + "\n")
        return
    terminal = rendering.console()
    rows = []
    for match in found.matches:
        summary, evidence = match.summary, rendering.evidence_of(match.summary)
        digits = rendering.digits_for(summary.interval)
        rows.append(
            (
                rendering.number(match.similarity, SIMILARITY_DIGITS),
                rendering.number(summary.score, digits),
                rendering.number(summary.delta, digits, signed=True),
                Text(evidence, style=rendering.STYLES.get(evidence, "")),
                summary.experiment.hypothesis.title,
                summary.experiment.hardware_class,
                summary.experiment.experiment_id[-rendering.ID_SHOWN :],
            )
        )
    if rows:
        terminal.print(rendering.plain_table("", COLUMNS, rows))
    else:
        terminal.print(Text("Nothing like it has been tried."))
    if found.basis is SearchBasis.WORDS:
        terminal.print(Text(BY_WORDS))
    if learned:
        terminal.print(Text("\nlearned by others"))
        rendering.print_lines(terminal, insight_lines(learned, {}))
