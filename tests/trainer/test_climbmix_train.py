"""The baseline of climbmix-5min on a CPU, at toy size: its knobs are overridden, its code is not."""

from __future__ import annotations

import math
import types
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from autoresearch.challenge import find_challenge

VOCAB_SIZE = 256
SEQUENCE_LEN = 32
KNOBS: dict[str, Any] = {
    "DEPTH": 4,
    "WIDTH_PER_LAYER": 8,
    "HEAD_DIM": 16,
    "VALUE_GATE_CHANNELS": 8,
    "SHORT_WINDOW": 8,
    "TOTAL_BATCH_TOKENS": 16 * SEQUENCE_LEN,
    "DEVICE_ROWS_MAX": 8,
    "WARM_UP_STEPS": 1,
    "LOG_EVERY": 5,
}


def baseline(**knobs: Any) -> types.ModuleType:
    source = (find_challenge("climbmix-5min") / "train.py").read_text()
    module = types.ModuleType("train")
    exec(compile(source, "train.py", "exec"), module.__dict__)  # noqa: S102 - as the worker does
    unknown = [name for name in (KNOBS | knobs) if name not in module.__dict__]
    assert not unknown
    module.__dict__.update(KNOBS | knobs)
    return module


class FakeContext:
    """A budget of steps, text in which each second token follows from the one before, a card of some rows."""

    def __init__(
        self,
        *,
        steps: int = 60,
        seed: int = 1,
        dtype: torch.dtype = torch.float32,
        rows_that_fit: int = 1 << 30,
        batch_that_breaks: int = -1,
    ) -> None:
        self.seed = seed
        self.device = torch.device("cpu")
        self.dtype = dtype
        self.sequence_len = SEQUENCE_LEN
        self.vocab_size = VOCAB_SIZE
        self.scratch = Path()
        self.curve: list[tuple[int, float, dict[str, float]]] = []
        self.has_started = False
        self._steps = steps
        self._spent = 0
        self._rows_that_fit = rows_that_fit
        self._reads_left = batch_that_breaks

    def dummy_batch(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert not self.has_started
        if batch_size > self._rows_that_fit:
            raise torch.OutOfMemoryError("simulated: too many rows")
        tokens = torch.randint(self.vocab_size, (batch_size, self.sequence_len + 1))
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def start(self) -> list[npt.NDArray[np.uint16]]:
        self.has_started = True
        return [tokens_of(seed, 8_000) for seed in (1, 2)]

    def running(self) -> bool:
        self._spent += 1
        return self._spent <= self._steps

    def progress(self) -> float:
        self._reads_left -= 1
        if self._reads_left == 0:
            raise torch.OutOfMemoryError("simulated: something else grew")
        return min(1.0, max(0, self._spent - 1) / self._steps)

    def log(self, *, step: int, loss: float, **metrics: float) -> None:
        self.curve.append((step, loss, metrics))


def tokens_of(seed: int, count: int) -> npt.NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    tokens = (rng.zipf(1.5, count) % VOCAB_SIZE).astype(np.uint16)
    tokens[1::2] = (tokens[::2] * 7 + 3) % VOCAB_SIZE
    tokens.setflags(write=False)
    return tokens


def some_ids(rows: int = 3) -> torch.Tensor:
    return torch.from_numpy(tokens_of(9, rows * SEQUENCE_LEN).astype(np.int64)).view(rows, SEQUENCE_LEN)


@pytest.fixture(scope="module")
def trained() -> tuple[FakeContext, Any]:
    torch.set_num_threads(1)
    ctx = FakeContext()
    return ctx, baseline().train(ctx)


def test_the_loss_falls_far_below_chance(trained: tuple[FakeContext, Any]) -> None:
    ctx, _ = trained

    losses = [loss for _, loss, _ in ctx.curve]

    assert losses[-1] < 0.5 * math.log(VOCAB_SIZE)
    assert losses[-1] < losses[0]


def test_the_log_names_tokens_parameters_and_flops(trained: tuple[FakeContext, Any]) -> None:
    ctx, model = trained

    step, _, metrics = ctx.curve[-1]

    assert metrics["tokens"] == step * KNOBS["TOTAL_BATCH_TOKENS"]
    assert metrics["num_params"] == sum(p.numel() for p in model.parameters())
    assert metrics["flops_per_token"] > 0


def test_logits_have_the_shape_of_the_contract_and_are_finite(trained: tuple[FakeContext, Any]) -> None:
    _, forward = trained

    logits = forward(some_ids())

    assert logits.shape == (3, SEQUENCE_LEN, VOCAB_SIZE)
    assert logits.is_floating_point()
    assert not logits.requires_grad
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 31])
def test_later_tokens_never_change_earlier_logits(trained: tuple[FakeContext, Any], cut: int) -> None:
    _, forward = trained
    ids = some_ids()
    other = ids.clone()
    other[:, cut:] = torch.randint(VOCAB_SIZE, other[:, cut:].shape)

    difference = (forward(ids) - forward(other)).abs().amax(dim=-1)

    assert difference[:, :cut].max() <= 1e-5
    assert difference[:, cut:].max() > 1e-3


