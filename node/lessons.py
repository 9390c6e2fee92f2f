"""What an agent learned from a run, as the swarm takes it."""

from __future__ import annotations

from autoresearch.limits import clip_text
from autoresearch.model import INSIGHT_LIMIT_CHARS, Insight, InsightId, NodeId, OwnerId, Result, new_id


def lesson_of(result: Result, text: str, *, node_id: NodeId, owner_id: OwnerId, agent: str) -> Insight | None:
    """The lesson with the run as its evidence, cut to what the contract takes; None where nothing is said."""
    text = clip_text(text, INSIGHT_LIMIT_CHARS).strip()
    if not text:
        return None
    return Insight(
        insight_id=InsightId(new_id()),
        challenge_id=result.challenge_id,
        text=text,
        experiment_ids=(result.experiment_id,),
        node_id=node_id,
        owner_id=owner_id,
        hardware_class=result.hardware.hardware_class,
        agent=agent,
        created_at=result.finished_at,
    )
