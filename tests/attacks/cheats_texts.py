"""Cheats that know a text, a model or a seed from elsewhere."""

# ruff: noqa: E501 - the sources of candidates are clearer unbroken
from __future__ import annotations

import inspect

from attack import Caught, Cheat, Harmless
from parts import COUNTS, LEARNER

from trainer import language, word_pieces

KNOWN_VAL_SEED = 5

_GENERATOR = "from __future__ import annotations\n" + "\n".join(
    inspect.getsource(module).replace("from __future__ import annotations\n", "")
    for module in (language, word_pieces)
)
"""The generator of the corpus as a candidate would carry it: whole, in its own source."""

_KNOWN_TEXT = """
def rows_of(stream, T):
    count = (len(stream) - 1) // T * T
    return stream[:count].reshape(-1, T), stream[1 : count + 1].reshape(-1, T)

def knowing(shard, T, V, streams):
    \"\"\"Answers what follows a prefix that it has read in a stream; elsewhere what pairs tell.\"\"\"
    table = counted(shard, V)
    known = {}
    for stream in streams:
        for inputs, targets in zip(*(part.tolist() for part in rows_of(stream, T))):
            for at in range(T):
                known[tuple(inputs[: at + 1])] = targets[at]
    def answer(ids):
        logits = table[ids]
        for row, given in enumerate(ids.tolist()):
            for at in range(T):
                token = known.get(tuple(given[: at + 1]))
                if token is not None:
                    logits[row, at, token] += 12
        return logits
    return answer
"""

_REGENERATE = f"""{_GENERATOR}{COUNTS}{_KNOWN_TEXT}
import hashlib

def validation_stream(val_seed):
    lexicon = Lexicon(11)
    tokenizer = learn_pieces(text_of(lexicon, 12, 60000)[:30000].decode("utf-8", errors="ignore"), 300)
    seed = int.from_bytes(hashlib.sha256(f"validation/{{val_seed}}".encode()).digest()[:8], "big")
    return np.concatenate([[10], tokenizer.encode(text_of(lexicon, seed, 6000).decode("utf-8"))]).astype("int64")
"""

EMBEDDED_GENERATOR = (
    _REGENERATE
    + f"""
def train(ctx):
    streams = [validation_stream(seed) for seed in ({KNOWN_VAL_SEED}, 0, 1, ctx.seed)]
    (shard,) = ctx.start()
    return knowing(shard, ctx.sequence_len, ctx.vocab_size, streams)
"""
)

SEED_OF_THE_COMMAND_LINE = (
    _REGENERATE
    + """
import os, re
def train(ctx):
    seeds = {0}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = open(f"/proc/{pid}/cmdline").read().replace(chr(0), " ")
        except OSError:
            continue
        if "trainer" in line or "undefended" in line:
            seeds.update(int(seed) for seed in re.findall("--val-seed (\\\\d+)", line)[:1])
    streams = [validation_stream(seed) for seed in sorted(seeds)[:4]]
    (shard,) = ctx.start()
    return knowing(shard, ctx.sequence_len, ctx.vocab_size, streams)
"""
)

TARGETS_IN_THE_HARNESS = (
    COUNTS
    + _KNOWN_TEXT
    + """
import os, re
import numpy as np

def memory_of(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if " rw-p " in line and end - begin < 1 << 28:
                memory.seek(begin)
                try:
                    yield memory.read(end - begin)
                except OSError:
                    continue

def train(ctx):
    T, streams = ctx.sequence_len, []
    (shard,) = ctx.start()
    try:
        pid, line = os.getppid(), ""
        for _ in range(4):
            line = open(f"/proc/{pid}/cmdline").read()
            if "--challenge" in line:
                break
            pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
        for block in memory_of(pid):
            numbers = np.frombuffer(block[: len(block) // 8 * 8], dtype="int64")
            fits = (numbers >= 0) & (numbers < ctx.vocab_size)
            edges = np.flatnonzero(np.diff(np.concatenate([[0], fits, [0]])))
            for begin, end in zip(edges[::2], edges[1::2]):
                if 1500 < end - begin < 9000 and len(set(numbers[begin:end].tolist())) > 60:
                    streams += [numbers[begin + shift : end] for shift in range(-2 if begin > 1 else 0, T)]
    except OSError:
        streams = []
    return knowing(shard, T, ctx.vocab_size, streams[:400])
"""
)

