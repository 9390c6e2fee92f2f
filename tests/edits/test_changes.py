from __future__ import annotations

import pytest
from autoresearch.edits import (
    EditError,
    canonical_changes,
    changes_from_title,
    changes_of_edit,
    constants_of,
    edit_signature,
    words_match,
)
from autoresearch.model import ConstantChange, MechanismChange, MechanismOp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from .sources import PARENT, edited


def said(*changes: tuple[str, ...]) -> list[ConstantChange]:
    """Changes from (name, new) or (name, old, new)."""
    return [
        ConstantChange(name=change[0], old=change[1] if len(change) > 2 else "", new=change[-1])
        for change in changes
    ]


SPELLINGS = {
    "batch": (
        [("2**18", "2**17")],
        [
            [("TOTAL_BATCH_SIZE", "2**17")],
            [("TOTAL_BATCH_SIZE", "2**18", "131072")],
            [("total_batch_size", "262144", "131_072")],
            [("Total Batch Size", "131,072")],
            [("total-batch-size", "262K", "131K")],
            [("TOTAL_BATCH_SIZE", "128K")],
            [("TOTAL_BATCH_SIZE", "TOTAL_BATCH_SIZE // 2")],
            [("TOTAL_BATCH_SIZE", "1 << 17"), ("DEPTH", "8", "8")],
            [("`TOTAL_BATCH_SIZE`", "2^17")],
        ],
    ),
    "rate": (
        [("EMBEDDING_LR = 0.6", "EMBEDDING_LR = 0.3")],
        [
            [("EMBEDDING_LR", "0.3")],
            [("EMBEDDING_LR", "0.6", "3e-1")],
            [("embedding_lr", ".60", ".30")],
            [("EMBEDDING_LR", "30%")],
            [("EMBEDDING_LR", "EMBEDDING_LR / 2")],
            [("EMBEDDING_LR", "embedding_lr * 0.5")],
            [("EMBEDDING_LR", "3/10"), ("EMBEDDING_LR", "0.6", "0.30")],
        ],
    ),
    "whole rate": (
        [("EMBEDDING_LR = 0.6", "EMBEDDING_LR = 1.0")],
        [[("EMBEDDING_LR", new)] for new in ("1", "1.0", "1.", "100%", "2 / 2", "1e0")],
    ),
    "component": (
        [("(0.8, 0.95)", "(0.8, 0.99)")],
        [
            [("ADAM_BETAS", "(0.8, 0.99)")],
            [("ADAM_BETAS", "(0.8, 0.95)", "(0.8, 0.99)")],
            [("adam_betas", "0.8, 0.99")],
            [("ADAM_BETAS", "[.8, .99]")],
            [("ADAM_BETAS[1]", "0.99")],
            [("ADAM_BETAS[-1]", "0.95", "99%")],
            [("adam_betas[ 1 ]", "0.99"), ("ADAM_BETAS", "(0.80, 0.990)")],
        ],
    ),
    "derived": (
        [("DEPTH = 8", "DEPTH = 12")],
        [
            [("DEPTH", "12")],
            [("DEPTH", "8", "12"), ("MODEL_DIM", "512", "768")],
            [("MODEL_DIM", "768"), ("depth", "12")],
            [("DEPTH", "DEPTH + 4")],
            [("DEPTH", "12"), ("MODEL_DIM", "DEPTH * ASPECT_RATIO")],
            [("DEPTH", "3 * 2 ** 2")],
        ],
    ),
    "text": (
        [('"SSSL"', '"SSLL"')],
        [
            [("WINDOW_PATTERN", new)]
            for new in ("SSLL", "'SSLL'", '"SSLL"', "`SSLL`", "'SS' 'LL'", "'SS' + 'LL'")
        ],
    ),
    "switch": (
        [("USE_NORM = True", "USE_NORM = False")],
        [[("use_norm", new)] for new in ("False", "false", "off", "no", "not True", "disabled")],
    ),
    "field": (
        [("dropout: float = 0.0", "dropout: float = 0.1")],
        [
            [(name, "0.1")]
            for name in (
                "Config.dropout",
                "dropout",
                "config.dropout",
                "Dropout",
                "CONFIG.DROPOUT",
                "DROPOUT",
            )
        ],
    ),
    "entry": (
        [('"warmup": 10', '"warmup": 20')],
        [
            [(name, "10", "20")]
            for name in (
                "SCHEDULE['warmup']",
                'SCHEDULE["warmup"]',
                "schedule[warmup]",
                "SCHEDULE.warmup",
                "Schedule.warmup",
            )
        ]
        + [[("SCHEDULE", "{'warmup': 20, 'kind': 'cosine'}")]],
    ),
    "several": (
        [("MATRIX_LR = 0.04", "MATRIX_LR = 0.05"), ("WARMDOWN_RATIO = 0.5", "WARMDOWN_RATIO = 0.7")],
        [
            [("MATRIX_LR", "0.05"), ("WARMDOWN_RATIO", "0.7")],
            [("WARMDOWN_RATIO", "0.7"), ("MATRIX_LR", "0.05")],
            [("warmdown ratio", "70%"), ("matrix lr", "5%")],
            [("MATRIX_LR", "0.04", "0.05"), ("WARMDOWN_RATIO", "0.5", "0.7"), ("MATRIX_LR", "5e-2")],
            [("MATRIX_LR", "MATRIX_LR * 1.25"), ("WARMDOWN_RATIO", "7 / 10")],
            [("MATRIX_LR", "1/20"), ("WARMDOWN_RATIO", "WARMDOWN_RATIO + 0.2")],
        ],
    ),
    "new": (
        [("DEPTH = 8", "WARMUP = 0.1\nDEPTH = 8")],
        [[(name, new)] for name in ("WARMUP", "warmup", "Warmup") for new in ("0.1", "10%")],
    ),
}


