"""A GPT, trained for 300 seconds on one GPU: the baseline of the `climbmix-5min` challenge.

`train(ctx)` returns a pure function from tokens to logits; the harness keeps the clock and the score.
Read it top to bottom: knobs, attention, model, optimizer, tokens, set-up, training.
B = rows, T = sequence length, C = model width, H = heads, D = HEAD_DIM, V = vocabulary, K = stacked matrices.
"""

import gc
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Model
DEPTH = 8  # transformer blocks
WIDTH_PER_LAYER = 64  # model width is DEPTH * WIDTH_PER_LAYER, rounded up to a multiple of HEAD_DIM
HEAD_DIM = 128  # channels per attention head
MLP_RATIO = 4  # hidden channels of the MLP per channel of the residual stream
WINDOW_PATTERN = (
    "SSSL"  # attention span of the layers, repeated: S short, L the whole row; the last is always L
)
SHORT_WINDOW = 512  # tokens that an S layer looks back, its own included
ROPE_BASE = 10_000  # longest wavelength of the rotary positions, in tokens / 2 pi
VALUE_GATE_CHANNELS = 32  # channels of the residual stream that gate the value embeddings
LOGIT_SOFTCAP = 15.0  # logits are squashed smoothly into +- this

# Optimisation
TOTAL_BATCH_TOKENS = 2**18  # tokens per optimizer step, whatever fits the card
MATRIX_LR = 0.04  # Muon, all matrices of the blocks
EMBEDDING_LR = 0.6  # AdamW, token and value embeddings; for a width of 768, scaled by width ** -0.5
UNEMBEDDING_LR = 0.004  # AdamW, output matrix; scaled likewise
SCALAR_LR = 0.5  # AdamW, per-layer weights of the embedding skip; those of the residual stream get 1 %
WEIGHT_DECAY = 0.2  # Muon, cautious, per unit of learning rate; falls to 0 over the run
ADAM_BETA1 = 0.8  # decay of the gradient's running mean
ADAM_BETA2 = 0.95  # decay of the squared gradient's running mean
ADAM_EPS = 1e-10  # floor of the update's denominator
MUON_MOMENTUM = 0.95  # decay of the gradient's running mean ...
MUON_MOMENTUM_START = 0.85  # ... which begins here ...
MUON_MOMENTUM_STEPS = 300  # ... and gets there in so many steps
MUON_BETA2 = 0.95  # decay of the running mean square of each output neuron's update
MUON_ITERATIONS = 5  # polynomial steps towards the nearest orthogonal matrix

# Schedule, in shares of the budget
WARMUP_FRAC = 0.0  # learning rates rise from 0
WARMDOWN_FRAC = 0.5  # learning rates fall at the end ...
FINAL_LR_FRAC = 0.0  # ... to this share of their peak

# Machine
COMPILE = True  # torch.compile on CUDA; without a compiler the run goes on in eager mode
DEVICE_ROWS_MAX = 128  # rows per forward pass, halved until they fit the card's memory
MEMORY_FRAC = 0.85  # share of the card's free memory that the first guess may fill
WARM_UP_STEPS = 3  # untimed optimizer steps on random tokens; their effect is undone
LOG_EVERY = 10  # steps between two points of the curve


# ---------------------------------------------------------------------------
# Attention: q, k, v [B, T, H, D] -> [B, T, H, D], causal, over the last `window` tokens


def attend_varlen(q, k, v, window):
    """Flash attention with a sliding window: what is outside the window costs nothing."""
    from torch.nn.attention.varlen import varlen_attn

    B, T, H, D = q.shape
    ends = torch.arange(0, (B + 1) * T, T, dtype=torch.int32, device=q.device)  # [B + 1]
    flat = (t.reshape(B * T, H, D) for t in (q, k, v))
    left = -1 if window >= T else window - 1
    return varlen_attn(*flat, ends, ends, T, T, window_size=(left, 0)).view(B, T, H, D)


