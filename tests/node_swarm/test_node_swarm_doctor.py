import os

from autoresearch import codec
from autoresearch.model import PROTOCOL_MAX, PROTOCOL_MIN, ChallengeText, ServerInfo, utc_now
from small_server import small_server

from node.config import Config
from node.doctor import examine


def info_of(challenge):
    text = ChallengeText(
        challenge_id=challenge.challenge_id,
        name=challenge.name,
        manifest_toml=challenge.manifest_toml,
        baseline_source=challenge.baseline_source,
        program_md=challenge.program_md,
    )
    return ServerInfo(
        version="1",
        protocol_min=PROTOCOL_MIN,
        protocol_max=PROTOCOL_MAX,
        server_time=utc_now(),
        challenges=(text,),
        is_enrolment_open=True,
        terms="",
    )


async def test_without_a_state_dir_the_doctor_says_that_it_left_the_challenge_out(tmp_path, challenge):
    info = info_of(challenge)
    (tmp_path / "file").touch()
    config = Config(state_dir=tmp_path / "file" / "state")

    async with small_server() as server:
        server.answers["GetServerInfo"] = lambda _: codec.server_info_to_message(info)
        findings = {
            finding.name: finding for finding in await examine(config, server.target, dict(os.environ))
        }

    assert not findings["state dir"].is_fine
    assert "not looked at" in findings["challenge"].seen
    assert "state dir" in findings["challenge"].fix


async def test_a_proposers_challenge_is_looked_up_and_not_prepared(tmp_path, challenge):
    info = info_of(challenge)
    config = Config(state_dir=tmp_path / "state", propose_only=True, device="cuda")

    async with small_server() as server:
        server.answers["GetServerInfo"] = lambda _: codec.server_info_to_message(info)
        findings = await examine(config, server.target, dict(os.environ))

    assert [finding.name for finding in findings if finding.fix] == []
    assert findings[-1].seen == f"{challenge.name} is hosted"
    assert not (tmp_path / "state" / "challenges").exists()
