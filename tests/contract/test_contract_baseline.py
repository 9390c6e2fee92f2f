from autoresearch.baseline import baseline_id
from autoresearch.model import is_time_ordered_id

from coordinator.domain import baseline as of_coordinator


def test_node_alone_names_the_baseline_as_the_coordinator_does():
    challenge_id, hardware_class = "ch_1", "cpu-test/torch-2.13"

    named = baseline_id(challenge_id, hardware_class)

    assert named == of_coordinator.baseline_id(challenge_id, hardware_class)
    assert is_time_ordered_id(named)
    assert named != baseline_id(challenge_id, "other")
