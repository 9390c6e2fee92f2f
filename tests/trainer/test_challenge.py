from __future__ import annotations

from pathlib import Path

import pytest
from autoresearch.challenge import (
    ChallengeError,
    HiddenGap,
    built_in_challenges,
    find_challenge,
    load_challenge,
    parse_challenge,
    write_challenge,
)
from tiny_challenge import GOOD, HOLDOUT, tiny_manifest

STEPS = 'kind = "steps"\nsteps = 20'
TOML = tiny_manifest(STEPS)


def test_a_challenge_survives_the_trip_through_a_folder(tmp_path: Path) -> None:
    challenge = parse_challenge(TOML, GOOD + "\r\n", "Read me: ø\n")

    write_challenge(challenge, tmp_path / "copy")

    assert load_challenge(tmp_path / "copy") == challenge


def test_the_id_ignores_the_policy_and_the_layout_of_the_manifest() -> None:
    first = parse_challenge(TOML, GOOD, "")

    second = parse_challenge(
        "# a remark\n" + TOML.replace("prior_sd = 0.02", "prior_sd = 0.5"), GOOD, "other"
    )

    assert second.challenge_id == first.challenge_id
    assert second.prior_sd == 0.5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sequence_len = 32", "sequence_len = 33"),
        ("steps = 20", "steps = 21"),
        ("frozen = false", "frozen = true"),
        ('tokens_sha256 = "tokens"', 'tokens_sha256 = "other"'),
    ],
)
def test_the_id_changes_with_every_part_of_the_identity(old: str, new: str) -> None:
    first = parse_challenge(TOML, GOOD, "")

    second = parse_challenge(TOML.replace(old, new), GOOD, "")

    assert second.challenge_id != first.challenge_id


def test_the_id_changes_with_the_baseline() -> None:
    first = parse_challenge(TOML, GOOD, "")

    assert parse_challenge(TOML, GOOD + "# more\n", "").challenge_id != first.challenge_id


def test_the_id_of_a_known_manifest_never_changes() -> None:
    known = TOML.replace(HOLDOUT, "")

    assert parse_challenge(known, "def train(ctx): ...\n", "").challenge_id == KNOWN_ID


KNOWN_ID = "ch_54508fe5e3d7e1e3b6c3a90a21895b89"


def test_the_held_back_text_is_optional_and_has_a_score_of_its_own_name() -> None:
    challenge = parse_challenge(TOML, GOOD, "")
    without = parse_challenge(TOML.replace(HOLDOUT, ""), GOOD, "")

    assert (challenge.holdout_metric, challenge.holdout["bytes"]) == ("holdout_bpb", 5000)
    assert (without.holdout_metric, dict(without.holdout)) == ("", {})
    assert without.challenge_id != challenge.challenge_id
    with pytest.raises(ChallengeError, match="ranking metric"):
        parse_challenge(TOML.replace('"holdout_bpb"', '"val_bpb"'), GOOD, "")
    with pytest.raises(ChallengeError, match=r"holdout\.metric"):
        parse_challenge(TOML.replace('metric = "holdout_bpb"\n', ""), GOOD, "")


def test_the_audit_is_as_the_manifest_says() -> None:
    stated = TOML.replace(
        "leak_nats_max = 0.002", "leak_nats_max = 0.01\nwindow = 3\nimpurity_factor = 2.5\nlevel_sigmas = 4"
    )

    audit = parse_challenge(stated, GOOD, "").audit

    assert (audit.leak_nats_max, audit.window, audit.impurity_factor, audit.level_sigmas) == (
        0.01,
        3,
        2.5,
        4.0,
    )


def test_the_hidden_gap_is_optional_and_changes_no_id() -> None:
    challenge = parse_challenge(TOML, GOOD, "")
    without = parse_challenge(TOML.partition("[policy.hidden_gap]")[0], GOOD, "")

    assert challenge.hidden_gap == HiddenGap(metric="hidden_gap_bpb", pair_sd=0.1, run_sd=0.2, sigmas=4.0)
    assert without.hidden_gap is None
    assert without.challenge_id == challenge.challenge_id
    with pytest.raises(ChallengeError, match=r"policy\.hidden_gap\.pair_sd"):
        parse_challenge(TOML.replace("pair_sd = 0.1", "pair_sd = 0"), GOOD, "")


def test_an_unfrozen_challenge_has_an_id_and_says_so() -> None:
    challenge = parse_challenge(TOML, GOOD, "")

    assert not challenge.frozen
    assert challenge.challenge_id.startswith("ch_")
    assert len(challenge.challenge_id) == 35


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("schema = 1", "schema = 9", "schema 9"),
        ("[identity.metric]", "[identity.metrics]", "identity.metric"),
        ('direction = "lower"', 'direction = "down"', "'lower' or 'higher'"),
        ("sequence_len = 32", "sequence_len = 32.0", "float"),
        ("sequence_len = 32", 'sequence_len = "long"', "identity.sequence_len"),
        ("sequence_len = 32", "sequence_len = true", "whole number"),
        ("sequence_len = 32", "", "lacks identity.sequence_len"),
        ("frozen = false", "frozen = 0", "true or false"),
        (STEPS, 'kind = "luck"', "'cpu', 'wall' or 'steps'"),
        ("steps = 20", "steps = 0", "identity.budget.steps"),
        ('name = "tiny"', 'name = "Tiny contest"', "identity.name"),
        ('device_kinds = ["cpu"]', "device_kinds = []", "identity.device_kinds"),
        ("setup_s = 6", "setup_s = -6", "policy.limits.setup_s"),
        ("leak_nats_max = 0.002", "leak_nats_max = nan", "policy.audit.leak_nats_max"),
        ("prior_sd = 0.02", "prior_sd = 0", "policy.prior_sd"),
        ("train_seed = 12", "train_seed = 2026-01-01", "date"),
        ("schema = 1", "schema = ", "not TOML"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_key_that_is_wrong(old: str, new: str, complaint: str) -> None:
    assert old in TOML

    with pytest.raises(ChallengeError, match=complaint):
        parse_challenge(TOML.replace(old, new, 1), GOOD, "")


def test_a_baseline_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ChallengeError, match=r"train\.py has \d+ bytes"):
        parse_challenge(TOML, "#" * 70_000, "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "challenge.toml").write_text(TOML)

    with pytest.raises(ChallengeError, match=r"train\.py"):
        load_challenge(tmp_path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ChallengeError, match="pocket"):
        find_challenge("no-such-contest")


def test_every_built_in_challenge_can_be_read() -> None:
    found = built_in_challenges()

    assert {"pocket"} <= set(found)
    assert all(load_challenge(folder).name == name for name, folder in found.items())


def test_pocket_is_frozen() -> None:
    assert load_challenge(find_challenge("pocket")).frozen
