"""Puts the desk into a node: the tools for its socket, and the swarm that they watch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from node.agent.base import Agent
from node.agent.mcp.agent import McpAgent
from node.agent.mcp.knowledge import Surroundings
from node.agent.mcp.shelf import Shelf
from node.agent.mcp.tools import Tools
from node.agent.mcp.witness import WitnessedSwarm
from node.assignment import Leases, NodeFacts
from node.board import Board
from node.config import Config
from node.swarm.protocol import Swarm
from node.training.scrub import Scrub

Researching = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


def researching(agent: Agent) -> Researching:
    """Who answers the tools of ``autoresearch-node mcp``."""
    if isinstance(agent, McpAgent):
        return agent.answer

    async def refuse(tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        del tool, arguments
        why = f"this node has its ideas from agent {agent.name!r}"
        return {"refusal": f"{why}; ask its owner to start it with --agent mcp"}

    return refuse


def with_desk(
    agent: Agent,
    swarm: Swarm,
    *,
    config: Config,
    host: str,
    facts: NodeFacts,
    leases: Leases,
    board: Board,
    scrub: Scrub,
    tell_news: Callable[[], None],
) -> Swarm:
    """The swarm that the node's parts are to use; with the researcher's agent, the tools open."""
    if not isinstance(agent, McpAgent):
        return swarm
    around = Surroundings(
        swarm=swarm,
        shelf=Shelf(config, host, facts.challenge.challenge_id),
        leases=leases,
        hardware_class=facts.hardware.hardware_class,
        picture=board.picture,
        scrub=scrub,
    )
    agent.desk.on_word = tell_news
    agent.open(Tools(agent.desk, around).answer)
    return WitnessedSwarm(swarm, agent.desk)
