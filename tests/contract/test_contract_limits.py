import dataclasses
import math
from datetime import timedelta

import pytest
from autoresearch import limits, model
from autoresearch.errors import InvalidArgument
from autoresearch.model import new_id
from hypothesis import given
from hypothesis import strategies as st
from test_contract_codec import sample_attestation, sample_hardware, sample_hypothesis, sample_result


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "two\nlines"}, "title"),
        ({"title": "bell\a"}, "title"),
        ({"title": "turned \u202e round"}, "title"),
        ({"title": "half \ud800"}, "title"),
        ({"title": "tag \U000e0041"}, "title"),
        ({"title": "mark \u200f"}, "title"),
        ({"title": "joined \u200d"}, "title"),
        ({"rationale": "tag\n\U000e0041"}, "rationale"),
        ({"agent": "soft\u00adhyphen"}, "agent"),
        ({"rationale": "x" * 4001}, "rationale"),
        ({"rationale": "\x1b[2J"}, "rationale"),
        ({"changes": (model.ConstantChange(name="A", new="1"),) * 65}, "changes"),
        ({"changes": (model.ConstantChange(name="", new="1"),)}, r"changes\[0\].name"),
        ({"changes": (model.ConstantChange(name="A", new="1" * 1001),)}, r"changes\[0\].new"),
        ({"changes": (model.MechanismChange(op=model.MechanismOp.ADD, what=""),)}, r"changes\[0\].what"),
        (
            {"changes": (model.ConstantChange(name="A" * 900, new="1" * 900),) * 40},
            "hypothesis has .* bytes",
        ),
    ],
)
def test_hypothesis_beyond_a_cap_is_refused_by_field(parts, field):
    hypothesis = model.Hypothesis(**{"title": "fine", **parts})

    with pytest.raises(InvalidArgument, match=field):
        limits.check_hypothesis(hypothesis)


def test_ordinary_hypothesis_passes():
    limits.check_hypothesis(
        sample_hypothesis(
            rationale="Fewer tokens per step,\n\tmore steps: naïve but fast.",
            changes=(model.ConstantChange(name="BATCH", new="2**17", old="2**18"),),
        )
    )


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"result_id": "r1"}, "result_id"),
        ({"code_hash": "sha256:ABC"}, "code_hash"),
        ({"metrics": {}}, "metrics"),
        ({"metrics": {"val_bpb": math.nan}}, "val_bpb"),
        ({"metrics": {"val_bpb": 1.0, "hidden_gap_bpb": -1e308}}, "hidden_gap_bpb"),
        ({"metrics": {"val_bpb": math.inf}}, "val_bpb"),
        ({"metrics": {"val_bpb": 0.0}}, "val_bpb"),
        ({"metrics": {"val_bpb": -1.0}}, "val_bpb"),
        ({"metrics": {"loss": 1.0}}, "lacks val_bpb"),
        ({"metrics": {"Bad Name": 1.0}}, "Bad Name"),
        ({"metrics": {f"m{index}": 1.0 for index in range(33)}}, "metrics"),
        ({"seed": 2**63}, "seed"),
        ({"log_tail": "x" * 8193}, "log_tail"),
        ({"log_tail": "\x1b[31mred"}, "log_tail"),
        ({"curve": ((0.5, 1.0),) * 129}, "curve"),
        ({"curve": ((0.5, math.nan),)}, "curve"),
        ({"curve": ((1.5, 1.0),)}, "curve"),
        ({"crash_kind": "not one word"}, "crash_kind"),
        ({"attestation": sample_attestation(code_hash="sha256:" + "0" * 64)}, "attestation.code_hash"),
        ({"attestation": sample_attestation(seed=2)}, "attestation.seed"),
        ({"attestation": sample_attestation(harness_version="0")}, "attestation.harness_version"),
        ({"attestation": sample_attestation(losses_digest="")}, "attestation of a completed run"),
        ({"attestation": sample_attestation(rows_digest="x")}, "attestation: rows_digest"),
        ({"attestation": sample_attestation(sandbox=("\x1b[2J",))}, "attestation: texts"),
        ({"hardware": dataclasses.replace(sample_hardware(), memory_mb=-1.0)}, "memory_mb"),
        ({"hardware": dataclasses.replace(sample_hardware(), device_count=0)}, "device_count"),
        ({"hardware": dataclasses.replace(sample_hardware(), hardware_class="{x}")}, "hardware_class"),
    ],
)
def test_impossible_result_is_refused_by_field(parts, field):
    with pytest.raises(InvalidArgument, match=field):
        limits.check_result(sample_result(**parts), metric="val_bpb")


def test_result_that_ends_before_it_starts_is_refused():
    result = sample_result()
    backwards = dataclasses.replace(result, finished_at=result.started_at - timedelta(seconds=1))

    with pytest.raises(InvalidArgument, match="finished_at"):
        limits.check_result(backwards)


def test_result_that_took_years_is_refused():
    result = sample_result()

    with pytest.raises(InvalidArgument, match="lasted"):
        limits.check_result(dataclasses.replace(result, finished_at=result.started_at + timedelta(days=400)))


def test_result_without_a_score_is_fine_if_the_run_crashed():
    crashed = sample_result(outcome=model.Outcome.CRASHED, metrics={}, crash_kind="RuntimeError")

    limits.check_result(crashed, metric="val_bpb")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"", "empty"),
        (b"x" * (64 * 1024 + 1), "limit"),
        (b"\xff\xfe", "UTF-8"),
        (b"x = 1\0", "NUL"),
    ],
)
def test_source_that_is_no_train_py_is_refused(source, why):
    with pytest.raises(InvalidArgument, match=why):
        limits.check_source(source)


def test_experiment_cannot_be_its_own_parent():
    experiment_id = new_id()
    experiment = model.Experiment(
        experiment_id=experiment_id, challenge_id="ch_1", hypothesis=sample_hypothesis(),
        source_hash="sha256:" + "a" * 64, parents=(experiment_id,), node_id="", owner_id="",
        hardware_class="cpu", created_at=model.utc_now(),
    )  # fmt: skip

    with pytest.raises(InvalidArgument, match="parents"):
        limits.check_experiment(experiment)


@given(st.text(max_size=20_000))
def test_clipped_log_always_passes(text):
    limits.check_result(sample_result(log_tail=limits.clip_log_tail(text * 3)))


def test_clipped_log_keeps_the_end_from_a_whole_line():
    log = "\n".join(f"step {index} \x1b[32mok\x1b[0m" for index in range(2000))

    tail = limits.clip_log_tail(log)

    assert tail.endswith("step 1999 ok")
    assert tail.startswith("step ")
    assert len(tail.encode()) <= model.LOG_TAIL_LIMIT_BYTES


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=400))
def test_clipped_curve_always_passes(points):
    limits.check_result(sample_result(curve=limits.clip_curve(points)))


def test_clipped_curve_keeps_both_ends():
    curve = limits.clip_curve((index / 999, 1000.0 - index) for index in range(1000))

    assert len(curve) == model.CURVE_LIMIT_POINTS
    assert curve[0] == (0.0, 1000.0)
    assert curve[-1] == (1.0, 1.0)


@pytest.mark.parametrize("invisible", ["\U000e0041", "\u200f", "\u200b", "\ufeff", "\u202e"])
def test_clipped_texts_are_free_of_invisible_characters(invisible):
    assert limits.clip_text(f"out of{invisible} memory") == "out of memory"
    assert limits.clip_log_tail(f"loss{invisible} 1.5\n") == "loss 1.5\n"
