import pytest
import stamina
import structlog
from autoresearch import codec, errors, model
from autoresearch.model import new_id
from autoresearch.signing import SigningKey
from autoresearch.v1 import leaderboard_pb2, swarm_pb2
from small_server import small_server
from swarm_samples import BASELINE, START, best, experiment, hardware, hash_of, hypothesis, lease, result

from node.swarm.address import open_channel, parse_address
from node.swarm.grpc_client import GrpcReader, GrpcSwarm, JoinTerms
from node.swarm.protocol import Publication

NOW_MS = 1_800_000_000_000


@pytest.fixture(autouse=True)
def _no_waiting():
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
async def server():
    async with small_server() as running:
        running.answers["Connect"] = lambda _: codec.session_to_message(session())
        yield running


def session(**parts):
    defaults = {
        "protocol": 1,
        "challenge": model.ChallengeText(
            challenge_id="ch_1", name="pocket", manifest_toml="", baseline_source=BASELINE, program_md=""
        ),
        "position": model.Position(epoch=1, stream_id="1-0"),
        "lease_ttl_s": 120.0,
        "heartbeat_interval_s": 30.0,
        "owner_id": "o_1",
        "best": None,
    }
    return model.Session(**{**defaults, **parts})


def node_of(server, *, key=None, enrolled=True, now_ms=lambda: NOW_MS, terms=None):
    key = key or SigningKey.generate()
    if enrolled:
        server.known_keys[key.node_id] = key.public_key
    channel = open_channel(parse_address(server.target))
    return GrpcSwarm(channel, server.target, key, terms or JoinTerms(), now_ms=now_ms)


async def connected(server, **parts):
    node = node_of(server, **parts)
    await node.connect(hardware())
    return node


async def test_connect_opens_a_signed_session(server):
    node = node_of(server)

    opened = await node.connect(hardware())

    assert opened == session()
    assert server.asked == ["Connect"]
    await node.close()


def enrolling(server, key, seen, *, owner_id="lab", has_vote=True):
    def enrol(body):
        call = codec.enrol_call_from_message(swarm_pb2.EnrolRequest.FromString(body))
        seen.append(call)
        server.known_keys[key.node_id] = call.public_key
        return codec.enrolment_to_message(
            model.Enrolment(node_id=key.node_id, owner_id=owner_id, has_vote=has_vote)
        )

    return enrol


async def test_unknown_key_without_a_token_is_enrolled_once_with_the_agreed_terms(server):
    seen, key = [], SigningKey.generate()
    server.answers["Enrol"] = enrolling(server, key, seen, has_vote=False)
    node = node_of(server, key=key, enrolled=False, terms=JoinTerms(name="bee", has_consented=True))

    await node.connect(hardware())
    await node.connect(hardware())

    assert server.asked == ["Connect", "Enrol", "Connect", "Connect"]
    assert (seen[0].token, seen[0].name, seen[0].consent) == ("", "bee", True)
    await node.close()


@pytest.mark.parametrize("is_known", [False, True])
async def test_token_is_shown_once_whether_the_key_is_known_or_not(server, is_known):
    seen, key = [], SigningKey.generate()
    server.answers["Enrol"] = enrolling(server, key, seen)
    terms = JoinTerms(token="secret", name="bee", has_consented=True)
    node = node_of(server, key=key, enrolled=is_known, terms=terms)

    with structlog.testing.capture_logs() as logs:
        await node.connect(hardware())
        await node.connect(hardware())

    assert server.asked == ["Enrol", "Connect", "Connect"]
    assert [call.token for call in seen] == ["secret"]
    assert [(line["owner_id"], line["has_vote"]) for line in logs] == [("lab", True)]
    await node.close()


@pytest.mark.parametrize("is_known", [False, True])
async def test_refused_token_ends_the_connection_with_its_reason(server, is_known):
    def refuse(_):
        raise errors.TokenRefused("the token is spent; ask the operator")

    server.answers["Enrol"] = refuse
    node = node_of(server, enrolled=is_known, terms=JoinTerms(token="wrong", has_consented=True))

    for _ in range(2):
        with pytest.raises(errors.TokenRefused, match="spent"):
            await node.connect(hardware())
    assert server.asked == ["Enrol"] * 2
    await node.close()


