"""Free descriptions: what is read of them, what is left out, and that no text does any harm."""

from __future__ import annotations

import pytest
from autoresearch.edits import EditError
from autoresearch.edits.words import Reading, read_text
from autoresearch.edits.words.spelling import TEXT_LIMIT_CHARS, respelled
from autoresearch.edits.words.tokens import TOKENS_LIMIT, tokenise
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .sources import PARENT


def values(text: str, parent: str | None = None) -> dict[str, tuple[str, str, str]]:
    """Old value, new value and factor by knob, its words sorted."""
    reading = read_text(text, parent)
    return {
        " ".join(sorted(subject)): (setting.old, setting.new, setting.factor)
        for subject, setting in reading.settings.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        "MATRIX_LR 0.04 -> 0.05",
        "matrix lr: 0.04 => 0.05",
        "raise the Muon learning rate from 4e-2 to 5e-2",
        "Muon LR 0.05 (was 0.04)",
        "set `MATRIX_LR` to .05 instead of .04",
        "learning rate of the matrices up to 0.05 from 0.04",
        "Increase MATRIX_LR from 0.04 to 0.05 to converge sooner, as 300 seconds are short",
        "exp12: MATRIX_LR 0.04→0.05 — the updates look small (0.002 better, KEEP)",
        "MATRIX_LR from 0.04 to 0.05 with the tuned WARMDOWN_RATIO of 0.6",
        "MATRIX_LR from 0.04 to 0.05, since 0.06 diverged",
        "raising MATRIX_LR from 0.04 to 0.05",
        "What if the Muon LR went from 0.04 up to 0.05?",
        "H7: the matrices learn slowly; MATRIX_LR = 5e-2 instead of 4e-2",
        "MATRIX_LR 0.05, was 0.04; 0.06 diverged",
    ],
)
def test_a_setting_is_read_from_any_wording(text: str) -> None:
    assert values(text) == {"lr matrix": ("0.04", "0.05", "")}


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("TOTAL_BATCH_SIZE = 2**18", "262144"),
        ("total batch 2^18", "262144"),
        ("total batch size to 262,144 tokens", "262144"),
        ("TOTAL_BATCH_SIZE 262_144", "262144"),
        ("batch of 262K tokens", "262144"),
        ("batch 256K", "262144"),
        ("batch size 32", ""),
    ],
)
def test_powers_of_two_have_one_value(text: str, batch: str) -> None:
    found = values(text)

    assert found.get("total batch", found.get("total_batch", ("", "", "")))[1] == batch


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("halve the embedding LR", {"embedding lr": ("", "", "0.5")}),
        ("embedding LR x0.5", {"embedding lr": ("", "", "0.5")}),
        ("cut the embedding LR by 50%", {"embedding lr": ("", "", "0.5")}),
        ("embedding LR -50%", {"embedding lr": ("", "", "0.5")}),
        ("raise the scalar LR by a factor of 3", {"lr scalar": ("", "", "3")}),
        ("increase depth by 2", {"depth": ("", "", "+2")}),
        ("10% more weight decay", {"wd": ("", "", "1.1")}),
        ("warmup of 5%", {"warmup": ("", "0.05", "")}),
        ("ADAM_BETAS (0.8, 0.95) -> (0.9, 0.95)", {"beta1": ("0.8", "0.9", "")}),
        ("Adam betas = (0.9, 0.99)", {"beta1": ("", "0.9", ""), "beta2": ("", "0.99", "")}),
        ("ADAM_BETAS[1] from 0.95 to 0.97", {"beta2": ("0.95", "0.97", "")}),
        ('WINDOW_PATTERN from "SSSL" to "SL"', {"window": ("SSSL", "SL", "")}),
        ("softcap off", {"softcap": ("", "off", "")}),
        ("weight decay 0.1 -> 0", {"wd": ("0.1", "off", "")}),
        ("3x MLP", {"mlp_ratio": ("", "3", "")}),
        ("multi-query attention", {"n_kv_head": ("", "1", "")}),
        ("rope base 50K", {"rope_base": ("", "50000", "")}),
        ("TRACE_PERIOD = 40", {"trace_period": ("", "40", "")}),
        ("from 8 to 10 layers", {"depth": ("8", "10", "")}),
        ("two more layers", {"depth": ("", "", "+2")}),
        ("one layer fewer: 8 -> 7", {"depth": ("8", "7", "")}),
        ("two more blocks: 10 rather than 8", {"depth": ("8", "10", "")}),
        ("attention with 8 heads instead of 6", {"n_head": ("6", "8", "")}),
        ("cut the embedding LR by a quarter", {"embedding lr": ("", "", "0.75")}),
        ("let the embeddings learn twice as fast", {"embedding lr": ("", "", "2")}),
        ("embedding weight decay: 0 -> 0.01", {"embedding wd": ("0", "0.01", "")}),
        ("embedding: raise the LR to 0.8", {"embedding lr": ("", "0.8", "")}),
        ("take the softcap out", {"softcap": ("", "off", "")}),
        ("a longer cooldown: 70% of the run rather than 50%", {"warmdown": ("0.5", "0.7", "")}),
        ("decay the LR to 10% of peak instead of to zero", {"final_lr": ("0", "0.1", "")}),
        ("device batch to 75% of its current value", {"device_batch": ("", "", "0.75")}),
        ("total batch of 256Ki tokens", {"total_batch": ("", "262144", "")}),
        ("smaller heads (HEAD_DIM=64)", {"head_dim": ("", "64", "")}),
        ("a wider model: n_embd 768 -> 896 by ASPECT_RATIO 72", {"aspect_ratio": ("", "72", "")}),
        (
            "device batch 16 and total batch 2**15, warmup 3%",
            {"device_batch": ("", "16", ""), "total_batch": ("", "32768", ""), "warmup": ("", "0.03", "")},
        ),
    ],
)
def test_amounts_are_read_in_their_role(text: str, expected: dict[str, tuple[str, str, str]]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "added", "removed"),
    [
        ("use SwiGLU in the MLP", {"swiglu"}, set()),
        ("replace the squared ReLU by SwiGLU for better gradients", {"swiglu"}, set()),
        ("SwiGLU instead of ReLU^2", {"swiglu"}, set()),
        ("relu2 -> swiglu", {"swiglu"}, set()),
        ("drop the QK norm", set(), {"qk_norm"}),
        ("no value embeddings, and tie the embedding weights", {"weight_tying"}, {"value_embedding"}),
        ("cosine LR schedule", {"cosine"}, set()),
        ("replace the linear LR decay with a cosine", {"cosine"}, set()),
        ("cosine weight decay schedule", {"cosine", "wd"}, set()),
        ("turn Nesterov off", set(), {"nesterov"}),
        ("nesterov=False", set(), {"nesterov"}),
        ("normalise queries and keys", {"qk_norm"}, set()),
        ("drop the squared ReLU in favour of GELU", {"gelu"}, set()),
        ("squared ReLU, no SwiGLU", {"relu2"}, set()),
        ("XSA on the last two layers", {"xsa", "last_2_layers"}, set()),
    ],
)
def test_mechanisms_are_read_by_their_terms(text: str, added: set[str], removed: set[str]) -> None:
    reading = read_text(text)

    assert (reading.added, reading.removed) == (added, removed)


