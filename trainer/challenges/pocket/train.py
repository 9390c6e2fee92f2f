"""A small GPT, trained for 20 CPU seconds on one core: the baseline of the `pocket` challenge.

`train(ctx)` returns a pure function from tokens to logits; the harness keeps the clock and the score.
B = batch, T = sequence length, C = MODEL_DIM, H = heads, D = HEAD_DIM, V = vocabulary.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Model
DEPTH = 2  # transformer blocks
MODEL_DIM = 64  # channels of the residual stream
HEAD_DIM = 32  # channels per attention head; MODEL_DIM must be a multiple of it
MLP_RATIO = 2  # hidden channels of the MLP per channel of the residual stream
ROPE_BASE = 500  # longest wavelength of the rotary positions, in tokens / 2 pi
LOGIT_SOFTCAP = 0.0  # logits are squashed smoothly into +- this; 0: left alone
INIT_SCALE = 1.0  # standard deviation of matrices, times 1 / sqrt(fan in)
EMBEDDING_INIT = 0.5  # standard deviation of token embeddings

# Optimisation
BATCH_SIZE = 4  # rows of T tokens per step
MATRIX_LR = 0.006  # AdamW learning rate of attention and MLP matrices
EMBEDDING_LR = 0.1  # AdamW learning rate of the token embeddings
UNEMBEDDING_LR = 0.05  # AdamW learning rate of the output matrix
WEIGHT_DECAY = 0.1  # decoupled decay of the matrices, per unit of learning rate
ADAM_BETA1 = 0.9  # decay of the gradient's running mean
ADAM_BETA2 = 0.995  # decay of the squared gradient's running mean
ADAM_EPS = 1e-8  # floor of the update's denominator
GRAD_CLIP = 1.0  # largest norm of the whole gradient

# Schedule, in shares of the budget
WARMUP_FRAC = 0.02  # learning rates rise from 0
WARMDOWN_FRAC = 0.6  # learning rates fall at the end ...
FINAL_LR_FRAC = 0.02  # ... to this share of their peak

LOG_EVERY = 10  # steps between two points of the curve


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


def rotate(x, cos, sin):  # [B, H, T, D]
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, left * sin + right * cos), dim=-1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(MODEL_DIM, 3 * MODEL_DIM, bias=False)
        self.out = nn.Linear(MODEL_DIM, MODEL_DIM, bias=False)
        self.up = nn.Linear(MODEL_DIM, MLP_RATIO * MODEL_DIM, bias=False)
        self.down = nn.Linear(MLP_RATIO * MODEL_DIM, MODEL_DIM, bias=False)

    def forward(self, x, cos, sin):  # [B, T, C] -> [B, T, C]
        B, T, C = x.shape
        qkv = self.qkv(norm(x)).view(B, T, 3, C // HEAD_DIM, HEAD_DIM)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, D]
        q, k = rotate(norm(q), cos, sin), rotate(norm(k), cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.relu(self.up(norm(x))).square())


class GPT(nn.Module):
    def __init__(self, vocab_size, sequence_len):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, MODEL_DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.unembedding = nn.Linear(MODEL_DIM, vocab_size, bias=False)
        speed = ROPE_BASE ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM)
        angle = torch.arange(sequence_len)[:, None] * speed  # [T, D / 2]
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        for block in self.blocks:
            for matrix in (block.qkv, block.up):
                nn.init.normal_(matrix.weight, std=INIT_SCALE / math.sqrt(MODEL_DIM))
            for matrix in (block.out, block.down):  # a block starts as the identity
                nn.init.zeros_(matrix.weight)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_INIT)
        nn.init.zeros_(self.unembedding.weight)

    def forward(self, ids):  # int64 [B, T] -> [B, T, V]
        T = ids.size(1)
        x = norm(self.embedding(ids))
        for block in self.blocks:
            x = block(x, self.cos[:T], self.sin[:T])
        logits = self.unembedding(norm(x))
        return LOGIT_SOFTCAP * torch.tanh(logits / LOGIT_SOFTCAP) if LOGIT_SOFTCAP else logits


def learning_rate(progress):
    """The share of the peak learning rate at a share of the budget."""
    rise = progress / WARMUP_FRAC if WARMUP_FRAC else 1.0
    fall = (1.0 - progress) / WARMDOWN_FRAC if WARMDOWN_FRAC else 1.0
    return min(rise, FINAL_LR_FRAC + (1.0 - FINAL_LR_FRAC) * min(fall, 1.0), 1.0)


def batches(shards, sequence_len, rng):
    """Endless random windows of the training tokens: inputs and targets, int64 [B, T]."""
    tokens = np.concatenate(shards).astype(np.int64)
    window = np.arange(sequence_len + 1)
    while True:
        starts = rng.integers(0, len(tokens) - sequence_len - 1, BATCH_SIZE)
        rows = torch.from_numpy(tokens[starts[:, None] + window])
        yield rows[:, :-1], rows[:, 1:]


def train(ctx):
    torch.manual_seed(ctx.seed)
    model = GPT(ctx.vocab_size, ctx.sequence_len).to(ctx.device)
    matrices = list(model.blocks.parameters())
    groups = [
        {"params": matrices, "lr": MATRIX_LR, "weight_decay": WEIGHT_DECAY},
        {"params": model.embedding.parameters(), "lr": EMBEDDING_LR, "weight_decay": 0.0},
        {"params": model.unembedding.parameters(), "lr": UNEMBEDDING_LR, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(ADAM_BETA1, ADAM_BETA2), eps=ADAM_EPS, fused=True)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]

    def loss_of(inputs, targets):
        logits = model(inputs.to(ctx.device))
        return F.cross_entropy(logits.flatten(0, 1), targets.to(ctx.device).flatten())

    loss_of(*ctx.dummy_batch(BATCH_SIZE)).backward()  # first calls are slow: make them before the clock runs
    optimizer.zero_grad()

    source = batches(ctx.start(), ctx.sequence_len, np.random.default_rng(ctx.seed))
    num_params = sum(parameter.numel() for parameter in model.parameters())
    step = 0
    while ctx.running():
        share = learning_rate(ctx.progress())
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
        loss = loss_of(*next(source))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRAD_CLIP)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % LOG_EVERY == 0:
            seen = step * BATCH_SIZE * ctx.sequence_len
            ctx.log(step=step, loss=loss.item(), tokens=seen, num_params=num_params)
    model.eval()
    return model
