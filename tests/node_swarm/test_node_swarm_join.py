import asyncio
import sys

import pytest
from autoresearch import codec, errors, model
from autoresearch.challenge import parse_challenge
from autoresearch.model import PROTOCOL_MAX, PROTOCOL_MIN, utc_now
from autoresearch.signing import node_id_of
from autoresearch.v1 import swarm_pb2
from small_server import small_server
from swarm_samples import BASELINE

from node.board import read_status
from node.config import Config
from node.exit_codes import ExitCode
from node.failures import Failed
from node.join import run_joined
from node.swarm.database import StateFileDamaged

HOLDS = """print('{"layers": ["own-session"], "notes": []}')"""
HOLDS_NOT = (
    """print('{"layers": [], "notes": [], "problem": "nothing holds code here", "fix": "a kernel"}')"""
)


@pytest.fixture
def text(challenge):
    """The small challenge as a coordinator sends it."""
    made = parse_challenge(challenge.manifest_toml, BASELINE, challenge.program_md)
    return model.ChallengeText(
        challenge_id=made.challenge_id,
        name=made.name,
        manifest_toml=made.manifest_toml,
        baseline_source=made.baseline_source,
        program_md=made.program_md,
    )


@pytest.fixture
async def server(text):
    async with small_server() as running:
        running.now_ms = int(utc_now().timestamp() * 1000)
        info = model.ServerInfo(
            version="1", protocol_min=PROTOCOL_MIN, protocol_max=PROTOCOL_MAX, server_time=utc_now(),
            challenges=(text,), is_enrolment_open=True, terms="",
        )  # fmt: skip
        session = model.Session(
            protocol=1, challenge=text, position=model.Position(epoch=1, stream_id="1-0"), lease_ttl_s=120.0,
            heartbeat_interval_s=30.0, owner_id="lab", best=None,
        )  # fmt: skip

        def enrol(body):
            call = codec.enrol_call_from_message(swarm_pb2.EnrolRequest.FromString(body))
            node_id = node_id_of(call.public_key)
            running.known_keys[node_id] = call.public_key
            return codec.enrolment_to_message(model.Enrolment(node_id=node_id, owner_id="lab", has_vote=True))

        running.answers |= {
            "GetServerInfo": lambda _: codec.server_info_to_message(info),
            "Enrol": enrol,
            "Connect": lambda _: codec.session_to_message(session),
        }
        yield running


async def join(server, tmp_path, trainer):
    """The command's whole work but for its signals, which belong to a main thread."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    config = Config(state_dir=tmp_path / "state", token_file=token, yes=True)
    argv = (sys.executable, "-c", trainer)
    return await asyncio.to_thread(run_joined, config, server.target, trainer_argv=argv)


async def test_refused_token_is_told_before_the_trainer_is_started(server, tmp_path):
    def refuse(_):
        raise errors.TokenRefused("the token is revoked; ask the operator")

    server.answers["Enrol"] = refuse
    mark = tmp_path / "started"

    with pytest.raises(errors.TokenRefused, match="revoked"):
        await join(server, tmp_path, f"open({str(mark)!r}, 'w')")

    assert server.asked == ["GetServerInfo", "Enrol"]
    assert not mark.exists()
    assert read_status(tmp_path / "state")["state"] == "stopped"


async def test_machine_that_cannot_hold_code_is_told_after_the_check_in(server, tmp_path):
    with pytest.raises(Failed, match="nothing holds code here") as caught:
        await join(server, tmp_path, HOLDS_NOT)

    assert server.asked == ["GetServerInfo", "Enrol", "Connect"]
    assert caught.value.exit_code is ExitCode.USAGE


async def test_damaged_outbox_ends_the_join_with_what_to_do(server, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "outbox.sqlite").write_text("garbage\n")

    with pytest.raises(StateFileDamaged, match=r"outbox\.sqlite is damaged .*; move it aside"):
        await join(server, tmp_path, HOLDS)
