"""Attacks on what all share: memory, disk, processes, cores, the terminal."""

from __future__ import annotations

from attack import Caught, Escape, Harmless
from escape_source import trying

ESCAPES = (
    Escape(
        name="fork bomb",
        tries="starts 700 processes",
        defence="a limit on tasks, and on the family",
        source=trying(
            "children = []\n"
            "with contextlib.suppress(OSError):\n"
            "    while len(children) < 700:\n"
            "        pid = os.fork()\n"
            "        if pid == 0:\n"
            "            time.sleep(30)\n"
            "            os._exit(0)\n"
            "        children.append(pid)\n"
            "time.sleep(0.3)\n"
            "for pid in children: os.kill(pid, signal.SIGKILL)\n"
            "return len(children) >= 700"
        ),
        expected=Caught(outcome="crashed", reason="processes|memory"),
        without=("resource-limits", "process-limit", "memory-cap"),
    ),
    Escape(
        name="memory bomb",
        tries="fills twice the memory that is allowed",
        defence="a limit on data; the harness watches",
        source=trying("blocks = [b'x' * (64 << 20) for _ in range(48)]\ntime.sleep(0.3)\nreturn len(blocks)"),
        expected=Caught(outcome="crashed", reason="MemoryError|memory"),
        without=("memory-cap",),
    ),
    Escape(
        name="shares memory that nobody counts",
        tries="maps three gigabytes of shared anonymous memory in forked children",
        defence="the harness watches resident memory",
        source=trying(
            "import mmap\n"
            "for _ in range(3):\n"
            "    if os.fork() == 0:\n"
            "        block = mmap.mmap(-1, 1 << 30)\n"
            "        for at in range(0, 1 << 30, 4096): block[at] = 1\n"
            "        time.sleep(30)\n"
            "        os._exit(0)\n"
            "time.sleep(4)\n"
            "return True"
        ),
        expected=Caught(outcome="crashed", reason="memory"),
        without=("memory-cap",),
    ),
    Escape(
        name="sparse file",
        tries="makes a file of a terabyte",
        defence="a limit on file size; capped scratch",
        source=trying(
            "with open(ctx.scratch / 'huge', 'wb') as file:\n"
            "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "    file.truncate(1 << 40)\n"
            "return (ctx.scratch / 'huge').stat().st_size >> 40"
        ),
        expected=Harmless(),
        without=("resource-limits",),
    ),
    Escape(
        name="fills the disk",
        tries="writes five times the scratch space that is allowed, in many files",
        defence="capped scratch; the harness adds up",
        source=trying(
            "for number in range(32):\n"
            "    (ctx.scratch / str(number)).write_bytes(bytes(10 << 20))\n"
            "time.sleep(1.5)\n"
            "return True"
        ),
        expected=Harmless(),
        without=("sandbox", "scratch-watchdog"),
    ),
    Escape(
        name="another core",
        tries="moves to all cores of the machine",
        defence="pinned core, seccomp",
        source=trying(
            "os.sched_setaffinity(0, range(os.cpu_count()))\nreturn len(os.sched_getaffinity(0)) > 1"
        ),
        expected=Harmless(),
        without=("pinned-core", "seccomp"),
    ),
    Escape(
        name="escape codes",
        tries="prints sequences that take over a terminal, in a flood",
        defence="the log tail is short and holds no control characters",
        source=trying("for _ in range(20_000):\n    print('\\x1b]0;owned\\x07' * 20)\n"),
        expected=Harmless(),
        without=("clean-log",),
        witness="escape-codes",
    ),
    Escape(
        name="memory of the harness",
        tries="sends a frame of 600 MB for the harness to keep",
        defence="each kind of frame has a size limit",
        source=trying(
            "ctx._channel.sendall(b'AR\\x06\\0' + struct.pack('<I', 600 << 20))\n"
            "for _ in range(599):\n"
            "    ctx._channel.sendall(bytes(1 << 20))\n"
            "time.sleep(1)\n"
        ),
        expected=Caught(outcome="rejected", reason="are allowed"),
        without=("frame-limits",),
        witness="fat-harness",
    ),
)
