"""Settings: one declaration each, five sources, unsafe ones refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from typer.main import get_command

from coordinator.cli import app
from coordinator.config import ENV_PREFIX, SETTINGS, Config, ConfigError, load_config


@pytest.fixture(autouse=True)
def _no_user_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))


def test_every_setting_has_a_flag_and_its_help() -> None:
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]

    flags = {parameter.opts[0]: parameter.help for parameter in serve.params if parameter.name != "help"}

    assert flags.keys() == {setting.flag for setting in SETTINGS}
    for setting in SETTINGS:
        told = flags[setting.flag]
        assert told.startswith(setting.help)
        assert all(choice in told for choice in setting.choices)
        assert f"default {setting.default}" in told or setting.default in {"", "False"}


def test_every_field_is_in_the_table_of_settings() -> None:
    names = [spec.name for spec in dataclasses.fields(Config)]

    assert [setting.name for setting in SETTINGS] == names
    assert all(setting.help.endswith(".") for setting in SETTINGS)


def test_sources_win_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "user" / "autoresearch" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text("[coordinator]\nfeeds = 1\nwatchers = 1\ngrace_s = 1.0\nclaims_per_node = 1\n")
    (tmp_path / "autoresearch.toml").write_text("[coordinator]\nfeeds = 2\nwatchers = 2\ngrace_s = 2.0\n")
    monkeypatch.setenv(ENV_PREFIX + "FEEDS", "3")
    monkeypatch.setenv(ENV_PREFIX + "WATCHERS", "3")

    config = load_config({"feeds": 4, "grace_s": None}, folder=tmp_path)

    found = (config.feeds, config.watchers, config.grace_s, config.claims_per_node, config.enrolment)
    assert found == (4, 3, 2.0, 1, "open")


def test_challenges_come_as_a_list_from_toml_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "autoresearch.toml").write_text('[coordinator]\nchallenges = ["a", "b"]\n')

    from_file = load_config({}, folder=tmp_path)
    monkeypatch.setenv(ENV_PREFIX + "CHALLENGES", '["c"]')
    from_environment = load_config({}, folder=tmp_path)

    assert (from_file.challenges, from_environment.challenges) == (("a", "b"), ("c",))


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"listen": "nonsense"}, "host:port"),
        ({"listen": "127.0.0.1:99999"}, "host:port"),
        ({"listen": "0.0.0.0:50051"}, "--insecure"),
        ({"listen": "example.org:50051"}, "--insecure"),
        ({"tls_cert": Path("cert.pem")}, "belong together"),
        ({"enrolment": "everybody"}, "enrolment"),
        ({"lease_ttl_s": 0.0}, "lease_ttl_s"),
        ({"lease_ttl_s": float("nan")}, "lease_ttl_s"),
        ({"calls_in_flight": 0}, "calls_in_flight"),
        ({"challenges": ()}, "challenges"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(flags: dict[str, object], word: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=word):
        load_config(flags, folder=tmp_path)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:50051", "[::1]:50051"])
def test_loopback_may_be_plain(listen: str, tmp_path: Path) -> None:
    assert load_config({"listen": listen}, folder=tmp_path).listen == listen


def test_another_address_may_be_plain_when_said_so(tmp_path: Path) -> None:
    assert load_config({"listen": "0.0.0.0:1", "insecure": True}, folder=tmp_path).insecure


@pytest.mark.parametrize("text", ["[coordinator]\nlisen = 1\n", "[coordinator\n", "coordinator = 3\n"])
def test_a_wrong_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "autoresearch.toml").write_text(text)

    with pytest.raises(ConfigError, match=r"autoresearch\.toml"):
        load_config({}, folder=tmp_path)


def test_nodes_report_four_times_per_lease() -> None:
    assert Config(lease_ttl_s=60.0).heartbeat_interval_s == 15.0
