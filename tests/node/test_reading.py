import io
import json
from dataclasses import replace

import pytest
from autoresearch.errors import InvalidArgument, NotFound, Unavailable
from autoresearch.model import (
    ChallengeId,
    ClassStatus,
    ExperimentId,
    ExperimentPage,
    ExperimentState,
    HardwareClass,
    Level,
    Node,
    NodeId,
    Outcome,
    OwnerId,
    Position,
    Purpose,
    Result,
    ResultId,
    SourceHash,
    SwarmStatus,
)
from node_builders import NOW, make_best, make_hardware, make_summary
from rich.console import Console

from node import reading, rendering

CLASS = HardwareClass("cpu-toy/torch-2.13")


def make_status(*classes):
    return SwarmStatus(
        challenge_id=ChallengeId("ch_toy"),
        challenge_name="toy",
        metric_name="val_bpb",
        direction="lower",
        classes=classes,
        global_best=None,
        experiments=2,
        results=3,
        live_claims=0,
        queued=0,
        nodes_live=1,
        nodes=2,
        duplicates_stopped=0,
        position=Position(epoch=1, stream_id="1-1"),
        store="memory",
        is_read_only=False,
        version="0",
        uptime_s=1.0,
    )


def make_class(name=CLASS, best=None):
    return ClassStatus(
        hardware_class=name,
        best=best,
        confirmed=None,
        baseline_mean=2.0,
        baseline_runs=3,
        spread=0.01,
        experiments=2,
        verifying=None,
    )


class FakeReader:
    """Answers as a coordinator's reader would."""

    def __init__(self, *summaries, classes=None, sources=None):
        self.summaries = {s.experiment.experiment_id: s for s in summaries}
        best = replace(make_best("e-best"), level=Level.PROVISIONAL, title="evil [red]title[/red]")
        self.classes = (make_class(best=best),) if classes is None else classes
        self.sources = sources or {}
        self.results = ()

    async def status(self):
        return make_status(*self.classes)

    async def experiments(self, query):
        fitting = tuple(s for s in self.summaries.values() if query.state in (None, s.state))
        return ExperimentPage(experiments=fitting[: query.limit], next_cursor="", total=len(fitting))

    async def experiment(self, experiment):
        for summary in self.summaries.values():
            if summary.experiment.experiment_id.endswith(experiment):
                return summary, self.results
        raise NotFound(f"no experiment {experiment}")

    async def source(self, *, experiment=None, source_hash=None):
        return self.sources[experiment]

    async def nodes(self):
        if not self.classes:
            raise Unavailable("gone")
        return (
            Node(
                node_id=NodeId("n"),
                owner_id=OwnerId("o"),
                name="\x1b]0;pwn\x07ada",
                public_key=b"",
                hardware_class=CLASS,
                enrolled_at=NOW,
                last_seen_at=NOW,
                has_vote=False,
            ),
        )


def scored(experiment_id, title, score, interval=0.0123):
    summary = make_summary(experiment_id=experiment_id, score=score, delta=-0.01)
    hypothesis = replace(summary.experiment.hypothesis, title=title)
    return replace(summary, interval=interval, experiment=replace(summary.experiment, hypothesis=hypothesis))


async def test_a_leaderboard_shows_scores_to_the_digits_that_mean_something(capsys):
    reader = FakeReader(scored("id-00000001", "Warmer", 1.98765))

    await reading.leaderboard(reader, hardware_class="", limit=5, as_json=False)

    shown = capsys.readouterr().out
    assert "1.988" in shown
    assert "1.98765" not in shown
    assert "0.012" in shown
    assert "00000001" in shown


def test_a_narrow_leaderboard_cuts_titles_and_nothing_else():
    rows = [
        replace(scored("id-00000001", "Warm the learning rate up for much longer", 1.98765), level=level)
        for level in (Level.SELF_REPLICATED, Level.PROVISIONAL)
    ]
    terminal = Console(width=60, file=io.StringIO())

    table = rendering.leaderboard_table("toy", "val_bpb", rows, {"n": "ada"}, width=terminal.width)
    terminal.print(table)

    shown = terminal.file.getvalue()
    assert shown.count("00000001") == 2
    assert "self-replicated" in shown
    assert "1.988" in shown
    assert "\N{HORIZONTAL ELLIPSIS}" in shown
    assert "ada" not in shown
    assert len(shown.splitlines()) == 4


def without_run(experiment_id, state):
    return replace(make_summary(experiment_id=experiment_id, state=state), runs=0)


async def test_experiments_without_a_run_are_counted_below_the_table_and_kept_in_json(capsys):
    crashed = make_summary(experiment_id="id-crashed1", state=ExperimentState.CRASHED)
    reader = FakeReader(
        scored("id-00000001", "Warmer", 1.9),
        without_run("id-lost0001", ExperimentState.LOST),
        without_run("id-running1", ExperimentState.RUNNING),
        replace(crashed, runs=0),
    )

    await reading.leaderboard(reader, hardware_class="", limit=2, as_json=False)
    shown = capsys.readouterr().out
    await reading.leaderboard(reader, hardware_class="", limit=4, as_json=True)
    listed = json.loads(capsys.readouterr().out)["classes"][0]["experiments"]

    assert "2 more were given back or are running" in shown
    assert "00000001" in shown
    assert "crashed1" in shown
    assert "lost0001" not in shown
    assert "running1" not in shown
    assert [(row["experiment_id"][-8:], row["runs"]) for row in listed[1:3]] == [
        ("lost0001", 0),
        ("running1", 0),
    ]