def test_what_is_replaced_is_kept_apart() -> None:
    assert read_text("GELU instead of SiLU").replaced == {"silu"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("halve EMBEDDING_LR", {"embedding lr": ("0.6", "0.3", "")}),
        ("embedding LR to 0.3", {"embedding lr": ("0.6", "0.3", "")}),
        ("cut EMBEDDING_LR by 50%", {"embedding lr": ("0.6", "0.3", "")}),
        ("add two layers: DEPTH by +25%", {"depth": ("8", "10", "")}),
        ("total batch 2**17", {"total_batch": ("262144", "131072", "")}),
        ("beta2 0.97", {"beta2": ("0.95", "0.97", "")}),
        ("EMBEDDING_LR 0.7 -> 0.3", {"embedding lr": ("0.7", "0.3", "")}),
    ],
)
def test_the_parent_gives_what_is_not_said(text: str, expected: dict[str, tuple[str, str, str]]) -> None:
    assert values(text, PARENT) == expected


def test_constants_of_the_parent_are_known_by_name() -> None:
    parent = "FROB_NICATION = 4\n"

    found = values("double the frob nication", parent)

    assert found == {"frob_nication": ("4", "8", "")}


def test_a_parent_that_is_not_python_is_refused() -> None:
    with pytest.raises(EditError, match="not Python"):
        read_text("halve DEPTH", "DEPTH = = 8")


NAMES = ["MATRIX_LR", "0.04", "50%", "2**18", "1e999", "1/0", "SSSL", "SwiGLU", "MLP", "x0", "x2"]
GLUE = ["->", "by", "(", ")", "[", ",", "halve", "with", ":", "=", " to ", " from ", " - ", "instead of"]
FRAGMENTS = st.sampled_from([*NAMES, *GLUE])


@given(st.one_of(st.text(), st.lists(FRAGMENTS).map(" ".join), st.lists(FRAGMENTS).map("".join)))
@example("\ud800 0.1")
@example("MATRIX_LR 1e999 -> 1e-999")
@example("halve " * 400)
@example("\ufdfa" * 400)
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    for parent in (None, PARENT):
        assert isinstance(read_text(text, parent), Reading)
    assert read_text(text) == read_text(text)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            " ",
            "(",
            "-",
            "a_",
            "0,",
            "1,000,",
            "((",
            "s'",
            "2**",
            "//1",
            "->",
            "warm the ",
            "1.",
            "\ufdfa",
            "SL",
        ),
        *(
            "turn a b ",
            "two more ",
            "last 2 ",
            "1M->",
            "drop it in ",
            "betas .9/",
            "by a ",
            "2*",
            "10 layers ",
        ),
    ],
)
def test_long_texts_are_cut(piece: str) -> None:
    text = piece * 100_000

    assert len(respelled(text)) <= 4 * TEXT_LIMIT_CHARS
    assert len(tokenise(text)) <= TOKENS_LIMIT
    assert isinstance(read_text(text), Reading)
