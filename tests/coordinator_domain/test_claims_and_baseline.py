from __future__ import annotations

import pytest
from autoresearch.model import ChallengeId, HardwareClass, Outcome, is_time_ordered_id, new_id

from coordinator.domain.baseline import baseline_id, is_reserved_id
from coordinator.domain.claims import Blocking, blocking_of, is_codes_fault

ONE, OTHER = ChallengeId("ch_one"), ChallengeId("ch_other")
CLASS = HardwareClass("cpu-test/torch-2.13")


@pytest.mark.parametrize(
    ("outcome", "kind", "blocking"),
    [
        (Outcome.COMPLETED, "", Blocking.ALWAYS),
        (Outcome.REJECTED, "", Blocking.ALWAYS),
        (Outcome.CRASHED, "exception", Blocking.ALWAYS),
        (Outcome.CRASHED, "syntax", Blocking.ALWAYS),
        (Outcome.CRASHED, "nan", Blocking.ALWAYS),
        (Outcome.CRASHED, "no_train", Blocking.ALWAYS),
        (Outcome.CRASHED, "oom", Blocking.UP_TO_MEMORY),
        (Outcome.CRASHED, "killed", Blocking.NEVER),
        (Outcome.CRASHED, "no_report", Blocking.NEVER),
        (Outcome.TIMED_OUT, "", Blocking.NEVER),
    ],
)
def test_only_what_the_code_would_repeat_blocks(outcome: Outcome, kind: str, blocking: Blocking) -> None:
    assert blocking_of(outcome, kind) is blocking


def test_a_failure_is_the_codes_fault_only_where_a_rerun_would_repeat_it() -> None:
    assert not is_codes_fault(Outcome.COMPLETED, "")
    assert is_codes_fault(Outcome.CRASHED, "oom")
    assert not is_codes_fault(Outcome.CRASHED, "killed")


def test_a_baseline_id_is_the_same_everywhere_and_sorts_before_every_other() -> None:
    one = baseline_id(ONE, CLASS)

    assert one == baseline_id(ONE, CLASS)
    assert is_time_ordered_id(one)
    assert one < new_id()
    assert is_reserved_id(ONE, one)
    assert not is_reserved_id(OTHER, one)
    assert one != baseline_id(ONE, HardwareClass("cpu-other/torch-2.13"))
    assert not is_reserved_id(ONE, new_id())
    assert not is_reserved_id(ONE, "nonsense")
