"""An agent that is a coding tool which people already have: Claude Code, Codex, Gemini CLI, OpenCode."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from node.agent.anthropic.key import NO_KEY
from node.agent.base import AgentContext
from node.agent.coding.attempt import attempt, base_environ
from node.agent.coding.tool import Folders, Setup, Tool
from node.agent.drafting import DraftingAgent
from node.agent.quoting import inline
from node.agent.scratch import Draft, lay_out, read_back

SAID_SHOWN_CHARS = 500


class CodingAgent(DraftingAgent):
    """Runs a tool in a scratch folder with a home of its own; ``train.py`` alone comes back."""

    def __init__(self, *, tool: Tool, setup: Setup, environ: Mapping[str, str]) -> None:
        self.name = tool.name
        self._tool = tool
        self._setup = setup
        self._base = base_environ(setup, environ)
        named = {name: self._base[name] for name in setup.variables if name in self._base}
        self.keys = named if setup.key.reveal() == NO_KEY else {"its key": setup.key.reveal(), **named}

    def hidden_in(self, text: str) -> str:
        """A text without the keys; its own, however short it is."""
        return super().hidden_in(self._setup.key.hidden_in(text))

    async def draft(self, context: AgentContext, source: str, prompt: str) -> Draft:
        with tempfile.TemporaryDirectory(prefix="autoresearch-agent-", ignore_cleanup_errors=True) as name:
            folders = _folders(Path(name))
            before = await asyncio.to_thread(lay_out, folders.work, context, source, prompt)
            heard = await attempt(
                self._tool,
                self._setup,
                folders,
                base=self._base,
                account=context.account,
                hide=self.hidden_in,
            )
            draft = await asyncio.to_thread(read_back, folders.work, before)
        output = self.hidden_in(heard.said)
        said = inline(output[-SAID_SHOWN_CHARS:], SAID_SHOWN_CHARS) or "nothing"
        return replace(draft, said=said, output=output)


def _folders(root: Path) -> Folders:
    """The home lies beside the workspace: what the tool may edit does not hold its own settings."""
    real = root.resolve()
    folders = Folders(work=real / "work", home=real / "home", temporary=real / "tmp")
    for folder in (folders.work, folders.home, folders.temporary):
        folder.mkdir(mode=0o700)
    return folders
