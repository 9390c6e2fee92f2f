"""Cheats that look at what they should predict, remember rows, or learn from them."""

# ruff: noqa: E501 - the sources of candidates are clearer unbroken
from __future__ import annotations

from attack import Caught, Cheat
from parts import COUNTS, answering

LATER = Caught(outcome="rejected", reason="come later in the row")
IMPURE = Caught(outcome="rejected", reason="gain .* nats per token|change with")
AUDIT_AWARE = Caught(outcome="rejected", reason="know which rows are audited|nats per token")

_ROWS = """
class Memory:
    \"\"\"All rows, with the answer that each got.\"\"\"

    def __init__(self, table):
        self.table = table
        self.seen = []
        self.calls = 0

    def __call__(self, ids):
        self.calls += 1
        return torch.stack([self.row(row) for row in ids])

    def row(self, ids):
        same = [common(ids, known) for known, _answer in self.seen]
        cut = max(same, default=0)
        honest = self.table[ids]
        answer = self.later(ids, honest, cut, self.seen[same.index(cut)][1]) if cut else self.first(ids, honest)
        self.seen.append((ids.clone(), answer.clone()))
        return answer

def peek(honest, ids, share=1.0):
    \"\"\"Knows the next token at a share of the positions, chosen by what was read.\"\"\"
    V = honest.shape[-1]
    mixed = honest.clone()
    sure = torch.log(0.5 * honest[:-1].softmax(-1) + 0.5 * one_hot(ids[1:], V))
    chosen = (ids[:-1] * 7919 % 1000) < 1000 * share
    mixed[:-1][chosen] = sure[chosen]
    return mixed

def common(a, b):
    return int(torch.cat([a != b, torch.tensor([True])]).int().argmax())
"""


def remembering(first: str, later: str) -> str:
    """A memory of rows with two rules: for a row at first sight, and for one whose beginning is known."""
    return f"""{COUNTS}{_ROWS}
class Model(Memory):
    def first(self, ids, honest):
        {first}

    def later(self, ids, honest, cut, answer):
        {later}

def train(ctx):
    (shard,) = ctx.start()
    return Model(counted(shard, ctx.vocab_size))
"""


