import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from autoresearch import calls, codec, model
from autoresearch.attestation import Attestation
from autoresearch.errors import InvalidArgument
from autoresearch.model import new_id
from autoresearch.v1 import leaderboard_pb2, swarm_pb2, types_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_strategies import values_of

TRAVELLERS = {
    "change": model.Change,
    "hypothesis": model.Hypothesis,
    "hardware": model.Hardware,
    "experiment": model.Experiment,
    "result": model.Result,
    "experiment_summary": model.ExperimentSummary,
    "near_match": model.NearMatch,
    "knob_trial": model.KnobTrial,
    "advice": model.Advice,
    "lease": model.Lease,
    "position": model.Position,
    "working_best": model.WorkingBest,
    "best_change": model.BestChange,
    "event": model.Event,
    "node": model.Node,
    "challenge_text": model.ChallengeText,
    "server_info": model.ServerInfo,
    "enrolment": model.Enrolment,
    "session": model.Session,
    "beat": model.Beat,
    "task": model.Task,
    "claim_verdict": model.ClaimVerdict,
    "start_verdict": model.StartVerdict,
    "published": model.Published,
    "class_status": model.ClassStatus,
    "swarm_status": model.SwarmStatus,
    "experiment_page": model.ExperimentPage,
    "comparison": model.Comparison,
    "search_findings": model.SearchFindings,
    "idea": model.Idea,
    "insight": model.Insight,
    "program": model.Program,
    "usage": model.Usage,
    "token": model.Token,
    "next_task_call": calls.NextTaskCall,
    "get_best_call": calls.GetBestCall,
    "watch_call": calls.WatchCall,
}
A_HASH = "sha256:" + "a" * 64