@pytest.mark.parametrize("edit", SPELLINGS)
def test_words_in_any_spelling_meet_the_code_that_they_describe(edit: str) -> None:
    replacements, spellings = SPELLINGS[edit]
    signature = edit_signature(PARENT, edited(*replacements))

    words = [canonical_changes(said(*spelling), PARENT) for spelling in spellings]

    assert len(spellings) >= 6
    assert {changes.key for changes in words} == {changes_of_edit(signature).key}
    assert [words_match(signature, changes) for changes in words] == [()] * len(words)


def test_different_edits_in_words_have_different_keys() -> None:
    keys = {canonical_changes(said(*spellings[0]), PARENT).key for _, spellings in SPELLINGS.values()}
    keys |= {canonical_changes(said((name, "0.123")), PARENT).key for name in ("EMBEDDING_LR", "MATRIX_LR")}

    assert len(keys) == len(SPELLINGS) + 2


def test_an_edit_that_does_more_than_its_constants_never_has_the_key_of_the_words() -> None:
    source = edited(("EMBEDDING_LR = 0.6", "EMBEDDING_LR = 0.3"), ("x = scale(x)", "x = scale(scale(x))"))

    words = canonical_changes(said(("EMBEDDING_LR", "0.3")), PARENT)

    assert changes_of_edit(edit_signature(PARENT, source)).key != words.key


def test_changes_that_change_nothing_are_dropped() -> None:
    changes = canonical_changes(said(("DEPTH", "8"), ("EMBEDDING_LR", "60%"), ("MODEL_DIM", "512")), PARENT)

    assert changes.is_empty
    assert changes.knobs == ()


def test_old_values_are_filled_from_the_parent() -> None:
    changes = canonical_changes(said(("matrix_lr", "0.05"), ("ADAM_BETAS", "(0.9, 0.95)")), PARENT)

    assert changes.constants == (
        ConstantChange(name="ADAM_BETAS[0]", old="0.8", new="0.9"),
        ConstantChange(name="MATRIX_LR", old="0.04", new="0.05"),
    )


def test_another_stated_base_is_another_change() -> None:
    honest = canonical_changes(said(("MATRIX_LR", "0.04", "0.05")), PARENT)

    other = canonical_changes(said(("MATRIX_LR", "0.06", "0.05")), PARENT)

    assert other.misstated == (("MATRIX_LR", "0.06"),)
    assert other.key != honest.key


