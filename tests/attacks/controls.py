"""Honest candidates that must be scored, whatever they are made of."""

# ruff: noqa: E501 - the sources of candidates are clearer unbroken
from __future__ import annotations

from attack import Control
from parts import HONEST_COUNTS, HONEST_LEARNER, answering

_BODY = """
import torch
from torch import nn
from torch.nn import functional as F

{model}

def train(ctx):
    torch.manual_seed(ctx.seed)
    V, T = ctx.vocab_size, ctx.sequence_len
    model = Model(V, T)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    {set_up}
    (shard,) = ctx.start()
    tokens = torch.from_numpy(shard.astype("int64"))
    number = 0
    while ctx.running():
        at = torch.randint(0, len(tokens) - T - 1, (8,))
        x = torch.stack([tokens[i : i + T] for i in at])
        y = torch.stack([tokens[i + 1 : i + T + 1] for i in at])
        loss = F.cross_entropy(model(x).float().reshape(-1, V), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        {each_step}
        number += 1
        ctx.log(step=number, loss=loss.item())
    model.eval()
    return {answer}
"""


def training(layers: str, *, set_up: str = "pass", each_step: str = "pass", answer: str = "model") -> str:
    """A model of a body [B, T, 32] -> [B, T, 32] that the text of ``layers`` defines as ``Body``."""
    model = f"""
{layers}

class Model(nn.Module):
    def __init__(self, V, T):
        super().__init__()
        self.embed = nn.Embedding(V, 32)
        self.body = Body(T)
        self.head = nn.Linear(32, V, bias=False)

    def forward(self, ids):
        x = self.embed(ids)
        return self.head(x + self.body(x))
"""
    return _BODY.format(model=model, set_up=set_up, each_step=each_step, answer=answer)


_ATTENTION = """
class Body(nn.Module):
    WINDOW = 1 << 20

    def __init__(self, T):
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        ahead = torch.arange(T)[:, None] - torch.arange(T)
        self.register_buffer("mask", (ahead >= 0) & (ahead < self.WINDOW))

    def forward(self, x):
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 16).unbind(2)
        y = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v)), attn_mask=self.mask)
        return self.out(y.transpose(1, 2).reshape(x.shape))
"""

_GRU = """
class Body(nn.Module):
    def __init__(self, T):
        super().__init__()
        self.gru = nn.GRU(32, 32, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]
"""

_CONVOLUTION = """
class Body(nn.Module):
    def __init__(self, T):
        super().__init__()
        self.conv = nn.Conv1d(32, 32, 4)

    def forward(self, x):
        return torch.relu(self.conv(F.pad(x.transpose(1, 2), (3, 0)))).transpose(1, 2)
"""

_DROPOUT = """
class Body(nn.Module):
    def __init__(self, T):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Dropout(0.2), nn.Linear(64, 32))

    def forward(self, x):
        return self.layers(x)
"""

_EXPERTS = """
class Body(nn.Module):
    \"\"\"Each token goes to the two of four experts that its router prefers.\"\"\"

    def __init__(self, T):
        super().__init__()
        self.router = nn.Linear(32, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 32)) for _ in range(4))

    def forward(self, x):
        flat = x.reshape(-1, 32)
        weights, chosen = self.router(flat).softmax(-1).topk(2)
        out = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            at, slot = (chosen == number).nonzero(as_tuple=True)
            out = out.index_add(0, at, expert(flat[at]) * weights[at, slot, None])
        return out.view(x.shape)
"""

_BATCH_NORM = """
class Body(nn.Module):
    def __init__(self, T):
        super().__init__()
        self.norm, self.mix = nn.BatchNorm1d(32), nn.Linear(32, 32)

    def forward(self, x):
        return torch.relu(self.mix(self.norm(x.transpose(1, 2)).transpose(1, 2)))
"""

_CUMULATIVE = """
class Body(nn.Module):
    \"\"\"A running mean of all earlier tokens: sums whose rounding depends on their order.\"\"\"

    def __init__(self, T):
        super().__init__()
        self.mix = nn.Linear(32, 32)
        self.register_buffer("count", torch.arange(1, T + 1)[:, None].float())

    def forward(self, x):
        return torch.relu(self.mix(x.cumsum(1) / self.count))
"""

CONTROLS = (
    Control(name="counts", source=HONEST_COUNTS),
    Control(name="nothing", source=answering("torch.zeros(*ids.shape, V)")),
    Control(name="learner", source=HONEST_LEARNER, arena="cpu"),
    Control(name="paced learner", source=HONEST_LEARNER, arena="paced"),
    Control(name="attention", source=training(_ATTENTION)),
    Control(name="sliding window", source=training(_ATTENTION.replace("1 << 20", "8"))),
    Control(
        name="weight tying", source=training(_ATTENTION, set_up="model.head.weight = model.embed.weight")
    ),
    Control(name="dropout", source=training(_DROPOUT)),
    Control(
        name="bf16",
        source=training(
            _ATTENTION,
            set_up="model = model.bfloat16(); optimizer = torch.optim.SGD(model.parameters(), 0.1)",
        ),
    ),
    Control(
        name="bf16 autocast",
        source=training(
            _GRU.replace("self.gru(x)[0]", "self.gru(x.float())[0]"),
            answer="lambda ids: torch.autocast('cpu', torch.bfloat16)(model)(ids)",
        ),
    ),
    Control(name="recurrence", source=training(_GRU)),
    Control(name="convolution", source=training(_CONVOLUTION)),
    Control(name="mixture of experts", source=training(_EXPERTS)),
    Control(name="batch norm in eval", source=training(_BATCH_NORM)),
    Control(name="running mean", source=training(_CUMULATIVE)),
    Control(
        name="averaged weights",
        source=training(
            _ATTENTION,
            set_up="average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))",
            each_step="average.update_parameters(model)",
            answer="average.eval()",
        ),
    ),
    Control(
        name="compile",
        source=training(
            _DROPOUT,
            set_up="ready = torch.compile(model.eval()); torch.inference_mode()(ready)(ctx.dummy_batch(8)[0]); model.train()",
            answer="ready",
        ),
    ),
)
