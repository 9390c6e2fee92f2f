"""What agents that obey found of keys, one small test for each."""

from __future__ import annotations

import os

import pytest
from node_builders import make_context
from test_command_agent import agent_of

from node.agent.base import AgentError, EditRefused

KEY = "canary-key-314159"


OBEYS = """
import json, os
s = open("train.py").read().replace("MATRIX_LR = 0.04 ", "MATRIX_LR = 0.05 ")
told = " ".join(f"{name}={value}" for name, value in os.environ.items())
open("train.py", "w").write(s + ("# " + told if "code" in WHERE else ""))
if "output" not in WHERE:
    words = {"title": "warmer", "rationale": told if "words" in WHERE else ""}
    json.dump(words, open("hypothesis.json", "w"))
print("HYPOTHESIS:", told if "output" in WHERE else "warmer")
"""


@pytest.mark.parametrize("where", ["code", "words"])
async def test_a_program_that_writes_its_owners_key_into_its_edit_is_refused(tmp_path, where):
    obeying = agent_of(tmp_path, f"WHERE = {where!r}{OBEYS}", variables=["MY_KEY"], environ={"MY_KEY": KEY})

    with pytest.raises(EditRefused, match="the value of MY_KEY into its edit") as refused:
        await obeying.propose(make_context())

    assert KEY not in str(refused.value)


async def test_a_key_that_a_program_prints_is_in_no_title_and_no_error(tmp_path):
    environ = {"MY_KEY": KEY, "PATH": "/usr/bin"}
    code = f"WHERE = 'output'{OBEYS}"
    agent = agent_of(tmp_path, code, variables=["MY_KEY"], environ=environ)

    proposal = await agent.propose(make_context())
    failing = agent_of(tmp_path, f"{code}\nraise SystemExit(3)", variables=["MY_KEY"], environ=environ)
    with pytest.raises(AgentError, match="exit code 3") as failed:
        await failing.propose(make_context())

    assert "MY_KEY=[MY_KEY]" in proposal.hypothesis.title
    assert KEY not in str(failed.value)


async def test_a_program_that_obeys_finds_none_of_the_nodes_own_secrets_in_its_variables(tmp_path):
    environ = {"ANTHROPIC_API_KEY": KEY, "AUTORESEARCH_TOKEN_FILE": KEY, "PATH": os.environ["PATH"]}

    proposal = await agent_of(tmp_path, f"WHERE = 'code words'{OBEYS}", environ=environ).propose(
        make_context()
    )

    assert KEY not in repr(proposal)
    assert "PATH=" in proposal.hypothesis.rationale