def attend_sdpa(q, k, v, window):
    """Works on every device; a window is a mask, so it saves nothing."""
    T = q.size(1)
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [B, H, T, D]
    if window >= T:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    age = torch.arange(T, device=q.device)[:, None] - torch.arange(T, device=q.device)[None, :]
    band = (age >= 0) & (age < window)  # [T, T]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=band).transpose(1, 2)


def choose_attention(device, dtype):
    """The fastest attention that this card really runs, backward too, and that gives the right answer."""
    if device.type != "cuda" or dtype == torch.float32 or torch.cuda.get_device_capability(device) < (8, 0):
        return attend_sdpa
    try:
        q, k, v = torch.randn(3, 2, 256, 2, HEAD_DIM, device=device, dtype=dtype).requires_grad_().unbind(0)
        for window in (64, 256):
            fast, sure = attend_varlen(q, k, v, window), attend_sdpa(q, k, v, window)
            fast.float().square().sum().backward(retain_graph=True)
            if (fast - sure).abs().max() > 0.05:
                raise RuntimeError(f"varlen attention is off by {(fast - sure).abs().max().item():.3f}")
        return attend_varlen
    except Exception as problem:  # an old torch or an unsupported card: slower, not dead
        print(f"attention: scaled_dot_product_attention, because: {problem}")
        return attend_sdpa


# ---------------------------------------------------------------------------
# Model


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


def rotate(x, cos, sin):  # [B, T, H, D], [T, 1, D / 2] twice
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos + right * sin, right * cos - left * sin), dim=-1)


class Linear(nn.Linear):
    """No bias; float32 weights, used in the dtype of the input."""

    def __init__(self, fan_in, fan_out):
        super().__init__(fan_in, fan_out, bias=False)

    def forward(self, x):
        return F.linear(x, self.weight.to(x.dtype))


class Attention(nn.Module):
    def __init__(self, width, window, has_values, attend):
        super().__init__()
        self.heads, self.window, self.attend = width // HEAD_DIM, window, attend
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        self.out = Linear(width, width)
        self.gate = Linear(VALUE_GATE_CHANNELS, self.heads) if has_values else None

    def forward(self, x, values, cos, sin):  # [B, T, C], [B, T, C] or None
        shape = (*x.shape[:2], self.heads, HEAD_DIM)
        q, k, v = (project(x).view(shape) for project in (self.query, self.key, self.value))
        if values is not None:
            gate = 2 * torch.sigmoid(self.gate(x[..., :VALUE_GATE_CHANNELS]))  # [B, T, H]
            v = v + gate.unsqueeze(-1) * values.view(shape)
        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))
        return self.out(self.attend(q, k, v, self.window).reshape(x.shape))


class Block(nn.Module):
    def __init__(self, width, window, has_values, attend):
        super().__init__()
        self.attention = Attention(width, window, has_values, attend)
        self.up = Linear(width, MLP_RATIO * width)
        self.down = Linear(MLP_RATIO * width, width)

    def forward(self, x, values, cos, sin):  # [B, T, C] -> [B, T, C]
        x = x + self.attention(norm(x), values, cos, sin)
        return x + self.down(F.relu(self.up(norm(x))).square())


