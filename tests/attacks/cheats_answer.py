"""Cheats on the form of answers and on the channel."""

# ruff: noqa: E501 - the sources of candidates are clearer unbroken
from __future__ import annotations

from attack import Caught, Cheat, Harmless
from parts import COUNTS, HONEST_COUNTS, answering

CHEATS = (
    Cheat(
        name="unnormalised output",
        tries="returns numbers that are no log-probabilities: the same large one for every token",
        defence="the harness normalises (log-softmax in float64)",
        source=answering("table[ids] * 0 + 1.0"),
        expected=Harmless(),
        without=("normalisation",),
    ),
    Cheat(
        name="NaN where it is unsure",
        tries="returns NaN where its best guess is unlikely",
        defence="a loss that is not finite ends the run",
        source=answering(
            "torch.where(table[ids].max(-1, keepdim=True).values < -0.7, float('nan'), table[ids])"
        ),
        expected=Caught(outcome="crashed", reason="not finite"),
        without=("finiteness",),
    ),
    Cheat(
        name="infinity where it is unsure",
        tries="returns +inf for every token where its best guess is unlikely",
        defence="a loss that is not finite ends the run",
        source=answering(
            "torch.where(table[ids].max(-1, keepdim=True).values < -0.7, float('inf'), table[ids])"
        ),
        expected=Caught(outcome="crashed", reason="not finite"),
        without=("finiteness",),
    ),
    Cheat(
        name="logits changed after the fact",
        tries="a thread raises all shared logits, so that the target is read after the normaliser",
        defence="the harness takes one private copy before it computes",
        source=f"""{COUNTS}
import threading
from trainer.logits import WorkerBuffer
def train(ctx):
    (shard,) = ctx.start()
    table = counted(shard, ctx.vocab_size)
    begin = WorkerBuffer.__init__
    def raise_all(tensor):
        with torch.inference_mode():
            while True:
                tensor.add_(0.5)
    def begin_and_raise(self, *given):
        begin(self, *given)
        threading.Thread(target=raise_all, args=(self._tensor,), daemon=True).start()
    WorkerBuffer.__init__ = begin_and_raise
    return lambda ids: table[ids]
""",
        expected=Harmless(or_rejected=True),
        without=("private-copy", "splices", "purity", "levels"),
    ),
    Cheat(
        name="forged answers",
        tries="writes LOGITS frames of another shape to the channel",
        defence="an answer must be of the batch and shape that was asked for",
        source=f"""{COUNTS}
import struct
def train(ctx):
    ctx.start()
    ctx._channel.sendall(b"AR\\x07\\0\\x02\\0\\0\\0" + b"{{}}")
    ctx._channel.sendall(b"AR\\x0a\\0" + struct.pack("<5I", 16, 0, 8, 32, 7))
    import time; time.sleep(5)
""",
        expected=Caught(outcome="rejected", reason="another batch or shape"),
        is_probe=True,
    ),
    Cheat(
        name="frames out of turn",
        tries="sends answers before it was asked",
        defence="each phase takes its own frames only",
        source=f"""{COUNTS}
import struct
def train(ctx):
    ctx._channel.sendall(b"AR\\x0a\\0" + struct.pack("<5I", 16, 0, 8, 32, 300))
    ctx.start()
""",
        expected=Caught(outcome="rejected", reason="out of turn"),
        is_probe=True,
    ),
    Cheat(
        name="a wider vocabulary",
        tries="returns logits for one token more",
        defence="the shape is the challenge's",
        source=answering("torch.nn.functional.pad(table[ids], (0, 1))"),
        expected=Caught(outcome="crashed", reason="expected"),
        is_probe=True,
    ),
    Cheat(
        name="denormal logits",
        tries="returns numbers that are slow to compute with",
        defence="losses are computed in float64",
        source=answering("table[ids] * 0 + 1e-40"),
        expected=Harmless(),
        is_probe=True,
    ),
    Cheat(
        name="false claims",
        tries="logs a negative number of parameters, steps without end and a loss of minus a million",
        defence="claims never rank",
        source=HONEST_COUNTS.replace(
            "    table =",
            "    ctx.log(step=1 << 62, loss=-1e6, num_params=-5, tokens=1e300, flops_per_token=-1.0)\n    table =",
        ),
        expected=Harmless(),
        is_probe=True,
    ),
)