def test_rows_and_earlier_calls_never_change_an_answer(trained: tuple[FakeContext, Any]) -> None:
    _, forward = trained
    ids = some_ids()

    together = forward(ids)
    alone = torch.cat([forward(row[None]) for row in ids.flip(0)]).flip(0)

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_one_seed_gives_one_model_and_another_seed_another() -> None:
    module = baseline()

    first, second, third = (module.train(FakeContext(steps=8, seed=seed))(some_ids()) for seed in (5, 5, 6))

    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precisions_learn_as_well(dtype: torch.dtype) -> None:
    ctx = FakeContext(steps=30, dtype=dtype)

    logits = baseline().train(ctx)(some_ids())

    assert ctx.curve[-1][1] < 0.6 * math.log(VOCAB_SIZE)
    assert torch.isfinite(logits).all()


def test_rows_are_halved_until_they_fit_and_the_batch_stays(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = FakeContext(steps=12, rows_that_fit=2), FakeContext(steps=12)

    answers = [baseline().train(ctx)(some_ids()) for ctx in (small, large)]

    assert "going on with 2 rows" in capsys.readouterr().out
    assert small.curve[-1][2]["tokens"] == large.curve[-1][2]["tokens"]
    assert answers[0].shape == answers[1].shape


def test_a_card_on_which_one_row_does_not_fit_says_out_of_memory() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        baseline().train(FakeContext(rows_that_fit=0))


def test_running_out_of_memory_once_in_training_is_survived(capsys: pytest.CaptureFixture[str]) -> None:
    ctx = FakeContext(steps=20, batch_that_breaks=25)

    baseline().train(ctx)

    assert "going on with 4 rows" in capsys.readouterr().out
    assert ctx.curve[-1][0] >= 10


def test_set_up_leaves_no_trace_in_the_weights() -> None:
    module = baseline()

    answers = [baseline(WARM_UP_STEPS=steps).train(FakeContext(steps=6))(some_ids()) for steps in (1, 3)]

    assert torch.equal(answers[0], answers[1])
    assert module.WARM_UP_STEPS == 1


@pytest.mark.parametrize(("device", "batches"), [("cpu", 3), ("cuda", 2)])
def test_no_batch_begins_that_would_end_after_the_budget(device: str, batches: int) -> None:
    spent = 0.0
    ctx = types.SimpleNamespace(device=torch.device(device), progress=lambda: spent)
    clock = baseline().Clock(ctx)
    begun = 0

    while not clock.is_late():
        begun += 1
        spent += 0.3
        clock.passed(torch.tensor(1.0))

    assert begun == batches


def test_a_loss_that_is_no_number_ends_the_run_at_once() -> None:
    with pytest.raises(FloatingPointError, match="diverged"):
        baseline(EMBEDDING_LR=math.nan).train(FakeContext())


def test_every_row_of_an_epoch_is_seen_once_and_shards_are_not_mixed_up() -> None:
    module = baseline()
    shards = [np.arange(start, start + 1000, dtype=np.uint16) for start in (0, 2000)]
    rows = module.Rows(shards, SEQUENCE_LEN, seed=3)

    taken = [rows.take(1, torch.device("cpu")) for _ in range(60)]

    starts = [int(inputs[0, 0]) for inputs, _ in taken]
    assert len(set(starts)) == 60
    assert all(torch.equal(inputs + 1, targets) for inputs, targets in taken)


def test_orthogonalisation_brings_all_singular_values_near_one() -> None:
    module = baseline()
    matrices = torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(1))

    values = torch.linalg.svdvals(module.polar(matrices))
    tall = torch.linalg.svdvals(module.polar(matrices.mT))

    assert values.min() > 0.8
    assert values.max() < 1.2
    torch.testing.assert_close(values, tall, atol=1e-3, rtol=0)


@pytest.mark.parametrize("window", [4, 8, SEQUENCE_LEN])
def test_attention_sees_exactly_its_window(window: int) -> None:
    module = baseline()
    q, k, v = torch.randn(3, 2, SEQUENCE_LEN, 2, 16, generator=torch.Generator().manual_seed(1)).unbind(0)

    found = module.attend_sdpa(q, k, v, window)

    scores = torch.einsum("bihd,bjhd->bhij", q, k) / 4
    age = torch.arange(SEQUENCE_LEN)[:, None] - torch.arange(SEQUENCE_LEN)
    scores = scores.masked_fill((age < 0) | (age >= window), -math.inf)
    torch.testing.assert_close(found, torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v))


def test_the_compiled_parts_are_one_graph_each() -> None:
    module = baseline()
    model = module.GPT(VOCAB_SIZE, SEQUENCE_LEN, torch.float32, module.attend_sdpa)
    model.initialise()
    loss = torch.compile(module.mean_loss, backend="aot_eager", fullgraph=True, dynamic=False)
    update = torch.compile(module.muon_update, backend="aot_eager", fullgraph=True, dynamic=False)
    optimizer = module.Optimizer(model)

    loss(model, some_ids(), some_ids()).backward()
    optimizer.step(update, step=1, progress=0.1)

    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_the_baseline_is_one_page_of_at_most_64_kib() -> None:
    source = (find_challenge("climbmix-5min") / "train.py").read_bytes()

    assert len(source) <= 64 * 1024


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("window", [64, 256])
def test_the_attention_that_a_card_gets_agrees_with_the_plain_one(window: int) -> None:
    module = baseline(HEAD_DIM=64)
    device = torch.device("cuda")
    dtype = torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    q, k, v = torch.randn(3, 2, 256, 2, 64, device=device, dtype=dtype).unbind(0)

    found = module.choose_attention(device, dtype)(q, k, v, window)

    torch.testing.assert_close(found, module.attend_sdpa(q, k, v, window), atol=0.05, rtol=0.05)
