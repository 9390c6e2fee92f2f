"""A researcher outside the node: a coding agent that drives it by tools.

coding agent --stdio--> server  --control socket-->  tools -- desk -- agent, witness: inside the node
"""

from __future__ import annotations

from importlib import resources


def skill_text() -> str:
    """The skill file: how an agent works with the tools."""
    return resources.files("node.agent.mcp").joinpath("SKILL.md").read_text(encoding="utf-8")
