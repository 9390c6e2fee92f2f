import pytest

from node.exit_codes import ExitCode
from node.restarts import PAUSE_MAX_S, RESTARTS_LIMIT, SEVERITY, STEADY_S, Again, Over, after, worst


def ended(returncode, *, lived_s=1.0, failures=0, is_stopping=False):
    return after(returncode, lived_s=lived_s, failures=failures, is_stopping=is_stopping)


@pytest.mark.parametrize(
    "code",
    [
        ExitCode.OK,
        ExitCode.USAGE,
        ExitCode.AUTH,
        ExitCode.CONTRACT_MISMATCH,
        ExitCode.BUDGET_SPENT,
        ExitCode.INTERRUPTED,
    ],
)
def test_a_worker_that_says_that_it_is_over_is_not_started_again(code):
    assert ended(int(code)) == Over(code=code)


@pytest.mark.parametrize("returncode", [1, 3, -9, -11, 139, 99])
def test_a_worker_that_failed_or_died_is_started_again_after_a_pause(returncode):
    assert isinstance(ended(returncode), Again)


def test_pauses_grow_to_a_limit():
    pauses = [ended(-9, failures=failures).pause_s for failures in range(RESTARTS_LIMIT)]

    assert pauses == sorted(pauses)
    assert len(set(pauses)) > 1
    assert pauses[-1] <= PAUSE_MAX_S


def test_a_worker_that_never_gets_going_is_given_up():
    assert ended(-9, failures=RESTARTS_LIMIT) == Over(code=ExitCode.FAILURE, is_given_up=True)


def test_a_worker_that_has_worked_for_long_starts_with_a_clean_sheet():
    again = ended(-9, lived_s=STEADY_S, failures=RESTARTS_LIMIT)

    assert again == Again(pause_s=ended(-9).pause_s, failures=1)


def test_a_node_that_leaves_starts_nobody_again():
    assert ended(-9, is_stopping=True) == Over(code=ExitCode.FAILURE)


def test_every_exit_code_has_its_place_among_the_others():
    assert sorted(SEVERITY) == sorted(ExitCode)


def test_the_node_ends_with_the_worst_of_its_workers():
    assert worst([ExitCode.OK, ExitCode.BUDGET_SPENT]) is ExitCode.BUDGET_SPENT
    assert worst([ExitCode.INTERRUPTED, ExitCode.FAILURE, ExitCode.OK]) is ExitCode.FAILURE
    assert worst([ExitCode.FAILURE, ExitCode.AUTH]) is ExitCode.AUTH
    assert worst([]) is ExitCode.OK