class GPT(nn.Module):
    def __init__(self, vocab_size, sequence_len, dtype, attend):
        super().__init__()
        width = math.ceil(DEPTH * WIDTH_PER_LAYER / HEAD_DIM) * HEAD_DIM
        self.width, self.dtype = width, dtype
        pattern = [WINDOW_PATTERN[layer % len(WINDOW_PATTERN)] for layer in range(DEPTH - 1)] + ["L"]
        self.windows = [min(SHORT_WINDOW, sequence_len) if span == "S" else sequence_len for span in pattern]
        has_values = [
            layer % 2 == (DEPTH - 1) % 2 for layer in range(DEPTH)
        ]  # every other layer, and the last
        self.embedding = nn.Embedding(vocab_size, width)
        self.value_embeddings = nn.ModuleDict(
            {str(layer): nn.Embedding(vocab_size, width) for layer in range(DEPTH) if has_values[layer]}
        )
        self.blocks = nn.ModuleList(
            Block(width, window, values, attend) for window, values in zip(self.windows, has_values)
        )
        self.unembedding = Linear(width, vocab_size)
        self.residual_weight = nn.Parameter(torch.ones(DEPTH))
        self.skip_weight = nn.Parameter(torch.full((DEPTH,), 0.1))
        frequency = ROPE_BASE ** -(torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM)
        angle = torch.outer(torch.arange(sequence_len).float(), frequency)[:, None]  # [T, 1, D / 2]
        self.register_buffer("cos", angle.cos().to(dtype), persistent=False)
        self.register_buffer("sin", angle.sin().to(dtype), persistent=False)

    @torch.no_grad()
    def initialise(self):
        """Each block starts as the identity: what writes into the residual stream is zero."""
        bound = (3 / self.width) ** 0.5  # uniform with standard deviation width ** -0.5
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.unembedding.weight, std=0.001)
        for table in self.value_embeddings.values():
            nn.init.uniform_(table.weight, -bound, bound)
        for block in self.blocks:
            attention = block.attention
            for layer in (attention.query, attention.key, attention.value, block.up):
                nn.init.uniform_(layer.weight, -bound, bound)
            for layer in (attention.out, block.down, attention.gate):
                if layer is not None:
                    nn.init.zeros_(layer.weight)

    def forward(self, ids):  # int64 [B, T] -> float32 [B, T, V]
        T = ids.size(1)
        cos, sin = self.cos[:T], self.sin[:T]
        x = start = norm(self.embedding(ids).to(self.dtype))  # [B, T, C]
        for layer, block in enumerate(self.blocks):
            x = self.residual_weight[layer].to(x.dtype) * x + self.skip_weight[layer].to(x.dtype) * start
            table = self.value_embeddings[str(layer)] if str(layer) in self.value_embeddings else None
            values = None if table is None else table(ids).to(x.dtype)
            x = block(x, values, cos, sin)
        logits = self.unembedding(norm(x)).float()
        return LOGIT_SOFTCAP * torch.tanh(logits / LOGIT_SOFTCAP)

    def flops_per_token(self):
        """Forward and backward: 6 per weight of a matrix, 12 per head channel and attended token."""
        weights = sum(p.numel() for p in self.blocks.parameters()) + self.unembedding.weight.numel()
        T = self.cos.size(0)
        seen = [
            w - w * (w - 1) / (2 * T) for w in self.windows
        ]  # tokens attended to, on average over the row
        return 6 * weights + 12 * self.width * sum(seen)


# ---------------------------------------------------------------------------
# Optimizer: Muon for the matrices of the blocks, AdamW for the rest

# Each step is the odd quintic that brings singular values from an interval nearest to 1; the intervals follow
# from one another, starting at [0.001, 1] (the Polar Express, Amsel et al. 2025).
POLAR = (
    (8.28721, -23.59589, 17.30039),
    (4.10706, -2.94785, 0.54484),
    (3.94869, -2.90890, 0.55182),
    (3.31842, -2.48849, 0.51005),
    (2.30065, -1.66890, 0.41881),
)


def polar(x):  # [K, M, N] -> the nearest semi-orthogonal matrices, [K, M, N]
    is_tall = x.size(-2) > x.size(-1)
    x = x.mT if is_tall else x
    x = x / (1.02 * x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for a, b, c in POLAR[:MUON_ITERATIONS]:
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if is_tall else x


def muon_update(weights, grads, momenta, squares, lr, momentum, decay, dtype):
    """New weights [K, M, N]; `momenta` [K, M, N] and `squares` [K, M, 1] change in place."""
    momenta.lerp_(grads, 1 - momentum)
    update = polar(torch.lerp(grads, momenta, momentum).to(dtype)).float()
    # Even out the neurons, and keep the size of the whole (NorMuon, Li et al. 2025).
    squares.lerp_(update.square().mean(dim=-1, keepdim=True), 1 - MUON_BETA2)
    even = update * squares.clamp_min(1e-10).rsqrt()
    even = even * (
        update.norm(dim=(-2, -1), keepdim=True) / even.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-10)
    )
    rate = lr * max(1.0, weights.size(-2) / weights.size(-1)) ** 0.5
    shrink = decay * weights * (even * weights > 0)  # only where the update shrinks the weight as well
    return weights - rate * (even + shrink)


