import sys

import pytest

from node.exit_codes import ExitCode
from node.failures import Failed
from node.isolation import ask_isolation, require_isolation

TRAINER = (sys.executable, "-m", "trainer")


def trainer_that_says(folder, text):
    script = folder / "trainer.py"
    script.write_text(f"import sys\nsys.stdout.write({text!r})\nsys.exit(1)\n")
    return (sys.executable, str(script))


def test_the_trainer_tells_the_layers_of_this_machine():
    found = require_isolation(TRAINER, "auto", {})

    assert {"seccomp", "file-view", "network-namespace"} <= set(found.layers)


def test_to_give_up_the_sandbox_leaves_the_layers_of_every_worker():
    found = require_isolation(TRAINER, "none", {})

    assert "empty-environment" in found.layers
    assert "seccomp" not in found.layers


def test_a_machine_that_cannot_hold_code_is_not_joined_with_it(tmp_path):
    said = '{"layers": [], "notes": [], "problem": "no bubblewrap", "fix": "apt-get install bubblewrap"}'

    with pytest.raises(Failed, match=r"no bubblewrap.*apt-get install bubblewrap.*--sandbox none") as failed:
        require_isolation(trainer_that_says(tmp_path, said), "auto", {})

    assert failed.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("said", ["", "[]", "{}", "no JSON"])
def test_a_trainer_that_cannot_tell_is_a_problem_with_a_fix(tmp_path, said):
    found = ask_isolation(trainer_that_says(tmp_path, said), "auto", {})

    assert found.problem
    assert "[trainer]" in found.fix


def test_a_trainer_that_is_not_there_is_a_problem():
    assert ask_isolation(("/no/such/trainer",), "auto", {}).problem