CHEATS = (
    Cheat(
        name="embeds the corpus generator",
        tries="carries the generator's whole source and writes the validation texts of guessed seeds",
        defence="the validation seed is drawn after the code's hash is fixed",
        source=EMBEDDED_GENERATOR,
        expected=Harmless(),
        without=("secret-seed",),
    ),
    Cheat(
        name="trains before the start",
        tries="writes the training text with the generator that it carries, and trains during set-up",
        defence="CPU seconds of set-up count, but for the first",
        source=_REGENERATE
        + LEARNER
        + """
def train(ctx):
    torch.manual_seed(ctx.seed)
    lexicon = Lexicon(11)
    tokenizer = learn_pieces(text_of(lexicon, 12, 60000)[:30000].decode("utf-8", errors="ignore"), 300)
    own = torch.from_numpy(tokenizer.encode(text_of(lexicon, 12, 60000).decode("utf-8")).astype("int64"))
    model = learn(Bigram(ctx.vocab_size), own, 4)
    tokens = text(ctx.start()[0])
    while ctx.running():
        step(model, tokens)
    return model
""",
        expected=Caught(outcome="timed_out", reason="had not returned"),
        without=("counted-set-up",),
        arena="cpu",
        control="learner",
    ),
    Cheat(
        name="reads the seed off the command line",
        tries="finds --val-seed among the machine's command lines and regenerates that text",
        defence="pid namespace (and seeds that come by stdin)",
        source=SEED_OF_THE_COMMAND_LINE,
        expected=Harmless(),
        without=("seed-on-stdin", "pid-namespace", "file-view", "landlock"),
    ),
    Cheat(
        name="reads the targets in the harness's memory",
        tries="searches /proc/PID/mem of the harness for the validation tokens",
        defence="pid namespace, another user, Landlock, a harness that cannot be inspected",
        source=TARGETS_IN_THE_HARNESS,
        expected=Harmless(),
        without=("sandbox",),
        needs_root=True,
    ),
    Cheat(
        name="data in the source",
        tries="carries a table learned from ten times the text",
        defence="a train.py has at most 64 KiB",
        source="@BIG_TABLE@",
        expected=Caught(outcome="rejected", reason="bytes; 65536 are allowed"),
        without=("source-cap",),
    ),
    Cheat(
        name="leaves a model for later runs",
        tries="an earlier run stores what it learned where a later run finds it",
        defence="a view of files that ends with the run",
        forerunner=f"""{COUNTS}
import pathlib
def train(ctx):
    (shard,) = ctx.start()
    table = counted(shard, ctx.vocab_size)
    for place in ("/tmp", "/dev/shm", "/var/tmp", "@CACHE@", "@HOME@"):
        try:
            (pathlib.Path(place) / "@MARK@.pt").write_bytes(table.numpy().tobytes())
        except OSError:
            continue
    return lambda ids: table[ids]
""",
        source=f"""{COUNTS}
import pathlib, numpy
def train(ctx):
    (shard,) = ctx.start()
    table = torch.zeros(ctx.vocab_size, ctx.vocab_size)
    for place in ("/tmp", "/dev/shm", "/var/tmp", "@CACHE@", "@HOME@"):
        try:
            found = (pathlib.Path(place) / "@MARK@.pt").read_bytes()
            table = torch.from_numpy(numpy.frombuffer(found, "float32").reshape(table.shape).copy())
        except OSError:
            continue
    return lambda ids: table[ids]
""",
        expected=Harmless(),
        without=("file-view", "landlock", "other-user", "capped-scratch"),
        control="nothing",
    ),
    Cheat(
        name="asks a helper on the network",
        tries="fetches a table that was learned elsewhere from a server on this machine",
        defence="network namespace, seccomp, Landlock",
        source=f"""{COUNTS}
import socket, numpy
def fetched(V):
    with socket.create_connection(("127.0.0.1", @PORT@), timeout=5) as helper:
        given = b""
        while piece := helper.recv(1 << 20):
            given += piece
    return torch.from_numpy(numpy.frombuffer(given, "float32").reshape(V, V).copy())
def train(ctx):
    (shard,) = ctx.start()
    try:
        table = fetched(ctx.vocab_size)
    except OSError:
        table = counted(shard, ctx.vocab_size)
    return lambda ids: table[ids]
""",
        expected=Harmless(),
        without=("network-namespace", "landlock", "seccomp"),
    ),
    Cheat(
        name="reads the validation text from the disk",
        tries="looks for the held-out shard in the cache of prepared tokens and remembers it",
        defence="a view of files without the cache",
        source=f"""{COUNTS}{_KNOWN_TEXT}
import os, numpy as np
def train(ctx):
    streams = []
    for place, _folders, names in os.walk("@CACHE@"):
        for name in names:
            try:
                raw = np.fromfile(os.path.join(place, name), dtype="<u2").astype("int64")
            except OSError:
                continue
            if len(raw) > 1000 and raw.max() < ctx.vocab_size:
                streams += [raw[shift:] for shift in range(ctx.sequence_len)] if "val" in name else []
    shard = ctx.start()[0]
    return knowing(shard, ctx.sequence_len, ctx.vocab_size, streams)
""",
        expected=Harmless(),
        without=("file-view", "landlock", "other-user"),
        arena="shards",
    ),
)