async def test_one_is_not_spoken_of_as_many(capsys):
    best = replace(make_best("e-best"), runs=1)
    reader = FakeReader(without_run("id-lost0001", ExperimentState.LOST), classes=(make_class(best=best),))

    await reading.leaderboard(reader, hardware_class="", limit=5, as_json=False)

    shown = capsys.readouterr().out
    assert "(1 run, " in shown
    assert "1 more was given back or is running" in shown


async def test_titles_and_names_of_strangers_are_plain_text(capsys):
    reader = FakeReader(scored("e1", "[bold red]boo[/] :smile: \x1b[2J\u202edesrever\nsecond", 1.9))

    await reading.leaderboard(reader, hardware_class="", limit=5, as_json=False)

    shown = capsys.readouterr().out
    assert "[bold red]boo[/] :smile:" in shown
    assert "evil [red]title[/red]" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


async def test_json_carries_everything_a_program_needs(capsys):
    reader = FakeReader(scored("e1", "Warmer", 1.9))

    await reading.leaderboard(reader, hardware_class="", limit=5, as_json=True)

    board = json.loads(capsys.readouterr().out)
    assert board["metric"] == "val_bpb"
    (row,) = board["classes"]
    assert row["best"]["level"] == "provisional"
    assert (row["experiments"][0]["title"], row["experiments"][0]["score"]) == ("Warmer", 1.9)


async def test_an_empty_swarm_and_a_strange_class_are_said(capsys):
    reader = FakeReader(classes=())

    await reading.leaderboard(reader, hardware_class="", limit=5, as_json=False)
    with pytest.raises(NotFound, match="known classes: none yet"):
        await reading.leaderboard(reader, hardware_class="gpu", limit=5, as_json=False)

    assert "Nothing has been measured yet" in capsys.readouterr().out


async def test_show_prints_reasoning_and_runs(capsys):
    reader = FakeReader(scored("id-00000001", "Warmer", 1.9))
    reader.results = (
        Result(
            result_id=ResultId("r"),
            experiment_id=ExperimentId("id-00000001"),
            challenge_id=ChallengeId("c"),
            node_id=NodeId("n"),
            owner_id=OwnerId("o"),
            outcome=Outcome.CRASHED,
            purpose=Purpose.EXPLORE,
            metrics={},
            seed=3,
            hardware=make_hardware(),
            code_hash=SourceHash("s"),
            harness_version="1",
            started_at=NOW,
            finished_at=NOW,
            reason="boom \x1b[31m",
            log_tail="Traceback\n  line \x1b[2J",
        ),
    )

    await reading.show(reader, "00000001", as_json=False)
    await reading.show(reader, "00000001", as_json=True)

    shown = capsys.readouterr().out
    assert "crashed" in shown
    assert "Traceback" in shown
    assert "\x1b" not in shown
    assert json.loads(shown[shown.index("{") :])["results"][0]["reason"] == "boom \x1b[31m"


async def test_diff_shows_what_changed_against_parent_best_or_another(capsys):
    child = scored("child", "Warmer", 1.9)
    reader = FakeReader(
        child,
        scored("other", "O", 2.0),
        sources={"child": b"A = 2\n", "parent": b"A = 1\n", "e-best": b"A = 2\n", "other": b"B\n"},
    )

    await reading.diff(reader, "child", against="parent")
    assert {"-A = 1", "+A = 2"} <= set(capsys.readouterr().out.splitlines())
    await reading.diff(reader, "child", against="best")
    assert capsys.readouterr().out == "no difference\n"
    await reading.diff(reader, "child", against="other")
    assert "-B" in capsys.readouterr().out


async def test_a_baseline_has_no_parent_to_differ_from():
    reader = FakeReader(make_summary(experiment_id="base", parent=None, score=2.0))

    with pytest.raises(NotFound, match="has no parent"):
        await reading.diff(reader, "base", against="parent")


async def test_best_saves_the_code(tmp_path, capsys):
    reader = FakeReader(sources={"e-best": b"BEST = 1\n"})

    await reading.best(reader, hardware_class="", save=tmp_path / "train.py", as_json=True)

    assert (tmp_path / "train.py").read_bytes() == b"BEST = 1\n"
    assert json.loads(capsys.readouterr().out)["experiment_id"] == "e-best"


async def test_best_of_several_classes_must_be_chosen(tmp_path):
    other = HardwareClass("gpu-toy/torch-2.13")
    reader = FakeReader(
        sources={"b": b"B\n"},
        classes=(
            make_class(best=make_best("a")),
            make_class(other, replace(make_best("b"), hardware_class=other)),
        ),
    )

    with pytest.raises(InvalidArgument, match="--class"):
        await reading.best(reader, hardware_class="", save=None, as_json=True)
    with pytest.raises(NotFound, match="known"):
        await reading.best(reader, hardware_class="tpu", save=None, as_json=True)
    with pytest.raises(InvalidArgument, match="cannot write"):
        await reading.best(reader, hardware_class=other, save=tmp_path, as_json=True)


@pytest.mark.parametrize(
    ("interval", "digits"),
    [(None, 4), (0.0, 4), (0.5, 2), (0.0123, 3), (0.00049, 5), (1e-12, 6), (float("nan"), 4)],
)
def test_digits_follow_the_interval(interval, digits):
    assert rendering.digits_for(interval) == digits
