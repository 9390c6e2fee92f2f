"""The leaderboard of one class as a table: scores, how sure we are, who agreed, and why some fell.

A narrow terminal loses whole columns, the dearest last; an id, a state and a score are never cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoresearch.model import ExperimentId, ExperimentSummary, OwnerId
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from node.rendering import (
    ID_SHOWN,
    STYLES,
    WIDTH_ELSEWHERE,
    bare_table,
    clean,
    clean_reason,
    credited,
    digits_for,
    evidence_of,
    number,
)

TITLE_SHOWN_MIN_CHARS = 12
CAPPED_CHARS = {"node": 40, "agreed by": 24}
COLUMN_GAP = 2
HEADINGS = ("#", "{metric}", "+-95%", "n", "delta", "state", "agreed by", "title", "node", "id")
LEFT_COLUMNS = frozenset({"state", "agreed by", "title", "node", "id"})
LEFT_OUT_FIRST = ("node", "delta", "agreed by", "+-95%")
"""What a narrow table goes without, in this order, until a title can be told by its beginning."""

Owners = Mapping[ExperimentId, Sequence[OwnerId]]


def leaderboard_table(
    metric: str,
    experiments: Sequence[ExperimentSummary],
    names: Mapping[str, str],
    *,
    confirmed_by: Owners | None = None,
    width: int = WIDTH_ELSEWHERE,
) -> Table:
    """Experiments of one class, best first.

    Args:
        metric: the heading of the score.
        experiments: what is listed, in order.
        names: of nodes, by id.
        confirmed_by: owners who agreed on experiments that have been superseded since.
        width: of the terminal.
    """
    headings = tuple(name.format(metric=metric) for name in HEADINGS)
    columns: dict[str, list[Text]] = {name: [] for name in headings}
    for place, summary in enumerate(experiments, start=1):
        owners = summary.confirmed_by or (confirmed_by or {}).get(summary.experiment.experiment_id, ())
        for name, cell in zip(headings, _row(place, summary, names, owners), strict=True):
            columns[name].append(cell)
    if not any(cell.plain != "-" for cell in columns["agreed by"]):
        del columns["agreed by"]
    widths = _widths(columns, width)
    table = bare_table()
    for name, chars in widths.items():
        side: JustifyMethod = "left" if name in LEFT_COLUMNS else "right"
        table.add_column(Text(name), justify=side, no_wrap=True, overflow="ellipsis", width=chars)
    for row in zip(*(columns[name] for name in widths), strict=True):
        table.add_row(*row)
    return table


def fallen_table(experiments: Sequence[ExperimentSummary], *, width: int = WIDTH_ELSEWHERE) -> Table:
    """Why experiments were refuted or rejected, one line each."""
    table = bare_table()
    state_chars = max(len(evidence_of(summary)) for summary in experiments)
    reason_chars = max(TITLE_SHOWN_MIN_CHARS, width - state_chars - ID_SHOWN - 2 * COLUMN_GAP)
    for name, chars in (("state", state_chars), ("id", ID_SHOWN), ("why", reason_chars)):
        table.add_column(Text(name), no_wrap=True, overflow="ellipsis", max_width=chars, min_width=len(name))
    for summary in experiments:
        state = evidence_of(summary)
        table.add_row(
            Text(state, style=STYLES.get(state, "")),
            Text(summary.experiment.experiment_id[-ID_SHOWN:]),
            Text(clean_reason(summary.reason) or "no reason is recorded"),
        )
    return table


def _row(
    place: int, summary: ExperimentSummary, names: Mapping[str, str], owners: Sequence[OwnerId]
) -> tuple[Text, ...]:
    digits = digits_for(summary.interval)
    state = evidence_of(summary)
    experiment = summary.experiment
    return (
        Text(str(place)),
        Text(number(summary.score, digits)),
        Text(number(summary.interval, digits)),
        Text(str(summary.runs)),
        Text(number(summary.delta, digits, signed=True)),
        Text(state, style=STYLES.get(state, "")),
        Text(clean(", ".join(owners)) or "-"),
        Text(clean(experiment.hypothesis.title)),
        Text(credited(experiment, names)),
        Text(experiment.experiment_id[-ID_SHOWN:]),
    )


def _widths(columns: Mapping[str, Sequence[Text]], width: int) -> dict[str, int]:
    """How wide each column is that there is room for."""
    widths = {
        name: min(max(len(name), *(cell.cell_len for cell in cells), 0), CAPPED_CHARS.get(name, width))
        for name, cells in columns.items()
    }
    wanted = min(widths["title"], TITLE_SHOWN_MIN_CHARS)
    for name in (*LEFT_OUT_FIRST, None):
        others = sum(chars + COLUMN_GAP for key, chars in widths.items() if key != "title")
        if name is None or width - others >= wanted:
            break
        widths.pop(name, None)
    widths["title"] = max(wanted, min(widths["title"], width - others))
    return widths