def test_without_a_parent_names_and_olds_are_taken_as_stated() -> None:
    changes = canonical_changes(
        said(("BETAS", "(0.8, 0.95)", "(0.9, 0.95)"), ("LR", "0.5", "1"), ("N", "4", "4")), None
    )

    assert changes.constants == (
        ConstantChange(name="BETAS[0]", old="0.8", new="0.9"),
        ConstantChange(name="LR", old="0.5", new="1.0"),
    )
    assert changes.foreign == ("BETAS[0]", "LR")


def test_mechanisms_differ_by_meaning_and_not_by_punctuation() -> None:
    add = MechanismOp.ADD
    one = [
        MechanismChange(op=add, what="QK-norm", where="Attention"),
        MechanismChange(op=add, what="EMA (0.99)", where=""),
    ]
    other = [
        MechanismChange(op=add, what=" ema: 0.99 ", where=""),
        MechanismChange(op=add, what="qk  norm", where="attention."),
    ]
    removed = [MechanismChange(op=MechanismOp.REMOVE, what="QK norm", where="attention"), one[1]]

    keys = [canonical_changes(changes, PARENT).key for changes in (one, other, one * 2, removed)]

    assert keys[0] == keys[1] == keys[2] != keys[3]


@pytest.mark.parametrize(
    "changes",
    [
        said(("DEPTH", "9"), ("depth", "10")),
        said(("ADAM_BETAS", "(0.9, 0.95)"), ("ADAM_BETAS[0]", "0.7")),
        said(("ADAM_BETAS[0]", "0.9"), ("ADAM_BETAS[0]", "0.7")),
        said(("NEW", "1", "2"), ("NEW", "3", "2")),
        said(("DEPTH", "9"), ("DEPTH", "")),
        said(("NEW", "")),
        said(("", "1")),
        said(("x" * 121, "1")),
        said(("DEPTH", "9" * 1_001)),
        said(("DEPTH", "9")) * 65,
        [MechanismChange(op=MechanismOp.ADD, what=" . ", where="x")],
        [MechanismChange(op=MechanismOp.ADD, what="x" * 1_001, where="x")],
        [MechanismChange(op=op, what="EMA", where="x") for op in (MechanismOp.ADD, MechanismOp.REMOVE)],
    ],
    ids=range(13),
)
def test_contradictions_and_excess_are_refused_with_a_sentence(changes: list) -> None:
    with pytest.raises(EditError) as caught:
        canonical_changes(changes, PARENT)

    assert len(str(caught.value)) > 10


def test_values_that_refer_to_each_other_in_a_circle_fall_back_to_the_old_ones() -> None:
    names = [f"K{index}" for index in range(64)]
    parent = "".join(f"{name} = {index + 1}\n" for index, name in enumerate(names))
    circle = [(name, "-" * 20 + names[(index + 1) % 64]) for index, name in enumerate(names)]

    changes = canonical_changes(said(*circle), parent)

    assert len(changes.knobs) == 64


_TEXTS = st.text(alphabet="DEPTHx_[]().0123456789+-*/'\"kM% \n\ud800\0é", max_size=25)


@given(
    changes=st.lists(
        st.tuples(
            st.one_of(_TEXTS, st.sampled_from(["DEPTH", "ADAM_BETAS", "ADAM_BETAS[0]"])), _TEXTS, _TEXTS
        )
    )
)
@example(changes=[("ADAM_BETAS", "", ""), ("ADAM_BETAS[0]", "", "")])
@settings(max_examples=600, deadline=None)
def test_any_statement_is_read_or_refused(changes: list) -> None:
    try:
        canonical = canonical_changes(said(*changes), PARENT)
    except EditError:
        return

    assert canonical.key == canonical_changes(said(*reversed(changes)), PARENT).key