class Muon:
    """Matrices of one shape are stacked, so that one batched product serves all layers."""

    def __init__(self, matrices, dtype):
        self.stacks, self.dtype = {}, dtype
        for matrix in matrices:
            self.stacks.setdefault(matrix.shape, []).append(matrix)
        self.momenta = {s: torch.zeros(len(ps), *s, device=ps[0].device) for s, ps in self.stacks.items()}
        self.squares = {
            s: torch.zeros(len(ps), s[0], 1, device=ps[0].device) for s, ps in self.stacks.items()
        }
        self.lr, self.momentum, self.decay = (torch.zeros(()) for _ in range(3))  # tensors: no recompilation

    @torch.no_grad()
    def step(self, update, lr, momentum, decay):
        self.lr.fill_(lr), self.momentum.fill_(momentum), self.decay.fill_(decay)
        for shape, matrices in self.stacks.items():
            weights, grads = torch.stack(matrices), torch.stack([matrix.grad for matrix in matrices])
            state = (self.momenta[shape], self.squares[shape], self.lr, self.momentum, self.decay, self.dtype)
            torch._foreach_copy_(matrices, list(update(weights, grads, *state).unbind(0)))


class Optimizer:
    def __init__(self, model):
        scale = (model.width / 768) ** -0.5
        on_gpu = model.cos.device.type == "cuda"
        embeddings = [model.embedding.weight, *(table.weight for table in model.value_embeddings.values())]
        groups = [
            {"params": embeddings, "peak_lr": EMBEDDING_LR * scale},
            {"params": [model.unembedding.weight], "peak_lr": UNEMBEDDING_LR * scale},
            {"params": [model.residual_weight], "peak_lr": SCALAR_LR * 0.01},
            {"params": [model.skip_weight], "peak_lr": SCALAR_LR},
        ]
        self.adam = torch.optim.AdamW(
            groups, lr=0.0, betas=(ADAM_BETA1, ADAM_BETA2), eps=ADAM_EPS, weight_decay=0.0, fused=on_gpu
        )
        self.muon = Muon(model.blocks.parameters(), model.dtype if on_gpu else torch.float32)
        self.parameters = list(model.parameters())
        self.loss_scale = (
            2.0**14 if model.dtype == torch.float16 else 1.0
        )  # keeps small float16 gradients alive

    def step(self, update, step, progress):
        """One step from the gradients that have been summed up; they are cleared."""
        grads = [p.grad for p in self.parameters]
        if self.loss_scale != 1.0:
            if not all(math.isfinite(size) for size in torch.stack(torch._foreach_norm(grads)).tolist()):
                self.loss_scale /= 2  # too large for float16: skip this step
                return self.clear()
            torch._foreach_div_(grads, self.loss_scale)
        lr = lr_factor(progress)
        warm = min(1.0, step / max(1, MUON_MOMENTUM_STEPS))
        momentum = MUON_MOMENTUM_START + warm * (MUON_MOMENTUM - MUON_MOMENTUM_START)
        for group in self.adam.param_groups:
            group["lr"] = group["peak_lr"] * lr
        self.adam.step()
        self.muon.step(update, MATRIX_LR * lr, momentum, WEIGHT_DECAY * (1 - progress))
        self.clear()

    def clear(self):
        for parameter in self.parameters:
            parameter.grad = None


