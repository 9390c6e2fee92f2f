"""Every kind of bad ``train.py`` that the harness has to survive, with the outcome that it must record.

Those that are meant to cheat or to get out lie in ``tests/attacks``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiny_challenge import GOOD, MODEL

_SOCKET = """
import os, socket, sys
channel = socket.socket(fileno=os.dup(int(sys.argv[1])))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    source: str | bytes
    outcome: str
    crash_kind: str | None = None
    reason: str


def crashing(source: str | bytes, crash_kind: str, reason: str) -> Candidate:
    return Candidate(source=source, outcome="crashed", crash_kind=crash_kind, reason=reason)


def rejected(source: str | bytes, reason: str) -> Candidate:
    return Candidate(source=source, outcome="rejected", reason=reason)


def timed_out(source: str, reason: str) -> Candidate:
    return Candidate(source=source, outcome="timed_out", reason=reason)


def answering(forward: str, prelude: str = "") -> str:
    """Trains nothing and answers with an expression of ``ids`` and ``table``."""
    return f"""
import torch
{prelude}
def train(ctx):
    table = torch.randn(ctx.vocab_size, ctx.vocab_size)
    ctx.start()
    V = ctx.vocab_size
    return lambda ids: {forward}
"""


CANDIDATES = {
    "syntax error": crashing("def train(ctx:\n", "syntax", "SyntaxError"),
    "not utf-8": crashing(b"# \xff\xfe\n", "syntax", "not UTF-8"),
    "NUL character": crashing("x = 1\0\n", "syntax", "NUL"),
    "too long": rejected("#" * 70_000, "70000 bytes"),
    "no train": crashing("x = 1\n", "no_train", "no function train"),
    "crash on import": crashing("import no_such_module\n", "exception", "no_such_module"),
    "crash before start": crashing(
        "def train(ctx):\n    1 / 0\n", "exception", r"ZeroDivisionError: .* \(train.py, line 2\)"
    ),
    "crash after start": crashing(
        "def train(ctx):\n    ctx.start()\n    raise ValueError('lost')\n", "exception", "ValueError: lost"
    ),
    "start twice": crashing(
        "def train(ctx):\n    ctx.start()\n    ctx.start()\n", "exception", "called once"
    ),
    "never starts": crashing("def train(ctx):\n    return lambda ids: ids\n", "no_start", "ctx.start()"),
    "returns nothing": crashing("def train(ctx):\n    ctx.start()\n", "no_model", "NoneType"),
    "hang before start": crashing(
        "import time\ndef train(ctx):\n    time.sleep(1000)\n",
        "setup_timeout",
        "had not called ctx.start",
    ),
    "hang after start": timed_out(
        "import time\ndef train(ctx):\n    ctx.start()\n    time.sleep(1000)\n",
        "had not spent its budget after",
    ),
    "spins for ever": timed_out(
        "def train(ctx):\n    ctx.start()\n    while True: pass\n", "had not returned 0.5 s"
    ),
    "hang in scoring": timed_out(answering("time.sleep(1000)", "import time"), "scoring took more than"),
    "NaN logits": crashing(answering("table[ids] * float('nan')"), "nan", "not finite"),
    "out of memory": crashing("import torch\ndef train(ctx):\n    torch.ones(3 << 28)\n", "oom", "memory"),
    "wrong shape": crashing(answering("table[ids][..., 1:]"), "bad_logits", "299"),
    "wrong type": crashing(answering("table[ids].long()"), "bad_logits", "int64"),
    "no tensor": crashing(answering("None"), "bad_logits", "NoneType"),
    "crash in scoring": crashing(answering("table[ids + V]"), "exception", "IndexError"),
    "os._exit": crashing("import os\ndef train(ctx):\n    os._exit(0)\n", "exit", "exit code 0"),
    "sys.exit": crashing(
        "import sys\ndef train(ctx):\n    ctx.start()\n    sys.exit()\n", "exception", "SystemExit"
    ),
    "killed": crashing(
        "import os, signal\ndef train(ctx):\n    os.kill(os.getpid(), signal.SIGKILL)\n", "killed", "signal 9"
    ),
    "garbage on the wire": rejected(
        _SOCKET + "def train(ctx):\n    channel.sendall(b'x' * 100)\n    ctx.start()\n", "broke the protocol"
    ),
    "torn frame": crashing(
        _SOCKET + "def train(ctx):\n    channel.sendall(b'AR\\x06\\0\\xff\\0\\0\\0{')\n    os._exit(1)\n",
        "exit",
        "in the middle of a frame",
    ),
    "huge frame": rejected(
        _SOCKET
        + "def train(ctx):\n    channel.sendall(b'AR\\x06\\0\\xff\\xff\\xff\\xff')\n    ctx.start()\n",
        "allowed",
    ),
    "out of turn": rejected(
        _SOCKET + "def train(ctx):\n    channel.sendall(b'AR\\x07\\0\\x02\\0\\0\\0{}')\n    ctx.start()\n",
        "out of turn",
    ),
    "logits of another shape": rejected(
        _SOCKET
        + MODEL
        + """
import struct
def train(ctx):
    ctx.start()
    channel.sendall(b'AR\\x07\\0\\x02\\0\\0\\0{}')
    channel.sendall(b'AR\\x0a\\0' + struct.pack('<5I', 16, 0, 8, 32, 7))
    return Bigram(ctx.vocab_size)
""",
        "another batch or shape",
    ),
    "closed channel": rejected(
        "import os, sys, time\ndef train(ctx):\n    os.close(int(sys.argv[1]))\n    time.sleep(1000)\n",
        "closed its channel",
    ),
    "left dropout on": rejected(answering("torch.dropout(table[ids], 0.5, True)"), "gain|change"),
    "fills the disk with many files": crashing(
        """
import time
def train(ctx):
    for number in range(8):
        (ctx.scratch / str(number)).write_bytes(bytes(10 << 20))
    time.sleep(1000)
""",
        "scratch",
        "64 MB of disk|scratch space is full",
    ),
    "forks a survivor": crashing(
        """
import ctypes, os, time
def train(ctx):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, b"a-survivor", 0, 0, 0)
            time.sleep(1000)
        os._exit(0)
    os.wait()
    time.sleep(0.3)
    raise ValueError("gone")
""",
        "exception",
        "gone",
    ),
    "reads the environment": crashing(
        "import os\ndef train(ctx):\n    raise ValueError(sorted(os.environ))\n",
        "exception",
        "PYTHONHASHSEED",
    ),
    "floods its output": crashing(
        "import sys\ndef train(ctx):\n    for _ in range(3000):\n        print('spam' * 1000)\n"
        "        print('\\x1b[31m', file=sys.stderr)\n    raise ValueError('the end')\n",
        "exception",
        "the end",
    ),
}

GOOD_CANDIDATE = GOOD