@given(
    values=st.dictionaries(
        st.sampled_from(sorted(constants_of(PARENT).texts())),
        st.sampled_from(
            ["1", "2", "0.5", "0.25", "True", "None", "'a'", "(1, 2)", "[0.5]", "-3", "0.8", "8"]
        ),
        max_size=5,
    )
)
@settings(max_examples=300, deadline=None)
def test_code_and_words_agree_for_any_values(values: dict[str, str]) -> None:
    module_level = {name: value for name, value in values.items() if "[" not in name and "." not in name}
    source = "\n".join(
        f"{line.split(' = ')[0]} = {module_level[line.split(' = ')[0]]}"
        if line.split(" = ")[0] in module_level
        else line
        for line in PARENT.split("\n")
    )

    edit = edit_signature(PARENT, source)
    assume(not edit.patch)  # text times a number, say: what follows from it is no constant any more
    code = changes_of_edit(edit)
    words = canonical_changes(said(*module_level.items()), PARENT)

    assert _comparable(code.constants) == _comparable(words.constants)
    assert code.key == words.key


def _comparable(changes: tuple[ConstantChange, ...]) -> list[tuple[str, str]]:
    return [(change.name, change.new) for change in changes]


@pytest.mark.parametrize(
    ("title", "changes"),
    [
        ("EMBEDDING_LR 0.6 -> 0.8", [("EMBEDDING_LR", "0.8")]),
        ("embedding_lr: 0.6 \N{RIGHTWARDS ARROW} 0.8.", [("EMBEDDING_LR", "0.8")]),
        ("EMBEDDING_LR=0.6=>0.8", [("EMBEDDING_LR", "0.8")]),
        ("Set DEPTH to 10", [("DEPTH", "10")]),
        ("set `DEPTH` = 10", [("DEPTH", "10")]),
        ("DEPTH=10", [("DEPTH", "10")]),
        ("DEPTH to 10", [("DEPTH", "10")]),
        ("halve TOTAL_BATCH_SIZE", [("TOTAL_BATCH_SIZE", "131072")]),
        ("Double MATRIX_LR", [("MATRIX_LR", "0.08")]),
        ("increase DEPTH from 8 to 10", [("DEPTH", "10")]),
        ("lower EMBEDDING_LR to 0.5", [("EMBEDDING_LR", "0.5")]),
        ("TOTAL_BATCH_SIZE 2**18 -> 512K", [("TOTAL_BATCH_SIZE", "524288")]),
        ("ADAM_BETAS (0.8, 0.95) -> (0.9, 0.95)", [("ADAM_BETAS[0]", "0.9")]),
        ("ADAM_BETAS[1] to 0.99", [("ADAM_BETAS[1]", "0.99")]),
        ("WINDOW_PATTERN SSSL -> SSLL", [("WINDOW_PATTERN", "SSLL")]),
        ("USE_NORM: True -> False", [("USE_NORM", "False")]),
        ("set DEPTH to 10, MATRIX_LR 0.04 -> 0.05 and halve WARMDOWN_RATIO",
         [("DEPTH", "10"), ("MATRIX_LR", "0.05"), ("WARMDOWN_RATIO", "0.25")]),
    ],
)  # fmt: skip
def test_an_exact_title_says_the_same_as_the_structured_changes(title: str, changes: list) -> None:
    from_title = changes_from_title(title, PARENT)

    assert from_title is not None
    assert from_title.key == canonical_changes(said(*changes), PARENT).key


@pytest.mark.parametrize(
    "title",
    [
        "", "more depth", "DEPTH", "DEPTH 10", "set DEPTH to ten", "DEPTH to 10 with warmup", "use gelu",
        "halve the batch",
        "LEARNING_RATE 0.1 -> 0.2", "EMBEDDING_LR 0.7 -> 0.8",
        "increase DEPTH from 8 to 6", "lower DEPTH to 9",
        "EMBEDDING_LR 0.6 -> 0.7 -> 0.8", "set DEPTH to 8", "halve WINDOW_PATTERN",
        "set DEPTH to 10 and add EMA",
        "DEPTH = 9, DEPTH = 10", "x" * 201, "halve ADAM_BETAS", "increase DEPTH by 25%", "set DEPTH to f(2)",
        "set USE_NORM to maybe", "\ud800 -> \0",
    ],
)  # fmt: skip
def test_a_title_that_is_anything_else_has_no_exact_reading(title: str) -> None:
    assert changes_from_title(title, PARENT) is None


