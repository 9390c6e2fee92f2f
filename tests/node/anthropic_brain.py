"""Answers for the scripted server that carry whole experiments."""

from __future__ import annotations

import re

from anthropic_builders import ends, replaces
from messages_server import Says, call


class Brain:
    """Answers like a model would: an idea in the first conversation, its code in the second."""

    def __init__(self):
        self.ideas = 0

    def __call__(self, request):
        last = request["messages"][-1]["content"][-1]
        if last["type"] == "tool_result":
            return ends()
        if "Find ONE idea" in last["text"]:
            self.ideas += 1
            change = {"name": "MATRIX_LR", "new": f"0.0{4 + self.ideas}"}
            title = f"MATRIX_LR 0.04 -> {change['new']}"
            return Says.of(call("state_hypothesis", title=title, rationale="warmer", changes=[change]))
        if "An experiment of yours has ended" in last["text"]:
            return ends("Warmer helps.")
        old, new = re.search(r"^> MATRIX_LR (\S+) -> (\S+)$", last["text"], re.MULTILINE).groups()
        return replaces(old=f"MATRIX_LR = {old}", new=f"MATRIX_LR = {new}")