async def test_coordinator_that_wants_a_token_is_told_by_the_refusal(server):
    def refuse(_):
        raise errors.TokenRefused("this coordinator enrols by token only; ask its operator for one")

    server.answers["Enrol"] = refuse
    node = node_of(server, enrolled=False)

    with pytest.raises(errors.TokenRefused, match="by token only"):
        await node.connect(hardware())
    await node.close()


@pytest.mark.parametrize("apart_ms", [-3_600_000, 3_600_000])
async def test_wrong_clock_is_corrected_by_the_servers_time(server, apart_ms):
    node = node_of(server, now_ms=lambda: NOW_MS + apart_ms)

    await node.connect(hardware())
    await node.connect(hardware())

    assert server.asked == ["Connect"] * 3
    await node.close()


async def test_clock_that_the_servers_time_does_not_mend_is_an_error_not_a_loop(server):
    def refuse(_):
        raise errors.ClockSkew("off")

    server.answers["Connect"] = refuse
    node = node_of(server)

    with pytest.raises(errors.ClockSkew):
        await node.connect(hardware())
    assert len(server.asked) == 2
    await node.close()


async def test_repeatable_call_is_repeated_with_a_new_nonce(server):
    failures = iter([True, True])

    def sometimes(_):
        if next(failures, False):
            raise errors.Unavailable("the store restarts")
        return codec.session_to_message(session())

    server.answers["Connect"] = sometimes
    node = node_of(server)

    await node.connect(hardware())

    assert server.asked == ["Connect"] * 3
    assert len(server.nonces) == 3
    await node.close()


async def test_next_task_is_not_repeated(server):
    def fail(_):
        raise errors.Unavailable("the store restarts")

    server.answers["NextTask"] = fail
    node = await connected(server)

    with pytest.raises(errors.Unavailable):
        await node.next_task(can_propose=True, can_train=True)
    assert server.asked.count("NextTask") == 1
    await node.close()


async def test_read_only_coordinator_is_not_asked_again_at_once(server):
    def fail(_):
        raise errors.ReadOnly("the disk is full", retry_after_s=30.0)

    server.answers["Publish"] = fail
    node = await connected(server)
    made = experiment(b"x = 1\n")

    with pytest.raises(errors.ReadOnly) as caught:
        await node.publish(publication(made))
    assert caught.value.retry_after_s == 30.0
    assert server.asked.count("Publish") == 1
    await node.close()


async def test_nobody_at_the_address_is_unavailable_by_name():
    async with small_server() as gone:
        target = gone.target
    node = GrpcSwarm(open_channel(parse_address(target)), target, SigningKey.generate(), JoinTerms())

    with pytest.raises(errors.Unavailable, match=target):
        await node.connect(hardware())
    await node.close()


async def test_answer_that_breaks_the_contract_is_the_servers_fault(server):
    server.answers["NextTask"] = lambda _: swarm_pb2.NextTaskReply()
    node = await connected(server)

    with pytest.raises(errors.Internal, match="task"):
        await node.next_task(can_propose=True, can_train=True)
    await node.close()


async def test_protocol_that_this_node_does_not_speak_is_refused(server):
    server.answers["Connect"] = lambda _: codec.session_to_message(session(protocol=99))
    node = node_of(server)

    with pytest.raises(errors.ProtocolMismatch, match="99"):
        await node.connect(hardware())
    await node.close()


def publication(made, *, held=None, purpose=model.Purpose.EXPLORE):
    return Publication(result=result(made, purpose=purpose), experiment=made, source=b"x = 1\n", lease=held)


def published(call):
    return codec.published_to_message(
        model.Published(
            result_id=call.result.result_id,
            position=model.Position(epoch=1, stream_id="2-0"),
            is_repeat=False,
            is_late=False,
            state=model.ExperimentState.COMPLETED,
            best=None,
        )
    )


def accepting(seen):
    def accept(body):
        call = codec.publish_call_from_message(swarm_pb2.PublishRequest.FromString(body))
        seen.append(call)
        return published(call)

    return accept


