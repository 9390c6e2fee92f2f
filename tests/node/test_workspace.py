import subprocess
from dataclasses import replace

import pytest
from autoresearch.model import (
    ChallengeId,
    Experiment,
    ExperimentId,
    HardwareClass,
    Hypothesis,
    NodeId,
    Outcome,
    OwnerId,
    Purpose,
    Result,
    ResultId,
)
from node_builders import BASELINE, MANIFEST, NOW, make_best, make_challenge, make_context, make_hardware

from node.assignment import Run
from node.library import source_hash
from node.record import NotebookError, Page
from node.workspace import Workspace


def git(root, *arguments):
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def make_page(name, source, *, score=1.5, kept=False, outcome=Outcome.COMPLETED, title=None, context=None):
    title = title or f"idea {name}"
    experiment = Experiment(
        experiment_id=ExperimentId(name),
        challenge_id=ChallengeId("ch"),
        hypothesis=Hypothesis(title=title, rationale="because"),
        source_hash=source_hash(source.encode()),
        parents=(ExperimentId("parent"),),
        node_id=NodeId("n"),
        owner_id=OwnerId("o"),
        hardware_class=HardwareClass("h"),
        created_at=NOW,
    )
    run = Run(experiment=experiment, source=source.encode(), seed=1, val_seed=1, purpose=Purpose.EXPLORE)
    result = Result(
        result_id=ResultId(f"r-{name}"),
        experiment_id=experiment.experiment_id,
        challenge_id=ChallengeId("ch"),
        node_id=NodeId("n"),
        owner_id=OwnerId("o"),
        outcome=outcome,
        purpose=Purpose.EXPLORE,
        metrics={"val_bpb": score, "peak_memory_mb": 45056.0} if outcome is Outcome.COMPLETED else {},
        seed=1,
        hardware=make_hardware(),
        code_hash=experiment.source_hash,
        harness_version="1",
        started_at=NOW,
        finished_at=NOW,
    )
    return Page(run=run, title=title, result=result, is_kept=kept, context=context or make_context())


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "lab", make_challenge(), "one")


def test_a_new_notebook_starts_from_the_baseline_on_a_branch_of_its_own(workspace):
    assert git(workspace.root, "rev-parse", "--abbrev-ref", "HEAD") == "run/one"
    assert (workspace.root / "train.py").read_text() == BASELINE
    assert git(workspace.root, "status", "--porcelain") == ""
    assert (workspace.root / "results.tsv").read_text() == "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"


def test_a_kept_experiment_advances_the_branch(workspace):
    workspace.record(make_page("e1", "A = 1\n", kept=True))

    assert git(workspace.root, "show", "HEAD:train.py") == "A = 1"
    assert (workspace.root / "train.py").read_text() == "A = 1\n"
    assert git(workspace.root, "log", "-1", "--format=%s") == "idea e1"
    assert git(workspace.root, "status", "--porcelain") == ""


def test_a_discarded_experiment_stays_reachable_beside_the_branch(workspace):
    before = git(workspace.root, "rev-parse", "HEAD")
    workspace.record(make_page("e1", "A = 1\n"))

    git(workspace.root, "gc", "--quiet", "--prune=now")

    assert git(workspace.root, "show", "refs/experiments/e1:train.py") == "A = 1"
    assert git(workspace.root, "rev-parse", "refs/experiments/e1~1") == before
    assert git(workspace.root, "rev-parse", "HEAD") == before


def test_the_best_of_another_node_is_adopted_before_work_builds_on_it(workspace):
    theirs = make_context("THEIRS = 1\n", parent=make_best("other", title="their idea"))

    workspace.record(make_page("e1", "A = 1\n", context=theirs))
    workspace.record(make_page("e2", "A = 2\n", context=theirs, kept=True))

    assert git(workspace.root, "log", "--format=%s").splitlines() == [
        "idea e2",
        "adopt their idea",
        "baseline of toy",
    ]
    assert git(workspace.root, "show", "refs/experiments/e1~1:train.py") == "THEIRS = 1"