def lr_factor(progress):
    if progress < WARMUP_FRAC:
        return progress / WARMUP_FRAC
    left = min(1.0, (1 - progress) / WARMDOWN_FRAC) if WARMDOWN_FRAC else 1.0
    return FINAL_LR_FRAC + (1 - FINAL_LR_FRAC) * left


# ---------------------------------------------------------------------------
# Tokens


class Rows:
    """Endless rows of T + 1 tokens: shards in random order, rows shuffled within each; fixed by the seed."""

    def __init__(self, shards, sequence_len, seed):
        self.shards = [shard for shard in shards if len(shard) > 2 * sequence_len]
        if not self.shards:
            raise ValueError(f"no shard has {2 * sequence_len} tokens")
        self.T, self.random = sequence_len, np.random.default_rng(seed)
        self.pending, self.order = [], []

    def take(self, count, device):  # -> inputs and targets, int64 [count, T] each
        picked = np.stack([self.next_row() for _ in range(count)]).astype(np.int32)
        rows = torch.from_numpy(picked)
        if device.type == "cuda":  # pinned: the copy runs beside the computation
            rows = rows.pin_memory().to(device, non_blocking=True)
        rows = rows.to(device).long()
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    def next_row(self):
        if not self.order:
            if not self.pending:
                self.pending = self.random.permutation(len(self.shards)).tolist()
            tokens = np.array(self.shards[self.pending.pop()])  # one pass over the file, then memory
            tokens = tokens[self.random.integers(self.T) :]  # other cuts in every epoch
            self.rows = np.lib.stride_tricks.sliding_window_view(tokens, self.T + 1)[:: self.T]
            self.order = self.random.permutation(len(self.rows)).tolist()
        return self.rows[self.order.pop()]


# ---------------------------------------------------------------------------
# Set-up: find what this machine can do, on random tokens, before the clock runs