@given(
    title=st.lists(
        st.sampled_from(
            [
                *[
                    "DEPTH",
                    "MATRIX_LR",
                    "set",
                    "to",
                    "from",
                    "->",
                    "and",
                    ",",
                    "(",
                    ")",
                    "[",
                    "]",
                    "8",
                    "0.5",
                    "halve",
                    "=",
                    ":",
                    "5%",
                    "'a'",
                ],
                "\n",
            ]
        )
    )
)
@settings(max_examples=600, deadline=None)
def test_any_title_is_read_or_not(title: list[str]) -> None:
    changes = changes_from_title(" ".join(title), PARENT)

    assert changes is None or not changes.is_empty


@pytest.mark.parametrize(
    ("replacements", "stated", "sentences"),
    [
        (
            [("DEPTH = 8", "DEPTH = 10"), ("MATRIX_LR = 0.04", "MATRIX_LR = 0.05")],
            said(("DEPTH", "10")),
            ["The code changes MATRIX_LR from 0.04 to 0.05, which the hypothesis does not mention."],
        ),
        (
            [("DEPTH = 8", "DEPTH = 10")],
            said(("DEPTH", "12")),
            ["The hypothesis sets DEPTH to 12, the code sets it to 10."],
        ),
        (
            [("DEPTH = 8", "DEPTH = 10")],
            said(("DEPTH", "10"), ("MATRIX_LR", "0.05")),
            ["The hypothesis changes MATRIX_LR from 0.04 to 0.05, the code leaves it as it was."],
        ),
        (
            [("DEPTH = 8", "DEPTH = 10")],
            said(("DEPTH", "6", "10")),
            ["The hypothesis says that DEPTH was 6, the parent has another value."],
        ),
        (
            [("DEPTH = 8", "DEPTH = 10"), ("x = scale(x)", "x = x")],
            said(("DEPTH", "10")),
            ["The code changes more than constants (GPT.forward), the hypothesis states constants only."],
        ),
        (
            [("DEPTH = 8", "DEPTH = 10")],
            [*said(("DEPTH", "10")), MechanismChange(op=MechanismOp.ADD, what="EMA", where="")],
            ["The hypothesis says to add 'ema', the code sets constants only."],
        ),
        ([("x = scale(x)", "x = x")], said(("scale factor", "2", "1"), ("DEPTH", "8")), None),
        ([("DEPTH = 8", "DEPTH = 10")], [], []),
        (
            [("x = scale(x)", "x = x"), ("DEPTH = 8", "EMA = 0.9\nDEPTH = 8")],
            [MechanismChange(op=MechanismOp.ADD, what="EMA", where="")],
            [],
        ),
    ],
)
def test_words_that_do_not_match_the_code_are_named(
    replacements: list, stated: list, sentences: list[str] | None
) -> None:
    edit = edit_signature(PARENT, edited(*replacements))

    found = words_match(edit, canonical_changes(stated, PARENT))

    if sentences is None:
        assert [sentence for sentence in found if "scale factor" in sentence] == []
    else:
        assert list(found) == sentences


def test_mismatches_are_counted_where_there_are_too_many_to_spell_out() -> None:
    parent = "".join(f"K{index} = 0\n" for index in range(40))
    edit = edit_signature(parent, parent.replace("= 0", "= 1"))

    found = words_match(edit, canonical_changes(said(("K0", "1")), parent))

    assert len(found) == 16
    assert found[-1] == "There are 24 more differences."


def test_an_error_tells_the_beginning_of_a_long_value() -> None:
    stated = [ConstantChange(name="RULE", new=repr(letter * 900)) for letter in "ab"]

    with pytest.raises(EditError) as caught:
        canonical_changes(stated, None)

    assert "RULE is stated with two new values" in str(caught.value)
    assert len(str(caught.value)) < 300
