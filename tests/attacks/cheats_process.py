"""Cheats on the measuring code, which lies in another process; against a trainer of one process they work."""

from __future__ import annotations

from attack import Caught, Cheat, Harmless
from parts import COUNTS, CPU_GAIN_MIN, HONEST_COUNTS, LEARNER, answering

_ONE = ("separate-process",)
_WALL = "the harness is another process"

CHEATS = (
    Cheat(
        name="prints a score",
        tries="prints the line that a score is read from",
        defence="the score is the harness's own number, not a line of stdout",
        source=HONEST_COUNTS.replace("    pass\n", "    print('val_bpb: 0.1')\n"),
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="logs a score",
        tries="logs a metric under the score's name",
        defence="what a candidate logs never ranks",
        source=HONEST_COUNTS.replace("    pass\n", "").replace(
            "    table =", "    ctx.log(step=1, loss=0.1, val_bpb=0.1)\n    table ="
        ),
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="patched loss",
        tries="replaces torch.nn.functional.cross_entropy by zeros",
        defence=_WALL,
        source=answering(
            "table[ids]",
            prelude="torch.nn.functional.cross_entropy = lambda _, targets, **__: torch.zeros(targets.shape)",
        ),
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="a tensor that scores itself",
        tries="returns a tensor whose class takes over the loss function",
        defence=_WALL,
        source=answering(
            "table[ids].as_subclass(Flattering)",
            prelude="""
class Flattering(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, given=(), named=None):
        if function is torch.nn.functional.cross_entropy:
            return torch.zeros(given[1].shape)
        return super().__torch_function__(function, types, given, named or {})
""",
        ),
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="patched arithmetic",
        tries="replaces math.fsum, which adds up the losses",
        defence=_WALL,
        source=answering(
            "table[ids]", prelude="import math\nadd = math.fsum\nmath.fsum = lambda numbers: add(numbers) / 9"
        ),
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="stack walk",
        tries="looks for the targets in the frames that called it",
        defence=_WALL,
        source=answering(
            "told(ids, table, V)",
            prelude="""
import sys
def told(ids, table, V):
    frame = sys._getframe()
    while frame is not None:
        batch = frame.f_locals.get("batch")
        if hasattr(batch, "targets"):
            return table[ids] + 9 * one_hot(torch.as_tensor(batch.targets), V)
        frame = frame.f_back
    return table[ids]
""",
        ),
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="garbage collector walk",
        tries="looks for the validation rows among all live objects",
        defence=_WALL,
        source=f"""{COUNTS}
import gc
def train(ctx):
    (shard,) = ctx.start()
    table = counted(shard, ctx.vocab_size)
    found = [thing for thing in gc.get_objects() if type(thing).__name__ == "ValidationRows"]
    known = {{}}
    for rows in found:
        for inputs, targets in zip(rows.inputs.tolist(), rows.targets.tolist()):
            known.update((tuple(inputs[: at + 1]), target) for at, target in enumerate(targets))
    def answer(ids):
        logits = table[ids]
        for row, given in enumerate(ids.tolist() if known else []):
            for at in range(len(given)):
                logits[row, at, max(0, known.get(tuple(given[: at + 1]), 0))] += 9
        return logits
    return answer
""",
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="sys.modules",
        tries="changes the module that judges answers and scores",
        defence=_WALL,
        source=answering(
            "table[ids] + 9 * one_hot(ids.roll(-1, 1), V)",
            prelude="""
import trainer.evaluate as judge
for name in ("_judge", "_judge_splices", "_judge_levels"):
    setattr(judge, name, lambda *_: 0.0)
""",
        ),
        expected=Caught(outcome="rejected", reason="come later in the row"),
        without=_ONE,
    ),
    Cheat(
        name="import hook",
        tries="gives a judge of its own to whoever imports trainer.evaluate later",
        defence=_WALL,
        source=answering(
            "table[ids]",
            prelude="""
import importlib, sys, types
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name == "trainer.evaluate":
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        return types.ModuleType(spec.name)
    def exec_module(self, module):
        module.evaluate = lambda *_, **__: types.SimpleNamespace(bits_per_byte=0.1)
sys.meta_path.insert(0, Hook())
sys.modules.pop("trainer.evaluate", None)
""",
        ),
        expected=Harmless(),
        without=_ONE,
    ),
    Cheat(
        name="slowed clock",
        tries="replaces time.time by a clock that runs at a fifth of its speed",
        defence="the harness's clock, which counts the kernel's CPU seconds",
        source=LEARNER
        + """
def train(ctx):
    torch.manual_seed(ctx.seed)
    model, tokens, number = Bigram(ctx.vocab_size), text(ctx.start()[0]), 0
    now, began = time.time, time.time()
    for name in ("time", "monotonic", "perf_counter"):
        setattr(time, name, lambda: began + (now() - began) / 5)
    while ctx.running():
        step(model, tokens)
    return model
""",
        expected=Harmless(),
        without=_ONE,
        arena="cpu",
        control="learner",
        gain_min=CPU_GAIN_MIN,
    ),
)
