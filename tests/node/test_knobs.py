import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_builders import BASELINE

from node.agent.knobs import KnobError, KnobKind, format_value, read_knobs, round_value, searchable, set_knobs


def test_numeric_constants_are_found_with_their_values():
    knobs = read_knobs(BASELINE)

    assert {name: knob.value for name, knob in knobs.items()} == {
        "DEPTH": 4,
        "WIDTH": 64,
        "MATRIX_LR": 0.04,
        "BATCH_TOKENS": 4096,
        "MOMENTUM": 0.95,
        "WEIGHT_DECAY": 0,
        "BETAS[0]": 0.8,
        "BETAS[1]": 0.95,
        "SEED": 1,
    }


def test_setting_a_knob_changes_its_value_and_nothing_else():
    edited = set_knobs(BASELINE, {"MATRIX_LR": "0.05", "BETAS[1]": "0.99"})

    assert edited == BASELINE.replace("= 0.04 ", "= 0.05 ").replace("(0.8, 0.95)", "(0.8, 0.99)")


def test_positions_hold_after_text_that_takes_more_bytes_than_characters():
    source = "# größer → besser\nNAME = 'äöü'; LR = 0.1  # ← näher\r\nX = 2 ** 4\rY = -3e-4\n"

    edited = set_knobs(source, {"LR": "0.2", "X": "32", "Y": "-1e-4"})

    assert edited == "# größer → besser\nNAME = 'äöü'; LR = 0.2  # ← näher\r\nX = 32\rY = -1e-4\n"


@pytest.mark.parametrize(
    "source",
    [
        "A = True\n",
        "A = 'x'\n",
        "a = 3\n",
        "A = f(3)\n",
        "A = B = 3\n",
        "A = 1\nA = 2\n",
        "def f():\n    A = 3\n",
        "A = 10**400\n",
        "A = 2**99999999\n",
        "A = 1 / 0\n",
        "A = (-8) ** 0.5\n",
        "A = float('nan')\n",
        "A = 1e999\n",
    ],
)
def test_what_is_no_single_finite_number_is_no_knob(source):
    assert read_knobs(source) == {}


def test_an_annotated_constant_is_a_knob():
    assert read_knobs("LR: float = 0.1\n")["LR"].text == "0.1"


@pytest.mark.parametrize("source", ["def (:\n", "\0", "(" * 5000])
def test_a_source_that_is_not_python_is_a_clear_error(source):
    with pytest.raises(KnobError, match="not Python"):
        read_knobs(source)


def test_setting_an_unknown_knob_names_it():
    with pytest.raises(KnobError, match="NOPE"):
        set_knobs(BASELINE, {"NOPE": "3"})


@pytest.mark.parametrize("text", ["0.1; import os", "0.1\nX = 3", "", "__import__('os')"])
def test_a_value_that_would_smuggle_code_is_refused(text):
    with pytest.raises(KnobError):
        set_knobs(BASELINE, {"MATRIX_LR": text})


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("DEPTH = 4", KnobKind.COUNT),
        ("N_LAYERS = 16", KnobKind.COUNT),
        ("WIDTH = 64", KnobKind.POWER_OF_TWO),
        ("HEAD_DIM = 32", KnobKind.POWER_OF_TWO),
        ("NUM_HEADS = 4", KnobKind.COUNT),
        ("BATCH = 2**19", KnobKind.POWER_OF_TWO),
        ("HIDDEN = 768", KnobKind.INTEGER),
        ("MOMENTUM = 0.95", KnobKind.NEAR_ONE),
        ("WARMUP_RATIO = 0.0", KnobKind.FRACTION),
        ("DROPOUT = 0.1", KnobKind.FRACTION),
        ("MATRIX_LR = 0.04", KnobKind.SCALE),
        ("EMBED_LR = 0.9", KnobKind.SCALE),
        ("LOGIT_CAP = 15.0", KnobKind.SCALE),
    ],
)
def test_the_kind_follows_from_type_size_and_name(line, kind):
    (knob,) = read_knobs(line + "\n").values()

    assert knob.kind is kind


def test_seeds_and_vocabularies_are_not_searched():
    assert set(searchable(read_knobs("SEED = 1\nVOCAB_SIZE = 64\nEVAL_EVERY = 5\nLR = 0.1\n"))) == {"LR"}


@given(
    value=st.floats(-1e6, 1e6),
    line=st.sampled_from(["A = 7", "A = 64", "A_LR = 0.04", "BETA = 0.9", "DROPOUT = 0.2"]),
)
def test_a_rounded_value_is_in_bounds_and_survives_the_file(value, line):
    (knob,) = read_knobs(line + "\n").values()

    rounded = round_value(knob, value)
    edited = set_knobs(line + "\n", {knob.name: format_value(knob, rounded)})

    low, high = knob.bounds()
    assert low * 0.95 <= rounded <= high * 1.05
    written = ast.parse(edited).body[0].value.value
    assert written == pytest.approx(rounded, rel=1e-3)
    assert isinstance(written, int) == knob.is_integer


@pytest.mark.parametrize(
    "line",
    [
        "A = 7",
        "A = 64",
        "A = 768",
        "A_LR = 0.04",
        "BETA = 0.9",
        "FINAL_FRAC = 0.0",
        "DROPOUT = 0.2",
        "RATIO = 1.0",
    ],
)
def test_the_neighbourhood_of_a_value_lies_around_it_and_within_its_bounds(line):
    (knob,) = read_knobs(line + "\n").values()

    near = [knob.value_at(place) for place in knob.near()]

    assert knob.value_at(knob.place(knob.value)) == pytest.approx(knob.value, abs=1e-9)
    assert near[0] - 1e-9 <= knob.value <= near[1] + 1e-9
    assert near[0] < near[1]
    assert all(knob.bounds()[0] - 1e-9 <= value <= knob.bounds()[1] + 1e-9 for value in near)


@pytest.mark.parametrize("line", ["EMA_DECAY = 0.99999", "PAD_OFFSET = -3", "WINDOW = -100"])
def test_the_neighbourhood_of_a_value_out_of_bounds_is_no_empty_one(line):
    (knob,) = read_knobs(line + "\n").values()

    low, high = knob.near()

    assert low < high


def test_a_small_fraction_moves_by_small_steps():
    (knob,) = read_knobs("FINAL_LR_FRAC = 0.02\n").values()

    assert knob.value_at(knob.near()[1]) < 0.2


def test_a_power_written_as_a_power_stays_one():
    (knob,) = read_knobs("BATCH = 2**19\n").values()

    assert format_value(knob, round_value(knob, 2**19 * 2.2)) == "2**20"