@pytest.mark.parametrize("name", TRAVELLERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_value_survives_the_wire(name, data):
    value = data.draw(values_of(TRAVELLERS[name]))
    message = getattr(codec, f"{name}_to_message")(value)

    arrived = type(message).FromString(message.SerializeToString(deterministic=True))

    assert getattr(codec, f"{name}_from_message")(arrived) == value


def test_every_value_of_the_model_has_a_codec_or_a_reason():
    parts = {
        # Members of unions and lists that the codecs above carry.
        "ConstantChange", "MechanismChange", "Granted", "Duplicate", "NeedsDistinction", "Started",
        "StartRefused", "ExploreTask", "BaselineTask", "ReplicateTask", "QueuedTask", "IdleTask", "KnobRow",
        "Attestation", "SearchMatch", "ProgramRow",
        # Travel inside ListExperimentsCall, SearchCall and ListInsightsCall.
        "ExperimentQuery", "SearchQuery", "InsightQuery",
    }  # fmt: skip

    written = {getattr(kind, "__name__", "") for kind in TRAVELLERS.values()} | parts

    assert {name for name, kind in vars(model).items() if hasattr(kind, "__dataclass_fields__")} <= written


def sample_hypothesis(**parts):
    return model.Hypothesis(title="Halve the batch", **parts)


def sample_hardware():
    return model.Hardware(
        hardware_class=model.HardwareClass("cpu-test/torch-2.13"),
        device_kind="cpu",
        device_name="test",
        memory_mb=1000.0,
        torch_version="2.13",
    )


def sample_attestation(**parts):
    defaults = {
        "manifest_hash": A_HASH,
        "code_hash": A_HASH,
        "seed": 1,
        "val_seed": 2**63 - 1,
        "harness_version": "1",
        "rows_digest": A_HASH,
        "losses_digest": A_HASH,
        "sandbox": ("landlock",),
        "timings_s": {"train_s": 20.0},
    }
    return Attestation(**{**defaults, **parts})


def sample_result(**parts):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    defaults = {
        "result_id": new_id(),
        "experiment_id": new_id(),
        "challenge_id": "ch_1",
        "node_id": "",
        "owner_id": "",
        "outcome": model.Outcome.COMPLETED,
        "purpose": model.Purpose.EXPLORE,
        "metrics": {"val_bpb": 1.5},
        "seed": 1,
        "hardware": sample_hardware(),
        "code_hash": A_HASH,
        "harness_version": "1",
        "started_at": at,
        "finished_at": at + timedelta(seconds=20),
    }
    return model.Result(**{**defaults, **parts})


def test_a_result_with_the_table_that_attestations_were_has_none():
    message = codec.result_to_message(sample_result())
    message.attestation["rows_digest"] = "abc"

    assert codec.result_from_message(message).attestation is None


CALLS = {
    "enrol_call": calls.EnrolCall(public_key=b"k" * 32, token="t", name="bee", consent=True),
    "connect_call": calls.ConnectCall(
        protocol_min=1, protocol_max=2, challenge="pocket", hardware=sample_hardware(), node_version="1"
    ),
    "heartbeat_call": calls.HeartbeatCall(challenge_id="ch_1", claim_ids=(new_id(),), activity="training"),
    "claim_call": calls.ClaimCall(
        challenge_id="ch_1", claim_id=new_id(), hypothesis=sample_hypothesis(), parent_id=new_id()
    ),
    "start_call": calls.StartCall(
        challenge_id="ch_1", claim_id=new_id(), fencing_token=7, experiment_id=new_id(), source=b"x = 1\n"
    ),
    "release_call": calls.ReleaseCall(challenge_id="ch_1", claim_id=new_id(), fencing_token=7, reason="bye"),
    "publish_call": calls.PublishCall(challenge_id="ch_1", result=sample_result(), source=b"x = 1\n"),
    "list_experiments_call": calls.ListExperimentsCall(
        challenge="", query=model.ExperimentQuery(text="batch", limit=7, order=model.ExperimentOrder.NEWEST)
    ),
    "get_experiment_call": calls.GetExperimentCall(challenge="pocket", experiment=new_id()[-8:]),
    "get_source_call": calls.GetSourceCall(challenge="", source_hash=A_HASH),
    "get_progress_call": calls.GetProgressCall(challenge="pocket", hardware_class="cpu-test/torch-2.13"),
    "compare_call": calls.CompareCall(challenge="", experiments=(new_id(), new_id())),
    "search_call": calls.SearchCall(
        challenge="pocket",
        query=model.SearchQuery(text="rope base", state=model.ExperimentState.REFUTED, limit=3),
    ),
    "propose_call": calls.ProposeCall(
        challenge_id="ch_1", hypothesis_id=new_id(), hypothesis=sample_hypothesis(), origin=new_id()
    ),
    "create_token_call": calls.CreateTokenCall(owner_id="lab", uses=3),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_request_survives_the_wire(name):
    message = getattr(codec, f"{name}_to_message")(CALLS[name])

    arrived = type(message).FromString(message.SerializeToString())

    assert getattr(codec, f"{name}_from_message")(arrived) == CALLS[name]


def test_replies_of_two_parts_survive_the_wire():
    summary = model.ExperimentSummary(
        experiment=model.Experiment(
            experiment_id=new_id(), challenge_id="ch_1", hypothesis=sample_hypothesis(), source_hash=A_HASH,
            parents=(), node_id="n", owner_id="o", hardware_class="cpu", created_at=model.utc_now(),
        ),
        state=model.ExperimentState.RUNNING, score=None, interval=None, runs=0, delta=None, level=None,
    )  # fmt: skip
    results = (sample_result(),)

    assert codec.experiment_detail_from_message(codec.experiment_detail_to_message(summary, results)) == (
        summary,
        results,
    )
    assert codec.source_from_message(codec.source_to_message(b"x", A_HASH)) == (b"x", A_HASH)
    assert codec.created_token_from_message(codec.created_token_to_message("t1", "secret")) == (
        "t1",
        "secret",
    )


@pytest.mark.parametrize(
    ("read", "message", "field"),
    [
        (codec.change_from_message, types_pb2.Change(), "Change.kind"),
        (codec.task_from_message, swarm_pb2.NextTaskReply(), "NextTaskReply.task"),
        (codec.claim_verdict_from_message, swarm_pb2.ClaimReply(), "ClaimReply.verdict"),
        (codec.start_verdict_from_message, swarm_pb2.StartReply(), "StartReply.verdict"),
        (codec.hypothesis_from_message, types_pb2.Hypothesis(title="t"), "Hypothesis.intent"),
        (codec.hypothesis_from_message, types_pb2.Hypothesis(intent=99), "Hypothesis.intent"),
        (codec.lease_from_message, types_pb2.Lease(claim_id="x"), "Lease.claim_id"),
        (codec.lease_from_message, types_pb2.Lease(claim_id=new_id()), "Lease.expires_at"),
        (
            codec.lease_from_message,
            types_pb2.Lease(claim_id=new_id(), expires_at=Timestamp(seconds=2**60)),
            "Lease.expires_at",
        ),
        (
            codec.lease_from_message,
            types_pb2.Lease(claim_id=new_id(), expires_at=Timestamp(), ttl_s=math.nan),
            "Lease.ttl_s",
        ),
        (
            codec.watch_call_from_message,
            swarm_pb2.WatchEventsRequest(challenge_id="c"),
            "WatchEventsRequest.scope",
        ),
        (codec.publish_call_from_message, swarm_pb2.PublishRequest(), "PublishRequest.result"),
        (codec.experiment_from_message, types_pb2.Experiment(), "Experiment.hypothesis"),
        (
            codec.compare_call_from_message,
            leaderboard_pb2.CompareRequest(experiment_ids=[new_id()]),
            "CompareRequest.experiment_ids",
        ),
        (codec.get_source_call_from_message, leaderboard_pb2.GetSourceRequest(), "GetSourceRequest"),
        (codec.search_call_from_message, leaderboard_pb2.SearchRequest(), "SearchRequest.text"),
        (
            codec.search_call_from_message,
            leaderboard_pb2.SearchRequest(text="x", limit=101),
            "SearchRequest.limit",
        ),
    ],
)
def test_incomplete_message_is_refused_with_the_name_of_its_field(read, message, field):
    with pytest.raises(InvalidArgument, match=field):
        read(message)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_metric_that_is_no_number_never_gets_in(value):
    message = codec.result_to_message(sample_result())
    message.metrics["val_bpb"] = value

    with pytest.raises(InvalidArgument, match="val_bpb"):
        codec.result_from_message(message)


def test_publishing_a_result_of_another_experiment_is_refused():
    call = CALLS["publish_call"]
    other = model.Experiment(
        experiment_id=new_id(), challenge_id="ch_1", hypothesis=sample_hypothesis(), source_hash=A_HASH,
        parents=(), node_id="", owner_id="", hardware_class="cpu", created_at=model.utc_now(),
    )  # fmt: skip
    message = codec.publish_call_to_message(call)
    message.experiment.CopyFrom(codec.experiment_to_message(other))

    with pytest.raises(InvalidArgument, match="not the one"):
        codec.publish_call_from_message(message)


def test_time_of_another_zone_is_the_same_moment():
    at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    lease = model.Lease(claim_id=new_id(), fencing_token=1, expires_at=at, ttl_s=1.0)

    assert codec.lease_from_message(codec.lease_to_message(lease)).expires_at == at


def test_empty_text_of_an_optional_field_is_none():
    message = leaderboard_pb2.ListExperimentsRequest(challenge="pocket")

    query = codec.list_experiments_call_from_message(message).query

    assert query == model.ExperimentQuery()
