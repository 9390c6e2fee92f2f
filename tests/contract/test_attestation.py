"""The digest of a measurement: what it depends on, how it is written down, what is refused."""

import hashlib
import json
from dataclasses import replace

import pytest
from autoresearch.attestation import FORMAT, Attestation, attestation_of

SHA = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32


def sample(**parts):
    defaults = {
        "manifest_hash": SHA,
        "code_hash": SHA,
        "seed": 7,
        "val_seed": 2**62,
        "harness_version": "1",
        "rows_digest": SHA,
        "losses_digest": SHA,
        "device_kind": "cpu",
        "device_name": "AMD EPYC",
        "memory_mb": 4096,
        "torch_version": "2.13.0",
        "sandbox": ("own-session", "landlock"),
        "timings_s": {"train_s": 20.5},
    }
    return Attestation(**{**defaults, **parts})


@pytest.mark.parametrize(
    "change",
    [
        {"manifest_hash": OTHER},
        {"code_hash": OTHER},
        {"seed": 8},
        {"val_seed": 8},
        {"harness_version": "2"},
        {"rows_digest": OTHER},
        {"losses_digest": OTHER},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_a_score_changes_the_digest(change):
    assert replace(sample(), **change).digest != sample().digest


@pytest.mark.parametrize(
    "change",
    [
        {"device_name": "another"},
        {"timings_s": {}},
        {"sandbox": ()},
        {"holdout_rows_digest": OTHER, "holdout_losses_digest": OTHER},
    ],
    ids=lambda change: next(iter(change)),
)
def test_where_and_how_fast_it_ran_does_not(change):
    assert replace(sample(), **change).digest == sample().digest


def test_the_digest_is_that_of_seven_values_as_sorted_json():
    written = (
        f'{{"code_hash":"{SHA}","format":"{FORMAT}","harness_version":"1","losses_digest":"{SHA}",'
        f'"manifest_hash":"{SHA}","rows_digest":"{SHA}","seed":7,"val_seed":{2**62}}}'
    )

    assert sample().digest == "sha256:" + hashlib.sha256(written.encode()).hexdigest()


def test_it_comes_back_from_json_as_it_was():
    for attestation in (sample(), sample(rows_digest="", losses_digest="", timings_s={}, sandbox=())):
        assert attestation_of(json.loads(json.dumps(attestation.to_fields()))) == attestation


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"losses_digest": OTHER}, "digest is not that"),
        ({"format": "autoresearch-attestation/2"}, "format"),
        ({"code_hash": "sha256:xy"}, "code_hash"),
        ({"code_hash": ""}, "code_hash"),
        ({"rows_digest": 3}, "rows_digest"),
        ({"seed": 1.5}, "seed"),
        ({"seed": True}, "seed"),
        ({"val_seed": 2**64}, "val_seed"),
        ({"sandbox": "landlock"}, "list of layers"),
        ({"sandbox": ["x"] * 33}, "layers"),
        ({"sandbox": ["\x1b[2J"]}, "printable"),
        ({"device_name": "x" * 500}, "printable"),
        ({"timings_s": {"train_s": float("nan")}}, "train_s"),
        ({"timings_s": {"Bad Name": 1.0}}, "Bad Name"),
        ({"timings_s": {f"t{number}": 1.0 for number in range(17)}}, "timings"),
        ({"memory_mb": "much"}, "memory_mb"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_what_no_harness_writes_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        attestation_of({**sample().to_fields(), **change})


@pytest.mark.parametrize("raw", [None, [], "x", {}, {"format": FORMAT}])
def test_what_is_no_attestation_at_all_is_refused(raw):
    with pytest.raises(ValueError, match="attestation"):
        attestation_of(raw)
