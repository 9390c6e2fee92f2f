"""What ``join --dry-run`` says, of a coordinator that answers and of one that does not."""

import json
import os
import sys
from pathlib import Path

import pytest
from autoresearch import codec
from autoresearch.model import PROTOCOL_MAX, PROTOCOL_MIN, ChallengeText, ServerInfo, utc_now
from small_server import small_server

from node.config import Config
from node.pausing import note_pause
from node.plan import plan_join

HOLDS = (sys.executable, "-c", """print('{"layers": ["landlock"], "notes": []}')""")
HOLDS_NOT = (
    sys.executable,
    "-c",
    """print('{"layers": [], "notes": [], "problem": "nothing holds code here", "fix": "a kernel"}')""",
)


@pytest.fixture
async def server(challenge):
    text = ChallengeText(
        challenge_id=challenge.challenge_id,
        name=challenge.name,
        manifest_toml=challenge.manifest_toml,
        baseline_source=challenge.baseline_source,
        program_md=challenge.program_md,
    )
    info = ServerInfo(
        version="1",
        protocol_min=PROTOCOL_MIN,
        protocol_max=PROTOCOL_MAX,
        server_time=utc_now(),
        challenges=(text,),
        is_enrolment_open=True,
        terms="Be kind.",
    )
    async with small_server() as running:
        running.answers["GetServerInfo"] = lambda _: codec.server_info_to_message(info)
        yield running


async def planned(server, tmp_path, *, trainer=HOLDS, **settings):
    config = Config(state_dir=tmp_path / "state", **settings)
    found = await plan_join(config, server.target, dict(os.environ), trainer_argv=trainer)
    return {finding.name: finding for finding in found}


async def test_a_plan_names_all_that_would_run_and_changes_nothing(server, tmp_path):
    found = await planned(server, tmp_path, workers=2)

    assert server.asked == ["GetServerInfo"]
    assert list(tmp_path.iterdir()) == []
    assert all(finding.is_fine for finding in found.values()), found
    assert found["challenge"].seen.startswith("pocket (ch_")
    assert "under MIT; you will be asked to agree; the operator says: Be kind." in found["terms"].seen
    assert "2 workers: cpu-0, cpu-1" in found["hardware"].seen
    assert "nothing to download" in found["disk"].seen
    assert found["sandbox"].seen == "landlock"
    assert found["agent"].seen == "search: needs nothing"
    assert found["cost"].seen == "nothing but power"
    assert found["pauses"].seen == "not on battery"


async def test_the_pace_is_that_of_the_hours_that_the_owner_leaves(server, tmp_path):
    quiet = await planned(server, tmp_path, quiet_hours="22:00-07:00")
    capped = await planned(server, tmp_path, workers=2, max_gpu_hours_day=5.0)

    assert "up to 2,700 a day in 15 hours" in quiet["pace"].seen  # 20 s each
    assert "up to 900 a day in 5 hours" in capped["pace"].seen


async def test_the_last_run_here_is_a_better_guess_than_the_budget(server, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "status.json").write_text(json.dumps({"usual_s": 40.0}))
    note_pause(tmp_path / "state", utc_now())

    found = await planned(server, tmp_path)

    assert found["pace"].seen.startswith("40 s a run (as the last run here), up to 2,160 a day")
    assert "PAUSED by you" in found["pauses"].seen


@pytest.mark.parametrize(
    ("settings", "name", "complaint"),
    [
        ({"challenge": "other"}, "challenge", "not hosted"),
        ({"gpus": "all"}, "hardware", "use --workers"),
        ({"device": "cuda"}, "hardware", "not one this challenge allows"),
        ({"agent": "command", "agent_command": "no-such-agent {prompt}"}, "agent", "is not found"),
        (
            {"agent": "command", "agent_command": "sh {prompt}", "agent_variables": ("NO_KEY",)},
            "agent",
            "not set",
        ),
        ({"trainer": HOLDS_NOT}, "sandbox", "nothing holds code here"),
        ({"workers": 64}, "memory", "64 trainings"),
        ({"program": Path("no-such-program.md")}, "program", "cannot read no-such-program.md"),
    ],
)
async def test_what_would_keep_it_from_running_is_said_with_its_fix(
    server, tmp_path, settings, name, complaint
):
    found = await planned(server, tmp_path, **settings)

    assert complaint in found[name].seen
    assert found[name].fix


async def test_a_model_costs_up_to_its_caps(server, tmp_path):
    key = tmp_path / "key"
    key.write_text("secret\n")
    key.chmod(0o600)
    found = await planned(
        server,
        tmp_path,
        agent="anthropic",
        anthropic_key_file=key,
        agent_base_url="http://127.0.0.1:1",
        budget_usd_day=5.0,
        budget_tokens_total=1_000_000,
    )

    assert found["cost"].seen == "at most $1 an experiment; $5 a day; 1,000,000 tokens in total"
    assert not found["agent"].is_fine
    assert "secret" not in str(found)


async def test_a_coordinator_that_is_away_leaves_the_local_part(tmp_path):
    config = Config(state_dir=tmp_path / "state")
    found = {
        finding.name: finding
        for finding in await plan_join(config, "127.0.0.1:1", dict(os.environ), trainer_argv=HOLDS)
    }

    assert not found["coordinator"].is_fine
    assert found["sandbox"].is_fine
    assert "challenge" not in found