async def test_run_under_a_lease_does_not_send_its_code_again(server):
    seen = []
    server.answers["Publish"] = accepting(seen)
    node = await connected(server)
    held = lease()

    await node.publish(publication(experiment(b"x = 1\n"), held=held))

    assert seen[0].source is None
    assert (seen[0].claim_id, seen[0].fencing_token) == (held.claim_id, held.fencing_token)
    await node.close()


async def test_run_without_a_lease_brings_experiment_and_code(server):
    seen = []
    server.answers["Publish"] = accepting(seen)
    node = await connected(server)
    made = experiment(b"x = 1\n")

    await node.publish(publication(made))

    assert (seen[0].experiment, seen[0].source, seen[0].claim_id) == (made, b"x = 1\n", None)
    await node.close()


async def test_code_is_sent_where_the_coordinator_has_lost_it(server):
    seen = []

    def forgetful(body):
        call = codec.publish_call_from_message(swarm_pb2.PublishRequest.FromString(body))
        seen.append(call)
        if call.source is None:
            raise errors.NotFound("no such experiment")
        return published(call)

    server.answers["Publish"] = forgetful
    node = await connected(server)

    await node.publish(publication(experiment(b"x = 1\n"), held=lease()))

    assert [call.source for call in seen] == [None, b"x = 1\n"]
    await node.close()


async def test_best_is_fetched_once_while_it_stays(server):
    source = BASELINE.encode()
    known = []

    def get_best(body):
        call = codec.get_best_call_from_message(swarm_pb2.GetBestRequest.FromString(body))
        known.append(call.known_source_hash)
        return codec.best_reply_to_message(best(source), None if call.known_source_hash else source)

    server.answers["GetBest"] = get_best
    node = await connected(server)

    first, second = await node.best(), await node.best()

    assert first.source == second.source == source
    assert known == [None, hash_of(source)]
    await node.close()


async def test_class_without_a_best_is_none(server):
    def none(_):
        raise errors.NotFound("the class has no working best yet")

    server.answers["GetBest"] = none
    node = await connected(server)

    assert await node.best() is None
    await node.close()


async def test_code_that_does_not_have_its_hash_never_arrives(server):
    server.answers["GetBest"] = lambda _: codec.best_reply_to_message(best(b"a = 1\n"), b"b = 2\n")
    server.answers["GetSource"] = lambda _: codec.source_to_message(b"a = 1\n", hash_of(b"b = 2\n"))
    node = await connected(server)

    with pytest.raises(errors.Internal, match="hash"):
        await node.best()
    with pytest.raises(errors.Internal, match="hash"):
        await node.source(model.ExperimentId(new_id()))
    await node.close()


async def test_calls_before_connect_say_so(server):
    node = node_of(server)

    with pytest.raises(errors.InvalidArgument, match="connect first"):
        await node.best()
    await node.close()


async def test_verdicts_and_beats_arrive(server):
    held = lease()
    beat = model.Beat(
        position=model.Position(epoch=1, stream_id="3-0"), renewed=(held,), lost=(), best_experiment_id=None
    )
    server.answers["Claim"] = lambda _: codec.claim_verdict_to_message(model.Granted(lease=held))
    server.answers["Start"] = lambda _: codec.start_verdict_to_message(
        model.Started(lease=held, seed=1, val_seed=2)
    )
    server.answers["Release"] = lambda _: codec.release_reply_to_message(True)
    server.answers["Heartbeat"] = lambda _: codec.beat_to_message(beat)
    node = await connected(server)

    verdict = await node.claim(held.claim_id, hypothesis(), model.ExperimentId(new_id()))
    started = await node.start(held, model.ExperimentId(new_id()), b"x = 1\n")
    await node.release(held, "done")

    assert verdict == model.Granted(lease=held)
    assert (started.seed, started.val_seed) == (1, 2)
    assert await node.heartbeat([held.claim_id], "training") == beat
    await node.close()


