"""What was learned, as commands print it: quoted, cut to length, with whose it is and what it rests on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch.errors import SwarmError
from autoresearch.model import HardwareClass, Insight, InsightQuery
from rich.text import Text

from node import rendering
from node.swarm.grpc_client import GrpcReader

TEXT_SHOWN_CHARS = 600
BESIDE_LIMIT = 5
"""Insights that are printed beside something else."""


async def insights(reader: GrpcReader, text: str, *, hardware_class: str, limit: int, as_json: bool) -> None:
    """Prints the newest insights or, with a text, the nearest to it."""
    query = InsightQuery(
        text=text, hardware_class=HardwareClass(hardware_class) if hardware_class else None, limit=limit
    )
    found = await reader.insights(query)
    if as_json:
        sys.stdout.write(rendering.to_json([insight_fields(insight) for insight in found]) + "\n")
        return
    terminal = rendering.console()
    if not found:
        terminal.print(Text("Nothing like it was learned." if text else "Nothing has been learned yet."))
    rendering.print_lines(terminal, insight_lines(found, {}))


async def beside(reader: GrpcReader, query: InsightQuery) -> tuple[Insight, ...]:
    """A few insights for something else that is printed, which is worth printing without them too."""
    try:
        return await reader.insights(query)
    except SwarmError:
        return ()


def insight_lines(insights: Sequence[Insight], names: Mapping[str, str]) -> list[str]:
    """A heading and the quoted text of each."""
    lines: list[str] = []
    for insight in insights:
        author = rendering.clean(names.get(insight.node_id, insight.node_id))
        agent = f", agent {rendering.clean(insight.agent)}" if insight.agent else ""
        evidence = ", ".join(one[-rendering.ID_SHOWN :] for one in insight.experiment_ids)
        lines.append(
            f"{insight.created_at:%Y-%m-%d %H:%M}  {author}{agent}, from {evidence} "
            f"on {insight.hardware_class}"
        )
        lines += [f"  {line}" for line in rendering.quoted_lines(insight.text, TEXT_SHOWN_CHARS)]
    return lines


def insight_fields(insight: Insight) -> dict[str, Any]:
    """An insight for JSON."""
    return {
        "insight_id": insight.insight_id,
        "text": insight.text,
        "experiment_ids": list(insight.experiment_ids),
        "node_id": insight.node_id,
        "owner_id": insight.owner_id,
        "hardware_class": insight.hardware_class,
        "agent": insight.agent,
        "created_at": insight.created_at.isoformat(),
    }
