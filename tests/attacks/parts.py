"""Pieces that the sources of attacks and controls are made of."""

from __future__ import annotations

CPU_GAIN_MIN = 0.15
"""Less than five times the training gives a learner, on cores that take 1,000 to 8,000 steps in a second (0.2
to 0.8 bits per byte); more than a busy neighbour costs it (a fifth of the steps: 0.04 to 0.1).
"""

COUNTS = '''
import torch
from torch.nn.functional import one_hot

def counted(shard, V):
    """Log-probabilities [V, V] of the next token, from pairs in the training text."""
    tokens = torch.from_numpy(shard.astype("int64"))
    counts = torch.zeros(V * V).index_add_(0, tokens[:-1] * V + tokens[1:], torch.ones(len(tokens) - 1))
    return (counts.view(V, V) + 0.05).div((counts.view(V, V) + 0.05).sum(1, keepdim=True)).log()
'''

LEARNER = '''
import time
import torch

class Bigram(torch.nn.Module):
    def __init__(self, V):
        super().__init__()
        self.table = torch.nn.Embedding(V, V)
        torch.nn.init.zeros_(self.table.weight)

    def forward(self, ids):
        return self.table(ids)

def text(shard):
    return torch.from_numpy(shard.astype("int64"))

def step(model, tokens):
    """One step of slow learning: more steps give a better score for many seconds."""
    start = torch.randint(0, len(tokens) - 513, (1,)).item()
    logits = model(tokens[start : start + 512])
    loss = torch.nn.functional.cross_entropy(logits, tokens[start + 1 : start + 513])
    loss.backward()
    with torch.no_grad():
        model.table.weight -= model.table.weight.grad
    model.table.weight.grad = None
    return loss.item()

def learn(model, tokens, seconds):
    until = time.process_time() + seconds
    with torch.inference_mode(False), torch.enable_grad():
        while time.process_time() < until:
            step(model, tokens)
    return model
'''


def answering(expression: str, *, prelude: str = "", set_up: str = "") -> str:
    """Counts pairs, and answers with an expression of ``ids``, ``table``, ``V``."""
    return f"""{COUNTS}
{prelude}
def train(ctx):
    V = ctx.vocab_size
    {set_up or "pass"}
    shard = ctx.start()[0]
    table = counted(shard, V)
    return lambda ids: {expression}
"""


HONEST_COUNTS = answering("table[ids]")

HONEST_LEARNER = (
    LEARNER
    + """
def train(ctx):
    torch.manual_seed(ctx.seed)
    model = Bigram(ctx.vocab_size)
    tokens = text(ctx.start()[0])
    number = 0
    while ctx.running():
        loss = step(model, tokens)
        number += 1
        if number % 50 == 0:
            ctx.log(step=number, loss=loss)
    return model
"""
)
