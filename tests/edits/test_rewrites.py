"""Whatever changes nothing leaves the signatures alone, whatever changes something does not."""

from __future__ import annotations

import itertools
import random

import pytest
from autoresearch.edits import edit_signature, file_signature
from bench import fuzz_checks, fuzz_edits
from bench.fuzz_layouts import LAYOUTS, same_tree
from bench.fuzz_mutations import mutated
from bench.fuzz_programs import random_program
from bench.fuzz_rewrites import RESPELLINGS, Rewrite, derived
from bench.fuzz_texts import real_programs
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 10**9)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(seed=SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_layout_leaves_the_tree_and_the_signature_alone(layout: Rewrite, seed: int) -> None:
    chance = random.Random(seed)
    program = random_program(chance)

    other = layout(program, chance)

    assert same_tree(program, other)
    assert file_signature(other) == file_signature(program)


@pytest.mark.parametrize("rewrite", [*RESPELLINGS, derived])
@given(seed=SEEDS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_changes_nothing_leaves_the_signatures_alone(rewrite: Rewrite, seed: int) -> None:
    chance = random.Random(seed)
    program = random_program(chance)

    other = rewrite(program, chance)

    assert file_signature(other) == file_signature(program)
    assert edit_signature(program, other).is_empty


@pytest.mark.parametrize("rewrite", [*LAYOUTS, *RESPELLINGS])
def test_the_baselines_of_the_challenges_can_be_rewritten_too(rewrite: Rewrite) -> None:
    for program in real_programs():
        other = rewrite(program, random.Random(3))

        assert other != program
        assert file_signature(other) == file_signature(program)


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_one_change_is_another_file_and_an_edit(seed: int) -> None:
    chance = random.Random(seed)
    program = random_program(chance)

    other = mutated(program, chance)

    assert file_signature(other) != file_signature(program)
    assert not edit_signature(program, other).is_empty


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_edits_hold_in_all_spellings_of_parent_and_child(seed: int) -> None:
    outcome = fuzz_checks.check_program(seed, 0)

    assert outcome.failures == []
    assert outcome.checks["edit_on_both_spellings"] == 1


@given(seed=SEEDS)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_scripts_with_one_signature_print_the_same(seed: int) -> None:
    outcome = fuzz_checks.check_scripts(seed, 0)

    assert outcome.failures == []


@pytest.mark.timeout(600)
def test_a_short_run_of_the_fuzzer_finds_nothing() -> None:
    report = fuzz_edits.fuzzed(inputs=1_000, programs=10, scripts=50, seed=7)

    findings = [one for one in report["failures"] if one["promise"] != "no_stall"]  # a busy machine stalls
    assert findings == []
    assert report["inputs"] == 1_000
    assert set(report["kinds"]) == {"changes", "long", "programs", "soup", "titles", "unicode"}
    assert min(kind["inputs"] for kind in report["kinds"].values()) > 20
    assert report["promises"]["same_in_another_process"]["checks"] == 100
    assert report["promises"]["symmetric"]["checks"] > 500


def test_the_fuzzer_notes_crashes_hangs_and_broken_promises() -> None:
    outcome = fuzz_checks.Outcome(kind="titles", index=5)

    def crash() -> object:
        raise KeyError("surprise")

    answers = itertools.count()
    fuzz_checks._asked(outcome, crash, "a title", 100.0, again=True)
    fuzz_checks._asked(outcome, lambda: next(answers), "another", -1.0, again=True)

    part = fuzz_edits.Part(failures=outcome.failures, checks=outcome.checks, times_ms={"titles": [1.0]})
    report = fuzz_edits.report_of([part], seed=0)
    assert [one.promise for one in outcome.failures] == ["no_crash", "no_stall", "same_again"]
    assert "surprise" in report["failures"][0]["about"]
    assert (report["kinds"]["titles"]["crashes"], report["kinds"]["titles"]["stalls"]) == (1, 1)
    assert not report["sound"]


def test_answers_that_depend_on_the_process_are_noted() -> None:
    parts = [fuzz_edits.Part(digests={0: digest}, times_ms={"titles": [1.0]}) for digest in ("a", "b")]

    report = fuzz_edits.report_of(parts, seed=0)

    assert report["promises"]["same_in_another_process"] == {"checks": 1, "broken": 1}
    assert not report["sound"]