async def test_reader_needs_no_key(server):
    status = model.SwarmStatus(
        challenge_id="ch_1", challenge_name="pocket", metric_name="val_bpb", direction="lower", classes=(),
        global_best=None, experiments=1, results=2, live_claims=0, queued=0, nodes_live=1, nodes=1,
        duplicates_stopped=0, position=model.Position(epoch=1, stream_id="1-0"), store="memory",
        is_read_only=False, version="0", uptime_s=1.0,
    )  # fmt: skip
    made = experiment(b"x = 1\n")
    summary = model.ExperimentSummary(
        experiment=made, state=model.ExperimentState.COMPLETED, score=1.5, interval=None, runs=1, delta=None,
        level=None,
    )  # fmt: skip
    page = model.ExperimentPage(experiments=(summary,), next_cursor="", total=1)
    info = model.ServerInfo(
        version="0", protocol_min=1, protocol_max=1, server_time=START, challenges=(), is_enrolment_open=True,
        terms="MIT",
    )  # fmt: skip
    change = model.BestChange(best=best(), previous=None, reason="first", at=START)
    comparison = model.Comparison(experiments=(summary, summary), knobs=())
    found = model.SearchFindings(
        matches=(model.SearchMatch(summary=summary, similarity=0.5),), basis=model.SearchBasis.WORDS
    )
    server.answers |= {
        "GetStatus": lambda _: codec.swarm_status_to_message(status),
        "ListExperiments": lambda _: codec.experiment_page_to_message(page),
        "GetExperiment": lambda _: codec.experiment_detail_to_message(summary, (result(made),)),
        "GetSource": lambda _: codec.source_to_message(b"x = 1\n", hash_of(b"x = 1\n")),
        "ListNodes": lambda _: leaderboard_pb2.ListNodesReply(),
        "GetProgress": lambda _: codec.progress_to_message((change,)),
        "Compare": lambda _: codec.comparison_to_message(comparison),
        "Search": lambda _: codec.search_findings_to_message(found),
        "GetServerInfo": lambda _: codec.server_info_to_message(info),
        "ListIdeas": lambda _: codec.ideas_to_message(()),
    }
    reader = GrpcReader(open_channel(parse_address(server.target)), server.target)

    assert await reader.status() == status
    assert await reader.experiments(model.ExperimentQuery()) == page
    assert (await reader.experiment(made.experiment_id[-8:]))[0] == summary
    assert await reader.source(source_hash=hash_of(b"x = 1\n")) == b"x = 1\n"
    assert await reader.nodes() == ()
    assert await reader.progress() == (change,)
    assert await reader.compare([made.experiment_id] * 2) == comparison
    assert await reader.search(model.SearchQuery(text="faster")) == found
    assert await reader.server_info() == info
    assert await reader.ideas() == ()
    await reader.close()


@pytest.mark.parametrize(
    ("text", "target", "is_tls"),
    [
        ("swarm.example.org", "swarm.example.org:50051", False),
        ("swarm.example.org:7", "swarm.example.org:7", False),
        ("grpcs://swarm.example.org", "swarm.example.org:50051", True),
        ("[::1]:9", "[::1]:9", False),
        ("127.0.0.1", "127.0.0.1:50051", False),
    ],
)
def test_address_is_read(text, target, is_tls):
    address = parse_address(text)

    assert (address.target, address.is_tls) == (target, is_tls)


@pytest.mark.parametrize("text", ["", "http://x", "a b", "host:99999", "host:0", "host:", "::1", "a/b"])
def test_text_that_is_no_address_is_refused(text):
    with pytest.raises(errors.InvalidArgument):
        parse_address(text)


async def test_another_machine_needs_tls_or_a_plain_word():
    address = parse_address("swarm.example.org")

    with pytest.raises(errors.InvalidArgument, match="grpcs://"):
        open_channel(address)
    await open_channel(address, insecure=True).close()
    await open_channel(parse_address("grpcs://swarm.example.org")).close()


async def test_missing_ca_file_is_named(tmp_path):
    with pytest.raises(errors.InvalidArgument, match=r"no\.pem"):
        open_channel(parse_address("swarm.example.org"), ca_file=tmp_path / "no.pem")