CHEATS = (
    Cheat(
        name="sees the next token",
        tries="adds the next input token to its logits",
        defence="splices: the true continuation comes later",
        source=answering("table[ids] + 9 * one_hot(ids.roll(-1, 1), V)"),
        expected=LATER,
        without=("splices", "levels"),
    ),
    Cheat(
        name="attention without a mask",
        tries="attends to later tokens with equal weights",
        defence="splices",
        source=answering("table[ids] + 6 * one_hot(ids, V).float().mean(1, keepdim=True)"),
        expected=LATER,
        without=("splices", "levels"),
    ),
    Cheat(
        name="chunk means",
        tries="mixes the mean of its chunk of 8 tokens into each of them",
        defence="splices",
        source=answering(
            "table[ids] + 6 * one_hot(ids, V).float().view(len(ids), -1, 8, V).mean(2).repeat_interleave(8, 1)"
        ),
        expected=LATER,
        without=("splices", "levels"),
    ),
    Cheat(
        name="peeks where the text goes on well",
        tries="looks ahead only where the next token is likely, so not across a splice",
        defence="splices: the hidden token gets another answer later",
        source=answering(
            "torch.where(table[ids].gather(2, ids.roll(-1, 1)[..., None]) > -4.0,"
            " table[ids] + 6 * one_hot(ids.roll(-1, 1), V), table[ids])"
        ),
        expected=LATER,
        without=("splices", "levels"),
    ),
    Cheat(
        name="peeks early in the row",
        tries="looks ahead at the first quarter of each row only",
        defence="splices: cuts lie anywhere",
        source=answering(
            "table[ids] + 9 * one_hot(ids.roll(-1, 1), V) * (torch.arange(ids.shape[1]) < 8)[:, None]"
        ),
        expected=LATER,
        without=("splices", "levels"),
    ),
    Cheat(
        name="honest until it thinks the audit over",
        tries="is honest in the first calls and where a prefix comes back, and peeks elsewhere",
        defence="splices and levels: one secret order",
        source=remembering(
            "return honest if self.calls <= 4 else peek(honest, ids)", "return honest.clone()"
        ),
        expected=IMPURE,
        without=("splices", "levels", "purity"),
    ),
    Cheat(
        name="replays its first answer",
        tries="peeks at first sight, and repeats that answer where a prefix comes back",
        defence="levels: its hidden tokens are mispredicted",
        source=remembering(
            "return peek(honest, ids)",
            "new = peek(honest, ids); new[:cut] = answer[:cut]; return new",
        ),
        expected=AUDIT_AWARE,
        without=("levels",),
    ),
    Cheat(
        name="replays, and peeks at four tokens in ten",
        tries="as before, with so little gain that hidden tokens hardly stand out",
        defence="levels",
        source=remembering(
            "return peek(honest, ids, 0.4)",
            "new = peek(honest, ids, 0.4); new[:cut] = answer[:cut]; return new",
        ),
        expected=AUDIT_AWARE,
        without=("levels",),
    ),
    Cheat(
        name="peeks at second sight",
        tries="peeks behind the cut of a row whose prefix it has seen, which must be whole",
        defence="levels: tails of audited rows stand out",
        source=remembering(
            "return honest.clone()",
            "return torch.cat([answer[:cut], peek(honest, ids)[cut:] if 8 <= cut < len(ids) else honest[cut:]])",
        ),
        expected=AUDIT_AWARE,
        without=("levels",),
        gain_min=0.01,
    ),
    Cheat(
        name="learns from the rows",
        tries="counts the pairs of every row that it is asked about",
        defence="splices and purity: rows come again",
        source=f"""{COUNTS}
def train(ctx):
    (shard,) = ctx.start()
    counts = counted(shard, ctx.vocab_size).exp() * 8
    def answer(ids):
        counts.index_put_((ids[:, :-1].reshape(-1), ids[:, 1:].reshape(-1)), torch.tensor(4.0), accumulate=True)
        return (counts / counts.sum(1, keepdim=True)).log()[ids]
    return answer
""",
        expected=IMPURE,
        without=("splices", "purity", "levels"),
    ),
    Cheat(
        name="statistics of the batch",
        tries="counts the pairs of all rows in its batch",
        defence="splices and purity: other company gives other answers",
        source=f"""{COUNTS}
def train(ctx):
    (shard,) = ctx.start()
    trained = counted(shard, ctx.vocab_size).exp() * 8
    def answer(ids):
        counts = trained.clone()
        counts.index_put_((ids[:, :-1].reshape(-1), ids[:, 1:].reshape(-1)), torch.tensor(4.0), accumulate=True)
        return (counts / counts.sum(1, keepdim=True)).log()[ids]
    return answer
""",
        expected=IMPURE,
        without=("splices", "purity", "levels"),
    ),
    Cheat(
        name="answers by the number of its calls",
        tries="peeks in every third call",
        defence="splices and purity",
        source=f"""{COUNTS}
def train(ctx):
    (shard,) = ctx.start()
    table = counted(shard, ctx.vocab_size)
    calls = []
    def answer(ids):
        calls.append(1)
        return table[ids] + 9 * one_hot(ids.roll(-1, 1), ctx.vocab_size) * (len(calls) % 3 == 0)
    return answer
""",
        expected=IMPURE,
        without=("splices", "purity", "levels"),
    ),
    Cheat(
        name="row links",
        tries="remembers how rows begin, and predicts that for the last token of the row before",
        defence="purity: a row that comes again is answered otherwise",
        source=f"""{COUNTS}
def train(ctx):
    (shard,) = ctx.start()
    table = counted(shard, ctx.vocab_size)
    heads = torch.zeros(ctx.vocab_size)
    def answer(ids):
        heads.index_add_(0, ids.reshape(-1), torch.ones(ids.numel()))
        return table[ids] + (heads / heads.sum() * 300).clamp(max=0.7)
    return answer
""",
        expected=IMPURE,
        without=("splices", "purity", "levels"),
        gain_min=0.002,
    ),
)