def test_results_are_listed_in_the_five_columns(workspace):
    workspace.record(make_page("e1", "A = 1\n", kept=True, score=0.9932))
    workspace.record(make_page("e2", "A = 2\n", score=1.005, title="evil\ttitle\n\x1b[31mred"))
    workspace.record(make_page("e3", "A = 3\n", outcome=Outcome.CRASHED))

    lines = [line.split("\t") for line in (workspace.root / "results.tsv").read_text().splitlines()]
    assert lines[0] == ["commit", "val_bpb", "memory_gb", "status", "description"]
    assert lines[1][1:] == ["0.993200", "44.0", "keep", "idea e1"]
    assert lines[2][1:] == ["1.005000", "44.0", "discard", "evil title [31mred"]
    assert lines[3][1:] == ["0.000000", "0.0", "crash", "idea e3"]
    assert git(workspace.root, "rev-parse", "--short=7", "refs/experiments/e1") == lines[1][0]


def test_the_score_is_that_of_the_challenges_metric(tmp_path):
    challenge = make_challenge(manifest=MANIFEST.replace('"val_bpb"', '"accuracy"'))
    workspace = Workspace.open(tmp_path / "lab", challenge, "one")
    page = make_page("e1", "A = 1\n", kept=True)

    workspace.record(replace(page, result=replace(page.result, metrics={"accuracy": 0.75, "val_bpb": 9.0})))

    lines = [line.split("\t") for line in (workspace.root / "results.tsv").read_text().splitlines()]
    assert lines[0] == ["commit", "accuracy", "memory_gb", "status", "description"]
    assert lines[1][1:4] == ["0.750000", "0.0", "keep"]
    assert "Score: 0.750000" in git(workspace.root, "log", "-1", "--format=%B")


def test_a_replication_is_listed_but_not_committed(workspace):
    page = replace(make_page("e9", "A = 9\n", title="verification of e9"), context=None)

    workspace.record(page)

    assert (workspace.root / "results.tsv").read_text().splitlines()[-1].startswith("-\t1.5")
    assert git(workspace.root, "for-each-ref", "refs/experiments/e9") == ""


def test_a_baseline_run_is_listed_with_the_baselines_commit(workspace):
    page = replace(make_page("b", BASELINE, title="baseline"), context=None)

    workspace.record(replace(page, run=replace(page.run, purpose=Purpose.BASELINE)))

    last = (workspace.root / "results.tsv").read_text().splitlines()[-1]
    assert last.split("\t")[0] == git(workspace.root, "rev-parse", "--short=7", "HEAD")


def test_a_second_run_gets_its_own_branch_and_keeps_the_first(workspace, tmp_path):
    workspace.record(make_page("e1", "A = 1\n", kept=True))

    second = Workspace.open(tmp_path / "lab", make_challenge(), "two")
    second.record(make_page("e2", "A = 2\n", kept=True))

    assert git(second.root, "show", "run/one:train.py") == "A = 1"
    assert git(second.root, "show", "run/two:train.py") == "A = 2"
    assert len((second.root / "results.tsv").read_text().splitlines()) == 3


def test_hostile_ids_stay_inside_their_namespace(workspace):
    workspace.record(make_page("../heads/main --upload-pack=x", "A = 1\n"))

    refs = git(workspace.root, "for-each-ref", "--format=%(refname)").splitlines()
    assert all(ref.startswith(("refs/experiments/", "refs/heads/run/")) for ref in refs)


def test_a_locked_notebook_is_a_clear_error(workspace):
    (workspace.root / ".git" / "index.lock").touch()

    with pytest.raises(NotebookError, match=r"locked.*delete that \.lock file"):
        workspace.record(make_page("e1", "A = 1\n", kept=True))


def test_a_damaged_notebook_is_a_clear_error(tmp_path):
    workspace = Workspace.open(tmp_path / "lab", make_challenge(), "one")
    (workspace.root / ".git" / "HEAD").write_text("nonsense")

    with pytest.raises(NotebookError, match="damaged"):
        Workspace.open(tmp_path / "lab", make_challenge(), "two")


def test_a_notebook_where_a_file_stands_is_a_clear_error(tmp_path):
    (tmp_path / "lab").write_text("a file")

    with pytest.raises(NotebookError, match="cannot make"):
        Workspace.open(tmp_path / "lab", make_challenge(), "one")


def test_the_users_git_configuration_has_no_say(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[core]\n\thooksPath = /nonexistent\n[commit]\n\tgpgsign = true\n")

    workspace = Workspace.open(tmp_path / "lab", make_challenge(), "one")
    workspace.record(make_page("e1", "A = 1\n", kept=True))

    assert git(workspace.root, "log", "-1", "--format=%an") == "autoresearch-node"
