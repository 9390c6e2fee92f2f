import dataclasses

import pytest

from node.config import HELP, SETTINGS, Config, ConfigError, load_config


@pytest.fixture(autouse=True)
def _nobody_elses_files(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_declared_once_with_its_help():
    assert [setting.name for setting in SETTINGS] == [spec.name for spec in dataclasses.fields(Config)]
    assert all(len(setting.help) > 10 for setting in SETTINGS)
    assert len(HELP) == len(SETTINGS)


def test_a_flag_beats_the_environment_beats_the_project_beats_the_user(tmp_path, monkeypatch):
    (tmp_path / "user" / "autoresearch").mkdir(parents=True)
    (tmp_path / "user" / "autoresearch" / "config.toml").write_text(
        '[node]\nname = "user"\nmax_hours = 1.0\nagent = "none"\nchallenge = "user"\n'
    )
    (tmp_path / "autoresearch.toml").write_text(
        '[node]\nname = "project"\nmax_hours = 2.0\nagent = "search"\n'
    )
    monkeypatch.setenv("AUTORESEARCH_NAME", "environment")
    monkeypatch.setenv("AUTORESEARCH_MAX_HOURS", "3")

    loaded = load_config({"name": "flag", "max_hours": None})

    assert (loaded.config.name, loaded.config.max_hours) == ("flag", 3.0)
    assert (loaded.config.agent, loaded.config.challenge) == ("search", "user")
    assert loaded.config.max_experiments is None
    assert loaded.sources["name"] == "flag"
    assert loaded.sources["max_hours"] == "environment"
    assert loaded.sources["agent"].endswith("autoresearch.toml")
    assert loaded.sources["challenge"].endswith("config.toml")
    assert loaded.sources["max_experiments"] == "default"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"agent": "oracle"}, "agent"),
        ({"agent": "command"}, "needs agent_command"),
        ({"name": "../up"}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"max_experiments": 0}, "at least 1"),
        ({"agent_history": -1}, "agent_history is -1; give 0 or more"),
        ({"agent_seed": "one"}, "agent_seed"),
        ({"max_hours": -1.0}, "positive"),
        ({"max_hours": float("nan")}, "positive"),
        ({"sandbox": "maybe"}, "sandbox"),
    ],
)
def test_a_wrong_value_is_named(flags, complaint):
    with pytest.raises(ConfigError, match=complaint):
        load_config(flags)


@pytest.mark.parametrize("text", ["[node]\nnmae = 'x'\n", "node = 3\n", "[node\n"])
def test_a_wrong_file_is_named(tmp_path, text):
    (tmp_path / "autoresearch.toml").write_text(text)

    with pytest.raises(ConfigError, match=r"autoresearch\.toml"):
        load_config({})


def test_a_named_node_has_a_state_of_its_own(tmp_path):
    config = load_config({"state_dir": tmp_path, "name": "two"}).config

    assert config.node_dir == tmp_path / "two"


def test_a_nodes_folder_is_the_same_from_wherever_its_trainer_works(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    loaded = load_config({"state_dir": "st", "name": "ada"})

    assert loaded.config.node_dir == tmp_path / "st" / "ada"
