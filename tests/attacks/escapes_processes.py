"""Attacks on other processes: to read them, to stop them, to outlive them."""

# ruff: noqa: E501 - the sources of candidates are clearer unbroken
from __future__ import annotations

from attack import Escape, Harmless
from escape_source import EVERYTHING, PROCESS_LAYERS, trying

ESCAPES = (
    Escape(
        name="environment",
        tries="looks for the node's secrets among its variables",
        defence="an environment built from nothing",
        source=trying("return os.environ.get('SECRET_OF_THE_NODE')"),
        expected=Harmless(),
        without=("empty-environment",),
    ),
    Escape(
        name="others' environments",
        tries="reads /proc/*/environ, of process 1 and of its parents among them",
        defence="pid namespace; another user; Landlock",
        source=trying(
            "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
            "    with contextlib.suppress(OSError):\n"
            "        if b'SECRET_OF_THE_NODE' in open(f'/proc/{pid}/environ', 'rb').read():\n"
            "            return pid\n"
        ),
        expected=Harmless(),
        without=EVERYTHING,
    ),
    Escape(
        name="others' command lines",
        tries="reads how the harness was called",
        defence="pid namespace",
        source=trying(
            "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
            "    with contextlib.suppress(OSError):\n"
            "        if '--challenge' in open(f'/proc/{pid}/cmdline').read():\n"
            "            return pid\n"
        ),
        expected=Harmless(),
        without=("pid-namespace", "file-view", "landlock"),
    ),
    Escape(
        name="ptrace",
        tries="attaches to another process of the user",
        defence="pid namespace; seccomp; another user",
        source=trying(
            "call(101, 16, @VICTIM@, 0, 0)\nos.waitpid(@VICTIM@, 0x40000000)\nreturn call(101, 17, @VICTIM@, 0, 0) == 0"
        ),
        expected=Harmless(),
        without=EVERYTHING,
        needs_root=True,
    ),
    Escape(
        name="process_vm_readv",
        tries="reads another process's memory",
        defence="pid namespace; seccomp; another user",
        source=trying(
            "line = open('/proc/@VICTIM@/maps').readline()\n"
            "begin = int(line.split('-')[0], 16)\n"
            "into = ctypes.create_string_buffer(4)\n"
            "here = (ctypes.c_size_t * 2)(ctypes.addressof(into), 4)\n"
            "there = (ctypes.c_size_t * 2)(begin, 4)\n"
            "return call(310, @VICTIM@, here, 1, there, 1, 0) == 4"
        ),
        expected=Harmless(),
        without=EVERYTHING,
        needs_root=True,
    ),
    Escape(
        name="kills a process of the user",
        tries="sends SIGKILL to a process whose id it knows",
        defence="pid namespace; Landlock; another user",
        source=trying("os.kill(@PREY@, signal.SIGKILL)\nreturn True"),
        expected=Harmless(),
        without=PROCESS_LAYERS,
    ),
    Escape(
        name="kills its harness",
        tries="sends SIGKILL to all its parents, so that there is no report",
        defence="pid namespace; Landlock; another user",
        source=trying(
            "pid, tried = os.getppid(), 0\n"
            "while pid > 1 and tried < 3:\n"
            "    line = open(f'/proc/{pid}/cmdline').read()\n"
            "    parent = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])\n"
            "    if '--challenge' in line and 'supervised' not in line:\n"
            "        os.kill(pid, signal.SIGKILL)\n"
            "    pid, tried = parent, tried + 1\n"
            "os.kill(os.getppid(), signal.SIGTERM) if os.getppid() == 1 else None\n"
        ),
        expected=Harmless(),
        without=PROCESS_LAYERS,
        witness="no-report",
    ),
    Escape(
        name="truncates the budget page",
        tries="cuts the shared page to nothing, so that the harness dies of its next write to it",
        defence="the sizes of shared memory are sealed",
        source=trying("ctx.start()\ntype(ctx).start = lambda self: []\nos.ftruncate(int(sys.argv[2]), 0)"),
        expected=Harmless(),
        without=("sealed-size",),
        witness="no-report",
    ),
    Escape(
        name="truncates the shared logits",
        tries="cuts the buffer of its answers to nothing before the harness reads it",
        defence="the sizes of shared memory are sealed",
        source=trying(
            "from trainer.logits import WorkerBuffer\n"
            "write = WorkerBuffer.write\n"
            "def write_and_cut(self, slot, logits):\n"
            "    write(self, slot, logits)\n"
            "    for fd in map(int, os.listdir('/proc/self/fd')):\n"
            "        with contextlib.suppress(OSError):\n"
            "            if 'autoresearch-logits' in os.readlink(f'/proc/self/fd/{fd}'):\n"
            "                os.ftruncate(fd, 0)\n"
            "WorkerBuffer.write = write_and_cut"
        ),
        expected=Harmless(),
        without=("sealed-size",),
        witness="no-report",
    ),
    Escape(
        name="daemonised survivor",
        tries="leaves a process of another session behind",
        defence="the family ends with the run: pid namespace, adopted orphans",
        source=trying(
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "        for fd in range(3): os.close(fd)\n"
            "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "        time.sleep(60)\n"
            "    os._exit(0)\n"
            "os.wait()\n"
        ),
        expected=Harmless(),
        without=("pid-namespace", "end-of-family"),
        witness="survivor",
    ),
)