class Machine:
    """How to compute on this card: compiled or not, and how many rows at a time."""

    def __init__(self, ctx, model):
        self.device, self.model = ctx.device, model
        self.rows_per_step = max(1, TOTAL_BATCH_TOKENS // ctx.sequence_len)
        self.rows = first_guess(ctx, model, min(self.rows_per_step, DEVICE_ROWS_MAX))
        self.is_compiled = COMPILE and ctx.device.type == "cuda"
        self.loss, self.update = mean_loss, muon_update
        if self.is_compiled:
            self.loss = torch.compile(mean_loss, dynamic=False)
            self.update = torch.compile(muon_update, dynamic=False)

    @property
    def batches(self):
        return max(1, self.rows_per_step // self.rows)

    def backward(self, optimizer, inputs, targets):  # -> loss, [], not yet waited for
        loss = self.loss(self.model, inputs, targets)
        (loss * (optimizer.loss_scale / self.batches)).backward()
        return loss.detach()

    def halve(self, problem):
        if self.rows == 1:
            raise problem
        self.rows //= 2
        print(f"out of memory: going on with {self.rows} rows at a time")

    def give_up_compiling(self, problem):
        self.is_compiled, self.loss, self.update = False, mean_loss, muon_update
        print(f"torch.compile is not available, going on in eager mode: {str(problem).splitlines()[:1]}")

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def mean_loss(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def first_guess(ctx, model, most):
    """Rows that should fit the card, a power of two: tried out afterwards."""
    rows = 2 ** int(math.log2(most))
    if ctx.device.type == "cuda":
        free = torch.cuda.mem_get_info(ctx.device)[0] * MEMORY_FRAC
        kept = DEPTH * model.width * 2 * 24 + ctx.vocab_size * 4 * 3  # bytes per token, for the backward pass
        while rows > 1 and rows * ctx.sequence_len * kept > free:
            rows //= 2
    return rows


def warm_up(ctx, machine):
    """Compiles, finds how many rows fit, and leaves weights as they were."""
    before = [p.detach().clone() for p in machine.model.parameters()]
    done = False
    while not done:
        optimizer = Optimizer(machine.model)
        try:
            for step in range(WARM_UP_STEPS):
                for _ in range(min(2, machine.batches)):  # the second one adds to gradients
                    machine.backward(optimizer, *ctx.dummy_batch(machine.rows))
                optimizer.step(machine.update, step, progress=0.0)
            machine.synchronize()
            done = True
        except Exception as problem:
            if "out of memory" in str(problem).lower() or isinstance(problem, torch.OutOfMemoryError):
                machine.halve(problem)  # the compiler wraps this error in one of its own
            elif machine.is_compiled:
                machine.give_up_compiling(problem)
            else:
                raise
        optimizer.clear()
        if not done and ctx.device.type == "cuda":
            torch.cuda.empty_cache()
    with torch.no_grad():
        torch._foreach_copy_(list(machine.model.parameters()), before)


# ---------------------------------------------------------------------------
# Training


def train(ctx):
    torch.manual_seed(ctx.seed)
    torch.set_float32_matmul_precision("high")
    attend = choose_attention(ctx.device, ctx.dtype)
    model = GPT(ctx.vocab_size, ctx.sequence_len, ctx.dtype, attend).to(ctx.device)
    model.initialise()
    machine = Machine(ctx, model)
    warm_up(ctx, machine)
    optimizer = Optimizer(model)
    facts = {
        "num_params": sum(p.numel() for p in model.parameters()),
        "flops_per_token": model.flops_per_token(),
    }
    gc.collect(), gc.freeze(), gc.disable()  # a collection in the middle of a step is time lost
    rows = Rows(ctx.start(), ctx.sequence_len, ctx.seed)
    step, tokens, may_retry = 0, 0, True
    clock = Clock(ctx)
    while ctx.running() and not clock.is_late():
        try:
            is_whole = train_step(ctx, machine, optimizer, rows, clock, step)
        except torch.OutOfMemoryError as problem:  # something else grew on this card: once is forgiven
            if not may_retry:
                raise
            may_retry = False
            optimizer.clear()
            machine.halve(problem)
            torch.cuda.empty_cache()
            continue
        if not is_whole:
            break
        step += 1
        tokens += machine.batches * machine.rows * ctx.sequence_len
        if step % LOG_EVERY == 0:
            ctx.log(step=step, loss=clock.loss, tokens=tokens, **facts)
    clock.settle()
    ctx.log(step=step, loss=clock.loss, tokens=tokens, **facts)
    optimizer.clear()
    gc.enable(), gc.unfreeze()
    return model.eval().requires_grad_(False)  # int64 [B, T] -> float32 [B, T, V]


class Clock:
    """Keeps at most one batch in flight beside the present one, and sees the end of the budget coming."""

    def __init__(self, ctx):
        self.ctx, self.share, self.last = ctx, 0.0, ctx.progress()  # share: of the budget, per batch
        self.waiting, self.loss = None, math.nan
        self.unfinished = 1 if ctx.device.type == "cpu" else 2  # batches: the next one, and the one in flight

    def passed(self, loss):
        """Waits for the batch before this one; afterwards `self.loss` is that one's."""
        self.settle()
        self.waiting = loss
        now = self.ctx.progress()
        self.share, self.last = max(now - self.last, 0.9 * self.share), now

    def settle(self):
        """Waits for the batch in flight."""
        if self.waiting is not None:
            self.loss, self.waiting = self.waiting.item(), None
            if not math.isfinite(self.loss):
                raise FloatingPointError(f"the loss is {self.loss}: training has diverged")

    def is_late(self):
        """Whether another batch would end after the budget."""
        return self.ctx.progress() + self.unfinished * self.share >= 1


def train_step(ctx, machine, optimizer, rows, clock, step):
    """One optimizer step; False when time ran out before it was whole."""
    for _ in range(machine.batches):
        if clock.is_late():
            return False
        clock.passed(machine.backward(optimizer, *rows.take(machine.rows, ctx.device)))
    optimizer.step(machine.update, step, ctx.progress())
    return True
