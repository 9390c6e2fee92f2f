from __future__ import annotations

from autoresearch.model import ExperimentState
from class_builders import CLASS, RULES, candidate, explore, open_class, pair

from coordinator.domain.bundles import (
    BUNDLE_SPREADS,
    SMALL_GAINS_LIMIT,
    bundle_parts,
    forget_parts,
    is_enough,
    remembered,
)
from coordinator.domain.class_state import ClassState, SmallGain, dump_state, load_state


def dropped(state: ClassState, name: str, gains: tuple[float, ...]) -> ClassState:
    state = explore(state, candidate(name, 0.98)).state
    for index, gain in enumerate(gains):
        control = 1.0 + (0.01 if index % 2 else -0.01)
        state = pair(state, name, control - gain, control).state
    return state


def small(name: str, gain: float) -> SmallGain:
    return SmallGain(experiment_id=name, parent_id="baseline", title=name, mean_gain=gain, pairs=5)


def test_what_the_rule_drops_with_a_gain_is_remembered() -> None:
    state = dropped(open_class(), "small", (0.003,) * 5)

    assert state.working_id == "baseline"
    assert [one.experiment_id for one in state.small_gains] == ["small"]
    assert abs(state.small_gains[0].mean_gain - 0.003) < 1e-12


def test_what_it_drops_with_a_loss_is_not() -> None:
    assert dropped(open_class(), "worse", (-0.003,) * 3).small_gains == ()


def test_the_reason_says_that_the_gain_is_kept() -> None:
    state = explore(open_class(), candidate("small", 0.98)).state
    for _ in range(5):
        decision = pair(state, "small", 0.998, 1.0)
        state = decision.state

    state_of, reason = decision.marks["small"]
    assert state_of is ExperimentState.REFUTED
    assert "kept for a bundle" in reason


def test_parts_are_offered_once_they_add_up() -> None:
    state = open_class()
    spread = state.spread(RULES)
    one = remembered(state, small("a", BUNDLE_SPREADS * spread * 0.6))
    two = remembered(one, small("b", BUNDLE_SPREADS * spread * 0.7))

    assert bundle_parts(one, RULES) == ()
    assert [part.experiment_id for part in bundle_parts(two, RULES)] == ["b", "a"]
    assert not is_enough([small("c", 1.0)], two, RULES)


def test_the_largest_are_kept_and_what_is_bundled_is_forgotten() -> None:
    state = open_class()
    for index in range(SMALL_GAINS_LIMIT + 3):
        state = remembered(state, small(f"s{index}", 0.001 * index))

    forgotten = forget_parts(state, {"s5", "s6"})

    assert len(state.small_gains) == SMALL_GAINS_LIMIT
    assert state.small_gains[-1].experiment_id == "s3"
    assert {"s5", "s6"} & {one.experiment_id for one in forgotten.small_gains} == set()
    assert forget_parts(forgotten, {"s5"}) is forgotten


def test_the_text_form_keeps_small_gains() -> None:
    state = remembered(open_class(), small("a", 0.01))

    assert load_state(dump_state(state), CLASS) == state
