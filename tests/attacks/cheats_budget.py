"""Cheats on the budget: training that is not counted, before, beside and after what is."""

from __future__ import annotations

from attack import Caught, Cheat, Harmless
from parts import CPU_GAIN_MIN, LEARNER

LATE = Caught(outcome="timed_out", reason="had not returned")
LAZY = Caught(outcome="rejected", reason="calls while scoring took")
EXTRA_S = 3

_AFTER = """
    while ctx.running():
        step(model, tokens)
"""


def learner(body: str, *, prelude: str = "") -> str:
    """A learner whose training is written out."""
    return f"""{LEARNER}
import os, sys, threading
{prelude}
def train(ctx):
    torch.manual_seed(ctx.seed)
    model = Bigram(ctx.vocab_size)
{body}
"""


_IN_A_CHILD = f"""
    tokens = text(ctx.start()[0])
    model.share_memory()
    child = os.fork()
    if child == 0:
        {{detach}}
        learn(model, tokens, {EXTRA_S})
        (ctx.scratch / "done").touch()
        os._exit(0)
    until = time.monotonic() + 100
    while not (ctx.scratch / "done").exists() and time.monotonic() < until:
        time.sleep(0.05)
    {{reap}}
    return model
"""

CHEATS = (
    Cheat(
        name="ignores the budget",
        tries=f"trains {EXTRA_S} CPU seconds where one is allowed",
        defence="overrun is capped at half a second",
        source=learner(f"    return learn(model, text(ctx.start()[0]), {EXTRA_S})"),
        expected=LATE,
        without=("overrun-cap",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="patched ctx",
        tries="replaces ctx.running and ctx.progress by its own clock",
        defence="overrun is capped at half a second",
        source=learner(
            f"""
    until = time.process_time() + {EXTRA_S}
    type(ctx).running = lambda self: time.process_time() < until
    type(ctx).progress = lambda self: 0.0
    tokens = text(ctx.start()[0])
{_AFTER}
    return model
"""
        ),
        expected=LATE,
        without=("overrun-cap",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="writes on the budget page",
        tries="sets the progress on the shared page back to zero",
        defence="the page is sealed, and the harness never reads it back",
        source=learner(
            f"""
    import mmap, struct
    tokens = text(ctx.start()[0])
    try:
        page = mmap.mmap(int(sys.argv[2]), 4096)
    except OSError:
        page = bytearray(4096)
    until = time.process_time() + {EXTRA_S}
    while ctx.running() and time.process_time() < until:
        page[0:8] = struct.pack("d", 0.0)
        step(model, tokens)
    page[0:8] = struct.pack("d", 0.0)
    return model
"""
        ),
        expected=Harmless(),
        without=("own-clock",),
        arena="cpu",
        control="learner",
        gain_min=CPU_GAIN_MIN,
    ),
    Cheat(
        name="trains in a child",
        tries="sleeps while a forked child trains in shared memory",
        defence="CPU seconds of all descendants count",
        source=learner(_IN_A_CHILD.format(detach="pass", reap="os.waitpid(child, 0)")),
        expected=LATE,
        without=("family-clock",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="trains in a daemon",
        tries="sleeps while a daemonised grandchild of another session trains",
        defence="CPU seconds of adopted orphans count too",
        source=learner(
            _IN_A_CHILD.format(
                detach="os.setsid()\n        if os.fork(): os._exit(0)", reap="os.waitpid(child, 0)"
            )
        ),
        expected=LATE,
        without=("family-clock",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="trains in children that nobody waits for",
        tries="ignores the end of children, each of which ends before the harness looks again",
        defence="seccomp: the end of children cannot be ignored, so the kernel tells what they spent",
        source=learner(
            """
    import signal
    with contextlib.suppress(OSError):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    tokens = text(ctx.start()[0])
    model.share_memory()
    number, until = 0, time.monotonic() + 60
    while ctx.running() and time.monotonic() < until:
        number += 1
        child = os.fork()
        if child == 0:
            torch.manual_seed(number)
            learn(model, tokens, 0.025)
            os._exit(0)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    return model
""",
            prelude="import contextlib",
        ),
        expected=Harmless(),
        arena="cpu",
        control="learner",
        gain_min=CPU_GAIN_MIN,
        is_probe=True,  # forking a process of this size costs as much as it hides
    ),
    Cheat(
        name="learns in its first answer",
        tries="goes on training when it is first asked",
        defence="calls that cost more than others",
        source=learner(
            f"""
    tokens, learned = text(ctx.start()[0]), []
{_AFTER}
    def answer(ids):
        if not learned:
            learned.append(learn(model, tokens, {EXTRA_S}))
        return model(ids)
    return answer
"""
        ),
        expected=LAZY,
        without=("scoring-time",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="background thread",
        tries="a thread goes on training when train() has returned, and the first answer waits for it",
        defence="CPU time from the end of training counts as scoring",
        source=learner(
            f"""
    tokens = text(ctx.start()[0])
{_AFTER}
    thread = threading.Thread(target=learn, args=(model, tokens, {EXTRA_S}))
    thread.start()
    def answer(ids):
        thread.join()
        return model(ids)
    return answer
"""
        ),
        expected=LAZY,
        without=("scoring-time",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="background child",
        tries="a forked child goes on training in shared memory, and the first answer waits for it",
        defence="CPU time of descendants counts while scoring too",
        source=learner(
            f"""
    tokens = text(ctx.start()[0])
    model.share_memory()
{_AFTER}
    child = os.fork()
    if child == 0:
        learn(model, tokens, {EXTRA_S})
        os._exit(0)
    waiting = [child]
    def answer(ids):
        while waiting:
            os.waitpid(waiting.pop(), 0)
        return model(ids)
    return answer
"""
        ),
        expected=LAZY,
        without=("scoring-time",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="forged end of training",
        tries="says that training is over at once, goes on, and serves its answers itself",
        defence="CPU time from the end of training counts as scoring",
        source=learner(
            f"""
    import json
    from trainer import worker
    from trainer.logits import BufferShape
    tokens = text(ctx.start()[0])
    ctx._channel.sendall(b"AR\\x07\\0\\x02\\0\\0\\0" + b"{{}}")
    learn(model, tokens, {EXTRA_S})
    shape = BufferShape(rows=8, sequence_len=ctx.sequence_len, vocab_size=ctx.vocab_size)
    with torch.inference_mode():
        worker._answer(ctx._channel, model, shape, ctx.device)
"""
        ),
        expected=LAZY,
        without=("scoring-time",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="trains anew in every answer",
        tries="spends two CPU seconds of further training on each call, the same each time",
        defence="scoring has a time limit",
        source=learner(
            f"""
    import copy
    tokens = text(ctx.start()[0])
{_AFTER}
    def answer(ids):
        torch.manual_seed(0)
        with torch.inference_mode(False):
            other = copy.deepcopy(model)
            with torch.enable_grad():
                for _ in range(1400):
                    step(other, tokens)
            return other(ids.clone()).detach()
    return answer
"""
        ),
        expected=Caught(outcome="timed_out", reason="scoring took more than"),
        without=("scoring-cap",),
        arena="hasty",
        control="learner",
    ),
    Cheat(
        name="learns a little in every answer",
        tries="goes on training in each call alike, and repeats its first answer where a prefix comes back",
        defence="all calls together have a cap of CPU seconds",
        source=learner(
            f"""
    tokens, answered = text(ctx.start()[0]), dict()
{_AFTER}
    def answer(ids):
        learn(model, tokens, 0.3)
        out = model(ids).clone()
        for row, words in enumerate(ids.tolist()):
            for at in range(len(words)):
                out[row, at] = answered.setdefault(tuple(words[: at + 1]), out[row, at].clone())
        return out
    return answer
"""
        ),
        expected=Caught(outcome="rejected", reason="scoring took .* CPU seconds"),
        without=("scoring-cpu-cap",),
        arena="brief",
        control="learner",
        gain_min=CPU_GAIN_MIN,
    ),
    Cheat(
        name="wakes itself while the pace is measured",
        tries="a timer sends it SIGCONT, and it spoils the caches while the harness measures its core",
        defence="seccomp: no timers; a pace at which the worker ran is not believed",
        source=learner(
            f"""
    import ctypes, signal
    libc = ctypes.CDLL(None)
    event, timer = (ctypes.c_int * 16)(0, 0, signal.SIGCONT, 0), ctypes.c_void_p()
    every = (ctypes.c_long * 4)(0, 4_000_000, 0, 4_000_000)
    junk = torch.zeros(1 << 22)
    signal.signal(signal.SIGCONT, lambda *_: junk.add_(1.0))
    has_timer = libc.timer_create(1, event, ctypes.byref(timer)) == 0
    tokens = text(ctx.start()[0])
    if has_timer:
        libc.timer_settime(timer, 0, every, None)
{_AFTER}
    return model
"""
        ),
        expected=Harmless(),
        arena="paced",
        control="paced learner",
        gain_min=0.1,
        is_probe=True,
    ),
)
